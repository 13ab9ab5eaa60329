/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of all calls share: those of one tensor's dtype, shape and strides. */
#ifndef RAPT_SRC_CHECK_CHECK_TENSOR_H
#define RAPT_SRC_CHECK_CHECK_TENSOR_H

#include "src/base/status.h"
#include "src/base/tensor.h"

#define INVALID(...) rapt_fail(RAPT_INVALID_ARGUMENT, __VA_ARGS__)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const rapt_status try_status = (call);                                                     \
        if (try_status != RAPT_OK)                                                                 \
            return try_status;                                                                     \
    } while (0)

/* Any product of two dimensions fits an int64_t. */
#define RAPT_DIMENSION_MAX ((int64_t)INT32_MAX)

/* What a tensor may be of; simd/dtype.def says which types these are. */
enum rapt_stored {
    RAPT_ONLY_F32,
    RAPT_ONLY_I32,
    RAPT_FLOATS,
    RAPT_FLOATS_OR_BOOL,
    RAPT_FLOATS_OR_QUANTIZED,
};

const char *rapt_dtype_name(rapt_dtype dtype);

/* Whether it is one of these types: the one check of dtypes that all calls have. */
rapt_status rapt_check_dtype(const char *name, rapt_dtype dtype, enum rapt_stored stored);

/* Whether all dimensions are 0 to RAPT_DIMENSION_MAX, and the channels least_channels or more. */
rapt_status rapt_check_dimensions(const char *name, const rapt_tensor *t, int64_t least_channels);

/* Whether it has the expected shape; a dimension of 1 stands for all where or_one, if not NULL,
 * says so. */
rapt_status rapt_check_shape(const char *name, const rapt_tensor *t, const int64_t *expected,
                             const bool *or_one);

/* Whether all steps of a view are whole blocks of its dtype. */
rapt_status rapt_check_blocks(const char *name, const rapt_tensor *t);

/* Whether it fits the address space, and an output's elements are distinct. */
rapt_status rapt_check_strides(const char *name, const rapt_tensor *t, bool output);

#endif
