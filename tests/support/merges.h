/* SPDX-License-Identifier: Apache-2.0 */
/* Random results to merge. */
#ifndef RAPT_TESTS_SUPPORT_MERGES_H
#define RAPT_TESTS_SUPPORT_MERGES_H

#include "tests/support/helpers.h"

enum { BATCH = 2, HEADS = 3, QUERIES = 5, CHANNELS = 19, PARTS_MAX = 33 };

/* Results to merge, and where to. */
struct merge {
    int count;
    rapt_tensor outs[PARTS_MAX], lses[PARTS_MAX], out, lse;
};

static inline rapt_tensor new_out(void) {
    return new_tensor(RAPT_F32, BATCH, HEADS, QUERIES, CHANNELS);
}

static inline rapt_tensor new_lse(void) {
    return new_tensor(RAPT_F32, BATCH, HEADS, QUERIES, 1);
}

static inline void fill(const rapt_tensor *t, float number) {
    for (size_t i = 0; i < elements(t); i++)
        ((float *)t->data)[i] = number;
}

static inline float *number(const rapt_tensor *t, size_t index) {
    return (float *)t->data + index;
}

/* Random outputs of size 1, LSEs from -spread to spread. */
static inline struct merge new_merge(int count, float spread, uint64_t seed) {
    struct merge m = {.count = count, .out = new_out(), .lse = new_lse()};
    for (int p = 0; p < count; p++) {
        const uint64_t part_seed = seed * 2 * PARTS_MAX + 2 * (uint64_t)p;
        m.outs[p] = random_tensor(RAPT_F32, BATCH, HEADS, QUERIES, CHANNELS, part_seed);
        m.lses[p] = random_tensor(RAPT_F32, BATCH, HEADS, QUERIES, 1, part_seed + 1);
        for (size_t i = 0; i < elements(&m.lses[p]); i++)
            *number(&m.lses[p], i) *= spread;
    }
    return m;
}

static inline void free_merge(struct merge *m) {
    for (int p = 0; p < m->count; p++) {
        free(m->outs[p].data);
        free(m->lses[p].data);
    }
    free(m->out.data);
    free(m->lse.data);
}

static inline void run(const struct merge *m) {
    expect_ok(rapt_merge(m->count, m->outs, m->lses, &m->out, &m->lse));
}

#endif
