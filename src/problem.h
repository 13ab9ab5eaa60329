/* SPDX-License-Identifier: Apache-2.0 */
/* A problem after its checks: nothing behind this point looks at the caller's args again. */
#ifndef RAPT_SRC_PROBLEM_H
#define RAPT_SRC_PROBLEM_H

#include <rapt/attention.h>

struct rapt_problem {
    int64_t batch, q_heads, kv_heads, group; /* group query heads share a key head */
    int64_t q_len, kv_len, head_dim, value_dim;

    rapt_tensor query, key, value, out;
    /* dtype RAPT_NONE: absent; broadcast strides are 0 */
    rapt_tensor mask, alibi, sink, lse, max, weights;

    float scale, softcap;
    bool causal;
    int64_t window_left, window_right; /* -1 or at most RAPT_WINDOW_MAX */
    const int64_t *q_offset;           /* [batch] or NULL for 0 */
    const int64_t *kv_lens;            /* [batch] or NULL for kv_len */
};

/* Offsets beyond this are refused; a window of RAPT_WINDOW_MAX is open at any such position. */
#define RAPT_POSITION_MAX ((int64_t)1 << 60)
#define RAPT_WINDOW_MAX ((int64_t)1 << 62)

/* Keys that a query may attend as far as position and length go: first <= key < last. */
struct rapt_range {
    int64_t first, last;
};

static inline int64_t rapt_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t rapt_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The smallest range that holds both; empty ones don't count. Start from {INT64_MAX, 0}. */
static inline struct rapt_range rapt_join(struct rapt_range a, struct rapt_range b) {
    if (b.first < b.last) {
        a.first = rapt_min(a.first, b.first);
        a.last = rapt_max(a.last, b.last);
    }
    return a;
}

static inline struct rapt_range rapt_key_range(const struct rapt_problem *p, int64_t b,
                                               int64_t query) {
    const int64_t position = query + (p->q_offset ? p->q_offset[b] : 0);
    struct rapt_range keys = {0, p->kv_lens ? p->kv_lens[b] : p->kv_len};
    if (p->causal)
        keys.last = rapt_min(keys.last, position + 1);
    if (p->window_right >= 0)
        keys.last = rapt_min(keys.last, position + p->window_right + 1);
    if (p->window_left >= 0)
        keys.first = rapt_max(0, position - p->window_left);
    if (keys.first >= keys.last)
        keys.first = keys.last = 0;
    return keys;
}

#endif
