/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks of a plan: panels of a sequence and key head, over all their chunks of keys or a piece
 * of these. */
#include "src/plan/plan.h"

static struct rapt_range chunks_of(const struct rapt_plan *plan, struct rapt_range keys) {
    return (struct rapt_range){keys.first / plan->chunk, rapt_divide_up(keys.last, plan->chunk)};
}

struct rapt_range rapt_task_chunks(const struct rapt_plan *plan, const struct rapt_task *task) {
    int64_t cost;
    return chunks_of(
        plan, rapt_panel_keys(plan, task->batch, task->panel, task->panel + task->panels, &cost));
}

/* One task, or where it would be too heavy, one for each part of its chunks. */
static void add_tasks(struct rapt_plan *plan, struct rapt_task task, struct rapt_range keys) {
    task.chunks = chunks_of(plan, keys);
    const int64_t chunks = task.chunks.last - task.chunks.first;
    int64_t pieces = 1;
    if (task.panels == 1 && task.cost > plan->split_cost)
        pieces = rapt_min(rapt_divide_up(task.cost, plan->split_cost), chunks);
    task.split = -1;
    if (pieces > 1) {
        /* What a window reaches may begin elsewhere in a chunk when a run brings its numbers. */
        const int64_t parts = chunks + (task.chunks.first > 0);
        if (plan->splits)
            plan->splits[plan->split_count] =
                (struct rapt_split){task.chunks, plan->part_count, parts, (int)pieces};
        const struct rapt_range rows = rapt_panel_rows(plan, task.batch, task.panel);
        task.split = (int32_t)plan->split_count++;
        plan->part_count += parts;
        plan->part_width = (int)rapt_max(plan->part_width, rapt_panel_width(plan, rows));
    }
    struct rapt_task piece = task;
    for (int64_t i = 0; i < pieces; i++) {
        piece.piece = (int32_t)i;
        piece.chunks.first = task.chunks.first + i * chunks / pieces;
        piece.chunks.last = task.chunks.first + (i + 1) * chunks / pieces;
        piece.cost = task.cost / pieces;
        if (plan->tasks)
            plan->tasks[plan->task_count] = piece;
        plan->task_count++;
    }
}

void rapt_count_tasks(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    plan->task_count = plan->split_count = plan->part_count = 0;
    for (int32_t b = 0; b < p->batch && !rapt_is_empty(&p->query); b++) {
        const int64_t panels = rapt_panels(plan, b);
        const int64_t shares = rapt_divide_up(panels, plan->panels_per_task);
        for (int64_t i = 0; i < shares; i++) {
            const int64_t panel = i * panels / shares, last = (i + 1) * panels / shares;
            struct rapt_task task = {.batch = b, .panel = panel, .panels = (int32_t)(last - panel)};
            const struct rapt_range keys = rapt_panel_keys(plan, b, panel, last, &task.cost);
            for (int32_t h = 0; h < p->kv_heads; h++) {
                task.kv_head = h;
                add_tasks(plan, task, keys);
            }
        }
    }
}

/* Of equal ones the last panel first: if there is a mask, then mostly one that gives it more. */
static bool is_heavier(const struct rapt_task *x, const struct rapt_task *y) {
    if (x->cost != y->cost)
        return x->cost > y->cost;
    if (x->batch != y->batch)
        return x->batch < y->batch;
    if (x->kv_head != y->kv_head)
        return x->kv_head < y->kv_head;
    if (x->panel != y->panel)
        return x->panel > y->panel;
    return x->chunks.first < y->chunks.first;
}

/* Lets a task sink in a heap of n that has the lightest on top. */
static void sink(struct rapt_task *tasks, int64_t at, int64_t n) {
    const struct rapt_task task = tasks[at];
    for (int64_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_heavier(&tasks[child], &tasks[child + 1]))
            child++;
        if (!is_heavier(&task, &tasks[child]))
            break;
        tasks[at] = tasks[child];
        at = child;
    }
    tasks[at] = task;
}

/* Heaviest first; in place, for qsort() may allocate. */
void rapt_plan_tasks(struct rapt_plan *plan) {
    struct rapt_task *tasks = plan->tasks;
    rapt_count_tasks(plan);
    for (int64_t i = plan->task_count / 2 - 1; i >= 0; i--)
        sink(tasks, i, plan->task_count);
    for (int64_t n = plan->task_count - 1; n > 0; n--) {
        const struct rapt_task lightest = tasks[0];
        tasks[0] = tasks[n];
        tasks[n] = lightest;
        sink(tasks, 0, n);
    }
}
