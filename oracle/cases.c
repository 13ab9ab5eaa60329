/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of cases. */
#include "oracle/cases.h"

#include <stdlib.h>
#include <string.h>

#include "oracle/case_features.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const int q_lens[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
                             23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 100};
static const int kv_lens[] = {1,  2,  3,  4,   5,   7,   8,   9,   15,  16, 17,
                              23, 24, 25, 31,  32,  33,  47,  48,  49,  63, 65,
                              95, 96, 97, 143, 144, 145, 191, 192, 193, 300};
static const int dims[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,   11,  15,  16,  17,  24,  31,
                           32, 33, 40, 64, 65, 72, 80, 96, 112, 128, 129, 160, 256, 257, 300};

#define SIZES(b, hq, hkv, sq, skv, d, dv)                                                          \
    .batch = (b), .q_heads = (hq), .kv_heads = (hkv), .q_len = (sq), .kv_len = (skv),              \
    .head_dim = (d), .value_dim = (dv)

/* Large enough for several threads, panels per task, and for keys beyond a block that fits L2. */
static const struct attention_case large_cases[] = {
    {SIZES(2, 4, 2, 100, 300, 64, 64), .offset = OFFSET_END, .causal = true},
    {SIZES(1, 3, 3, 130, 130, 80, 80), .layout = LAYOUT_PACKED, .storage = STORAGE_BF16},
    {SIZES(2, 1, 1, 410, 170, 128, 72), .layout = LAYOUT_PAGES, .mask = MASK_BOOL},
    {SIZES(1, 1, 1, 500, 530, 160, 136), .layout = LAYOUT_SPREAD, .causal = true},
    {SIZES(1, 4, 1, 100, 620, 300, 160), .layout = LAYOUT_BSHD, .lengths = LENGTH_SOME,
     .mask = MASK_BIAS_KEYS, .sink = SINK_BATCHES},
    {SIZES(1, 2, 1, 60, 2100, 64, 64), .layout = LAYOUT_PAGES, .storage = STORAGE_CACHE_F16,
     .offset = OFFSET_END, .window_left = 1500, .alibi = ALIBI_HEADS},
    {SIZES(1, 1, 1, 5, 9000, 8, 8), .layout = LAYOUT_TRANSPOSED},
    {SIZES(3, 6, 2, 200, 200, 32, 32), .causal = true, .lengths = LENGTH_SOME, .offset = OFFSET_END,
     .fill = FILL_HIDDEN},
};

uint64_t cases_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int below(uint64_t *state, int n) {
    return (int)(cases_random(state) % (uint64_t)n);
}

int64_t cases_queries(const struct attention_case *c, int b) {
    const int64_t all = c->q_len;
    const int64_t uneven[] = {all, all ? 1 : 0, 0, (all + 1) / 2};
    return c->ragged & RAGGED_QUERIES ? uneven[(c->seed + (uint64_t)b) % 4] : all;
}

static int64_t not_negative(int64_t n) {
    return n < 0 ? 0 : n;
}

int64_t cases_keys(const struct attention_case *c, int b) {
    const bool own_lengths = c->page_size || (c->ragged & RAGGED_KEYS);
    const int64_t all = c->kv_len;
    const int64_t uneven[] = {all, 0, all ? all / 3 + 1 : 0, not_negative(all - 1)};
    if (c->layout == LAYOUT_PACKED && c->ragged)
        return cases_queries(c, b);
    switch (c->lengths) {
    case LENGTH_NONE:
        return own_lengths ? uneven[(c->seed / 4 + (uint64_t)b) % 4] : all;
    case LENGTH_SOME:
        return not_negative(all - 3 - 7 * b);
    case LENGTH_ZERO:
        return b == 0 ? 0 : not_negative(all - 1);
    default:
        return all;
    }
}

/* A list being made. */
struct maker {
    struct case_list *list;
    bool quick_only, failed;
    uint64_t state;
};

