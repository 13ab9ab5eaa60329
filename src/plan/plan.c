/* SPDX-License-Identifier: Apache-2.0 */
/* The sizes of a plan: which panels share a task, how many threads there are, what memory they
 * need. */
#include "src/plan/plan.h"

#include <inttypes.h>

#include "src/base/status.h"
#include "src/plan/scratch.h"

enum {
    TASKS_PER_THREAD = 4, /* enough for an even load off one counter */
    TASKS_PER_THREAD_LEAST = 3,
    PANEL_BYTES_MAX = 1 << 20,
    THREADS_MAX = 4096,
    CHUNK_MASKS_MAX = 1 << 15, /* 512 KiB */
    PANELS_MAX = 1 << 28,      /* what takes seconds to count takes years to compute */
};

/* A thread that does less than this costs more to wake than it helps; docs/threads.md says how
 * this was measured. */
static const double flops_per_thread = 2e6;

int rapt_threads_for(double flops, int most) {
    if (flops < most * flops_per_thread)
        most = (int)(flops / flops_per_thread);
    return most < 1 ? 1 : most > THREADS_MAX ? THREADS_MAX : most;
}

static rapt_status too_large(const struct rapt_problem *p) {
    return rapt_fail(RAPT_INVALID_ARGUMENT,
                     "query: %" PRId64 " sequences, %" PRId64 " heads, %" PRId64
                     " positions and %" PRId64 " channels, expected a size that can be counted",
                     p->batch, p->q_heads, p->query.shape[2], p->head_dim);
}

/* What is known of the whole problem before it is divided. */
struct totals {
    double flops, cost;
    int64_t panels, longest; /* of all, and of a sequence and key head at most */
    bool counted;            /* there aren't too many */
};

static struct totals sum_up(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    struct totals t = {.counted = true};
    /* Without queries the batch may be of any number, which would take its time. */
    for (int64_t b = 0; b < p->batch && !rapt_is_empty(&p->query); b++) {
        const int64_t panels = rapt_panels(plan, b);
        t.longest = rapt_max(t.longest, panels);
        int64_t heads_panels;
        if (__builtin_mul_overflow(panels, p->kv_heads, &heads_panels) ||
            __builtin_add_overflow(t.panels, heads_panels, &t.panels) || t.panels > PANELS_MAX) {
            t.counted = false;
            break;
        }
        for (int64_t panel = 0; panel < panels; panel++) {
            int64_t cost;
            rapt_panel_keys(plan, b, panel, panel + 1, &cost);
            t.cost += (double)cost * (double)p->kv_heads;
        }
        plan->joins = plan->joins || rapt_kv_len(p, b) > plan->chunk;
        t.flops += rapt_flops(p, b);
        plan->has_few = plan->has_few || (panels > 0 && rapt_is_few(plan, b));
    }
    return t;
}

/* How much longer than an even share the last thread is at work, if all tasks cost the same. */
static double unevenness(const struct rapt_plan *plan, int64_t panels_per_task, int threads) {
    int64_t tasks = 0;
    for (int64_t b = 0; b < plan->problem.batch; b++)
        tasks += rapt_divide_up(rapt_panels(plan, b), panels_per_task);
    tasks *= plan->problem.kv_heads;
    return (double)(rapt_divide_up(tasks, threads) * threads) / (double)tasks;
}

/*
 * Panels of a task: as many as leave each of several threads TASKS_PER_THREAD. Or about as many, if
 * that makes the last round of tasks fuller. Fewer than RAPT_PANELS_SHARED would read keys and
 * values too often.
 */
static int64_t choose_panels(const struct rapt_plan *plan, int64_t panels, int64_t most,
                             int threads) {
    const int64_t tasks = threads == 1 ? 1 : plan->amx ? TASKS_PER_THREAD_LEAST : TASKS_PER_THREAD;
    const int64_t usual = rapt_max(1, rapt_min(panels / (threads * tasks), most));
    if (usual == 1 || threads == 1)
        return usual;
    int64_t best = usual;
    double least = unevenness(plan, usual, threads);
    const int64_t last = rapt_min(panels / ((int64_t)threads * TASKS_PER_THREAD_LEAST), most);
    for (int64_t n = rapt_min(usual, RAPT_PANELS_SHARED); n <= last; n++) {
        const double found = unevenness(plan, n, threads);
        if (found < 0.98 * least) {
            least = found;
            best = n;
        }
    }
    return best;
}

