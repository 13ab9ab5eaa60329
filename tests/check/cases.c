/* SPDX-License-Identifier: Apache-2.0 */
/* The table of cases: features with their options, and the lists that combine them. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A feature sets option 1, 2, … of a case; option 0 is what base_case has. */
struct feature {
    int options;
    void (*set)(struct attention_case *c, int option);
};

static const struct attention_case base_case = {
    .batch = 2,
    .q_heads = 2,
    .kv_heads = 1,
    .q_len = 9,
    .kv_len = 37,
    .head_dim = 12,
    .value_dim = 12,
    .window_left = -1,
    .window_right = -1,
    .lse = true,
    .max = true,
    .weights = true,
};

static const int64_t windows[][2] = {{-1, -1}, {0, 0},  {3, -1},        {-1, 2},       {4, 1},
                                     {0, 3},   {40, 0}, {INT64_MAX, 0}, {2, INT64_MAX}};
static const float scales[] = {0, 0.25f, 3};
static const float softcaps[] = {0, 20, 0.5f};
static const int heads[][2] = {{2, 1}, {3, 3}, {6, 2}, {5, 1}, {8, 2}};
static const bool outputs[][3] = {{true, true, true},   {false, false, false}, {true, false, false},
                                  {false, true, false}, {false, false, true},  {true, true, false}};
/* q_len, kv_len, head_dim, value_dim */
static const int sizes[][4] = {{9, 37, 12, 12},  {1, 130, 16, 24},  {33, 20, 64, 33},
                               {50, 97, 72, 40}, {5, 100, 131, 17}, {21, 5, 3, 130}};

static void set_layout(struct attention_case *c, int option) {
    c->layout = (enum layout)option;
    if (c->layout == LAYOUT_PACKED) { /* one token has one query, one key and one value */
        c->kv_len = c->q_len;
        c->value_dim = c->head_dim;
    }
}
static void set_storage(struct attention_case *c, int option) {
    c->storage = (enum storage)option;
}
static void set_mask(struct attention_case *c, int option) {
    c->mask = (enum mask_kind)option;
}
static void set_alibi(struct attention_case *c, int option) {
    c->alibi = (enum alibi_kind)option;
}
static void set_sink(struct attention_case *c, int option) {
    c->sink = (enum sink_kind)option;
}
static void set_causal(struct attention_case *c, int option) {
    c->causal = option != 0;
}
static void set_offset(struct attention_case *c, int option) {
    c->offset = (enum offset_kind)option;
}
static void set_window(struct attention_case *c, int option) {
    c->window_left = windows[option][0];
    c->window_right = windows[option][1];
}
static void set_lengths(struct attention_case *c, int option) {
    c->lengths = (enum length_kind)option;
}
static void set_scale(struct attention_case *c, int option) {
    c->scale = scales[option];
}
static void set_softcap(struct attention_case *c, int option) {
    c->softcap = softcaps[option];
}
static void set_outputs(struct attention_case *c, int option) {
    c->lse = outputs[option][0];
    c->max = outputs[option][1];
    c->weights = outputs[option][2];
}
static void set_fill(struct attention_case *c, int option) {
    c->fill = (enum fill)option;
}
static void set_heads(struct attention_case *c, int option) {
    c->q_heads = heads[option][0];
    c->kv_heads = heads[option][1];
}
static void set_sizes(struct attention_case *c, int option) {
    c->q_len = sizes[option][0];
    c->kv_len = sizes[option][1];
    c->head_dim = sizes[option][2];
    c->value_dim = sizes[option][3];
}

/* Sizes come before the layout, which may bind them. */
static const struct feature features[] = {
    {COUNT(sizes), set_sizes},      {COUNT(heads), set_heads},
    {LAYOUT_COUNT, set_layout},     {STORAGE_COUNT, set_storage},
    {MASK_COUNT, set_mask},         {ALIBI_COUNT, set_alibi},
    {SINK_COUNT, set_sink},         {2, set_causal},
    {OFFSET_COUNT, set_offset},     {COUNT(windows), set_window},
    {LENGTH_COUNT, set_lengths},    {COUNT(scales), set_scale},
    {COUNT(softcaps), set_softcap}, {COUNT(outputs), set_outputs},
    {FILL_COUNT, set_fill},
};

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

