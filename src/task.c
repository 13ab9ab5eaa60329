/* SPDX-License-Identifier: Apache-2.0 */
#include "task.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "row.h"
#include "worker.h"

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
        panel->keys.first -= any.first % (w->plan->packed ? RAPT_PACKED_KEYS : RAPT_SUMMED_KEYS);
}

static void find_slopes(const struct worker *w, struct work_panel *panel) {
    const rapt_tensor *alibi = &w->plan->problem.alibi;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, alibi, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        panel->slope[lane] = rapt_slope(((const float *)w->data->alibi)[offsets[lane]]);
}

/* Lets a panel's state be what lies at `at`. */
static void place_state(const struct rapt_problem *p, struct rapt_panel *panel, float *at) {
    const int width = panel->width;
    panel->out = at;
    panel->max = panel->out + panel->value_dim * width;
    panel->sum = panel->max + width;
    panel->seen = panel->sum + width;
    float *watched = panel->seen + width;
    if (p->entropy.dtype != RAPT_NONE) {
        panel->watch.entropy = watched;
        watched += width;
    }
    if (p->distance.dtype != RAPT_NONE) {
        panel->watch.distance = watched;
        watched += width;
    }
    panel->watch.segments = (int)p->segment_count;
    panel->watch.bounds = p->segment_bounds;
    panel->watch.mass = watched;
    panel->watch.diagonals = (int)p->diagonal_count;
    panel->watch.offsets = p->diagonal_offsets;
    panel->watch.diagonal = watched + p->segment_count * width;
}

/* The largest weights of all chunks, none yet, from `at` on. */
static void place_top(const struct rapt_problem *p, struct rapt_panel *panel, float *at) {
    const int64_t count = p->top_count * panel->width;
    panel->watch.top = (int)p->top_count;
    panel->watch.top_weight = at;
    panel->watch.top_key = at + count;
    memset(panel->watch.top_key, 0xff, (size_t)count * sizeof *at); /* -1 */
    for (int64_t i = 0; i < count; i++)
        panel->watch.top_weight[i] = -INFINITY;
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
    place_top(p, &panel->kernel, state + rapt_state_floats(p) * width);
    panel->total = panel->kernel;
    panel->begun = panel->done = false;
    find_keys(w, panel);
    if (p->alibi.dtype != RAPT_NONE)
        find_slopes(w, panel);
}

/* A channel of all rows after the other, some channels at a time. There is code for 1, 2, 4 ...
 * rows, so the last one is repeated up to there. */
static void read_few(struct worker *w, const struct work_panel *panel) {
    const rapt_tensor *query = &w->plan->problem.query;
    const int most = w->plan->kernels->few_rows;
    const int64_t channels = w->plan->problem.head_dim;
    float some[64];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    int rows = 1;
    while (rows < panel->lanes)
        rows *= 2;
    rapt_lane_offsets(w, panel, query, panel->lanes, offsets);
    for (int r = 0; r < rows; r++) {
        const int64_t row = offsets[r < panel->lanes ? r : panel->lanes - 1];
        for (int64_t c = 0, n; c < channels; c += n) {
            n = rapt_min(channels - c, (int64_t)(sizeof some / sizeof *some));
            rapt_read_row(w->plan->kernels, some, query, w->data->query, row + c * query->stride[3],
                          1, n);
            for (int64_t i = 0; i < n; i++)
                w->few.query[(c + i) * most + r] = some[i];
        }
    }
}

/* Lanes beyond the last row repeat it. */
static void pack_queries(struct worker *w, const struct work_panel *panel) {
    const rapt_tensor *query = &w->plan->problem.query;
    const int width = w->is_few ? w->plan->kernels->lanes : panel->kernel.width;
    const uint16_t *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, query, panel->lanes, offsets);
    for (int lane = 0; lane < width; lane++)
        rows[lane] = lane < panel->lanes
                         ? rapt_dense_row(query, w->data->query, offsets[lane],
                                          w->unpacked + lane * w->plan->problem.head_dim)
                         : rows[lane - 1];
    w->plan->kernels->pack_lanes(w->is_few ? w->few.query : panel->kernel.query, width, rows,
                                 w->plan->problem.head_dim, true);
}

