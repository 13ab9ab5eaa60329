/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: check, plan, run. */
#include <rapt/rapt.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arena.h"
#include "src/check/check.h"
#include "src/base/isa.h"
#include "src/plan/bind.h"
#include "src/run/cpus.h"
#include "src/run/run.h"
#include "src/base/status.h"
#include "src/base/environment.h"

/* Pages that the longest sequence has. */
static int64_t most_pages(const struct rapt_problem *p) {
    int64_t most = 0;
    for (int64_t b = 0; b < p->batch; b++)
        most = p->kv_lens[b] > most ? p->kv_lens[b] : most;
    return (most + p->page_size - 1) / p->page_size;
}

/* Copies an array of the caller's, which need not outlive the call, if there is one. */
static void keep_array(struct rapt_arena *arena, const int64_t **array, int64_t count) {
    int64_t *copy = *array ? rapt_take(arena, sizeof *copy, count, 1, 1) : NULL;
    if (copy)
        *array = memcpy(copy, *array, (size_t)count * sizeof *copy);
}

/* Copies the columns of a block table that are in use. */
static void keep_table(struct rapt_arena *arena, struct rapt_problem *p) {
    const int64_t columns = p->block_table ? most_pages(p) : 0;
    int32_t *copy = p->block_table ? rapt_take(arena, sizeof *copy, p->batch, columns, 1) : NULL;
    if (!copy)
        return;
    for (int64_t b = 0; b < p->batch && columns > 0; b++)
        memcpy(copy + b * columns, p->block_table + b * p->block_table_stride,
               (size_t)columns * sizeof *copy);
    p->block_table = copy;
    p->block_table_stride = columns;
}

/* In an arena without memory it finds their size alone. */
static void keep_numbers(struct rapt_arena *arena, struct rapt_problem *p) {
    keep_table(arena, p); /* first: it reads lengths */
    keep_array(arena, &p->q_offset, p->batch);
    keep_array(arena, &p->kv_lens, p->batch);
    keep_array(arena, &p->kv_starts, p->batch);
    keep_array(arena, &p->mask_start, p->batch);
    keep_array(arena, &p->cu_q, p->batch + 1);
    keep_array(arena, &p->cu_k, p->batch + 1);
    keep_array(arena, &p->segment_bounds, p->segment_count + 1);
    keep_array(arena, &p->diagonal_offsets, p->diagonal_count);
}

static rapt_status fill_plan(struct rapt_plan *plan, const rapt_attention_args *args) {
    rapt_status status = rapt_check_args(args, &plan->problem);
    if (status == RAPT_OK)
        status = rapt_isa_kernels(args->isa, &plan->kernels);
    if (status != RAPT_OK)
        return status;
    static atomic_uint plans;
    do
        plan->number = atomic_fetch_add_explicit(&plans, 1, memory_order_relaxed);
    while (plan->number == 0);
    plan->data = rapt_attention_data_of(args);
    plan->interrupted = args->interrupted;
    plan->interrupted_context = args->interrupted_context;
    struct rapt_arena arena = {0};
    keep_numbers(&arena, &plan->problem);
    plan->numbers = malloc(rapt_arena_bytes(&arena));
    if (!plan->numbers)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "plan: no memory for the numbers of %lld sequences",
                         (long long)plan->problem.batch);
    plan->table_stride = plan->problem.block_table_stride;
    arena = rapt_arena_in(plan->numbers);
    keep_numbers(&arena, &plan->problem);
    status = rapt_plan_sizes(plan, rapt_threads(args->threads));
    if (status != RAPT_OK)
        return status;
    plan->tasks = reallocarray(NULL, (size_t)plan->task_count + 1, sizeof *plan->tasks);
    plan->splits = reallocarray(NULL, (size_t)plan->split_count + 1, sizeof *plan->splits);
    if (!plan->tasks || !plan->splits)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "plan: no memory for %lld tasks",
                         (long long)plan->task_count);
    rapt_plan_tasks(plan);
    return RAPT_OK;
}

