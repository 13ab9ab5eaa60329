/* SPDX-License-Identifier: Apache-2.0 */
/* Views of the caller's memory. rapt never owns, copies or reorders a tensor. */
#ifndef RAPT_TENSOR_H
#define RAPT_TENSOR_H

#include <stdint.h>

#include <rapt/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rapt_dtype {
    RAPT_NONE = 0, /* no tensor: the optional argument is absent */
    RAPT_F32 = 1,
    RAPT_BOOL = 2, /* one byte, 0 is false, anything else is true */
    RAPT_F16 = 3,  /* IEEE 754 half precision */
    RAPT_BF16 = 4, /* the upper half of an f32 */
    RAPT_I8 = 5,   /* signed, times a scale that stands elsewhere */
    RAPT_Q8_0 = 6, /* 32 elements in 34 bytes: an f16 scale, then 32 int8; GGML's block_q8_0 */
    RAPT_I32 = 7,  /* signed integers, only for the output top_key */
} rapt_dtype;

/*
 * A view: element (b, h, s, c) lies at data + b*stride[0] + h*stride[1] + s*stride[2] +
 * c*stride[3], counted in elements. The four dimensions are always batch, head, position, channel,
 * in this order. The strides alone tell the layout in memory. So BHSD, BSHD, one third of a packed
 * QKV buffer and a broadcast (stride 0) are all views. Strides may be negative. The data needs the
 * alignment of its element only, and nothing outside the view is ever read.
 *
 * For q8_0, channels and strides are multiples of 32, but for the channel's stride, which is 1. The
 * data needs no alignment.
 *
 * Batch, heads and positions may be 0, in every call. So may the channels of weights, which are
 * keys. All other channels are at least 1. A view without elements may have any strides, and data
 * NULL. A call leaves alone what it has nothing to write for, and returns RAPT_OK.
 *
 * Inputs are never written, although `data` is not const: one type serves inputs and outputs.
 */
typedef struct rapt_tensor {
    void *data;
    rapt_dtype dtype;
    int64_t shape[4];
    int64_t stride[4];
} rapt_tensor;

/* Dense memory in the order batch, head, position, channel: what PyTorch and ONNX use. */
RAPT_API rapt_tensor rapt_tensor_bhsd(const void *data, rapt_dtype dtype, int64_t batch,
                                      int64_t heads, int64_t positions, int64_t channels);

/* Dense memory in the order batch, position, head, channel: what a projection leaves behind. */
RAPT_API rapt_tensor rapt_tensor_bshd(const void *data, rapt_dtype dtype, int64_t batch,
                                      int64_t heads, int64_t positions, int64_t channels);

/* Bytes of one element, for q8_0 of one block. 0 for RAPT_NONE and for a number that is no dtype.
 */
RAPT_API int64_t rapt_dtype_size(rapt_dtype dtype);

/* Elements in so many bytes: 32 for q8_0, else 1. */
RAPT_API int64_t rapt_dtype_block(rapt_dtype dtype);

#ifdef __cplusplus
}
#endif

#endif