void rapt_read_queries(struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_kernels *kernels = w->plan->kernels;
    const int64_t channels = p->head_dim;
    if (w->plan->packed) {
        pack_queries(w, panel);
    } else if (w->is_few) {
        read_few(w, panel);
        kernels->scale(w->few.query, rapt_query_factor(p), channels * kernels->few_rows);
    } else {
        rapt_gather_rows(w, panel, &p->query, w->data->query, 0, channels, panel->kernel.query);
        kernels->scale(panel->kernel.query, rapt_query_factor(p), channels * panel->kernel.width);
    }
}

/* Lets the state of a few rows be what lies at `at`. Returns its end. */
static float *place_few_state(const struct rapt_kernels *kernels, struct rapt_few *few, float *at) {
    few->out = at;
    few->max = few->out + rapt_few_floats(kernels, few->value_dim);
    few->sum = few->max + kernels->lanes;
    few->seen = few->sum + kernels->lanes;
    return few->seen + kernels->lanes;
}

static void clear_few(const struct rapt_kernels *kernels, const struct rapt_few *few) {
    memset(few->out, 0, (size_t)(few->rows * few->value_dim) * sizeof *few->out);
    for (int lane = 0; lane < kernels->lanes; lane++) {
        few->max[lane] = -FLT_MAX;
        few->sum[lane] = few->seen[lane] = 0;
    }
}

static void place_few(struct worker *w, float *scratch) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_kernels *kernels = w->plan->kernels;
    w->few = (struct rapt_few){
        .rows = w->panel[0].lanes,
        .head_dim = p->head_dim,
        .value_dim = p->value_dim,
        .query = scratch,
    };
    w->few_part = w->few;
    scratch += rapt_few_query_floats(w->plan);
    scratch = place_few_state(kernels, &w->few, scratch);
    w->few.sums = w->few_part.sums = place_few_state(kernels, &w->few_part, scratch);
    clear_few(kernels, &w->few);
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
    w->unpacked = (uint16_t *)(void *)(scratch + s->unpacked);
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
    place_few(w, scratch + s->few);
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
    block.begins = panel->empty;
    panel->empty = false;
    rapt_look_ahead(w, panel, keys, &block);
    w->plan->kernels->attend(&panel->kernel, &block, w->scores);
}

/* The next block from some key on of which a row attends any; the last of a chunk is followed by
 * the first of the next one. */
static struct rapt_range next_few(const struct worker *w, int64_t key, struct rapt_range keys,
                                  int64_t last) {
    const int64_t block = w->plan->key_block;
    for (; key < keys.last; key = (key / block + 1) * block) {
        const struct rapt_range own = {key, rapt_min((key / block + 1) * block, keys.last)};
        const struct rapt_range some = rapt_attended(w, &w->panel[0], own);
        if (some.first < some.last)
            return some;
    }
    const int64_t next = rapt_divide_up(keys.last, w->plan->chunk) * w->plan->chunk;
    return (struct rapt_range){rapt_max(key, next), rapt_min(rapt_max(key, next) + block, last)};
}

static void attend_few(struct worker *w, const struct rapt_few *few, struct rapt_range keys) {
    const int64_t block = w->plan->key_block;
    const int64_t last = rapt_min(w->panel[0].keys.last, w->task->chunks.last * w->plan->chunk);
    struct rapt_range own = next_few(w, keys.first, keys, last), next;
    for (; own.first < keys.last; own = next) {
        next = next_few(w, (own.first / block + 1) * block, keys, last);
        const struct rapt_block stored = rapt_make_few_block(w, own, next);
        w->plan->kernels->attend_few(few, &stored, w->scores);
    }
}

