/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache needs of a rotary embedding: it rotates keys on their way in. */
#ifndef RAPT_SRC_CACHE_ROPE_H
#define RAPT_SRC_CACHE_ROPE_H

#include <rapt/rope.h>

#include "simd/kernels.h"

struct rapt_rope {
    const struct rapt_kernels *kernels;
    rapt_rope_pairing pairing;
    int64_t pairs;
    double turns[]; /* [pairs], of a full circle per position */
};

/* Whether n positions, NULL for none, are within the limits. */
rapt_status rapt_rope_check_positions(const int64_t *positions, int64_t n);

/* Sines and cosines of n pairs from `first` on, at a position. */
void rapt_rope_angles(const struct rapt_rope *rope, int64_t position, int64_t first, int64_t n,
                      float *sines, float *cosines);

#endif
