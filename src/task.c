/* SPDX-License-Identifier: Apache-2.0 */
#include "task.h"

#include <math.h>
#include <string.h>

#include "row.h"
#include "worker.h"

static const float log2_e = 0x1.715476p+0f;

static void find_keys(const struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    panel->keys = (struct rapt_range){INT64_MAX, 0};
    panel->whole = (struct rapt_range){0, INT64_MAX};
    for (int lane = 0; lane < panel->lanes; lane++) {
        const struct rapt_range keys =
            rapt_key_range(p, w->task->batch, rapt_lane_row(panel, lane) / p->group);
        panel->first[lane] = keys.first;
        panel->last[lane] = keys.last;
        panel->whole.first = rapt_max(panel->whole.first, keys.first);
        panel->whole.last = rapt_min(panel->whole.last, keys.last);
        panel->keys = rapt_join(panel->keys, keys);
    }
    if (panel->keys.first > panel->keys.last)
        panel->keys.first = panel->keys.last;
}

/* The queries' factor. A softcap comes before log2(e). */
static float query_factor(const struct rapt_problem *p) {
    return p->softcap > 0 ? p->scale : p->scale * log2_e;
}

/* Lets a panel's state be what lies at `at`. */
static void place_state(struct rapt_panel *panel, float *at) {
    panel->out = at;
    panel->max = panel->out + panel->value_dim * panel->width;
    panel->sum = panel->max + panel->width;
    panel->seen = panel->sum + panel->width;
}

/* Scratch of a panel: its lanes' keys, queries, the state of a chunk and that of all chunks. */
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
    panel->kernel = (struct rapt_panel){
        .width = width,
        .head_dim = p->head_dim,
        .value_dim = p->value_dim,
        .query = (float *)(void *)(panel->last + width),
    };
    float *state = panel->kernel.query + p->head_dim * width;
    panel->total = panel->kernel;
    place_state(&panel->total, state);
    place_state(&panel->kernel, plan->joins ? state + (p->value_dim + 3) * width : state);
    find_keys(w, panel);
}

static void read_queries(struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_kernels *kernels = w->plan->kernels;
    const int64_t channels = p->head_dim;
    if (!w->is_few) {
        rapt_gather_rows(w, panel, &p->query, w->data->query, 0, channels, panel->kernel.query);
        kernels->scale(panel->kernel.query, query_factor(p), channels * panel->kernel.width);
        return;
    }
    for (int r = 0; r < panel->lanes; r++)
        rapt_read_row(w->plan->kernels, w->few.query + r * channels, &p->query, w->data->query,
                      rapt_lane_offset(w, panel, r, &p->query), 1, channels);
    kernels->scale(w->few.query, query_factor(p), channels * panel->lanes);
}

/* The scratch of a few rows, at multiples of a cache line. */
static void place_few(struct worker *w, float *scratch) {
    const struct rapt_problem *p = &w->plan->problem;
    const int lanes = w->plan->kernels->lanes, most = w->plan->kernels->few_rows;
    const int64_t line = RAPT_ALIGN / (int64_t)sizeof(float);
    w->few = (struct rapt_few){
        .rows = w->panel[0].lanes,
        .head_dim = p->head_dim,
        .value_dim = p->value_dim,
        .query = scratch,
    };
    w->few.out = w->few.query + (most * p->head_dim + line - 1) / line * line;
    w->few.max = w->few.out + (most * p->value_dim + line - 1) / line * line;
    w->few.sum = w->few.max + lanes;
    w->few.seen = w->few.sum + lanes;
    w->few.lanes = w->few.max + (3 * lanes + line - 1) / line * line;
}

static struct worker make_worker(const struct rapt_plan *plan, const rapt_attention_data *data,
                                 const struct rapt_task *task, float *scratch) {
    const struct rapt_scratch *s = &plan->scratch;
    const int width = plan->kernels->panel_rows;
    struct worker w = {
        .plan = plan,
        .data = data,
        .task = task,
        .scores = scratch + s->scores,
        .bias = scratch + s->bias,
        .first = scratch + s->bounds,
        .last = scratch + s->bounds + width,
        .slope = scratch + s->bounds + 2 * width,
        .position = scratch + s->bounds + 3 * width,
        .rows = scratch + s->rows,
        .staged_key = scratch + s->staged_key,
        .staged_value = scratch + s->staged_value,
        .is_few = rapt_is_few(plan, task->batch),
        .stored_first = -1,
    };
    for (int i = 0; i < task->panels; i++)
        place_panel(&w, i, scratch + s->panels + (size_t)i * s->panel_floats);
    if (w.is_few)
        place_few(&w, scratch + s->few);
    return w;
}

