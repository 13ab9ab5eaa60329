/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multi-head attention as a layer of a model (Vaswani et al. 2017), for inference:
 *
 *     query = input Wqᵀ + bq,  key = context Wkᵀ + bk,  value = context Wvᵀ + bv,  by heads
 *     out = attention(query, key, value), all heads side by side, times Woᵀ, + bo
 *
 * An element of a projection is a chain of fused multiply-adds in f32 over the input's channels,
 * from zero, to which the bias is added. So what rapt/attention.h says of bits holds for the layer.
 * A token's row of `out` is the same for any thread count, batch, layout and instruction set (with
 * a fused multiply-add). It is the same whether its sequence comes at once or token by token with a
 * cache. Only a library built with the option cblas projects f32 layers otherwise: by BLAS, with
 * its bits.
 */
#ifndef RAPT_MHA_H
#define RAPT_MHA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rapt/cache.h>
#include <rapt/rope.h>
#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The layer. Start from rapt_mha_defaults() and set what differs. Sizes are of 1 to INT32_MAX. */
typedef struct rapt_mha_args {
    size_t size; /* sizeof(rapt_mha_args), which tells the library what the caller knows */

    int64_t model_dim;   /* channels of input and output */
    int64_t context_dim; /* channels of the context of cross-attention; 0 means model_dim */
    int64_t q_heads;
    int64_t kv_heads;  /* a divisor of q_heads; 0 means q_heads */
    int64_t head_dim;  /* 0 means model_dim / q_heads */
    int64_t value_dim; /* 0 means head_dim */

    /*
     * Weights (1, 1, rows, channels) and biases (1, 1, 1, rows) or RAPT_NONE, each f32, f16 or
     * bf16. They are views of the caller's memory, which must outlive the layer. A row is an output
     * of its projection, and a head's rows are together, as in PyTorch's Linear and in safetensors.
     * rapt_tensor_bhsd(data, dtype, 1, 1, rows, channels) describes such a matrix. One matrix that
     * holds several ("fused") is several views. One that stands [channels][rows] is a view by its
     * strides.
     */
    rapt_tensor w_query; /* q_heads * head_dim rows of model_dim channels */
    rapt_tensor w_key;   /* kv_heads * head_dim rows of context_dim */
    rapt_tensor w_value; /* kv_heads * value_dim rows of context_dim */
    rapt_tensor w_out;   /* model_dim rows of q_heads * value_dim */
    rapt_tensor b_query, b_key, b_value, b_out;

    /* NULL, or what queries and keys are rotated by. It must outlive the layer. */
    const rapt_rope *rope;

    /* As in rapt_attention_args. */
    float scale, softcap;
    bool causal;
    int64_t window_left, window_right;
    int threads;
    const char *isa;
} rapt_mha_args;

static inline rapt_mha_args rapt_mha_defaults(void) {
    rapt_mha_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    args.window_left = -1;
    args.window_right = -1;
    return args;
}

typedef struct rapt_mha rapt_mha;

/* Makes a layer. Keeps nothing of args but the views and the rope. On an error *layer is NULL. */
RAPT_API rapt_status rapt_mha_create(const rapt_mha_args *args, rapt_mha **layer);

/* Frees a layer that nobody uses any more, not its weights. NULL is fine. */
RAPT_API void rapt_mha_destroy(rapt_mha *layer);

/*
 * Writes weights to the layer's matrices, which must be distinct memory. They are uniform in
 * +-sqrt(6 / (rows + channels)) of each (Glorot and Bengio 2010), biases 0. The numbers are those
 * of SplitMix64 (Steele, Lea and Flood 2014) from `seed` on, in the order query, key, value, out,
 * row by row. They are the same on every machine, and rounded to a matrix's type to nearest even.
 */
RAPT_API rapt_status rapt_mha_init_xavier(const rapt_mha *layer, uint64_t seed);

/* Which attention weights a run returns. */
typedef enum rapt_mha_form {
    RAPT_MHA_EACH = 0,   /* (B, q_heads, S, keys): of every head */
    RAPT_MHA_MEAN = 1,   /* (B, 1, S, keys): their average over the heads; channels are dense */
    RAPT_MHA_CHOSEN = 2, /* (B, head_count, rows, keys): of some heads and rows */
} rapt_mha_form;

