/* SPDX-License-Identifier: Apache-2.0 */
/* The table of features, and what some of them demand of others. */
#include "oracle/case_features.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

const struct attention_case features_base = {
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
static const int heads[][2] = {{2, 1}, {3, 3}, {6, 2}, {5, 1}, {8, 2}, {7, 1}, {16, 2}};
static const bool outputs[][3] = {{true, true, true},   {false, false, false}, {true, false, false},
                                  {false, true, false}, {false, false, true},  {true, true, false}};
/* q_len, kv_len, head_dim, value_dim: the last ones have few queries of many keys, which take a
 * path of their own. */
enum { MANY_KEYS = 300 };
static const int sizes[][4] = {{9, 37, 12, 12},   {1, 130, 16, 24},  {33, 20, 64, 33},
                               {50, 97, 72, 40},  {5, 100, 131, 17}, {21, 5, 3, 130},
                               {1, 1100, 32, 20}, {2, 530, 72, 40},  {3, 300, 130, 17}};
static const int page_sizes[] = {0, 1, 5, 16, 48, 130};

static void set_layout(struct attention_case *c, int option) {
    c->layout = (enum layout)option;
}
static void set_storage(struct attention_case *c, int option) {
    c->storage = (enum storage)option;
}
static void set_ragged(struct attention_case *c, int option) {
    c->ragged = (enum ragged_kind)option;
}
static void set_pages(struct attention_case *c, int option) {
    c->page_size = page_sizes[option];
}
static void set_mask(struct attention_case *c, int option) {
    c->mask = (enum mask_kind)option;
}
static void set_start(struct attention_case *c, int option) {
    c->start = (enum start_kind)option;
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
static void set_first(struct attention_case *c, int option) {
    c->first = (enum first_kind)option;
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
static void set_weights_kind(struct attention_case *c, int option) {
    c->weights_kind = (rapt_weights_kind)option;
    c->weights = c->weights || option != 0;
}
static void set_observed(struct attention_case *c, int option) {
    c->observed = (enum observe_kind)option;
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
    c->weights = c->kv_len < MANY_KEYS;
}

const struct feature features[FEATURE_COUNT] = {
    [FEATURE_SIZES] = {COUNT(sizes), set_sizes},
    [FEATURE_HEADS] = {COUNT(heads), set_heads},
    {LAYOUT_COUNT, set_layout},
    {STORAGE_COUNT, set_storage},
    {RAGGED_COUNT, set_ragged},
    {COUNT(page_sizes), set_pages},
    {MASK_COUNT, set_mask},
    {START_COUNT, set_start},
    {ALIBI_COUNT, set_alibi},
    {SINK_COUNT, set_sink},
    {2, set_causal},
    {OFFSET_COUNT, set_offset},
    {COUNT(windows), set_window},
    {LENGTH_COUNT, set_lengths},
    {FIRST_COUNT, set_first},
    {COUNT(scales), set_scale},
    {COUNT(softcaps), set_softcap},
    {COUNT(outputs), set_outputs},
    {RAPT_WEIGHTS_MASKED + 1, set_weights_kind},
    {OBSERVE_COUNT, set_observed},
    {FILL_COUNT, set_fill},
};

static bool has_q8_0(const struct attention_case *c) {
    return c->storage == STORAGE_Q8_0 || c->storage == STORAGE_MIX_Q8_0 ||
           c->storage == STORAGE_VALUE_Q8_0;
}

static void round_up(int *dim) {
    *dim = (*dim + 31) / 32 * 32;
}

/* One token has one query, one key and one value, all of one type. */
static void settle_packed(struct attention_case *c) {
    c->kv_len = c->q_len;
    c->value_dim = c->head_dim;
    if (c->storage >= STORAGE_I8)
        c->storage = STORAGE_F32;
    if (c->ragged) {
        c->ragged = RAGGED_BOTH;
        c->lengths = LENGTH_NONE;
    }
}

void features_settle(struct attention_case *c) {
    if (c->fill == FILL_SCALES && c->storage < STORAGE_I8)
        c->storage = c->seed & 1 ? STORAGE_I8 : STORAGE_Q8_0;
    if (c->layout == LAYOUT_PACKED && (c->page_size || c->fill == FILL_SCALES))
        c->layout = LAYOUT_BSHD;
    if (c->page_size)
        c->ragged = c->ragged & RAGGED_QUERIES;
    if (c->ragged || c->page_size)
        c->batch = CASE_BATCH_MAX;
    if (c->layout == LAYOUT_PACKED)
        settle_packed(c);
    if (has_q8_0(c)) {
        round_up(&c->head_dim);
        round_up(&c->value_dim);
    }
    if (c->start && !c->mask)
        c->mask = MASK_TREE;
    if (!c->weights || c->observed)
        c->weights_kind = RAPT_WEIGHTS_SOFTMAX;
}

bool features_are_defined(const struct attention_case *c) {
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
