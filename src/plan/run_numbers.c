/* SPDX-License-Identifier: Apache-2.0 */
#include "src/plan/run_numbers.h"

#include "src/run/run.h"

const struct rapt_plan *rapt_plan_of_run(const struct rapt_plan *plan,
                                         const rapt_attention_data *data, struct rapt_plan *room) {
    if (!data->kv_len && !data->q_offset && !data->mask_start && !data->block_table)
        return plan;
    *room = *plan;
    room->is_of_run = true;
    struct rapt_problem *p = &room->problem;
    p->kv_lens = data->kv_len ? data->kv_len : p->kv_lens;
    p->q_offset = data->q_offset ? data->q_offset : p->q_offset;
    p->mask_start = data->mask_start ? data->mask_start : p->mask_start;
    if (data->block_table) {
        p->block_table = data->block_table;
        p->block_table_stride = plan->table_stride;
    }
    fenv_t callers;
    double flops = 0;
    rapt_enter_environment(&callers);
    for (int64_t b = 0; b < p->batch; b++)
        flops += rapt_flops(p, b);
    room->threads = rapt_threads_for(flops, plan->threads);
    fesetenv(&callers);
    return room;
}

bool rapt_task_of_run(const struct rapt_plan *plan, const struct rapt_task *planned,
                      struct rapt_task *task, struct rapt_split *split) {
    *task = *planned;
    if (planned->split >= 0)
        *split = plan->splits[planned->split];
    if (!plan->is_of_run)
        return true;
    if (plan->threads == 1)
        task->split = -1;
    if (task->split < 0 && planned->piece > 0)
        return false;
    task->chunks = rapt_task_chunks(plan, planned);
    if (task->split < 0)
        return true;
    split->chunks = task->chunks;
    const int64_t first = task->chunks.first, chunks = task->chunks.last - first;
    /* An offset beyond the plan's may want more parts than there is room for. */
    if (chunks < 2 || chunks > split->parts) {
        task->split = -1;
        return planned->piece == 0;
    }
    const int64_t pieces = rapt_min(split->tasks, chunks);
    task->chunks.first = first + planned->piece * chunks / pieces;
    task->chunks.last = first + (planned->piece + 1) * chunks / pieces;
    return planned->piece < pieces;
}
