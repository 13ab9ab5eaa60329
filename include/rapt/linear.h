/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A linear layer, or two of them as in the feed-forward part of a transformer:
 *
 *     out = activation(input weightᵀ + bias)
 *     out = activation(input weightᵀ + bias) outerᵀ + outer_bias
 *
 * What lies between the two never leaves the form that the kernels work on. rapt_mha projects by
 * this layer, so the same is true of its bits. An element is a chain of fused multiply-adds in f32
 * over the channels, from zero, to which the bias is added. Only a library built with the option
 * cblas computes f32 layers otherwise; see rapt/mha.h.
 */
#ifndef RAPT_LINEAR_H
#define RAPT_LINEAR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rapt_activation {
    RAPT_ACTIVATION_NONE = 0,
    RAPT_ACTIVATION_GELU = 1, /* x times the normal distribution's share below x, by erf */
} rapt_activation;

/* Start from rapt_linear_defaults(), and set input, weight and out. */
typedef struct rapt_linear_args {
    size_t size; /* sizeof(rapt_linear_args), which tells the library what the caller knows */

    rapt_tensor input; /* (B, 1, S, channels), f32 */
    rapt_tensor out;   /* (B, 1, S, rows), f32; it may be the input's memory */

    /*
     * (1, 1, rows, channels) and (1, 1, 1, rows) or RAPT_NONE, f32, f16 or bf16, with any strides.
     * They lie as in PyTorch's Linear and in safetensors; see rapt_mha_args.
     */
    rapt_tensor weight, bias;

    /* The second layer: RAPT_NONE, or (1, 1, outer rows, rows), and its bias; out has its rows. */
    rapt_tensor outer, outer_bias;

    rapt_activation activation;
    int threads;     /* at most this many; 0: rapt_default_threads() */
    const char *isa; /* a name of rapt/isa.h; NULL means RAPT_ISA if it is set, or else the best */
} rapt_linear_args;

static inline rapt_linear_args rapt_linear_defaults(void) {
    rapt_linear_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    return args;
}

/* Bytes of workspace that a call needs. On an error *size is 0. */
RAPT_API rapt_status rapt_linear_workspace_size(const rapt_linear_args *args, size_t *size);

/*
 * Computes the layer. Checks every argument before it writes anything. With a workspace of
 * rapt_linear_workspace_size() bytes (any alignment) nothing is allocated; with NULL and 0 the call
 * allocates one. Thread-safe.
 */
RAPT_API rapt_status rapt_linear(const rapt_linear_args *args, void *workspace,
                                 size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif
