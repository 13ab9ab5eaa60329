/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"
#include "worker.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const float log2_e = 0x1.715476p+0f;

float rapt_query_factor(const struct rapt_problem *p) {
    return p->softcap > 0 ? p->scale : p->scale * log2_e; /* a softcap comes before log2(e) */
}

/* Infinity times the distance 0 would be NaN. A NaN stays. */
float rapt_slope(float given) {
    const float slope = given * log2_e;
    return slope > FLT_MAX ? FLT_MAX : slope < -FLT_MAX ? -FLT_MAX : slope;
}

struct rapt_block rapt_new_block(const struct rapt_problem *p, struct rapt_range keys) {
    struct rapt_block block = {.keys = (int)(keys.last - keys.first), .number = keys.first};
    if (p->softcap > 0) {
        block.softcap = p->softcap * log2_e;
        block.softcap_inverse = 1 / p->softcap;
    }
    return block;
}

static void stage_rows(const struct worker *w, float *dst, const rapt_tensor *t, const void *data,
                       const rapt_tensor *scales, const float *scale_data, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, h = w->task->kv_head, channels = t->shape[3];
    for (int64_t i = keys.first, last; i < keys.last; i = last) {
        int64_t at = rapt_key_row(p, t, b, h, i, &last), scale_at = 0;
        if (scales->dtype != RAPT_NONE)
            scale_at = rapt_key_row(p, scales, b, h, i, &last);
        last = rapt_min(last, keys.last);
        for (int64_t k = i; k < last; k++, dst += channels) {
            const float scale = scales->dtype == RAPT_NONE ? 1 : scale_data[scale_at];
            rapt_read_row(w->plan->kernels, dst, t, data, at, scale, channels);
            at += t->stride[2];
            scale_at += scales->stride[2];
        }
    }
}

void rapt_stage(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    w->staged_first = keys.first;
    if (w->plan->stage_key)
        stage_rows(w, w->staged_key, &p->key, w->data->key, &p->key_scale, w->data->key_scale,
                   keys);
    if (w->plan->stage_value)
        stage_rows(w, w->staged_value, &p->value, w->data->value, &p->value_scale,
                   w->data->value_scale, keys);
}

/* The mask's elements for a panel and some keys, as what is added to the scores. */
static void fill_bias(const struct worker *w, const struct work_panel *panel,
                      struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const rapt_tensor *mask = &p->mask;
    const int64_t row = w->plan->key_block,
                  start = p->mask_start ? p->mask_start[w->task->batch] : 0;
    /* Keys before the first column are attended. */
    const int64_t open = rapt_min(keys.last - keys.first, rapt_max(0, start - keys.first));
    const int64_t column = keys.first + open - start, count = keys.last - keys.first - open;
    float *bias = w->bias + (w->is_few ? open : open * panel->lanes);
    if (w->is_few)
        for (int lane = 0; lane < panel->lanes; lane++)
            memset(w->bias + lane * row, 0, (size_t)open * sizeof *bias);
    else
        memset(w->bias, 0, (size_t)(open * panel->lanes) * sizeof *bias);
    if (count == 0)
        return;
    if (!w->is_few) {
        rapt_gather_rows(w, panel, mask, w->data->mask, column * mask->stride[3], count, bias);
        rapt_fetch_rows(w, panel, mask, w->data->mask, column + count,
                        rapt_min(column + count + row, mask->shape[3]));
        return;
    }
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, mask, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        rapt_read_row(w->plan->kernels, bias + lane * row, mask, w->data->mask,
                      offsets[lane] + column * mask->stride[3], 1, count);
}

/* Positions count from where the keys' block starts, so that a distance is rounded in the same way
 * however the block is cut. */
static void fill_positions(const struct worker *w, const struct work_panel *panel,
                           int64_t first_key, struct rapt_block *block) {
    const int64_t origin = first_key / w->plan->key_block * w->plan->key_block;
    for (int lane = 0; lane < panel->lanes; lane++)
        w->position[lane] = (float)(panel->position[lane] - origin);
    block->position = w->position;
    block->start = (float)(first_key - origin);
}

