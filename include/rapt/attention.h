/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact attention: out = softmax(scale * query keyᵀ + bias) value, per batch and head.
 *
 * Method: the softmax is computed online over blocks of keys (Milakov and Gimelshein 2018; Rabe and
 * Staats 2021; Dao et al. 2022). So no matrix of queries by keys is ever stored. A score passes
 * these steps in this order, which is also that of ONNX Attention:
 *
 *     scale -> softcap -> additive mask -> bool mask, causal, window, kv_len, kv_start -> softmax
 *
 * Same bits: a query's row of the outputs depends on its own query, keys, values and masks alone.
 * None of these ever changes a bit of it:
 * - the thread count, the other rows and the batch;
 * - the layout in memory, and pages;
 * - the instruction set, among those with a fused multiply-add;
 * - how a sequence is cut into calls: one prefill, some chunks, or token by token against a cache.
 * The instruction set "amx" of rapt/isa.h, which is taken by its name only, has bits of its own
 * where query, key and value are bf16.
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
 * What the output `weights` holds: the softmax, or scores at an earlier step, in natural units.
 * SCALED and CAPPED have every key, also behind masks. With dense keys they also have those that
 * kv_len and kv_start leave out, which must be readable then. MASKED has -inf in these places.
 */
typedef enum rapt_weights_kind {
    RAPT_WEIGHTS_SOFTMAX = 0,
    RAPT_WEIGHTS_SCALED = 1, /* scale * query . key */
    RAPT_WEIGHTS_CAPPED = 2, /* after softcap */
    RAPT_WEIGHTS_MASKED = 3, /* after all masks: what the softmax is of */
} rapt_weights_kind;

/*
 * The problem. Start from rapt_attention_defaults() and set what differs.
 *
 * Shapes: B sequences (the batch), Hq query heads, Hkv key heads, Sq queries, Skv keys, D and Dv
 * channels. Hq is a multiple of Hkv: query head h reads key head h / (Hq / Hkv). D and Dv are at
 * least 1. B, Hq, Hkv (if Hq is), Sq, Skv, totals of ragged sequences and the number of pages may
 * be 0. Outputs then have no elements, or rows are those of queries whose masks leave them no key.
 */
