/* SPDX-License-Identifier: Apache-2.0 */
#include "src/check/check_tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const dimension_names[4] = {"batch", "heads", "positions", "channels"};

const char *rapt_dtype_name(rapt_dtype dtype) {
    return rapt_dtype_info_of(dtype).name;
}

static bool is_taken(rapt_dtype dtype, enum rapt_stored stored) {
    const enum rapt_where where = rapt_dtype_info_of(dtype).where;
    switch (stored) {
    case RAPT_ONLY_F32:
        return dtype == RAPT_F32;
    case RAPT_ONLY_I32:
        return where == RAPT_WHERE_INDEX;
    case RAPT_FLOATS:
        return where == RAPT_WHERE_NUMBERS;
    case RAPT_FLOATS_OR_BOOL:
        return where == RAPT_WHERE_NUMBERS || where == RAPT_WHERE_MASK;
    case RAPT_FLOATS_OR_QUANTIZED:
        return where == RAPT_WHERE_NUMBERS || where == RAPT_WHERE_CACHED;
    }
    return false;
}

/* "f32, f16 or bf16": the types that are taken. */
static void list_taken(enum rapt_stored stored, char *text, size_t size) {
    static const rapt_dtype all[] = {
#define NUMBER(type, ...) RAPT_##type,
        RAPT_DTYPES(NUMBER, )
#undef NUMBER
    };
    const int count = sizeof all / sizeof *all;
    int last = -1;
    for (int i = 0; i < count; i++)
        last = is_taken(all[i], stored) ? i : last;
    size_t used = 0;
    for (int i = 0; i <= last; i++)
        if (is_taken(all[i], stored) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s",
                                     used == 0   ? ""
                                     : i == last ? " or "
                                                 : ", ",
                                     rapt_dtype_name(all[i]));
}

rapt_status rapt_check_dtype(const char *name, rapt_dtype dtype, enum rapt_stored stored) {
    char expected[64];
    if (is_taken(dtype, stored))
        return RAPT_OK;
    list_taken(stored, expected, sizeof expected);
    return INVALID("%s: dtype is %s (%d), expected %s", name, rapt_dtype_name(dtype), (int)dtype,
                   expected);
}

rapt_status rapt_check_shape(const char *name, const rapt_tensor *t, const int64_t *expected,
                             const bool *or_one) {
    for (int i = 0; i < 4; i++) {
        const bool one = or_one && or_one[i];
        if (t->shape[i] != expected[i] && !(one && t->shape[i] == 1))
            return INVALID("%s: shape[%d] (%s) is %" PRId64 ", expected %" PRId64 "%s", name, i,
                           dimension_names[i], t->shape[i], expected[i],
                           one && expected[i] != 1 ? " or 1" : "");
    }
    return RAPT_OK;
}

rapt_status rapt_check_dimensions(const char *name, const rapt_tensor *t, int64_t least_channels) {
    for (int i = 0; i < 4; i++) {
        const int64_t least = i == 3 ? least_channels : 0;
        if (t->shape[i] < least || t->shape[i] > RAPT_DIMENSION_MAX)
            return INVALID("%s: shape[%d] (%s) is %" PRId64 ", expected %" PRId64 " to %" PRId64,
                           name, i, dimension_names[i], t->shape[i], least, RAPT_DIMENSION_MAX);
    }
    return RAPT_OK;
}

rapt_status rapt_check_blocks(const char *name, const rapt_tensor *t) {
    const int64_t block = rapt_dtype_block(t->dtype);
    if (block == 1)
        return RAPT_OK;
    if (t->shape[3] % block != 0)
        return INVALID("%s: shape[3] (channels) is %" PRId64 ", expected a multiple of %" PRId64
                       " for %s",
                       name, t->shape[3], block, rapt_dtype_name(t->dtype));
    for (int i = 0; i < 4; i++) {
        const bool fits = i == 3 ? t->stride[i] == 1 : t->stride[i] % block == 0;
        if (t->shape[i] > 1 && !fits)
            return INVALID("%s: stride[%d] (%s) is %" PRId64 ", expected %s%" PRId64 " for %s",
                           name, i, dimension_names[i], t->stride[i],
                           i == 3 ? "" : "a multiple of ", i == 3 ? 1 : block,
                           rapt_dtype_name(t->dtype));
    }
    return RAPT_OK;
}

rapt_status rapt_check_strides(const char *name, const rapt_tensor *t, bool output) {
    struct rapt_span span;
    if (!rapt_tensor_span(t, &span))
        return INVALID("%s: strides {%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                       "} reach beyond the address space, expected smaller ones",
                       name, t->stride[0], t->stride[1], t->stride[2], t->stride[3]);
    if (output && rapt_tensor_meets_itself(t))
        return INVALID("%s: strides {%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                       "} let elements of the output share memory, expected distinct elements",
                       name, t->stride[0], t->stride[1], t->stride[2], t->stride[3]);
    return RAPT_OK;
}
