/* SPDX-License-Identifier: Apache-2.0 */
#include "src/plan/bind.h"

#include "src/base/environment.h"

static void bind_tensors(struct rapt_problem *p, const rapt_attention_data *data) {
    const struct {
        rapt_tensor *tensor;
        const void *data;
    } all[] = {
        {&p->query, data->query},
        {&p->key, data->key},
        {&p->value, data->value},
        {&p->key_scale, data->key_scale},
        {&p->value_scale, data->value_scale},
        {&p->mask, data->mask},
        {&p->alibi, data->alibi},
        {&p->sink, data->sink},
        {&p->out, data->out},
        {&p->lse, data->lse},
        {&p->max, data->max},
        {&p->weights, data->weights},
        {&p->entropy, data->entropy},
        {&p->top_weight, data->top_weight},
        {&p->top_key, data->top_key},
        {&p->distance, data->distance},
        {&p->segments, data->segments},
        {&p->diagonals, data->diagonals},
        {&p->received, data->received},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        all[i].tensor->data = (void *)(uintptr_t)all[i].data;
}

/* The threads that the run's lengths are worth. */
static int count_threads(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    fenv_t callers;
    double flops = 0;
    rapt_enter_environment(&callers);
    for (int64_t b = 0; b < p->batch; b++)
        flops += rapt_flops(p, b);
    const int threads = rapt_threads_for(flops, plan->threads);
    rapt_leave_environment(&callers);
    return threads;
}

void rapt_bind(const struct rapt_plan *plan, const rapt_attention_data *data,
               struct rapt_plan *bound) {
    struct rapt_problem *p = &bound->problem;
    *bound = *plan;
    bind_tensors(p, data);
    bound->is_of_run =
        data->kv_len || data->kv_start || data->q_offset || data->mask_start || data->block_table;
    if (!bound->is_of_run)
        return;
    p->kv_lens = data->kv_len ? data->kv_len : p->kv_lens;
    p->kv_starts = data->kv_start ? data->kv_start : p->kv_starts;
    p->q_offset = data->q_offset ? data->q_offset : p->q_offset;
    p->mask_start = data->mask_start ? data->mask_start : p->mask_start;
    if (data->block_table) {
        p->block_table = data->block_table;
        p->block_table_stride = plan->table_stride;
    }
    bound->threads = count_threads(bound);
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