static void add(struct maker *m, struct attention_case c, bool quick) {
    struct case_list *list = m->list;
    c.seed = cases_random(&m->state);
    c.quick = quick;
    features_settle(&c);
    if (!features_are_defined(&c) || (m->quick_only && !quick) || m->failed)
        return;
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 256;
        void *grown = realloc(list->items, list->capacity * sizeof *list->items);
        m->failed = grown == NULL;
        if (m->failed)
            return;
        list->items = grown;
    }
    cases_name(&c);
    list->items[list->count++] = c;
}

/* All but f32, in turn. */
static enum storage other_storage(int n) {
    return (enum storage)(1 + n % (STORAGE_COUNT - 1));
}

static void add_sizes(struct maker *m) {
    for (int n = 0; n < COUNT(q_lens); n++) {
        struct attention_case c = features_base;
        c.batch = 1;
        c.q_heads = 1;
        c.q_len = q_lens[n];
        c.head_dim = c.value_dim = 8;
        add(m, c, true);
        c.causal = true;
        add(m, c, false);
        c.offset = OFFSET_END;
        c.q_heads = 3; /* groups straddle panels */
        c.storage = other_storage(n);
        add(m, c, false);
    }
    static const int block_dims[] = {8, 72, 160}; /* blocks of 192, 96 and 64 keys */
    for (int n = 0; n < COUNT(kv_lens); n++) {
        for (int d = 0; d < COUNT(block_dims); d++) {
            struct attention_case c = features_base;
            c.batch = 1;
            c.q_len = 5;
            c.kv_len = kv_lens[n];
            c.head_dim = c.value_dim = block_dims[d];
            add(m, c, n % 3 == d);
            c.causal = true;
            c.offset = OFFSET_END;
            c.storage = other_storage(n + d);
            add(m, c, false);
        }
    }
    for (int n = 0; n < COUNT(dims); n++) {
        struct attention_case c = features_base;
        c.head_dim = dims[n];
        add(m, c, n % 2 == 0);
        c.value_dim = dims[n];
        add(m, c, n % 2 == 1);
        c.head_dim = features_base.head_dim;
        c.causal = true;
        c.storage = other_storage(n);
        add(m, c, n % 4 == 0);
        c.head_dim = dims[n];
        c.storage = other_storage(n + 5);
        add(m, c, n % 4 == 2);
    }
}

static void add_groups(struct maker *m) {
    static const int some_q_lens[] = {1, 5, 17};
    static const int groups[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 32};
    for (int g = 0; g < COUNT(groups); g++) {
        const int group = groups[g];
        for (int n = 0; n < COUNT(some_q_lens); n++) {
            struct attention_case c = features_base;
            c.kv_heads = group % 2 + 1;
            c.q_heads = group * c.kv_heads;
            c.q_len = some_q_lens[n];
            c.causal = n > 0;
            add(m, c, n == 1);
        }
    }
}

/* Every option alone, and every pair of options. */
static void add_pairs(struct maker *m) {
    int pair = 0;
    for (int f = 0; f < FEATURE_COUNT; f++) {
        for (int a = 1; a < features[f].options; a++) {
            struct attention_case single = features_base;
            features[f].set(&single, a);
            add(m, single, true);
            for (int g = f + 1; g < FEATURE_COUNT; g++) {
                for (int b = 1; b < features[g].options; b++) {
                    struct attention_case both = single;
                    features[g].set(&both, b);
                    add(m, both, pair++ % 16 == 0);
                }
            }
        }
    }
}

static void add_random(struct maker *m, int count) {
    for (int n = 0; n < count; n++) {
        struct attention_case c = features_base;
        c.batch = 1 + below(&m->state, 3);
        for (int f = FEATURE_SIZES + 1; f < FEATURE_COUNT; f++)
            features[f].set(&c, below(&m->state, 2) ? 0 : below(&m->state, features[f].options));
        c.q_len = q_lens[below(&m->state, COUNT(q_lens))];
        c.kv_len = kv_lens[below(&m->state, COUNT(kv_lens))];
        c.head_dim = dims[below(&m->state, COUNT(dims))];
        c.value_dim = dims[below(&m->state, COUNT(dims))];
        add(m, c, n % 8 == 0);
    }
}