/* Brings the state of a few rows into a panel's lanes. */
static void end_few(const struct worker *w, const struct rapt_panel *panel) {
    const struct rapt_few *few = &w->few;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < panel->width; lane++) {
        const int r = lane < few->rows ? lane : few->rows - 1;
        rows[lane] = few->out + r * few->value_dim;
        panel->max[lane] = few->max[r];
        panel->sum[lane] = few->sum[r];
        panel->seen[lane] = few->seen[r];
    }
    w->plan->kernels->gather(panel->out, panel->width, rows, 1, few->value_dim);
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
        end_few(w, &panel->total);
    }
    rapt_write_panel(w, panel, results);
    panel->done = true;
}

static void attend_few_chunk(struct worker *w, struct rapt_range keys) {
    const struct rapt_kernels *kernels = w->plan->kernels;
    if (keys.first >= keys.last)
        return;
    if (!w->panel[0].begun) {
        rapt_read_queries(w, &w->panel[0]);
        w->panel[0].begun = true;
        attend_few(w, &w->few, keys);
        return;
    }
    clear_few(kernels, &w->few_part);
    attend_few(w, &w->few_part, keys);
    kernels->join_few(&w->few, &w->few_part);
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
        attend_few_chunk(w, own[0]);
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

static float *part_of(const struct rapt_plan *plan, const struct rapt_task *task, int64_t chunk,
                      float *parts) {
    const struct rapt_split *split = &plan->splits[task->split];
    return parts + (size_t)(split->part + chunk - split->chunks.first) * plan->part_floats;
}

/* Leaves the states of a split's chunks to who joins them. */
static void run_parts(struct worker *w, float *parts) {
    struct work_panel *panel = &w->panel[0];
    rapt_read_queries(w, panel);
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++) {
        place_state(&w->plan->problem, &panel->kernel, part_of(w->plan, w->task, chunk, parts));
        const struct rapt_range keys =
            rapt_survey(w, panel, rapt_meet(panel->keys, rapt_chunk_keys(w, chunk)));
        if (w->is_few) {
            clear_few(w->plan->kernels, &w->few);
            attend_few(w, &w->few, keys);
            end_few(w, &panel->kernel);
            continue;
        }
        attend_keys(w, panel, keys);
    }
}

static void run_whole(struct worker *w, float *results) {
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++)
        run_chunk(w, chunk, results);
    for (int i = 0; i < w->task->panels; i++)
        if (!w->panel[i].done)
            end_panel(w, &w->panel[i], results);
    if (w->plan->problem.weights.dtype != RAPT_NONE)
        rapt_write_weights(w);
}

void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *task, float *scratch, float *parts, float *results,
                   struct rapt_look *looks) {
    struct worker w;
    make_worker(&w, plan, data, task, scratch);
    w.looks = looks;
    if (plan->packed)
        plan->kernels->open(w.is_few);
    if (task->split >= 0)
        run_parts(&w, parts);
    else
        run_whole(&w, results);
    if (plan->packed)
        plan->kernels->close();
}

void rapt_task_join(const struct rapt_plan *plan, const rapt_attention_data *data,
                    const struct rapt_task *task, float *scratch, float *parts, float *results) {
    struct worker w;
    make_worker(&w, plan, data, task, scratch);
    struct work_panel *panel = &w.panel[0];
    const struct rapt_range chunks = plan->splits[task->split].chunks;
    plan->kernels->clear(&panel->total);
    clear_out(&panel->total);
    for (int64_t chunk = chunks.first; chunk < chunks.last; chunk++) {
        place_state(&plan->problem, &panel->kernel, part_of(plan, task, chunk, parts));
        plan->kernels->join(&panel->total, &panel->kernel);
    }
    rapt_write_panel(&w, panel, results);
}
