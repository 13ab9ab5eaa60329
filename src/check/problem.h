/* SPDX-License-Identifier: Apache-2.0 */
/* A problem after its checks: nothing behind this point looks at the caller's args again. */
#ifndef RAPT_SRC_CHECK_PROBLEM_H
#define RAPT_SRC_CHECK_PROBLEM_H

#include <rapt/attention.h>

#include "src/base/range.h"
#include "src/base/tensor.h"

struct rapt_problem {
    int64_t batch;                    /* sequences */
    int64_t q_heads, kv_heads, group; /* group query heads share a key head */
    int64_t head_dim, value_dim;
    int64_t kv_most;   /* keys that a sequence may have, and the mask and weights columns for */
    int64_t page_size; /* 0: keys and values aren't paged */
    int64_t pages;

    rapt_tensor query, key, value, out;
    /* dtype RAPT_NONE: absent; broadcast strides are 0, also that of the batch of ragged tensors */
    rapt_tensor key_scale, value_scale, mask, alibi, sink, lse, max, weights;
    rapt_tensor entropy, top_weight, top_key, distance, segments, diagonals, received;
    int64_t top_count, segment_count, diagonal_count; /* 0: absent */
    rapt_weights_kind weights_kind;

    float scale, softcap;
    bool causal;
    int64_t window_left, window_right; /* -1 or at most RAPT_WINDOW_MAX */

    /* [batch], or NULL for 0, that of the view, and no start */
    const int64_t *q_offset, *kv_lens, *kv_starts, *mask_start;
    const int64_t *segment_bounds;   /* [segment_count + 1] */
    const int64_t *diagonal_offsets; /* [diagonal_count] */
    const int64_t *cu_q, *cu_k;      /* [batch + 1] or NULL: not ragged */
    const int32_t *block_table;      /* [batch][block_table_stride] if paged; NULL: the runs' */
    int64_t block_table_stride;
};

/* Most of the largest weights of a query, segments of its keys, or diagonals. */
enum { RAPT_OBSERVED_MAX = 1024 };

/* Diagonals' offsets: the kernels have them as floats. */
#define RAPT_DIAGONAL_MAX ((int64_t)1 << 20)

/* Offsets beyond this are refused; a window of RAPT_WINDOW_MAX is open at any such position. */
#define RAPT_POSITION_MAX ((int64_t)1 << 60)
#define RAPT_WINDOW_MAX ((int64_t)1 << 62)

/* The queries of a sequence, and the position of the first in the query's tensor. */
static inline int64_t rapt_q_len(const struct rapt_problem *p, int64_t b) {
    return p->cu_q ? p->cu_q[b + 1] - p->cu_q[b] : p->query.shape[2];
}
static inline int64_t rapt_q_first(const struct rapt_problem *p, int64_t b) {
    return p->cu_q ? p->cu_q[b] : 0;
}

static inline int64_t rapt_kv_len(const struct rapt_problem *p, int64_t b) {
    return p->cu_k ? p->cu_k[b + 1] - p->cu_k[b] : p->kv_lens ? p->kv_lens[b] : p->key.shape[2];
}

/* The first key that exists. */
static inline int64_t rapt_kv_start(const struct rapt_problem *p, int64_t b) {
    return p->kv_starts ? p->kv_starts[b] : 0;
}

/* What scores and outputs of a sequence take, whatever is masked. */
static inline double rapt_flops(const struct rapt_problem *p, int64_t b) {
    return 2.0 * (double)(p->head_dim + p->value_dim) * (double)p->q_heads *
           (double)rapt_q_len(p, b) * (double)rapt_max(0, rapt_kv_len(p, b) - rapt_kv_start(p, b));
}

/* Keys that a query of a sequence attends as far as position and length go: none unless first <
 * last. Neither falls from one query to the next. */
