/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on views: where an element lies, what a view covers, whether it meets itself. */
#ifndef RAPT_SRC_BASE_TENSOR_H
#define RAPT_SRC_BASE_TENSOR_H

#include <stdbool.h>

#include <rapt/tensor.h>

#include "src/base/dtype.h"

/* Elements from data to (b, h, s, 0). */
static inline int64_t rapt_row_offset(const rapt_tensor *t, int64_t b, int64_t h, int64_t s) {
    return b * t->stride[0] + h * t->stride[1] + s * t->stride[2];
}

/* Whether a view has no elements: a dimension is 0. */
static inline bool rapt_is_empty(const rapt_tensor *t) {
    return t->shape[0] == 0 || t->shape[1] == 0 || t->shape[2] == 0 || t->shape[3] == 0;
}

/* Bytes of so many elements of a tensor. */
static inline int64_t rapt_bytes(const rapt_tensor *t, int64_t elements) {
    const struct rapt_dtype_info info = rapt_dtype_info_of(t->dtype);
    return (info.block == 1 ? elements : elements / info.block) * info.bytes;
}

/* The address of an element; of q8_0, of the block that begins there. */
static inline const void *rapt_element(const rapt_tensor *t, int64_t offset) {
    return (const char *)t->data + rapt_bytes(t, offset);
}

/* The bytes that a view covers, relative to data: [first, last), none if it is empty. */
struct rapt_span {
    int64_t first, last;
};

/* False if the span doesn't fit an int64_t. */
bool rapt_tensor_span(const rapt_tensor *t, struct rapt_span *span);

/* A view's elements in memory: the bytes from first to last enclose them. */
struct rapt_place {
    const rapt_tensor *view;
    uintptr_t first, last;
};

/* Whether two views may share a byte (exact for views that interleave at a common stride). */
bool rapt_places_meet(const struct rapt_place *a, const struct rapt_place *b);

/* Whether two index tuples may share an element (exact for all nested layouts). */
bool rapt_tensor_meets_itself(const rapt_tensor *t);

#endif