/* One run of a layer. Start from rapt_mha_run_defaults(), and set input and out. */
typedef struct rapt_mha_run_args {
    size_t size; /* sizeof(rapt_mha_run_args) */

    rapt_tensor input; /* (B, 1, S, model_dim), f32 */
    rapt_tensor out;   /* the same; it may be the input's or the context's memory */

    /* (B, 1, keys, context_dim), f32: what keys and values are made of; RAPT_NONE for the input. */
    rapt_tensor context;

    /*
     * NULL, or where the keys and values of earlier tokens are. Those of this run are appended to
     * the B sequences from first_sequence on, and all are attended. There is no context with it.
     * The cache's rope must be the layer's. During a run nobody else may use the cache. On an error
     * nothing has been appended. The workspace's size depends on the sequences' lengths.
     */
    rapt_cache *cache;
    int64_t first_sequence;

    /*
     * NULL, or in place of a context its keys and values, which rapt_mha_append() has left in the B
     * sequences from first_sequence on. All of them are attended. The cache stays as it is, so any
     * number of threads may run on it at a time. Its rope must be the layer's.
     */
    const rapt_cache *context_cache;

    /* As in rapt_attention_args, for `keys` keys. With a cache these are the keys of the longest
     * sequence after the run, and kv_len is NULL. */
    rapt_tensor mask;
    const int64_t *kv_len, *kv_start;

    /*
     * NULL, or the positions of the B * S tokens that the rope turns by. By default they count from
     * 0, with `cache` from the sequence's length. The position of a context's key is its index.
     * Causal and windows go by the default in any case.
     */
    const int64_t *positions;

    rapt_tensor weights; /* f32, written, or RAPT_NONE */
    rapt_mha_form weights_form;
    const int64_t *heads; /* CHOSEN: head_count numbers of 0 to q_heads - 1, or none */
    int64_t head_count;
    int64_t first_row,
        rows; /* CHOSEN: the tokens of the input; 0 rows stands for all that follow */

    /*
     * NULL, or sequences of different lengths, end to end in an input whose B is 1. Sequence b has
     * the tokens cu[b] to cu[b + 1] - 1. Of the `sequences` + 1 numbers the first is 0, the last S.
     * A sequence attends itself alone. There is no context, no cache of either kind, no kv_len and
     * no kv_start with cu, and a rope needs positions. Weights are of EACH form, `keys` is the
     * longest length, and what is beyond a length is 0.
     */
    const int64_t *cu;
    int64_t sequences;
} rapt_mha_run_args;

static inline rapt_mha_run_args rapt_mha_run_defaults(void) {
    rapt_mha_run_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    return args;
}

/* Bytes of workspace that a run needs. The tensors' data isn't looked at. On an error *size is 0.
 */
RAPT_API rapt_status rapt_mha_workspace_size(const rapt_mha *layer, const rapt_mha_run_args *args,
                                             size_t *size);

/*
 * Runs the layer. Checks every argument before it writes anything: on an error no output is
 * touched. With a workspace of rapt_mha_workspace_size() bytes (any alignment) nothing is
 * allocated; with NULL and 0 the call allocates one. Any number of threads may run one layer at a
 * time, each with a workspace, a cache and outputs of its own.
 */
RAPT_API rapt_status rapt_mha_run(const rapt_mha *layer, const rapt_mha_run_args *args,
                                  void *workspace, size_t workspace_size);

/*
 * For decoders that attend the same context in each step. It projects the context's keys and values
 * once, and appends them to the B sequences of a cache from first_sequence on. context is (B, 1,
 * keys, context_dim), f32, and may come in several calls. The cache's rope must be the layer's, and
 * turns keys by their index. Sequences that have less of a context are truncated afterwards.
 *
 * A run with this context_cache has the bits of one with the context, if the cache stores f32. Else
 * it has those of keys and values that were rounded to the cache's types. Checks everything first:
 * on an error nothing has been appended. The workspace is as for rapt_mha_run().
 */
RAPT_API rapt_status rapt_mha_append_workspace_size(const rapt_mha *layer,
                                                    const rapt_tensor *context, size_t *size);
RAPT_API rapt_status rapt_mha_append(const rapt_mha *layer, const rapt_tensor *context,
                                     rapt_cache *cache, int64_t first_sequence, void *workspace,
                                     size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif
