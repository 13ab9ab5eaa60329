/* SPDX-License-Identifier: Apache-2.0 */
#include "src/panel/task.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "src/plan/run_numbers.h"
#include "src/base/convert.h"
#include "src/panel/worker.h"

/* Which keys each lane attends, and where its query is. */
static void find_keys(const struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, offset = p->q_offset ? p->q_offset[b] : 0;
    struct lane lane = rapt_first_lane(w, panel);
    struct rapt_range keys = rapt_key_range(p, b, lane.query);
    const bool alike = !p->causal && p->window_left < 0 && p->window_right < 0;
    struct rapt_range any = {INT64_MAX, 0}, every = {0, INT64_MAX};
    for (int i = 0; i < panel->lanes; i++) {
        if (!alike)
            keys = rapt_key_range(p, b, lane.query);
        panel->first[i] = keys.first;
        panel->last[i] = keys.last;
        panel->position[i] = lane.query + offset;
        every.first = rapt_max(every.first, keys.first);
        every.last = rapt_min(every.last, keys.last);
        any = rapt_join(any, keys);
        rapt_next_lane(w, panel, &lane);
    }
    panel->whole = every;
    panel->keys = any;
    if (any.first >= any.last)
        panel->keys.first = any.last;
    else /* masked, but for the order of sums */
        panel->keys.first -= any.first % (w->plan->amx ? RAPT_AMX_KEYS : RAPT_SUMMED_KEYS);
}

static void find_slopes(const struct worker *w, struct work_panel *panel) {
    const rapt_tensor *alibi = &w->plan->problem.alibi;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, alibi, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        panel->slope[lane] = rapt_slope(((const float *)w->data->alibi)[offsets[lane]]);
}

void rapt_place_observed(const struct rapt_problem *p, struct rapt_observed *observed, float *at,
                         int width) {
    if (p->entropy.dtype != RAPT_NONE) {
        observed->entropy = at;
        at += width;
    }
    if (p->distance.dtype != RAPT_NONE) {
        observed->distance = at;
        at += width;
    }
    observed->segments = (int)p->segment_count;
    observed->bounds = p->segment_bounds;
    observed->mass = at;
    observed->diagonals = (int)p->diagonal_count;
    observed->offsets = p->diagonal_offsets;
    observed->diagonal = at + p->segment_count * width;
}

void rapt_place_top(const struct rapt_problem *p, struct rapt_observed *observed, float *at,
                    int width) {
    const int64_t count = p->top_count * width;
    observed->top = (int)p->top_count;
    observed->top_weight = at;
    observed->top_key = at + count;
    memset(observed->top_key, 0xff, (size_t)count * sizeof *at); /* -1 */
    for (int64_t i = 0; i < count; i++)
        observed->top_weight[i] = -INFINITY;
}

/* Lets a panel's state be what lies at `at`. */
static void place_state(const struct rapt_problem *p, struct rapt_panel *panel, float *at) {
    const int width = panel->width;
    panel->out = at;
    panel->max = panel->out + panel->value_dim * width;
    panel->sum = panel->max + width;
    panel->seen = panel->sum + width;
    rapt_place_observed(p, &panel->observed, panel->seen + width, width);
}

/* Scratch of a panel: what its lanes attend, queries, and the state of all chunks. */
static void place_panel(struct worker *w, int index, float *scratch) {
    const struct rapt_plan *plan = w->plan;
    const struct rapt_problem *p = &plan->problem;
    struct work_panel *panel = &w->panel[index];
    panel->rows = rapt_panel_rows(plan, w->task->batch, w->task->panel + index);
    const int lanes = plan->kernels->lanes, rows = (int)(panel->rows.last - panel->rows.first);
    const int width = (rows + lanes - 1) / lanes * lanes;
    panel->lanes = w->is_few ? rows : width;
    panel->first = (int64_t *)(void *)scratch;
    panel->last = panel->first + width;
    panel->position = panel->last + width;
    panel->slope = (float *)(void *)(panel->position + width);
    panel->kernel = (struct rapt_panel){
        .width = width,
        .head_dim = p->head_dim,
        .value_dim = p->value_dim,
        .query = panel->slope + width,
    };
    float *state = panel->kernel.query + rapt_query_rows(plan) * width;
    place_state(p, &panel->kernel, state);
    rapt_place_top(p, &panel->kernel.observed, state + rapt_state_floats(p) * width, width);
    panel->total = panel->kernel;
    panel->begun = panel->done = false;
    find_keys(w, panel);
    if (p->alibi.dtype != RAPT_NONE)
        find_slopes(w, panel);
}

void rapt_pack_queries(const struct worker *w, const struct work_panel *panel, int first, int count,
                       int width, float *pairs) {
    const rapt_tensor *query = &w->plan->problem.query;
    const uint16_t *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, query, first + count, offsets);
    for (int lane = 0; lane < width; lane++)
        rows[lane] = lane < count ? rapt_dense_row(query, w->data->query, offsets[first + lane],
                                                   w->amx_rows + lane * w->plan->problem.head_dim)
                                  : rows[lane - 1];
    w->plan->kernels->pack_lanes(pairs, width, rows, w->plan->problem.head_dim, true);
}

void rapt_read_queries(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = p->head_dim;
    const int width = panel->kernel.width;
    if (w->plan->amx) {
        rapt_pack_queries(w, panel, 0, width, width, panel->kernel.query);
        return;
    }
    rapt_gather_rows(w, panel, &p->query, w->data->query, 0, channels, panel->kernel.query);
    w->plan->kernels->scale(panel->kernel.query, rapt_query_factor(p), channels * width);
}

/* All but the rows of a block that is read as it is stored: they are much, and few tasks' matter.
 */
static void make_worker(struct worker *w, const struct rapt_plan *plan,
                        const rapt_attention_data *data, const struct rapt_task *task,
                        float *scratch) {
    const struct rapt_scratch *s = &plan->scratch;
    const int width = plan->panel_rows;
    w->plan = plan;
    w->data = data;
    w->task = task;
    w->scores = scratch + s->scores;
    w->bias = scratch + s->bias;
    w->first = scratch + s->bounds;
    w->last = w->first + width;
    w->position = w->last + width;
    w->key_scale = scratch + s->key_scale;
    w->value_scale = scratch + s->value_scale;
    w->part = scratch + s->part;
    w->rows = scratch + s->rows;
    w->staged_key = scratch + s->staged_key;
    w->staged_value = scratch + s->staged_value;
    w->amx_rows = (uint16_t *)(void *)(scratch + s->amx_rows);
    w->staged_first = 0;
    w->is_few = rapt_is_few(plan, task->batch);
    w->stored_turn = 0;
    w->stored_first = -1;
    w->keys = (struct rapt_range){INT64_MAX, 0};
    for (int i = 0; i < task->panels; i++) {
        place_panel(w, i, scratch + s->panels + (size_t)i * s->panel_floats);
        w->keys = rapt_join(w->keys, w->panel[i].keys);
    }
    if (!w->is_few)
        return;
    rapt_place_few(w, scratch + s->few);
    w->key_bytes = rapt_bytes(&plan->problem.key, plan->problem.head_dim);
    w->value_bytes = rapt_bytes(&plan->problem.value, plan->problem.value_dim);
    w->key_step = rapt_bytes(&plan->problem.key, plan->problem.key.stride[2]);
    w->value_step = rapt_bytes(&plan->problem.value, plan->problem.value.stride[2]);
    w->copied_key = (char *)(scratch + s->copied_key);
    w->copied_value = (char *)(scratch + s->copied_value);
}

static void attend_block(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    keys = rapt_attended(w, panel, keys);
    if (keys.first == keys.last)
        return;
    rapt_stage_own(w, keys);
    struct rapt_block block = rapt_make_block(w, panel, keys, true);
    block.panel.begins = panel->empty;
    panel->empty = false;
    rapt_plan_prefetch(w, panel, keys, &block);
    w->plan->kernels->attend(&panel->kernel, &block, w->scores);
}

static void clear_out(const struct rapt_panel *panel) {
    memset(panel->out, 0, (size_t)(panel->value_dim * panel->width) * sizeof *panel->out);
}

/* The panel's state becomes that of these keys alone. */
static void attend_keys(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    w->plan->kernels->clear(&panel->kernel);
    panel->empty = true;
    rapt_visit_blocks(w, panel, keys, attend_block);
    if (panel->empty)
        clear_out(&panel->kernel);
}

/*
 * A panel's keys of one chunk, from an empty state on. That of the first chunk, joined to nothing,
 * is the total; the others are joined to it while they lie in the cache. To join an empty one would
 * change nothing.
 */
static void attend_chunk(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    if (keys.first >= keys.last)
        return;
    if (!panel->begun) {
        rapt_read_queries(w, panel);
        attend_keys(w, panel, keys);
        panel->begun = true;
        return;
    }
    place_state(&w->plan->problem, &panel->kernel, w->part);
    attend_keys(w, panel, keys);
    w->plan->kernels->join(&panel->total, &panel->kernel);
}

/* All chunks of a panel are done. */
static void end_panel(struct worker *w, struct work_panel *panel, float *results) {
    if (!panel->begun) {
        w->plan->kernels->clear(&panel->total);
        clear_out(&panel->total);
    } else if (w->is_few) {
        rapt_end_few(w, &panel->total);
    }
    rapt_write_panel(w, panel, results);
    panel->done = true;
}

/* The panels go through a chunk one after the other, while its keys lie in the cache. */
static void run_chunk(struct worker *w, int64_t chunk, float *results) {
    const struct rapt_range keys = rapt_chunk_keys(w, chunk);
    struct rapt_range own[RAPT_PANELS_MAX], all = {INT64_MAX, 0};
    for (int i = 0; i < w->task->panels; i++) {
        own[i] = rapt_survey(w, &w->panel[i], rapt_meet(w->panel[i].keys, keys));
        all = rapt_join(all, own[i]);
    }
    if (w->is_few) {
        rapt_attend_few_chunk(w, own[0]);
        return;
    }
    if (w->task->panels > 1 && all.first < all.last)
        rapt_stage(w, all);
    for (int i = 0; i < w->task->panels; i++) {
        struct work_panel *panel = &w->panel[i];
        attend_chunk(w, panel, own[i]);
        if (!panel->done && panel->keys.last <= keys.last) /* while its state lies in the cache */
            end_panel(w, panel, results);
    }
}

static float *part_of(const struct rapt_plan *plan, const struct rapt_split *split, int64_t chunk,
                      float *parts) {
    return parts + (size_t)(split->part + chunk - split->chunks.first) * plan->part_floats;
}

/* Leaves the states of a split's chunks to who joins them. */
static void run_parts(struct worker *w, const struct rapt_split *split, float *parts) {
    struct work_panel *panel = &w->panel[0];
    if (!w->is_few)
        rapt_read_queries(w, panel);
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++) {
        place_state(&w->plan->problem, &panel->kernel, part_of(w->plan, split, chunk, parts));
        const struct rapt_range keys =
            rapt_survey(w, panel, rapt_meet(panel->keys, rapt_chunk_keys(w, chunk)));
        if (w->is_few) {
            rapt_attend_few_part(w, keys);
            rapt_end_few(w, &panel->kernel);
            continue;
        }
        attend_keys(w, panel, keys);
    }
}

static void run_whole(struct worker *w, float *results) {
    if (w->is_few && w->plan->problem.weights.dtype != RAPT_NONE)
        rapt_begin_kept(w);
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++)
        run_chunk(w, chunk, results);
    for (int i = 0; i < w->task->panels; i++)
        if (!w->panel[i].done)
            end_panel(w, &w->panel[i], results);
    if (w->plan->problem.weights.dtype != RAPT_NONE)
        rapt_write_weights(w);
}

void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *planned, float *scratch, float *parts, float *results,
                   struct rapt_chunk_mask *chunk_masks) {
    struct rapt_task task;
    struct rapt_split split;
    struct worker w;
    if (!rapt_task_of_run(plan, planned, &task, &split))
        return;
    make_worker(&w, plan, data, &task, scratch);
    w.chunk_masks = chunk_masks;
    if (plan->amx)
        plan->kernels->open(w.is_few);
    if (task.split >= 0)
        run_parts(&w, &split, parts);
    else
        run_whole(&w, results);
    if (plan->amx)
        plan->kernels->close();
}

void rapt_task_join(const struct rapt_plan *plan, const rapt_attention_data *data,
                    const struct rapt_task *planned, float *scratch, float *parts, float *results) {
    struct rapt_task task;
    struct rapt_split split;
    struct worker w;
    rapt_task_of_run(plan, planned, &task, &split);
    if (task.split < 0)
        return;
    make_worker(&w, plan, data, &task, scratch);
    struct work_panel *panel = &w.panel[0];
    plan->kernels->clear(&panel->total);
    clear_out(&panel->total);
    for (int64_t chunk = split.chunks.first; chunk < split.chunks.last; chunk++) {
        place_state(&plan->problem, &panel->kernel, part_of(plan, &split, chunk, parts));
        plan->kernels->join(&panel->total, &panel->kernel);
    }
    rapt_write_panel(&w, panel, results);
}