typedef struct rapt_attention_args {
    size_t size; /* sizeof(rapt_attention_args), which tells the library what the caller knows */

    /*
     * Each is f32, f16 or bf16, in any mix; keys and values may also be int8 or q8_0. These types
     * are storage only: all arithmetic is in f32.
     */
    rapt_tensor query; /* (B, Hq, Sq, D) */
    rapt_tensor key;   /* (B, Hkv, Skv, D) */
    rapt_tensor value; /* (B, Hkv, Skv, Dv) */
    rapt_tensor out;   /* (B, Hq, Sq, Dv), written, rounded to nearest even */

    /* f32, the shapes of key and value, but with one channel. The elements of an int8 row are
     * multiplied by its scale, by way of the key's scores and the value's weights. For int8 only,
     * and required there. */
    rapt_tensor key_scale, value_scale;

    /*
     * Ragged batches: sequences of different lengths, end to end in the positions of tensors whose
     * batch dimension is 1. Sequence b has the positions cu[b] to cu[b + 1] - 1. The numbers start
     * at 0 and don't fall; a length may be 0. cu_q is for query, out and all outputs that have rows
     * of queries. cu_k is for key and value, and kv_len must be NULL with it. Positions after the
     * last sequence are left alone. Either array can be used without the other. Both have
     * `sequences` + 1 numbers. `sequences` is B. 0 stands for the query's batch, or for no sequence
     * if there is cu_q and no query.
     *
     * Paged keys and values have the shape (pages, Hkv, page size, D or Dv). Key j of sequence b is
     * position j % (page size) of page block_table[b * block_table_stride + j / (page size)].
     * kv_len is required. Pages may be shared, and entries beyond a length are never read. A plan
     * whose runs all bring a table may be made with NULL and the stride, which else is 0.
     */
    int64_t sequences;
    const int64_t *cu_q, *cu_k;
    const int32_t *block_table;
    int64_t block_table_stride;

    /*
     * Optional. Broadcasts to (B, Hq, Sq, Skv): a dimension of 1 counts for all. Bool: true means
     * attend. f32, f16, bf16: added to the score after softcap; -inf means don't attend, +inf
     * saturates. With cu_q the shape is (1, Hq, Sq, Skv), one row per packed query. With cu_k or
     * pages a sequence uses as many columns as it has keys.
     *
     * mask_start, B numbers of 0 to 2^60 or NULL: the key that the mask's first column is for.
     * Earlier keys are attended whatever the mask says. Keys after its last column are not. With
     * mask_start a mask may have any number of columns, and a single column doesn't count for all.
     * So the mask of a tree of new tokens needs no columns for the past.
     */
    rapt_tensor mask;
    const int64_t *mask_start;

    /*
     * Optional, f32, (B or 1, Hq, 1, 1). ALiBi (Press et al. 2022): a head's slope m adds
     * -m * |query's position - key's position| to its scores, after softcap. A sink is a logit that
     * joins the head's softmax as a key without a value would. It takes weight and gives nothing.
     */
    rapt_tensor alibi;
    rapt_tensor sink;

    /* Optional outputs, f32. */
    rapt_tensor lse;     /* (B, Hq, Sq, 1): log of the sum of exp(score), the sink's included */
    rapt_tensor max;     /* (B, Hq, Sq, 1): the largest score, the sink's not included */
    rapt_tensor weights; /* (B, Hq, Sq, Skv): each row sums to 1, less what a sink takes. With cu_k
                            or pages it has the longest length or more columns. Beyond a length
                            there is 0, or -inf for MASKED. */
    rapt_weights_kind weights_kind; /* what `weights` holds: the softmax, or scores */

    /*
     * Optional outputs that observe what a query attends, without ever storing its weights. They
     * are f32 but for top_key. They are of the softmax; what a sink takes is missing in them. A row
     * without keys has 0 in all of them, and no largest weight.
     *
     * top_weight and top_key come together: the k largest weights of a row and their keys, k from 1
     * to 1024. The largest score is first, and of equal ones the lower key. Weights of 0 aren't
     * among them: where there are fewer, the rest is 0 and -1. In a row that a NaN reaches they are
     * NaN and -1. With them the keys of a query aren't shared among threads.
     *
     * segments: the sum of weights in each of n ranges of keys, n from 1 to 1024. Segment s has the
     * keys segment_bounds[s] to segment_bounds[s + 1] - 1. The n + 1 numbers don't fall and are at
     * least 0. Keys before the first or behind the last count in none.
     *
     * diagonals: the weights of n keys by their place before or behind the query, n from 1 to 1024.
     * Number i is that of the key at the query's position + diagonal_offsets[i], 0 if there is no
     * such key. Offsets are of -2^20 to 2^20; 0 is the token itself, -1 the previous one.
     *
     * received is the sum of each key's weights over all queries of a head. It takes a second pass
     * over queries and keys, and workspace for two numbers per query and head.
     */
    rapt_tensor entropy;    /* (B, Hq, Sq, 1): minus the sum of weight * log(weight), in nats */
    rapt_tensor top_weight; /* (B, Hq, Sq, k) */
    rapt_tensor top_key;    /* (B, Hq, Sq, k), int32 */
    rapt_tensor distance;   /* (B, Hq, Sq, 1): sum of weight * |query's position - key's| */
    rapt_tensor segments;   /* (B, Hq, Sq, n) */
    const int64_t *segment_bounds;
    rapt_tensor diagonals; /* (B, Hq, Sq, n) */
    const int64_t *diagonal_offsets;
    rapt_tensor received; /* (B, Hq, 1, Skv), B also with ragged queries. With cu_k or pages it has
                             the longest length or more columns, and 0 beyond a length. */

    float scale;   /* factor of every score, finite and > 0; 0 means 1 / sqrt(D) */
    float softcap; /* c > 0 turns a score s into c * tanh(s / c); 0 means none */

    /*
     * The position of query i in batch b is q_offset[b] + i; a key's position is its index. Causal
     * attends keys at or before the query's position. An offset of 0 aligns the first query with
     * the first key, kv_len - Sq the last with the last. A window attends the positions from
     * position - window_left to position + window_right, both included; -1 leaves a side open.
     */
    bool causal;
    int64_t window_left, window_right;
    const int64_t *q_offset; /* B numbers, may be negative; NULL means 0 */
    const int64_t *kv_len;   /* B numbers of 0 to Skv (or what a block table's row has room for),
                                later keys don't exist; NULL means Skv */
    const int64_t *kv_start; /* B numbers of 0 to 2^60: earlier keys don't exist, as left padding
                                wants; positions still count from key 0; NULL means 0. Blocks of
                                keys count from there, too. So the result may round otherwise than
                                that of a call with the remaining keys alone. */

    int threads;     /* at most this many; 0: rapt_default_threads() */
    const char *isa; /* a name of rapt/isa.h; NULL means RAPT_ISA if it is set, or else the best */

    /*
     * Whether to end a run before it is done; NULL: never. The library calls it on the thread that
     * called rapt_attention() or rapt_plan_run(), between parts of the work, ten times a second at
     * most. When it returns true the call returns RAPT_INTERRUPTED, and has written some of its
     * outputs.
     */
    bool (*interrupted)(void *context);
    void *interrupted_context;
} rapt_attention_args;