static struct rapt_range meet(struct rapt_range a, struct rapt_range b) {
    return (struct rapt_range){rapt_max(a.first, b.first), rapt_min(a.last, b.last)};
}

/*
 * Calls visit for every block of keys that a panel wants. Panels that share keys go through a chunk
 * one after the other, while it lies in the cache.
 */
static void
visit_blocks(struct worker *w, struct rapt_range keys,
             struct rapt_range (*wanted)(const struct worker *, const struct work_panel *),
             void (*visit)(const struct worker *, const struct work_panel *, struct rapt_range)) {
    const struct rapt_plan *plan = w->plan;
    const int64_t block = plan->key_block, step = w->task->panels > 1 ? plan->chunk : block;
    for (int64_t at = keys.first / step * step; at < keys.last; at += step) {
        const struct rapt_range shared = meet(keys, (struct rapt_range){at, at + step});
        rapt_stage(w, shared);
        for (int i = 0; i < w->task->panels; i++) {
            const struct rapt_range own = meet(shared, wanted(w, &w->panel[i]));
            for (int64_t k = own.first / block * block; k < own.last; k += block)
                visit(w, &w->panel[i], meet(own, (struct rapt_range){k, k + block}));
        }
    }
}

static struct rapt_range attended_keys(const struct worker *w, const struct work_panel *panel) {
    (void)w;
    return panel->keys;
}

static void attend_block(const struct worker *w, const struct work_panel *panel,
                         struct rapt_range keys) {
    const struct rapt_block block = rapt_make_block(w, panel, keys, true);
    w->plan->kernels->attend(&panel->kernel, &block, w->scores);
}

static void attend_few(struct worker *w, struct rapt_range keys) {
    const int64_t block = w->plan->key_block;
    const int64_t last = rapt_min(w->panel[0].keys.last, w->task->chunks.last * w->plan->chunk);
    for (int64_t k = keys.first / block * block; k < keys.last; k += block) {
        const struct rapt_block stored =
            rapt_make_few_block(w, meet(keys, (struct rapt_range){k, k + block}),
                                (struct rapt_range){k + block, rapt_min(k + 2 * block, last)});
        w->plan->kernels->attend_few(&w->few, &stored, w->scores);
    }
}

/* Empties the state of the panels' chunk. */
static void begin_chunk(struct worker *w) {
    for (int i = 0; i < w->task->panels; i++)
        w->plan->kernels->clear(&w->panel[i].kernel);
    if (!w->is_few)
        return;
    const size_t lanes = (size_t)w->plan->kernels->lanes * sizeof(float);
    memcpy(w->few.max, w->panel[0].kernel.max, lanes);
    memcpy(w->few.sum, w->panel[0].kernel.sum, lanes);
    memcpy(w->few.seen, w->panel[0].kernel.seen, lanes);
    memset(w->few.out, 0, (size_t)(w->few.rows * w->few.value_dim) * sizeof(float));
}

/* Brings the state of a few rows into the panel's lanes. */
static void end_few(struct worker *w) {
    const struct rapt_panel *panel = &w->panel[0].kernel;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < panel->width; lane++) {
        const int r = lane < w->few.rows ? lane : w->few.rows - 1;
        rows[lane] = w->few.out + r * w->few.value_dim;
        panel->max[lane] = w->few.max[r];
        panel->sum[lane] = w->few.sum[r];
        panel->seen[lane] = w->few.seen[r];
    }
    w->plan->kernels->gather(panel->out, panel->width, rows, 1, w->few.value_dim);
}

static void run_chunk(struct worker *w, int64_t chunk) {
    const struct rapt_range keys = {chunk * w->plan->chunk, (chunk + 1) * w->plan->chunk};
    struct rapt_range all = {INT64_MAX, 0};
    for (int i = 0; i < w->task->panels; i++)
        all = rapt_join(all, w->panel[i].keys);
    begin_chunk(w);
    if (w->is_few) {
        attend_few(w, meet(all, keys));
        end_few(w);
    } else {
        visit_blocks(w, meet(all, keys), attended_keys, attend_block);
    }
}

/* A result of every row of a panel, if it is asked for. */
static void write_statistic(const struct worker *w, const struct work_panel *panel,
                            const rapt_tensor *t, void *data, const float *lanes) {
    if (t->dtype == RAPT_NONE)
        return;
    for (int lane = 0; lane < panel->rows.last - panel->rows.first; lane++)
        ((float *)data)[rapt_lane_offset(w, panel, lane, t)] = lanes[lane];
}

