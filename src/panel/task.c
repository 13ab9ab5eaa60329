/* SPDX-License-Identifier: Apache-2.0 */
#include "src/panel/task.h"

#include "src/plan/bind.h"
#include "src/panel/worker.h"

/* All chunks of a panel are done. */
static void end_panel(struct worker *w, struct work_panel *panel, float *statistics) {
    if (!panel->begun) {
        w->plan->kernels->clear(&panel->total);
        rapt_clear_out(&panel->total);
    } else if (w->is_few) {
        rapt_few_to_lanes(w, &panel->total);
    }
    rapt_write_panel(w, panel, statistics);
    panel->done = true;
}

/* The panels go through a chunk one after the other, while its keys lie in the cache. */
static void run_chunk(struct worker *w, int64_t chunk, float *statistics) {
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
        rapt_attend_chunk(w, panel, own[i]);
        if (!panel->done && panel->keys.last <= keys.last) /* while its state lies in the cache */
            end_panel(w, panel, statistics);
    }
}

static char *part_of(const struct worker *w, const struct rapt_split *split, int64_t chunk) {
    const size_t part = (size_t)(split->part + chunk - split->chunks.first);
    return w->parts + part * w->plan->part_bytes;
}

/* Leaves the states of a split's chunks to who joins them. */
static void run_parts(struct worker *w, const struct rapt_split *split) {
    struct work_panel *panel = &w->panel[0];
    if (!w->is_few)
        rapt_read_queries(w, panel);
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++) {
        rapt_place_part(w, panel, part_of(w, split, chunk));
        const struct rapt_range keys =
            rapt_survey(w, panel, rapt_meet(panel->keys, rapt_chunk_keys(w, chunk)));
        if (w->is_few) {
            rapt_attend_few_part(w, keys);
            rapt_few_to_lanes(w, &panel->kernel);
            continue;
        }
        rapt_attend_keys(w, panel, keys);
    }
}

static void run_whole(struct worker *w, float *statistics) {
    if (w->is_few && w->plan->problem.weights.dtype != RAPT_NONE)
        rapt_begin_kept(w);
    for (int64_t chunk = w->task->chunks.first; chunk < w->task->chunks.last; chunk++)
        run_chunk(w, chunk, statistics);
    for (int i = 0; i < w->task->panels; i++)
        if (!w->panel[i].done)
            end_panel(w, &w->panel[i], statistics);
    if (w->plan->problem.weights.dtype != RAPT_NONE)
        rapt_write_weights(w);
}

static void start_worker(struct worker *w, const struct rapt_plan *plan,
                         const struct rapt_task *task, const struct rapt_scratch *scratch,
                         const struct rapt_workspace *workspace) {
    const struct rapt_tensor *key = &plan->problem.key, *value = &plan->problem.value;
    w->plan = plan;
    w->task = task;
    w->scratch = scratch;
    w->parts = workspace->parts;
    w->chunk_masks = workspace->chunk_masks;
    w->staged_first = 0;
    w->is_few = rapt_is_few(plan, task->batch);
    w->stored_turn = 0;
    w->stored_first = -1;
    w->keys = (struct rapt_range){INT64_MAX, 0};
    for (int i = 0; i < task->panels; i++) {
        rapt_start_panel(w, i);
        w->keys = rapt_join(w->keys, w->panel[i].keys);
    }
    if (!w->is_few)
        return;
    rapt_start_few(w);
    w->key_bytes = rapt_bytes(key, plan->problem.head_dim);
    w->value_bytes = rapt_bytes(value, plan->problem.value_dim);
    w->key_step = rapt_bytes(key, key->stride[2]);
    w->value_step = rapt_bytes(value, value->stride[2]);
}

void rapt_task_run(const struct rapt_plan *plan, const struct rapt_task *planned,
                   const struct rapt_scratch *scratch, const struct rapt_workspace *workspace) {
    struct rapt_task task;
    struct rapt_split split;
    struct worker w;
    if (!rapt_task_of_run(plan, planned, &task, &split))
        return;
    start_worker(&w, plan, &task, scratch, workspace);
    if (plan->amx)
        plan->kernels->open(w.is_few);
    if (task.split >= 0)
        run_parts(&w, &split);
    else
        run_whole(&w, workspace->statistics);
    if (plan->amx)
        plan->kernels->close();
}

void rapt_task_join(const struct rapt_plan *plan, const struct rapt_task *planned,
                    const struct rapt_scratch *scratch, const struct rapt_workspace *workspace) {
    struct rapt_task task;
    struct rapt_split split;
    struct worker w;
    rapt_task_of_run(plan, planned, &task, &split);
    if (task.split < 0)
        return;
    start_worker(&w, plan, &task, scratch, workspace);
    struct work_panel *panel = &w.panel[0];
    plan->kernels->clear(&panel->total);
    rapt_clear_out(&panel->total);
    for (int64_t chunk = split.chunks.first; chunk < split.chunks.last; chunk++) {
        rapt_place_part(&w, panel, part_of(&w, &split, chunk));
        plan->kernels->join(&panel->total, &panel->kernel);
    }
    rapt_write_panel(&w, panel, workspace->statistics);
}