/*
 * What the definition leaves open:
 * - A row whose masks leave it no key has out = 0, weights = 0, lse = -inf (or its sink) and
 *   max = -inf. The masks decide that, never the values.
 * - A NaN in a query, or in a key or value that it attends, reaches that query's outputs. NaNs are
 *   written as the one quiet NaN 0x7fc00000.
 * - Whatever lies behind a mask doesn't reach them, though it may be read. So may keys just before
 *   a window's first, up to a multiple of 4.
 * - A weight, and a part in rapt_merge, of 2^-125.5 of the largest or less may count as 0.
 * - Scores saturate at +-FLT_MAX (in units of log2), so finite queries and keys always give finite
 *   weights. Queries times scale saturate, too: an infinite one counts as the largest number.
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
 * Computes attention in one call, which allocates its workspace. Checks every argument before it
 * writes anything: on an error no output is touched. Thread-safe.
 */
RAPT_API rapt_status rapt_attention(const rapt_attention_args *args);

/*
 * The same in two steps, for callers who do it again and again. A plan holds the checked problem
 * and its division into tasks. It can be run any number of times on tensors of that form.
 */
typedef struct rapt_plan rapt_plan;

/* Pointers that replace those of the args, for one run. Alignment and overlap are checked. */
typedef struct rapt_attention_data {
    const void *query, *key, *value, *key_scale, *value_scale, *mask, *alibi, *sink;
    void *out, *lse, *max, *weights;
    void *entropy, *top_weight, *top_key, *distance, *segments, *diagonals, *received;

    /*
     * NULL for what the plan has, or numbers of this run, of the args' form. So one plan serves all
     * tokens of a decoder. kv_len is at most the plan's, which is the capacity; not with cu_k. The
     * table replaces one of pages, at the args' stride. mask_start is for plans that have one.
     *
     * The run gives the bits of a plan made for these numbers, and its threads follow its work.
     * Make the plan for the largest lengths and offsets: it divides the work, and others may be
     * divided less well. All slices of a run bring the same numbers.
     */
    const int64_t *kv_len, *kv_start, *q_offset, *mask_start;
    const int32_t *block_table;
} rapt_attention_data;

/* The pointers that args hold to their tensors; the numbers are the plan's. */
static inline rapt_attention_data rapt_attention_data_of(const rapt_attention_args *args) {
    rapt_attention_data data;
    data.query = args->query.data;
    data.key = args->key.data;
    data.value = args->value.data;
    data.key_scale = args->key_scale.data;
    data.value_scale = args->value_scale.data;
    data.mask = args->mask.data;
    data.alibi = args->alibi.data;
    data.sink = args->sink.data;
    data.out = args->out.data;
    data.lse = args->lse.data;
    data.max = args->max.data;
    data.weights = args->weights.data;
    data.entropy = args->entropy.data;
    data.top_weight = args->top_weight.data;
    data.top_key = args->top_key.data;
    data.distance = args->distance.data;
    data.segments = args->segments.data;
    data.diagonals = args->diagonals.data;
    data.received = args->received.data;
    data.kv_len = data.kv_start = data.q_offset = data.mask_start = NULL;
    data.block_table = NULL;
    return data;
}

