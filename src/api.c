/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: check, plan, run. */
#include <rapt/rapt.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "isa.h"
#include "run.h"
#include "status.h"

/* Takes over the caller's numbers, which need not outlive the call. */
static bool keep_numbers(const int64_t **numbers, int64_t count) {
    if (!*numbers)
        return true;
    int64_t *copy = malloc((size_t)count * sizeof *copy);
    if (copy)
        memcpy(copy, *numbers, (size_t)count * sizeof *copy);
    *numbers = copy;
    return copy != NULL;
}

static rapt_status fill_plan(struct rapt_plan *plan, const rapt_attention_args *args) {
    struct rapt_problem problem;
    rapt_status status = rapt_check_args(args, &problem);
    if (status == RAPT_OK)
        status = rapt_isa_kernels(args->isa, &plan->kernels);
    if (status != RAPT_OK)
        return status;

    plan->problem = problem;
    plan->data = rapt_attention_data_of(args);
    const bool offsets = keep_numbers(&plan->problem.q_offset, problem.batch);
    const bool lengths = keep_numbers(&plan->problem.kv_lens, problem.batch);
    status = rapt_plan_sizes(plan, rapt_run_threads(args->threads));
    if (status != RAPT_OK)
        return status;
    plan->tasks = reallocarray(NULL, (size_t)plan->task_count, sizeof *plan->tasks);
    if (!offsets || !lengths || !plan->tasks)
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
    fesetenv(&callers);
    if (status == RAPT_OK)
        *plan = made;
    else
        rapt_plan_destroy(made);
    return status;
}

void rapt_plan_destroy(rapt_plan *plan) {
    if (!plan)
        return;
    free((void *)(uintptr_t)plan->problem.q_offset);
    free((void *)(uintptr_t)plan->problem.kv_lens);
    free(plan->tasks);
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
    rapt_status status = rapt_check_data(&plan->problem, data);
    if (status == RAPT_OK && workspace)
        status = check_workspace(workspace_size, needed);
    if (status != RAPT_OK)
        return status;
    void *allocated = workspace ? NULL : malloc(needed);
    if (!workspace && !allocated)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes", needed);
    rapt_run(plan, data, workspace ? workspace : allocated);
    free(allocated);
    return RAPT_OK;
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
    rapt_status status = rapt_check_data(&plan->problem, data);
    if (status == RAPT_OK)
        status = check_workspace(workspace_size, rapt_run_workspace(plan, slices));
    if (status == RAPT_OK)
        rapt_run_slice(plan, data, slice, slices, workspace);
    return status;
}

rapt_status rapt_attention(const rapt_attention_args *args) {
    rapt_plan *plan;
    rapt_status status = rapt_plan_create(args, &plan);
    if (status == RAPT_OK)
        status = rapt_plan_run(plan, NULL, NULL, 0);
    rapt_plan_destroy(plan);
    return status;
}
