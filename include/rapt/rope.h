/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotary position embedding (Su et al. 2021): pairs of channels of a query or key are rotated by
 * its position times the pair's frequency. So a score depends on the distance of the two.
 *
 *     (a, b) -> (a cos t - b sin t, b cos t + a sin t),  t = position * position_scale * frequency
 *
 * Angles are reduced in double precision, so they are as good at position 1e6 as at 1. The rotation
 * is in f32. The bits are the same on every instruction set with a fused multiply-add.
 */
#ifndef RAPT_ROPE_H
#define RAPT_ROPE_H

#include <stdint.h>
#include <string.h>

#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which channels make pair i of rotary_dim / 2: two ways in which models are trained. */
typedef enum rapt_rope_pairing {
    RAPT_ROPE_HALVES = 0,     /* i and i + rotary_dim / 2, as in GPT-NeoX and Llama's HF weights */
    RAPT_ROPE_NEIGHBOURS = 1, /* 2i and 2i + 1, as in GPT-J and Llama's first weights */
} rapt_rope_pairing;

/* Start from rapt_rope_defaults() and set what differs. */
typedef struct rapt_rope_args {
    size_t size; /* sizeof(rapt_rope_args), which tells the library what the caller knows */

    int64_t rotary_dim; /* the first so many channels are rotated, the others kept; even */
    rapt_rope_pairing pairing;

    /* The frequency of pair i is base^(-2i / rotary_dim), base from 1 to 1e30. Or the caller gives
     * frequencies: rotary_dim / 2 numbers of -1000 to 1000, in radians per position. */
    double base; /* 10000 if not set otherwise */
    const double *frequencies;
    double position_scale; /* positions are multiplied by it, 0 to 1000; 1 if not set otherwise */

    const char *isa; /* a name of rapt/isa.h; NULL means RAPT_ISA if it is set, or else the best */
} rapt_rope_args;

static inline rapt_rope_args rapt_rope_defaults(void) {
    rapt_rope_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    args.base = 10000;
    args.position_scale = 1;
    return args;
}

typedef struct rapt_rope rapt_rope;

/* Keeps nothing of args. On an error *rope is NULL. Thread-safe, like all in this header. */
RAPT_API rapt_status rapt_rope_create(const rapt_rope_args *args, rapt_rope **rope);

/* Frees one that nobody uses any more. NULL is fine. */
RAPT_API void rapt_rope_destroy(rapt_rope *rope);

/*
 * Rotates `in` (B, H, S, D) to `out`, of the same shape. Each is f32, f16 or bf16; results are
 * rounded to nearest even. Batch b's position s is positions[b * batch_stride + s], of -2^31 to
 * 2^31. A batch_stride of 0 lets all share S numbers, and NULL stands for 0 to S - 1. `out` may be
 * `in` itself, the same view; other overlaps are an error. Nothing is allocated; on an error
 * nothing is written.
 */
RAPT_API rapt_status rapt_rope_apply(const rapt_rope *rope, const rapt_tensor *in,
                                     const int64_t *positions, int64_t batch_stride,
                                     const rapt_tensor *out);

#ifdef __cplusplus
}
#endif

#endif
