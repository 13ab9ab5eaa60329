/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/convert.h"
#include "src/panel/worker.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const float log2_e = 0x1.715476p+0f;

float rapt_key_factor(const struct rapt_problem *p) {
    return p->key.dtype == RAPT_I8 ? 0x1p24f : 1;
}

float rapt_query_factor(const struct rapt_problem *p) {
    const float factor = p->scale / rapt_key_factor(p);
    return p->softcap > 0 ? factor : factor * log2_e; /* a softcap comes before log2(e) */
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

/* Of int8, the numbers times factor. */
static void stage_rows(const struct worker *w, float *dst, const rapt_tensor *t, const void *data,
                       float factor, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = t->shape[3];
    const bool dense = t->stride[2] == channels && t->stride[3] == 1;
    for (int64_t i = keys.first, last; i < keys.last; i = last) {
        int64_t at = rapt_key_row(p, t, w->task->batch, w->task->kv_head, i, &last);
        last = rapt_min(last, keys.last);
        const int64_t rows = dense ? last - i : 1; /* read as one */
        for (int64_t k = i; k < last; k += rows, dst += rows * channels, at += rows * t->stride[2])
            rapt_read_row(w->plan->kernels, dst, t, data, at, factor, rows * channels);
    }
}

const uint16_t *rapt_dense_row(const rapt_tensor *t, const void *data, int64_t at, uint16_t *copy) {
    const uint16_t *row = (const uint16_t *)data + at;
    const int64_t step = t->stride[3];
    if (step == 1 || t->shape[3] == 1)
        return row;
    for (int64_t c = 0; c < t->shape[3]; c++)
        copy[c] = row[c * step];
    return copy;
}

/* Groups of rows for a matrix unit. */
static void pack_rows(const struct worker *w, char *group, int64_t group_bytes,
                      void pack(void *, const uint16_t *const *, int, int64_t),
                      const rapt_tensor *t, const void *data, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = t->shape[3];
    int64_t at = 0, last = keys.first;
    for (int64_t i = keys.first; i < keys.last; i += RAPT_AMX_KEYS, group += group_bytes) {
        const uint16_t *rows[RAPT_AMX_KEYS];
        const int count = (int)rapt_min(RAPT_AMX_KEYS, keys.last - i);
        for (int k = 0; k < count; k++, at += t->stride[2]) {
            if (i + k >= last)
                at = rapt_key_row(p, t, w->task->batch, w->task->kv_head, i + k, &last);
            rows[k] = rapt_dense_row(t, data, at, w->amx_rows + k * channels);
        }
        pack(group, rows, count, channels);
    }
}

static void stage_amx(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_kernels *kernels = w->plan->kernels;
    pack_rows(w, (char *)w->staged_key, rapt_amx_key_bytes(p->head_dim), kernels->pack_keys,
              &p->key, w->data->key, keys);
    pack_rows(w, (char *)w->staged_value, rapt_amx_value_bytes(p->value_dim), kernels->pack_values,
              &p->value, w->data->value, keys);
}

void rapt_stage(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    w->staged_first = keys.first;
    if (w->plan->amx) {
        stage_amx(w, keys);
        return;
    }
    if (w->plan->stage_key)
        stage_rows(w, w->staged_key, &p->key, w->data->key, rapt_key_factor(p), keys);
    if (w->plan->stage_value)
        stage_rows(w, w->staged_value, &p->value, w->data->value, 1, keys);
}

static int groups_in(struct rapt_range keys) {
    return (int)rapt_divide_up(rapt_max(0, keys.last - keys.first), RAPT_GROUP_ROWS);
}

/* The scales of keys, the last one also for those that a group hasn't. */
static void find_scales(const struct worker *w, const rapt_tensor *t, const float *data,
                        struct rapt_range keys, float *scales) {
    const float *const end = scales + groups_in(keys) * RAPT_GROUP_ROWS;
    int64_t last;
    for (int64_t i = keys.first; i < keys.last; i = last) {
        int64_t at = rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, i, &last);
        last = rapt_min(last, keys.last);
        if (t->stride[2] == 1) {
            memcpy(scales, data + at, (size_t)(last - i) * sizeof *scales);
            scales += last - i;
            continue;
        }
        for (int64_t k = i; k < last; k++, at += t->stride[2])
            *scales++ = data[at];
    }
    for (; scales < end; scales++)
        *scales = scales[-1];
}

