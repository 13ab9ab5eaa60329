/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of floats in 8 bits. What a NaN or an infinity is in makes the scale NaN. */
#ifndef RAPT_SRC_BASE_QUANTIZE_H
#define RAPT_SRC_BASE_QUANTIZE_H

#include "simd/kernels.h"

/* n numbers as multiples of the scale that it returns, the largest magnitude / 127. */
float rapt_quantize_i8(int8_t *dst, const float *src, int64_t n);

/* The same per block of 32, n a multiple of that, with the scale rounded to f16 before them. */
void rapt_quantize_q8_0(const struct rapt_kernels *kernels, void *dst, const float *src, int64_t n);

#endif