static void add_large(struct maker *m) {
    for (int n = 0; n < COUNT(large_cases); n++) {
        struct attention_case c = large_cases[n];
        c.window_left = c.window_left ? c.window_left : -1;
        c.window_right = -1;
        c.lse = c.max = true;
        c.weights = n % 2 == 0;
        add(m, c, false);
    }
}

/* What a pair of features has by chance only. */
static void add_corners(struct maker *m) {
    /* Scores as low as a sink of -inf would be if it took part. */
    struct attention_case lowest = features_base;
    lowest.mask = MASK_LOWEST;
    lowest.sink = SINK_ABSENT;
    add(m, lowest, true);
    /* Scores saturate in units of log2, also where a softcap comes before those. */
    struct attention_case shown = features_base;
    shown.weights_kind = RAPT_WEIGHTS_SCALED;
    shown.softcap = 0.5f;
    shown.fill = FILL_OVERFLOW;
    add(m, shown, true);
    /* What is observed, with few queries and many, in one chunk of keys and in several. */
    for (int n = 0; n < 12; n++) {
        struct attention_case c = features_base;
        c.observed = n % 3 == 2 ? OBSERVE_SUMS : OBSERVE_ALL;
        c.q_len = n % 2 ? 3 : 55;
        c.kv_len = n < 8 ? 60 + 37 * n : 1000 + n;
        c.causal = n % 4 == 1;
        c.offset = n % 4 == 1 ? OFFSET_END : OFFSET_NONE;
        c.sink = n % 5 == 1 ? SINK_BATCHES : SINK_NONE;
        c.mask = n % 4 == 3 ? MASK_INFINITE : MASK_NONE;
        c.fill = n % 6 == 4 ? FILL_EQUAL
                 : n == 6   ? FILL_NAN_KEY
                 : n == 7   ? FILL_LARGE
                            : FILL_NORMAL;
        add(m, c, true);
    }
    /* One key is all of the weight: out is the value, as it rounds. */
    for (int storage = 0; storage < STORAGE_COUNT; storage++) {
        struct attention_case c = features_base;
        c.kv_len = 1;
        c.storage = (enum storage)storage;
        c.fill = FILL_TIES;
        add(m, c, true);
        c.fill = FILL_TOP;
        add(m, c, true);
        c.fill = FILL_SUBNORMAL;
        add(m, c, true);
    }
}

/* Every option where there are no sequences, no queries or no keys. */
static void add_empty(struct maker *m) {
    for (int f = FEATURE_HEADS; f < FEATURE_COUNT; f++) {
        for (int a = 1; a < features[f].options; a++) {
            for (int n = 0; n < 4; n++) {
                struct attention_case c = features_base;
                features[f].set(&c, a);
                c.batch = n == 0 ? 0 : c.batch;
                c.q_len = n == 1 || n == 3 ? 0 : c.q_len;
                c.kv_len = n >= 2 ? 0 : c.kv_len;
                c.observed =
                    c.observed == OBSERVE_NONE && (a + n) % 3 == 0 ? OBSERVE_ALL : c.observed;
                add(m, c, a == 1 + (f + n) % 2);
            }
        }
    }
}

/* Other features than sizes and heads, each with a probability of a quarter. */
static void add_features(struct maker *m, struct attention_case c, bool quick) {
    for (int f = FEATURE_HEADS + 1; f < FEATURE_COUNT; f++)
        if (below(&m->state, 4) == 0)
            features[f].set(&c, below(&m->state, features[f].options));
    add(m, c, quick);
}

/* Masks that hide keys from all queries of a panel, or change nothing. They cover blocks, parts of
 * them and chunks, in passes over keys of their own, too. */