/* Heads that share a mask share its chunk masks: of the first panels and chunks, if there are
 * many. */
static void share_chunk_masks(struct rapt_plan *plan, int64_t panels) {
    const struct rapt_problem *p = &plan->problem;
    plan->chunk_mask_count = 0;
    if (p->mask.dtype == RAPT_NONE || p->mask.stride[1] != 0 || p->kv_heads == 1)
        return;
    plan->chunk_mask_panels = panels;
    plan->chunk_mask_chunks = rapt_divide_up(p->kv_most, plan->chunk);
    if (__builtin_mul_overflow(panels * plan->chunk_mask_chunks, p->batch, &plan->chunk_mask_count))
        plan->chunk_mask_count = CHUNK_MASKS_MAX;
    plan->chunk_mask_count = rapt_min(plan->chunk_mask_count, CHUNK_MASKS_MAX);
}

static bool received_sizes(struct rapt_plan *plan, int threads) {
    const struct rapt_problem *p = &plan->problem;
    struct rapt_received_plan *r = &plan->received;
    const int64_t columns = p->received.shape[3], heads = p->batch * p->q_heads;
    const int64_t panels = rapt_divide_up(columns, plan->panel_rows);
    const int64_t share = heads * panels / ((int64_t)threads * TASKS_PER_THREAD);
    r->panels = rapt_max(1, rapt_min(share, rapt_panels_most(plan)));
    r->tasks_per_head = rapt_divide_up(panels, r->panels);
    r->tasks = heads * r->tasks_per_head;
    const int64_t *shape = p->query.shape;
    return !__builtin_mul_overflow(shape[0] * shape[1], 2 * shape[2], &r->statistics);
}

rapt_status rapt_plan_sizes(struct rapt_plan *plan, int threads) {
    const struct rapt_problem *p = &plan->problem;
    rapt_plan_geometry(plan);
    const struct totals all = sum_up(plan);
    if (!all.counted)
        return too_large(p);
    threads = rapt_threads_for(all.flops, threads);
    share_chunk_masks(plan, all.longest);

    const int64_t row_floats =
        p->head_dim + p->value_dim + rapt_observed_count(p) + 2 * p->top_count;
    const int64_t row_bytes = row_floats * (int64_t)sizeof(float);
    const int64_t fit = PANEL_BYTES_MAX / (row_bytes * plan->panel_rows);
    const int64_t most = rapt_min(rapt_min(rapt_panels_most(plan), fit), all.longest);
    plan->panels_per_task = choose_panels(plan, all.panels, most, threads);
    /* Weights need the finished softmax, which a split has at its end only. The largest weights go
     * by the order of all keys. */
    const bool splits = threads > 1 && p->weights.dtype == RAPT_NONE && p->top_count == 0;
    const double shares = rapt_min((int64_t)threads * TASKS_PER_THREAD, RAPT_SPLITS_MAX);
    plan->split_cost = splits ? rapt_max(1, (int64_t)(all.cost / shares)) : INT64_MAX;
    rapt_count_tasks(plan);
    if (p->received.dtype != RAPT_NONE && !received_sizes(plan, threads))
        return too_large(p);
    plan->threads =
        (int)rapt_max(1, rapt_min(threads, rapt_max(plan->task_count, plan->received.tasks)));

    plan->stage_key = rapt_are_copied(plan, &p->key, plan->panels_per_task);
    plan->stage_value = rapt_are_copied(plan, &p->value, plan->panels_per_task);
    rapt_measure_scratch(plan);
    plan->part_bytes = plan->part_count > 0 ? rapt_state_bytes(p, plan->part_width) : 0;
    struct rapt_arena arena = {0};
    struct rapt_workspace workspace;
    rapt_place_workspace(plan, plan->threads, &arena, &workspace);
    return arena.too_large ? too_large(p) : RAPT_OK;
}

int64_t rapt_statistics_at(const struct rapt_problem *p, int64_t b, int64_t head, int64_t query) {
    const int64_t row = ((p->cu_q ? 0 : b) * p->q_heads + head) * p->query.shape[2];
    return 2 * (row + rapt_q_first(p, b) + query);
}
