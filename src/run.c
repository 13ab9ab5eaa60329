/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <stdatomic.h>

#ifdef _OPENMP
#    include <omp.h>
#endif

#include "task.h"

/* What the threads of one run share. It lies at the start of the workspace. */
struct team {
    const struct rapt_plan *plan;
    const rapt_attention_data *data;
    float *scratch;
    _Alignas(RAPT_ALIGN) atomic_int_fast64_t next_task;
    atomic_int next_slot;
};

int rapt_run_threads(int asked) {
#ifdef _OPENMP
    return asked ? asked : omp_get_max_threads();
#else
    (void)asked;
    return 1;
#endif
}

size_t rapt_run_workspace(const struct rapt_plan *plan) {
    return sizeof(struct team) + RAPT_ALIGN +
           (size_t)plan->threads * plan->scratch.floats * sizeof(float);
}

void rapt_enter_environment(fenv_t *callers) {
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}

/* Takes tasks until there are none left. Any number of threads may do so at a time. */
static void work(struct team *team) {
    const struct rapt_plan *plan = team->plan;
    const size_t slot = (size_t)atomic_fetch_add(&team->next_slot, 1);
    float *scratch = team->scratch + slot * plan->scratch.floats;
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&team->next_task, 1, memory_order_relaxed);
        if (i >= plan->task_count)
            break;
        rapt_task_run(plan, team->data, &plan->tasks[i], scratch);
    }
    fesetenv(&callers);
}

static void *aligned(void *workspace) {
    return (void *)(((uintptr_t)workspace + RAPT_ALIGN - 1) & ~(uintptr_t)(RAPT_ALIGN - 1));
}

size_t rapt_run_slice_workspace(const struct rapt_plan *plan) {
    return RAPT_ALIGN + plan->scratch.floats * sizeof(float);
}

void rapt_run_slice(const struct rapt_plan *plan, const rapt_attention_data *data, int64_t slice,
                    int64_t slices, void *workspace) {
    fenv_t callers;
    rapt_enter_environment(&callers);
    /* Dealt heaviest first, to and fro: no slice gets the heavier task of every round. */
    int64_t first = slice, second = slices - 1 - slice;
    for (int64_t round = 0; round < plan->task_count; round += slices) {
        const int64_t i = round + first;
        if (i < plan->task_count)
            rapt_task_run(plan, data, &plan->tasks[i], aligned(workspace));
        first = second;
        second = slices - 1 - first;
    }
    fesetenv(&callers);
}

void rapt_run(const struct rapt_plan *plan, const rapt_attention_data *data, void *workspace) {
    struct team *team = aligned(workspace);
    team->plan = plan;
    team->data = data;
    team->scratch = (float *)(void *)(team + 1);
    atomic_init(&team->next_task, 0);
    atomic_init(&team->next_slot, 0);
#ifdef _OPENMP
    if (plan->threads > 1 && !omp_in_parallel()) {
#    pragma omp parallel num_threads(plan->threads)
        work(team);
        return;
    }
#endif
    work(team);
}
