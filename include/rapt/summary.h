/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each head does, in a few numbers, from the outputs of attention that observe its weights.
 * And what a stack of layers makes of the weights.
 */
#ifndef RAPT_SUMMARY_H
#define RAPT_SUMMARY_H

#include <rapt/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a head mostly does: the first of these whose rule fits. */
typedef enum rapt_head_kind {
    RAPT_HEAD_PREVIOUS = 0, /* previous is 0.5 or more */
    RAPT_HEAD_SELF = 1,     /* self is 0.5 or more */
    RAPT_HEAD_FIRST = 2,    /* first is 0.5 or more */
    RAPT_HEAD_LOCAL = 3,    /* locality is 0.5 or more */
    RAPT_HEAD_FOCUSED = 4,  /* focus is 0.5 or more: the head attends few keys, here and there */
    RAPT_HEAD_BROAD = 5,    /* all others */
} rapt_head_kind;

/*
 * Means over the queries that attend at least two keys and that no NaN reaches; queries with fewer
 * keys have no choice. Without any such query all numbers are 0. What a sink takes is left out:
 * weights count as if they summed to 1.
 */
typedef struct rapt_head_summary {
    int64_t queries; /* that count */
    double entropy;  /* in bits */
    double focus;    /* 1 - entropy / log of the number of keys: 1 for one key, 0 for all alike */
    double distance; /* between a query's position and the keys' that it attends */
    double locality; /* 1 - distance / that of equal weights: 1 for its own position alone, 0 for
                        none in particular, less for what is far away */
    double previous, self, first; /* weights of the key before, of the query's own, of key 0 */
    rapt_head_kind kind;
} rapt_head_summary;

/*
 * Computes attention, out included, and a summary of each head: heads[sequence * Hq + head]. Other
 * outputs of args are left alone. Allocates six numbers per query and head, and what
 * rapt_attention() does, but never a matrix of queries by keys. The same bits for any number of
 * threads. Thread-safe.
 */
RAPT_API rapt_status rapt_summarize_heads(const rapt_attention_args *args,
                                          rapt_head_summary *heads);

/* "previous", "self", ...; "" for what is no kind. */
RAPT_API const char *rapt_head_kind_name(rapt_head_kind kind);

/*
 * Attention rollout (Abnar and Zuidema 2020): how much of each input position has reached each
 * output position after `count` layers. A layer's matrix is the mean of its heads' weights times
 * 1 - residual, plus the unit matrix times residual for what passes by. Its rows are divided by
 * their sums. out is the product of these matrices, the first layer's on the right. The paper has a
 * residual of 0.5; it may be 0 to below 1.
 *
 * weights: a tensor per layer, the first one first, (B, heads, S, S), f32, as the output `weights`
 * holds them or averaged (heads = 1). out: (B, 1, S, S), f32. These are matrices of all positions
 * by all, and two more are allocated. At most `threads` threads, 0 for rapt_default_threads(); any
 * number gives the same bits. On an error nothing is written. Thread-safe.
 */
RAPT_API rapt_status rapt_rollout(int count, const rapt_tensor *weights, double residual,
                                  const rapt_tensor *out, int threads);

#ifdef __cplusplus
}
#endif

#endif