static inline struct rapt_range rapt_key_bounds(const struct rapt_problem *p, int64_t b,
                                                int64_t query) {
    const int64_t position = query + (p->q_offset ? p->q_offset[b] : 0);
    struct rapt_range keys = {rapt_kv_start(p, b), rapt_kv_len(p, b)};
    if (p->mask_start)
        keys.last = rapt_min(keys.last, p->mask_start[b] + p->mask.shape[3]);
    if (p->causal)
        keys.last = rapt_min(keys.last, position + 1);
    if (p->window_right >= 0)
        keys.last = rapt_min(keys.last, position + p->window_right + 1);
    if (p->window_left >= 0)
        keys.first = rapt_max(keys.first, position - p->window_left);
    return keys;
}

/* The same, empty at 0 if it is empty. */
static inline struct rapt_range rapt_key_range(const struct rapt_problem *p, int64_t b,
                                               int64_t query) {
    const struct rapt_range keys = rapt_key_bounds(p, b, query);
    return keys.first < keys.last ? keys : (struct rapt_range){0, 0};
}

/* The other way round: the queries that attend a key as far as that goes. */
static inline struct rapt_range rapt_query_range(const struct rapt_problem *p, int64_t b,
                                                 int64_t key) {
    const int64_t at = key - (p->q_offset ? p->q_offset[b] : 0); /* the query of that position */
    struct rapt_range queries = {0, rapt_q_len(p, b)};
    if (p->causal)
        queries.first = rapt_max(queries.first, at);
    if (p->window_right >= 0)
        queries.first = rapt_max(queries.first, at - p->window_right);
    if (p->window_left >= 0)
        queries.last = rapt_min(queries.last, at + p->window_left + 1);
    if (key < rapt_kv_start(p, b) || key >= rapt_kv_len(p, b) ||
        (p->mask_start && key >= p->mask_start[b] + p->mask.shape[3]) ||
        queries.first >= queries.last)
        return (struct rapt_range){0, 0};
    return queries;
}

/*
 * Where the rows of the mask have what is for some keys of a sequence. Keys before the first column
 * are attended. Keys behind the last one aren't: see rapt_key_bounds().
 */
struct rapt_columns {
    int64_t open;          /* keys before the first column */
    int64_t column, count; /* of the keys after those: the first column, and how many have one */
};
static inline struct rapt_columns rapt_mask_columns(const struct rapt_problem *p, int64_t b,
                                                    struct rapt_range keys) {
    const int64_t start = p->mask_start ? p->mask_start[b] : 0;
    const int64_t columns = p->mask_start ? p->mask.shape[3] : INT64_MAX;
    const int64_t n = rapt_max(0, keys.last - keys.first);
    const int64_t open = rapt_min(n, rapt_max(0, start - keys.first));
    const int64_t column = keys.first + open - start;
    return (struct rapt_columns){open, column, rapt_max(0, rapt_min(n - open, columns - column))};
}

/* Numbers per row that are observed on the way: they belong to the state of the softmax. */
static inline int64_t rapt_observed_count(const struct rapt_problem *p) {
    return (p->entropy.dtype != RAPT_NONE) + (p->distance.dtype != RAPT_NONE) + p->segment_count +
           p->diagonal_count;
}

/* Whether the masks show in the weights. */
static inline bool rapt_weights_masked(const struct rapt_problem *p) {
    return p->weights_kind == RAPT_WEIGHTS_SOFTMAX || p->weights_kind == RAPT_WEIGHTS_MASKED;
}

/*
 * Where a key's row begins in a tensor of keys, values or scales, in elements from its data. The
 * rows of the keys up to *last, but not it, follow at the tensor's stride.
 */
static inline int64_t rapt_key_row(const struct rapt_problem *p, const rapt_tensor *t, int64_t b,
                                   int64_t h, int64_t key, int64_t *last) {
    *last = INT64_MAX;
    if (!p->page_size)
        return rapt_row_offset(t, b, h, key + (p->cu_k ? p->cu_k[b] : 0));
    const int64_t page = key / p->page_size, at = key - page * p->page_size;
    *last = (page + 1) * p->page_size;
    return rapt_row_offset(t, p->block_table[b * p->block_table_stride + page], h, at);
}

#endif