/*
 * Makes a plan from args. It copies all arrays of numbers and isa. It keeps the tensors' pointers,
 * which may be NULL if every run brings its own. On an error *plan is NULL. Thread-safe.
 */
RAPT_API rapt_status rapt_plan_create(const rapt_attention_args *args, rapt_plan **plan);

/* Frees a plan that no thread runs any more. NULL is fine. */
RAPT_API void rapt_plan_destroy(rapt_plan *plan);

/*
 * Bytes of workspace that one run needs: O(threads), whatever the number of queries and keys. To
 * that come:
 * - where there are so few queries that threads share a head's keys, the outputs of those queries
 *   for every few hundred keys;
 * - for `received`, two numbers per query;
 * - for a mask that heads share, two numbers for some queries and a few hundred keys each, 512 KiB
 *   at most.
 */
RAPT_API size_t rapt_plan_workspace_size(const rapt_plan *plan);

/* How many threads a run uses at most, and the name of the instruction set that it runs on. */
RAPT_API int rapt_plan_threads(const rapt_plan *plan);
RAPT_API const char *rapt_plan_isa(const rapt_plan *plan);

/*
 * Runs a plan, on the plan's own tensors if data is NULL. With a workspace of at least
 * rapt_plan_workspace_size() bytes (any alignment) nothing is allocated; with NULL and 0 the call
 * allocates one. Any number of threads may run one plan at a time, each with a workspace and
 * outputs of its own. Inside an OpenMP parallel region of the caller's the run is serial. Where the
 * system gives fewer threads, or after a fork, fewer threads run, or others; see docs/threads.md.
 */
RAPT_API rapt_status rapt_plan_run(const rapt_plan *plan, const rapt_attention_data *data,
                                   void *workspace, size_t workspace_size);

/*
 * The same for engines with threads of their own: no other threads, no lock, nobody waits. A run is
 * cut into slices 0 to slices - 1. Each has to run once, in any order and on any thread, alone or
 * side by side. They take the plan's tasks off a counter, so none is late. Any number of slices
 * gives the same bits. Make the plan with as many threads, for which it divides the work. Only for
 * `received` a slice waits: after the first pass, for tasks of it that other threads still run.
 *
 * All slices of a run use one workspace of rapt_plan_slices_workspace_size() bytes. It is all zero
 * before its first run, and fit for the next run, of any plan, when the last slice has returned. A
 * workspace that is not zero at first, or that another run has, is refused.
 */
RAPT_API size_t rapt_plan_slices_workspace_size(const rapt_plan *plan, int slices);
RAPT_API rapt_status rapt_plan_run_slice(const rapt_plan *plan, const rapt_attention_data *data,
                                         int slice, int slices, void *workspace,
                                         size_t workspace_size);

/*
 * Joins results of the same queries over disjoint sets of keys, as cascade attention, shared
 * prefixes and context parallelism need it. out is the mean of the parts' outputs weighted by
 * exp(their lse), lse the log of the sum of exp(theirs). `outs` and `lses` are `count` tensors of
 * the shapes of `out` (B, Hq, Sq, Dv) and `lse` (B, Hq, Sq, 1). All are f32, and lse may be
 * RAPT_NONE.
 * A part whose lse is -inf is empty, and its output is never read. If all are, out = 0 and
 * lse = -inf. A sink belongs to one part only. The order of the parts is that of the sum.
 * Thread-safe.
 */
RAPT_API rapt_status rapt_merge(int count, const rapt_tensor *outs, const rapt_tensor *lses,
                                const rapt_tensor *out, const rapt_tensor *lse);

#ifdef __cplusplus
}
#endif

#endif
