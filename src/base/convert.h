/* SPDX-License-Identifier: Apache-2.0 */
/* A row of a view, in whatever storage and with whatever stride of channels, as dense f32. */
#ifndef RAPT_SRC_BASE_CONVERT_H
#define RAPT_SRC_BASE_CONVERT_H

#include "simd/kernels.h"

/* n elements of a tensor, from `at` on along its last dimension; int8 is multiplied by scale. */
void rapt_read_row(const struct rapt_kernels *kernels, float *dst, const rapt_tensor *t, int64_t at,
                   float scale, int64_t n);

/* The reverse, for f32, f16 and bf16. */
void rapt_write_row(const struct rapt_kernels *kernels, const float *src, const rapt_tensor *t,
                    int64_t at, int64_t n);

#endif