static void scale_block(const struct worker *w, struct rapt_range keys, struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    if (p->key.dtype == RAPT_I8) {
        find_scales(w, &p->key_scale, w->data->key_scale, keys, w->key_scale);
        block->key_scale = w->key_scale;
    }
    if (p->value.dtype == RAPT_I8) {
        find_scales(w, &p->value_scale, w->data->value_scale, keys, w->value_scale);
        block->value_scale = w->value_scale;
    }
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
    if (rapt_is_biased(w, panel, keys)) {
        rapt_fill_bias(w, panel, keys);
        block->bias = w->bias;
        block->few.bias_row = w->plan->key_block;
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
    if (plan->amx) {
        const int64_t group = staged / RAPT_AMX_KEYS;
        block.amx = true;
        block.panel.amx_key = (char *)w->staged_key + group * rapt_amx_key_bytes(p->head_dim);
        block.panel.amx_value =
            (char *)w->staged_value + group * rapt_amx_value_bytes(p->value_dim);
        block.amx_scale = rapt_query_factor(p);
        if (masks)
            mask_block(w, panel, keys, &block);
        return block;
    }
    block.panel.key_row = plan->stage_key ? p->head_dim : p->key.stride[2];
    block.panel.value_row = plan->stage_value ? p->value_dim : p->value.stride[2];
    block.panel.key = plan->stage_key ? w->staged_key + staged * p->head_dim
                                      : find_rows(w, &p->key, w->data->key, keys.first);
    block.panel.value = plan->stage_value ? w->staged_value + staged * p->value_dim
                                          : find_rows(w, &p->value, w->data->value, keys.first);
    scale_block(w, keys, &block);
    if (masks)
        mask_block(w, panel, keys, &block);
    return block;
}

static void find_stored(const struct worker *w, const rapt_tensor *t, const void *data,
                        ptrdiff_t step, struct rapt_range keys, struct stored_rows *rows) {
    const char *row = NULL;
    int64_t last = keys.first;
    rows->together = true;
    for (int64_t i = keys.first, g = 0; i < keys.last; i += RAPT_GROUP_ROWS, g++) {
        if (i >= last)
            row = rapt_element(
                t, data,
                rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, i, &last));
        rows->group[g] = row;
        rows->together = rows->together && last >= rapt_min(i + RAPT_GROUP_ROWS, keys.last);
        row += RAPT_GROUP_ROWS * step;
    }
}

/* Copies the rows together. With `fill`, the last one stands for those that its group hasn't. */
static void copy_rows(const struct worker *w, const rapt_tensor *t, const void *data,
                      ptrdiff_t bytes, struct rapt_range keys, bool fill, struct stored_rows *rows,
                      char *copy) {
    const int groups = groups_in(keys);
    const int64_t count = fill ? groups * RAPT_GROUP_ROWS : keys.last - keys.first;
    for (int g = 0; g < groups; g++)
        rows->group[g] = copy + g * RAPT_GROUP_ROWS * bytes;
    for (int64_t i = 0; i < count; i++, copy += bytes) {
        int64_t last;
        const int64_t at = rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head,
                                        rapt_min(keys.first + i, keys.last - 1), &last);
        memcpy(copy, rapt_element(t, data, at), (size_t)bytes);
    }
}

static struct rapt_rows view_rows(const struct stored_rows *rows, rapt_dtype dtype, ptrdiff_t bytes,
                                  ptrdiff_t step, struct rapt_range keys) {
    return (struct rapt_rows){dtype, bytes, step, rows->group, groups_in(keys)};
}

/* The kernel's view of some rows: of a copy if it can't read them where they lie. Keys have to come
 * in whole groups. */
static struct rapt_rows read_rows(const struct worker *w, const rapt_tensor *t, const void *data,
                                  ptrdiff_t bytes, ptrdiff_t step, struct rapt_range keys,
                                  bool fill, struct stored_rows *rows, char *copy) {
    const bool ragged = fill && (keys.last - keys.first) % RAPT_GROUP_ROWS != 0;
    if (rows->together && !ragged)
        return view_rows(rows, t->dtype, bytes, step, keys);
    copy_rows(w, t, data, bytes, keys, fill, rows, copy);
    return view_rows(rows, t->dtype, bytes, bytes, keys);
}

struct rapt_block rapt_make_few_block(struct worker *w, struct rapt_range keys,
                                      struct rapt_range next) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_attention_data *data = w->data;
    struct stored_rows *key = &w->stored_key[w->stored_turn], *value = &w->stored_value;
    struct stored_rows *next_key = &w->stored_key[1 - w->stored_turn];
    if (w->stored_first != keys.first)
        find_stored(w, &p->key, data->key, w->key_step, keys, key);
    find_stored(w, &p->value, data->value, w->value_step, keys, value);
    find_stored(w, &p->key, data->key, w->key_step, next, next_key);
    w->stored_turn = 1 - w->stored_turn;
    w->stored_first = groups_in(next) > 0 ? next.first : -1;
    struct rapt_block block = rapt_new_block(p, keys);
    block.amx = w->plan->amx;
    block.amx_scale = rapt_query_factor(p);
    block.few.keys =
        read_rows(w, &p->key, data->key, w->key_bytes, w->key_step, keys, true, key, w->copied_key);
    block.few.values = read_rows(w, &p->value, data->value, w->value_bytes, w->value_step, keys,
                                 false, value, w->copied_value);
    block.few.stretch = w->plan->key_block / 2;
    if (next_key->together)
        block.few.next_keys = view_rows(next_key, p->key.dtype, w->key_bytes, w->key_step, next);
    scale_block(w, keys, &block);
    mask_block(w, &w->panel[0], keys, &block);
    return block;
}
