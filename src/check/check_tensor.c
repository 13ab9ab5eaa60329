/* SPDX-License-Identifier: Apache-2.0 */
#include "src/check/check_tensor.h"

#include <inttypes.h>

static const char *const dimension_names[4] = {"batch", "heads", "positions", "channels"};

const char *rapt_dtype_name(rapt_dtype dtype) {
    switch (dtype) {
    case RAPT_NONE:
        return "none";
    case RAPT_F32:
        return "f32";
    case RAPT_BOOL:
        return "bool";
    case RAPT_F16:
        return "f16";
    case RAPT_BF16:
        return "bf16";
    case RAPT_I8:
        return "int8";
    case RAPT_Q8_0:
        return "q8_0";
    case RAPT_I32:
        return "int32";
    }
    return "unknown";
}

#define FLOATS (1u << RAPT_F32 | 1u << RAPT_F16 | 1u << RAPT_BF16)

/* What is listed is all that is taken, whatever dtypes there will be. */
rapt_status rapt_check_dtype(const char *name, rapt_dtype dtype, enum rapt_stored stored) {
    static const struct {
        unsigned types;
        const char *expected;
    } kinds[] = {
        [RAPT_ONLY_F32] = {1u << RAPT_F32, "f32"},
        [RAPT_ONLY_I32] = {1u << RAPT_I32, "int32"},
        [RAPT_FLOATS] = {FLOATS, "f32, f16 or bf16"},
        [RAPT_FLOATS_OR_BOOL] = {FLOATS | 1u << RAPT_BOOL, "bool, f32, f16 or bf16"},
        [RAPT_FLOATS_OR_QUANTIZED] = {FLOATS | 1u << RAPT_I8 | 1u << RAPT_Q8_0,
                                      "f32, f16, bf16, int8 or q8_0"},
    };
    const unsigned number = (unsigned)dtype, bits = 8 * sizeof kinds->types;
    if (number < bits && (kinds[stored].types & 1u << number))
        return RAPT_OK;
    return INVALID("%s: dtype is %s (%d), expected %s", name, rapt_dtype_name(dtype), (int)dtype,
                   kinds[stored].expected);
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
