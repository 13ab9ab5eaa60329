/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as they are stored, straight from the formats' definitions: f32, f16, bf16, int8, q8_0.
 */
#ifndef RAPT_ORACLE_STORAGE_H
#define RAPT_ORACLE_STORAGE_H

#include <rapt/tensor.h>

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { STORAGE_BLOCK = 32 }; /* elements of a q8_0 block, behind their scale in f16 */

/* Bytes of an element, of bool too; of a block for q8_0; 0 for none. */
static inline size_t storage_size(rapt_dtype dtype) {
    switch (dtype) {
    case RAPT_F32:
    case RAPT_I32:
        return 4;
    case RAPT_F16:
    case RAPT_BF16:
        return 2;
    case RAPT_BOOL:
    case RAPT_I8:
        return 1;
    case RAPT_Q8_0:
        return 2 + STORAGE_BLOCK;
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
    int32_t integer;
    if (dtype == RAPT_I32)
        return (float)*(const int32_t *)memcpy(&integer, at, sizeof integer);
    if (dtype != RAPT_F32)
        return storage_read_half(dtype, at);
    memcpy(&number, at, sizeof number);
    return number;
}

/* Whether elements are int8 that have a scale. */
static inline bool storage_is_quantized(rapt_dtype dtype) {
    return dtype == RAPT_I8 || dtype == RAPT_Q8_0;
}

/* Elements from data to one of a view. */
static inline int64_t storage_offset(const rapt_tensor *view, const int64_t *at) {
    return at[0] * view->stride[0] + at[1] * view->stride[1] + at[2] * view->stride[2] +
           at[3] * view->stride[3];
}

/* The q8_0 block that an element is in, which starts with its scale. */
static inline void *storage_block(const rapt_tensor *view, int64_t offset) {
    const int64_t in_block = offset & (STORAGE_BLOCK - 1);
    return (char *)view->data +
           (offset - in_block) / STORAGE_BLOCK * (int64_t)storage_size(RAPT_Q8_0);
}

/* An element so far from data. */
static inline void *storage_at(const rapt_tensor *view, int64_t offset) {
    if (view->dtype == RAPT_Q8_0)
        return (char *)storage_block(view, offset) + 2 + (offset & (STORAGE_BLOCK - 1));
    return (char *)view->data + offset * (int64_t)storage_size(view->dtype);
}

/* Its number: the product of an int8 and its scale rounds to f32. int8 alone needs `scale`. */
static inline float storage_number(const rapt_tensor *view, int64_t offset, float scale) {
    const void *at = storage_at(view, offset);
    if (view->dtype == RAPT_Q8_0)
        scale = storage_read_half(RAPT_F16, storage_block(view, offset));
    if (storage_is_quantized(view->dtype))
        return (float)*(const signed char *)at * scale;
    return storage_read(view->dtype, at);
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