static void write_panel(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    float *sink = w->first, *lse = w->last, *top = w->slope;
    for (int lane = 0; p->sink.dtype != RAPT_NONE && lane < panel->total.width; lane++)
        sink[lane] = ((const float *)w->data->sink)[rapt_lane_offset(w, panel, lane, &p->sink)];
    w->plan->kernels->finish(&panel->total, p->sink.dtype == RAPT_NONE ? NULL : sink, lse, top);
    rapt_scatter_rows(w, panel, &p->out, w->data->out, 0, p->value_dim, panel->total.out);
    write_statistic(w, panel, &p->lse, w->data->lse, lse);
    write_statistic(w, panel, &p->max, w->data->max, top);
}

/* Keys that the output `weights` shows something else of than that they aren't attended. */
static struct rapt_range shown_keys(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    if (p->weights_kind == RAPT_WEIGHTS_SOFTMAX || p->weights_kind == RAPT_WEIGHTS_MASKED)
        return panel->keys;
    const bool all = !p->cu_k && !p->page_size;
    return (struct rapt_range){0, all ? p->key.shape[2] : rapt_kv_len(p, w->task->batch)};
}

static void weigh_block(const struct worker *w, const struct work_panel *panel,
                        struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const bool masks =
        p->weights_kind == RAPT_WEIGHTS_SOFTMAX || p->weights_kind == RAPT_WEIGHTS_MASKED;
    const struct rapt_block block = rapt_make_block(w, panel, keys, masks);
    w->plan->kernels->weigh(&panel->total, &block, p->weights_kind, w->scores);
    rapt_scatter_rows(w, panel, &p->weights, w->data->weights, keys.first * p->weights.stride[3],
                      block.keys, w->scores);
}

/* The weights of keys that no block of this panel covers. */
static void fill_weights(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_range shown = shown_keys(w, panel);
    const int64_t step = p->weights.stride[3];
    const float none = p->weights_kind == RAPT_WEIGHTS_MASKED ? -INFINITY : 0;
    const int count = (int)(panel->rows.last - panel->rows.first);
    for (int lane = 0; lane < count; lane++) {
        float *row = (float *)w->data->weights + rapt_lane_offset(w, panel, lane, &p->weights);
        for (int64_t i = 0; i < shown.first; i++)
            row[i * step] = none;
        for (int64_t i = shown.last; i < p->weights.shape[3]; i++)
            row[i * step] = none;
    }
}

static void write_weights(struct worker *w) {
    struct rapt_range all = {INT64_MAX, 0};
    for (int i = 0; i < w->task->panels; i++) {
        fill_weights(w, &w->panel[i]);
        all = rapt_join(all, shown_keys(w, &w->panel[i]));
    }
    visit_blocks(w, all, shown_keys, weigh_block);
}

static float *part_of(const struct rapt_plan *plan, const struct rapt_task *task, int64_t chunk,
                      float *parts) {
    const struct rapt_split *split = &plan->splits[task->split];
    return parts + (size_t)(split->part + chunk - split->chunks.first) * plan->part_floats;
}

void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *task, float *scratch, float *parts) {
    struct worker w = make_worker(plan, data, task, scratch);
    for (int i = 0; i < task->panels; i++) {
        read_queries(&w, &w.panel[i]);
        plan->kernels->clear(&w.panel[i].total);
    }
    for (int64_t chunk = task->chunks.first; chunk < task->chunks.last; chunk++) {
        if (task->split >= 0)
            place_state(&w.panel[0].kernel, part_of(plan, task, chunk, parts));
        run_chunk(&w, chunk);
        for (int i = 0; i < task->panels && plan->joins && task->split < 0; i++)
            plan->kernels->join(&w.panel[i].total, &w.panel[i].kernel);
    }
    if (task->split >= 0)
        return;
    for (int i = 0; i < task->panels; i++)
        write_panel(&w, &w.panel[i]);
    if (plan->problem.weights.dtype != RAPT_NONE)
        write_weights(&w);
}

void rapt_task_join(const struct rapt_plan *plan, const rapt_attention_data *data,
                    const struct rapt_task *task, float *scratch, float *parts) {
    struct worker w = make_worker(plan, data, task, scratch);
    struct work_panel *panel = &w.panel[0];
    const struct rapt_range chunks = plan->splits[task->split].chunks;
    plan->kernels->clear(&panel->total);
    for (int64_t chunk = chunks.first; chunk < chunks.last; chunk++) {
        place_state(&panel->kernel, part_of(plan, task, chunk, parts));
        plan->kernels->join(&panel->total, &panel->kernel);
    }
    write_panel(&w, panel);
}