static void add_pieces(struct maker *m) {
    static const int q_lens_of[] = {1, 2, 60, 130},
                     heads_of[][2] = {{2, 2}, {6, 2}, {9, 3}, {4, 1}};
    for (int n = 0; n < 64; n++) {
        struct attention_case c = features_base;
        c.mask = n % 2 ? MASK_BOOL_PIECES : MASK_PIECES;
        c.q_heads = heads_of[n / 2 % 4][0];
        c.kv_heads = heads_of[n / 2 % 4][1];
        c.q_len = q_lens_of[n / 8 % 4];
        c.kv_len = n % 3 == 0 ? 1400 + n : 250 + n;
        c.head_dim = c.value_dim = n % 3 == 0 ? 8 : n % 3 == 1 ? 72 : 160;
        c.weights = n % 4 == 1;
        c.fill = n % 5 == 2 ? FILL_HIDDEN : FILL_NORMAL;
        c.observed = n % 7 == 3 ? OBSERVE_ALL : OBSERVE_NONE;
        add(m, c, n % 4 == 2 && c.kv_len < 1000);
        add_features(m, c, false);
    }
}

/* Few queries (decode) against many keys: lengths about the borders of blocks and chunks, which
 * depend on the channels, and all groups. Some have weights, scores or observed results. */
static void add_decode(struct maker *m) {
    static const int channels[][2] = {{32, 64}, {72, 40}, {160, 131}};
    static const int lengths[] = {1,   31,  32,  33,   47,   49,   96,   97,   255,  256,
                                  257, 479, 480, 481,  511,  512,  513,  767,  768,  769,
                                  959, 960, 961, 1023, 1025, 1441, 1919, 1920, 1921, 2100};
    static const int groups[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 9, 12, 1, 16};
    for (int n = 0; n < COUNT(channels) * COUNT(lengths); n++) {
        struct attention_case c = features_base;
        c.batch = 1;
        c.kv_heads = 1 + n % 2;
        c.q_heads = c.kv_heads * groups[n % COUNT(groups)];
        c.q_len = 1 + n / 3 % 4;
        c.kv_len = lengths[n / COUNT(channels)];
        c.head_dim = channels[n % COUNT(channels)][0];
        c.value_dim = channels[n % COUNT(channels)][1];
        c.weights = n % 3 == 0;
        c.weights_kind = n % 6 == 3 ? RAPT_WEIGHTS_MASKED : RAPT_WEIGHTS_SOFTMAX;
        c.observed = n % 5 == 1 ? OBSERVE_ALL : n % 5 == 3 ? OBSERVE_SUMS : OBSERVE_NONE;
        add(m, c, c.kv_len < 600 && n % 4 == 0);
        add_features(m, c, c.kv_len < 600 && n % 4 == 1);
        c.batch = 2;
        c.offset = OFFSET_END;
        c.causal = true;
        c.storage = other_storage(n);
        add(m, c, false);
        add_features(m, c, false);
    }
}

/* So much work that several threads divide the keys of a head. */
static void add_divided(struct maker *m) {
    for (int n = 0; n < 60; n++) {
        struct attention_case c = features_base;
        c.batch = 1 + n % 2;
        c.kv_heads = 1 + n / 2 % 2;
        c.q_heads = c.kv_heads * (4 + n % 5);
        c.q_len = 1 + n % 3;
        c.kv_len = 1000 + below(&m->state, 1100);
        c.head_dim = 64 + below(&m->state, 100);
        c.value_dim = 64 + below(&m->state, 100);
        c.weights = false;
        add_features(m, c, false);
    }
}

bool cases_make(struct case_list *list, uint64_t seed, bool quick_only) {
    memset(list, 0, sizeof *list);
    struct maker m = {.list = list, .quick_only = quick_only, .state = seed};
    add(&m, features_base, true);
    add_sizes(&m);
    add_groups(&m);
    add_corners(&m);
    add_pairs(&m);
    add_decode(&m);
    add_divided(&m);
    add_pieces(&m);
    add_random(&m, 250);
    add_large(&m);
    add_empty(&m);
    if (m.failed)
        cases_free(list);
    return !m.failed;
}

void cases_free(struct case_list *list) {
    free(list->items);
    memset(list, 0, sizeof *list);
}
