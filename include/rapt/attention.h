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

    /* Each of f32, f16 and bf16, in any mix: storage only, all arithmetic is in f32. */
    rapt_tensor query; /* (B, Hq, Sq, D) */
    rapt_tensor key;   /* (B, Hkv, Skv, D) */
    rapt_tensor value; /* (B, Hkv, Skv, Dv) */
    rapt_tensor out;   /* (B, Hq, Sq, Dv), written, rounded to nearest even */

    /*
     * Optional. Broadcasts to (B, Hq, Sq, Skv): a dimension of 1 counts for all. Bool: true means
     * attend. f32, f16, bf16: added to the score after softcap; -inf means don't attend, +inf
     * saturates.
     */
    rapt_tensor mask;

    /*
     * Optional, f32, (B or 1, Hq, 1, 1). ALiBi (Press et al. 2022): a head's slope m adds
     * -m * |query's position - key's position| to its scores, after softcap. A sink is a logit that
     * joins the head's softmax as a key without a value would: it takes weight and gives nothing.
     */
    rapt_tensor alibi;
    rapt_tensor sink;

    /* Optional outputs, f32. */
    rapt_tensor lse;     /* (B, Hq, Sq, 1): log of the sum of exp(score), the sink's included */
    rapt_tensor max;     /* (B, Hq, Sq, 1): the largest score, the sink's not included */
    rapt_tensor weights; /* (B, Hq, Sq, Skv): each row sums to 1, less what a sink takes */

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
 * - A row whose masks leave it no key has out = 0, weights = 0, lse = -inf (or its sink) and
 *   max = -inf. The masks decide that, never the values.
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
    const void *query, *key, *value, *mask, *alibi, *sink;
    void *out, *lse, *max, *weights;
} rapt_attention_data;

/* The pointers that args hold. */
static inline rapt_attention_data rapt_attention_data_of(const rapt_attention_args *args) {
    rapt_attention_data data;
    data.query = args->query.data;
    data.key = args->key.data;
    data.value = args->value.data;
    data.mask = args->mask.data;
    data.alibi = args->alibi.data;
    data.sink = args->sink.data;
    data.out = args->out.data;
    data.lse = args->lse.data;
    data.max = args->max.data;
    data.weights = args->weights.data;
    return data;
}

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

/*
 * The same for engines with threads of their own: no OpenMP, no state between the threads. Slices
 * 0 to slices - 1 are about equal parts of the work; each has to run once, in any order and on any
 * thread, alone or side by side. Every number of slices gives the same bits. A slice needs a
 * workspace of rapt_plan_slice_workspace_size() bytes for itself while it runs; with NULL and 0 it
 * allocates one.
 */
RAPT_API size_t rapt_plan_slice_workspace_size(const rapt_plan *plan);
RAPT_API rapt_status rapt_plan_run_slice(const rapt_plan *plan, const rapt_attention_data *data,
                                         int64_t slice, int64_t slices, void *workspace,
                                         size_t workspace_size);

/*
 * Joins results of the same queries over disjoint sets of keys, as cascade attention, shared
 * prefixes and context parallelism need it: out is the mean of the parts' outputs weighted by
 * exp(their lse), lse the log of the sum of exp(theirs). `outs` and `lses` are `count` tensors of
 * the shapes of `out` (B, Hq, Sq, Dv) and `lse` (B, Hq, Sq, 1), all f32; lse may be RAPT_NONE.
 * A part whose lse is -inf is empty and its output never read; if all are, out = 0, lse = -inf.
 * A sink belongs to one part only. The order of the parts is that of the sum. Thread-safe.
 */
RAPT_API rapt_status rapt_merge(int count, const rapt_tensor *outs, const rapt_tensor *lses,
                                const rapt_tensor *out, const rapt_tensor *lse);

#ifdef __cplusplus
}
#endif

#endif