rapt_status rapt_plan_create(const rapt_attention_args *args, rapt_plan **plan) {
    if (!plan)
        return rapt_fail(RAPT_INVALID_ARGUMENT, "plan: found NULL, expected where to put the plan");
    *plan = NULL;
    struct rapt_plan *made = calloc(1, sizeof *made);
    if (!made)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "plan: no memory for it");
    fenv_t callers;
    rapt_enter_environment(&callers);
    const rapt_status status = fill_plan(made, args);
    rapt_leave_environment(&callers);
    if (status == RAPT_OK)
        *plan = made;
    else
        rapt_plan_destroy(made);
    return status;
}

void rapt_plan_destroy(rapt_plan *plan) {
    if (!plan)
        return;
    free(plan->numbers);
    free(plan->tasks);
    free(plan->splits);
    free(plan);
}

size_t rapt_plan_workspace_size(const rapt_plan *plan) {
    return plan ? rapt_run_workspace(plan, plan->threads) : 0;
}

int rapt_plan_threads(const rapt_plan *plan) {
    return plan ? plan->threads : 0;
}

const char *rapt_plan_isa(const rapt_plan *plan) {
    return plan ? plan->kernels->name : "";
}

static rapt_status no_plan(void) {
    return rapt_fail(RAPT_INVALID_ARGUMENT, "plan: found NULL, expected a plan");
}

static rapt_status check_workspace(size_t size, size_t needed) {
    if (size >= needed)
        return RAPT_OK;
    return rapt_fail(RAPT_INVALID_ARGUMENT, "workspace_size: found %zu, expected %zu or more", size,
                     needed);
}

rapt_status rapt_plan_run(const rapt_plan *plan, const rapt_attention_data *data, void *workspace,
                          size_t workspace_size) {
    if (!plan)
        return no_plan();
    const size_t needed = rapt_plan_workspace_size(plan);
    data = data ? data : &plan->data;
    rapt_status status = rapt_check_data(&plan->problem, plan->table_stride, data);
    if (status == RAPT_OK && workspace)
        status = check_workspace(workspace_size, needed);
    if (status != RAPT_OK)
        return status;
    void *allocated = workspace ? NULL : malloc(needed);
    if (!workspace && !allocated)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes", needed);
    struct rapt_plan bound;
    rapt_bind(plan, data, &bound);
    const bool done = rapt_run(&bound, workspace ? workspace : allocated);
    free(allocated);
    return done ? RAPT_OK : rapt_fail(RAPT_INTERRUPTED, "interrupted before all was computed");
}

size_t rapt_plan_slices_workspace_size(const rapt_plan *plan, int slices) {
    return plan && slices > 0 ? rapt_run_workspace(plan, slices) : 0;
}

rapt_status rapt_plan_run_slice(const rapt_plan *plan, const rapt_attention_data *data, int slice,
                                int slices, void *workspace, size_t workspace_size) {
    if (!plan)
        return no_plan();
    if (slice < 0 || slice >= slices)
        return rapt_fail(RAPT_INVALID_ARGUMENT, "slice: found %d of %d, expected 0 to slices - 1",
                         slice, slices);
    if (!workspace)
        return rapt_fail(RAPT_INVALID_ARGUMENT,
                         "workspace: found NULL, expected memory that the slices share");
    data = data ? data : &plan->data;
    rapt_status status = rapt_check_data(&plan->problem, plan->table_stride, data);
    if (status == RAPT_OK)
        status = check_workspace(workspace_size, rapt_run_workspace(plan, slices));
    if (status != RAPT_OK)
        return status;
    struct rapt_plan bound;
    rapt_bind(plan, data, &bound);
    if (!rapt_run_slice(&bound, slice, slices, workspace))
        return rapt_fail(RAPT_INVALID_ARGUMENT,
                         "workspace: found one that is neither zero nor left by a run that ended, "
                         "or another run's, expected one that no other run uses");
    return RAPT_OK;
}

rapt_status rapt_attention(const rapt_attention_args *args) {
    rapt_plan *plan;
    rapt_status status = rapt_plan_create(args, &plan);
    if (status == RAPT_OK)
        status = rapt_plan_run(plan, NULL, NULL, 0);
    rapt_plan_destroy(plan);
    return status;
}
