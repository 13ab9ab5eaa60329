/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a panel: the view of some keys that a kernel is given, and what masks them. */
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

int rapt_groups_in(struct rapt_range keys) {
    return (int)rapt_divide_up(rapt_max(0, keys.last - keys.first), RAPT_GROUP_ROWS);
}

/* The scales of keys, the last one also for those that a group hasn't. */
static void find_scales(const struct worker *w, const rapt_tensor *t, struct rapt_range keys,
                        float *scales) {
    const float *const data = t->data, *const end = scales + rapt_groups_in(keys) * RAPT_GROUP_ROWS;
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

void rapt_scale_block(const struct worker *w, struct rapt_range keys, struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    if (p->key.dtype == RAPT_I8) {
        find_scales(w, &p->key_scale, keys, w->scratch->key_scale);
        block->key_scale = w->scratch->key_scale;
    }
    if (p->value.dtype == RAPT_I8) {
        find_scales(w, &p->value_scale, keys, w->scratch->value_scale);
        block->value_scale = w->scratch->value_scale;
    }
}

/* Positions count from where the keys' block starts, so that a distance is rounded in the same way
 * however the block is cut. */
static void fill_positions(const struct worker *w, const struct work_panel *panel,
                           int64_t first_key, struct rapt_block *block) {
    const int64_t origin = first_key / w->plan->key_block * w->plan->key_block;
    for (int lane = 0; lane < panel->lanes; lane++)
        w->scratch->position[lane] = (float)(panel->position[lane] - origin);
    block->position = w->scratch->position;
    block->start = (float)(first_key - origin);
}

void rapt_mask_block(const struct worker *w, const struct work_panel *panel, struct rapt_range keys,
                     struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    if (keys.first < panel->whole.first || keys.last > panel->whole.last) {
        for (int lane = 0; lane < panel->lanes; lane++) {
            w->scratch->first[lane] = (float)rapt_min(block->keys, panel->first[lane] - keys.first);
            w->scratch->last[lane] = (float)rapt_min(block->keys, panel->last[lane] - keys.first);
        }
        block->first = w->scratch->first;
        block->last = w->scratch->last;
    }
    if (rapt_is_biased(w, panel, keys)) {
        rapt_fill_bias(w, panel, keys);
        block->bias = w->scratch->bias;
        block->few.bias_row = w->plan->key_block;
    }
    if (p->alibi.dtype != RAPT_NONE || p->distance.dtype != RAPT_NONE || p->diagonal_count > 0)
        fill_positions(w, panel, keys.first, block);
    if (p->alibi.dtype != RAPT_NONE)
        block->slope = panel->slope;
}

/* Rows of keys or values where they are. */
static const float *find_rows(const struct worker *w, const rapt_tensor *t, int64_t key) {
    int64_t last;
    return (const float *)t->data +
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
        block.panel.amx_key =
            (char *)w->scratch->staged_key + group * rapt_amx_key_bytes(p->head_dim);
        block.panel.amx_value =
            (char *)w->scratch->staged_value + group * rapt_amx_value_bytes(p->value_dim);
        block.amx_scale = rapt_query_factor(p);
        if (masks)
            rapt_mask_block(w, panel, keys, &block);
        return block;
    }
    block.panel.key_row = plan->stage_key ? p->head_dim : p->key.stride[2];
    block.panel.value_row = plan->stage_value ? p->value_dim : p->value.stride[2];
    block.panel.key = plan->stage_key ? w->scratch->staged_key + staged * p->head_dim
                                      : find_rows(w, &p->key, keys.first);
    block.panel.value = plan->stage_value ? w->scratch->staged_value + staged * p->value_dim
                                          : find_rows(w, &p->value, keys.first);
    rapt_scale_block(w, keys, &block);
    if (masks)
        rapt_mask_block(w, panel, keys, &block);
    return block;
}
