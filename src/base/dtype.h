/* SPDX-License-Identifier: Apache-2.0 */
/* What a storage type is: its line in simd/dtype.def. */
#ifndef RAPT_SRC_BASE_DTYPE_H
#define RAPT_SRC_BASE_DTYPE_H

#include <rapt/tensor.h>

#include "simd/dtype.def"

/* In which tensors it may be. */
enum rapt_where {
    RAPT_WHERE_NOWHERE,
    RAPT_WHERE_NUMBERS,
    RAPT_WHERE_CACHED,
    RAPT_WHERE_MASK,
    RAPT_WHERE_INDEX,
};

struct rapt_dtype_info {
    const char *name;
    int bytes, block; /* of a block, and the elements in it */
    int align;        /* of the data */
    enum rapt_where where;
};

/* RAPT_NONE and numbers that are no type have no bytes, blocks of 1 and the alignment 1. */
static inline struct rapt_dtype_info rapt_dtype_info_of(rapt_dtype dtype) {
    switch (dtype) {
#define RAPT_DTYPE_CASE(type, name, bytes, block, align, where, ...)                               \
case RAPT_##type:                                                                                  \
    return (struct rapt_dtype_info){name, bytes, block, align, RAPT_WHERE_##where};
        RAPT_DTYPES(RAPT_DTYPE_CASE, )
#undef RAPT_DTYPE_CASE
    case RAPT_NONE:
        return (struct rapt_dtype_info){"none", 0, 1, 1, RAPT_WHERE_NOWHERE};
    }
    return (struct rapt_dtype_info){"unknown", 0, 1, 1, RAPT_WHERE_NOWHERE};
}

#endif