/* A list being made. */
struct maker {
    struct case_list *list;
    bool quick_only, failed;
    uint64_t state;
};

/* What the definition leaves open can't be checked. */
static bool is_defined(const struct attention_case *c) {
    /* Scores beyond f32 that a mask or ALiBi brings back into its range. */
    const int beyond =
        (c->fill == FILL_OVERFLOW) + (c->mask == MASK_LOWEST) + (c->alibi == ALIBI_HUGE);
    if (beyond > 1)
        return false;
    /* A weight that is 0 in f32 only, times infinity. */
    const bool steep =
        c->alibi && (c->alibi == ALIBI_HUGE || c->offset == OFFSET_FAR || c->kv_len > 130);
    if (c->fill == FILL_INF_VALUE && (c->scale > 1 || steep))
        return false;
    /* What one head hides another shows. */
    return !(c->fill == FILL_HIDDEN && c->layout == LAYOUT_SHARED);
}

static void add(struct maker *m, struct attention_case c, bool quick) {
    struct case_list *list = m->list;
    c.seed = cases_random(&m->state);
    c.quick = quick;
    if (!is_defined(&c) || (m->quick_only && !quick) || m->failed)
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
        struct attention_case c = base_case;
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
    static const int block_dims[] = {8, 72, 160}; /* blocks of 96, 48 and 32 keys */
    for (int n = 0; n < COUNT(kv_lens); n++) {
        for (int d = 0; d < COUNT(block_dims); d++) {
            struct attention_case c = base_case;
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
        struct attention_case c = base_case;
        c.head_dim = dims[n];
        add(m, c, n % 2 == 0);
        c.value_dim = dims[n];
        add(m, c, n % 2 == 1);
        c.head_dim = base_case.head_dim;
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
    for (int group = 1; group <= 8; group++) {
        for (int n = 0; n < COUNT(some_q_lens); n++) {
            struct attention_case c = base_case;
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
    for (int f = 0; f < COUNT(features); f++) {
        for (int a = 1; a < features[f].options; a++) {
            struct attention_case single = base_case;
            features[f].set(&single, a);
            add(m, single, true);
            for (int g = f + 1; g < COUNT(features); g++) {
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
        struct attention_case c = base_case;
        c.batch = 1 + below(&m->state, 3);
        for (int f = 1; f < COUNT(features); f++)
            features[f].set(&c, below(&m->state, 2) ? 0 : below(&m->state, features[f].options));
        c.q_len = q_lens[below(&m->state, COUNT(q_lens))];
        c.kv_len = kv_lens[below(&m->state, COUNT(kv_lens))];
        c.head_dim = dims[below(&m->state, COUNT(dims))];
        c.value_dim = dims[below(&m->state, COUNT(dims))];
        set_layout(&c, (int)c.layout);
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
    struct attention_case lowest = base_case;
    lowest.mask = MASK_LOWEST;
    lowest.sink = SINK_ABSENT;
    add(m, lowest, true);
    /* One key is all of the weight: out is the value, as it rounds. */
    for (int storage = 0; storage < STORAGE_COUNT; storage++) {
        struct attention_case c = base_case;
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

bool cases_make(struct case_list *list, uint64_t seed, bool quick_only) {
    memset(list, 0, sizeof *list);
    struct maker m = {.list = list, .quick_only = quick_only, .state = seed};
    add(&m, base_case, true);
    add_sizes(&m);
    add_groups(&m);
    add_corners(&m);
    add_pairs(&m);
    add_random(&m, 250);
    add_large(&m);
    if (m.failed)
        cases_free(list);
    return !m.failed;
}

void cases_free(struct case_list *list) {
    free(list->items);
    memset(list, 0, sizeof *list);
}
