/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as they are stored, straight from the formats' definitions: f32, f16 and bf16. */
#ifndef RAPT_CHECK_STORAGE_H
#define RAPT_CHECK_STORAGE_H

#include <rapt/tensor.h>

#include <stddef.h>
#include <string.h>

/* Bytes of an element, of bool too; 0 for none. */
static inline size_t storage_size(rapt_dtype dtype) {
    switch (dtype) {
    case RAPT_F32:
        return 4;
    case RAPT_F16:
    case RAPT_BF16:
        return 2;
    case RAPT_BOOL:
        return 1;
    default:
        return 0;
    }
}

/* The largest finite number. */
float storage_largest(rapt_dtype dtype);

/* The f16 or bf16 number at a place. */
float storage_read_half(rapt_dtype dtype, const void *at);

/* The number at a place. */
static inline float storage_read(rapt_dtype dtype, const void *at) {
    float number;
    if (dtype != RAPT_F32)
        return storage_read_half(dtype, at);
    memcpy(&number, at, sizeof number);
    return number;
}

/* Rounds to nearest, ties to even, beyond the range to infinity. NaN becomes the canonical one. */
void storage_write(rapt_dtype dtype, void *at, float number);

/* The bits of a number at a place, and of the canonical NaN. */
uint32_t storage_bits(rapt_dtype dtype, const void *at);
uint32_t storage_nan(rapt_dtype dtype);

/*
 * What becomes of a result by the rounding to its type: the bound grows by half a unit in the last
 * place. Beyond the range the value turns into an infinity; close to its end any bound is too low.
 */
void storage_round(rapt_dtype dtype, double *value, double *bound);

#endif