/* What masks some keys of one block for a panel. */
static void mask_block(const struct worker *w, const struct work_panel *panel,
                       struct rapt_range keys, struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    if (keys.first < panel->whole.first || keys.last > panel->whole.last) {
        for (int lane = 0; lane < panel->lanes; lane++) {
            w->first[lane] = (float)rapt_min(block->keys, panel->first[lane] - keys.first);
            w->last[lane] = (float)rapt_min(block->keys, panel->last[lane] - keys.first);
        }
        block->first = w->first;
        block->last = w->last;
    }
    if (p->mask.dtype != RAPT_NONE) {
        fill_bias(w, panel, keys);
        block->bias = w->bias;
        block->bias_row = w->plan->key_block;
    }
    if (p->alibi.dtype != RAPT_NONE || p->distance.dtype != RAPT_NONE || p->diagonal_count > 0)
        fill_positions(w, panel, keys.first, block);
    if (p->alibi.dtype != RAPT_NONE)
        block->slope = panel->slope;
}

/* Rows of keys or values where they are. */
static const float *find_rows(const struct worker *w, const rapt_tensor *t, const void *data,
                              int64_t key) {
    int64_t last;
    return (const float *)data +
           rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, key, &last);
}

struct rapt_block rapt_make_block(const struct worker *w, const struct work_panel *panel,
                                  struct rapt_range keys, bool masks) {
    const struct rapt_plan *plan = w->plan;
    const struct rapt_problem *p = &plan->problem;
    const int64_t staged = keys.first - w->staged_first;
    struct rapt_block block = rapt_new_block(p, keys);
    block.key_row = plan->stage_key ? p->head_dim : p->key.stride[2];
    block.value_row = plan->stage_value ? p->value_dim : p->value.stride[2];
    block.key = plan->stage_key ? w->staged_key + staged * p->head_dim
                                : find_rows(w, &p->key, w->data->key, keys.first);
    block.value = plan->stage_value ? w->staged_value + staged * p->value_dim
                                    : find_rows(w, &p->value, w->data->value, keys.first);
    if (masks)
        mask_block(w, panel, keys, &block);
    return block;
}

/* Where the rows of keys lie; the last one stands for those that the block could still have. */
static void find_stored(const struct worker *w, const rapt_tensor *t, const void *data,
                        struct rapt_range keys, const void **rows) {
    const void **const end = rows + w->plan->key_block;
    int64_t last;
    for (int64_t i = keys.first; i < keys.last; i = last) {
        int64_t at = rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, i, &last);
        last = rapt_min(last, keys.last);
        const char *row = rapt_element(t, data, at);
        const int64_t step = (const char *)rapt_element(t, data, t->stride[2]) - (const char *)data;
        for (int64_t k = i; k < last; k++, row += step)
            *rows++ = row;
    }
    for (; rows < end; rows++)
        *rows = rows[-1];
}

static void find_scales(const struct worker *w, const rapt_tensor *t, const float *data,
                        struct rapt_range keys, float *scales) {
    const float *const end = scales + w->plan->key_block;
    int64_t last;
    for (int64_t i = keys.first; i < keys.last; i = last) {
        int64_t at = rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, i, &last);
        last = rapt_min(last, keys.last);
        for (int64_t k = i; k < last; k++, at += t->stride[2])
            *scales++ = data[at];
    }
    for (; scales < end; scales++)
        *scales = scales[-1];
}

static void find_block(struct worker *w, struct rapt_range keys, struct stored_rows *rows) {
    const struct rapt_problem *p = &w->plan->problem;
    find_stored(w, &p->key, w->data->key, keys, rows->key);
    find_stored(w, &p->value, w->data->value, keys, rows->value);
    if (p->key.dtype == RAPT_I8)
        find_scales(w, &p->key_scale, w->data->key_scale, keys, rows->key_scale);
    if (p->value.dtype == RAPT_I8)
        find_scales(w, &p->value_scale, w->data->value_scale, keys, rows->value_scale);
}

struct rapt_block rapt_make_few_block(struct worker *w, struct rapt_range keys,
                                      struct rapt_range next) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct stored_rows *rows = &w->stored[w->stored_turn];
    struct stored_rows *ahead = &w->stored[1 - w->stored_turn];
    const bool more = next.first < next.last;
    if (w->stored_first != keys.first)
        find_block(w, keys, &w->stored[w->stored_turn]);
    if (more)
        find_block(w, next, ahead);
    w->stored_turn = 1 - w->stored_turn;
    w->stored_first = more ? next.first : -1;
    struct rapt_block block = rapt_new_block(p, keys);
    block.keys_stored =
        (struct rapt_rows){p->key.dtype, rows->key, more ? ahead->key : NULL, rows->key_scale};
    block.values_stored = (struct rapt_rows){p->value.dtype, rows->value,
                                             more ? ahead->value : NULL, rows->value_scale};
    mask_block(w, &w->panel[0], keys, &block);
    return block;
}
