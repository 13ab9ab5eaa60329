/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact attention: out = softmax(scale * query keyᵀ + bias) value, per batch and head.
 *
 * Method: the softmax is computed online over blocks of keys (Milakov and Gimelshein 2018; Rabe and
 * Staats 2021; Dao et al. 2022), so no matrix of queries by keys is ever stored. A score passes
 * these steps, in this order, which is also that of ONNX Attention:
 *
 *     scale -> softcap -> additive mask -> bool mask, causal, window, kv_len -> softmax
 *
 * Same bits: a query's row of the outputs depends on its own query, keys, values and masks alone.
 * The thread count, the other rows, the batch, the layout in memory and the instruction set (among
 * those with a fused multiply-add) never change a bit of it.
 */
#ifndef RAPT_ATTENTION_H
#define RAPT_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The problem. Start from rapt_attention_defaults() and set what differs.
 *
 * Shapes: B batches, Hq query heads, Hkv key heads (Hq a multiple of Hkv: query head h reads key
 * head h / (Hq / Hkv)), Sq queries, Skv keys, D and Dv channels. Every dimension is at least 1.
 */
typedef struct rapt_attention_args {
    size_t size; /* sizeof(rapt_attention_args), which tells the library what the caller knows */

    rapt_tensor query; /* (B, Hq, Sq, D), f32 */
    rapt_tensor key;   /* (B, Hkv, Skv, D), f32 */
    rapt_tensor value; /* (B, Hkv, Skv, Dv), f32 */
    rapt_tensor out;   /* (B, Hq, Sq, Dv), f32, written */

    /*
     * Optional. Broadcasts to (B, Hq, Sq, Skv): a dimension of 1 counts for all. Bool: true means
     * attend. f32: added to the score after softcap; -inf means don't attend, +inf saturates.
     */
    rapt_tensor mask;

    rapt_tensor lse;     /* optional, (B, Hq, Sq, 1), f32, written: log of the sum of exp(score) */
    rapt_tensor weights; /* optional, (B, Hq, Sq, Skv), f32, written: each row sums to 1 */

    float scale;   /* factor of every score, finite and > 0; 0 means 1 / sqrt(D) */
    float softcap; /* c > 0 turns a score s into c * tanh(s / c); 0 means none */

    /*
     * The position of query i in batch b is q_offset[b] + i; a key's position is its index. Causal
     * attends keys at or before the query's position: an offset of 0 aligns the first query with
     * the first key, kv_len - Sq the last with the last. A window attends the positions from
     * position - window_left to position + window_right, both included; -1 leaves a side open.
     */
    bool causal;
    int64_t window_left, window_right;
    const int64_t *q_offset; /* B numbers, may be negative; NULL means 0 */
    const int64_t *kv_len;   /* B numbers of 0 to Skv, later keys don't exist; NULL means Skv */

    int threads;     /* at most this many; 0 means OpenMP's own number */
    const char *isa; /* a name of rapt/isa.h; NULL means RAPT_ISA if it is set, or else the best */
} rapt_attention_args;

/*
 * What the definition leaves open:
 * - A row whose masks leave it no key has out = 0, weights = 0 and lse = -inf. The masks decide
 *   that, never the values.
 * - A NaN in a query, or in a key or value that it attends, reaches that query's outputs; whatever
 *   lies behind a mask doesn't. NaNs are written as the one quiet NaN 0x7fc00000.
 * - Scores saturate at +-FLT_MAX (in units of log2), so finite queries and keys always give finite
 *   weights.
 */
static inline rapt_attention_args rapt_attention_defaults(void) {
    rapt_attention_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    args.window_left = -1;
    args.window_right = -1;
    return args;
}

/*
 * Computes it, all in one call, which allocates its workspace. Checks every argument before it
 * writes anything: on an error no output is touched. Thread-safe.
 */
RAPT_API rapt_status rapt_attention(const rapt_attention_args *args);

/*
 * The same in two steps, for who calls it again and again: a plan holds the checked problem and
 * its division into tasks, and can be run any number of times on tensors of that form.
 */
typedef struct rapt_plan rapt_plan;

/* Pointers that replace those of the args, for one run. Alignment and overlap are checked. */
typedef struct rapt_attention_data {
    const void *query, *key, *value, *mask;
    void *out, *lse, *weights;
} rapt_attention_data;

/*
 * Makes a plan from args. q_offset, kv_len and isa are copied; the tensors' pointers are kept, and
 * may be NULL if every run brings its own. On an error *plan is NULL. Thread-safe.
 */
RAPT_API rapt_status rapt_plan_create(const rapt_attention_args *args, rapt_plan **plan);

/* Frees a plan that no thread runs any more. NULL is fine. */
RAPT_API void rapt_plan_destroy(rapt_plan *plan);

/* Bytes of workspace that one run needs: O(threads), whatever the number of queries and keys. */
RAPT_API size_t rapt_plan_workspace_size(const rapt_plan *plan);

/* How many threads a run uses at most, and the name of the instruction set that it runs on. */
RAPT_API int rapt_plan_threads(const rapt_plan *plan);
RAPT_API const char *rapt_plan_isa(const rapt_plan *plan);

/*
 * Runs a plan, on the plan's own tensors if data is NULL. With a workspace of at least
 * rapt_plan_workspace_size() bytes (any alignment) nothing is allocated; with NULL and 0 the call
 * allocates one. Any number of threads may run one plan at a time, each with a workspace of its own
 * and outputs of its own. Inside an OpenMP parallel region of the caller's the run is serial.
 */
RAPT_API rapt_status rapt_plan_run(const rapt_plan *plan, const rapt_attention_data *data,
                                   void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif
