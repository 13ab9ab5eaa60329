/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <stdatomic.h>
#include <string.h>

#ifdef _OPENMP
#    include <omp.h>
#endif

#include "task.h"

/* What the slices of one run share. It lies at the start of the workspace, and between runs all of
 * it is zero, as is `left`. */
struct team {
    atomic_int_fast64_t next_task;
    atomic_int finished;                    /* slices */
    _Alignas(RAPT_ALIGN) atomic_int left[]; /* done tasks of each split panel */
};

int rapt_run_threads(int asked) {
#ifdef _OPENMP
    return asked ? asked : omp_get_max_threads();
#else
    (void)asked;
    return 1;
#endif
}

/* Where the parts of a workspace lie: the team, then every slice's scratch. */
static size_t team_bytes(void) {
    return sizeof(struct team);
}

size_t rapt_run_workspace(const struct rapt_plan *plan, int slices) {
    return RAPT_ALIGN + team_bytes() + (size_t)slices * plan->scratch.floats * sizeof(float);
}

void rapt_enter_environment(fenv_t *callers) {
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}

static struct team *find_team(void *workspace) {
    return (void *)(((uintptr_t)workspace + RAPT_ALIGN - 1) & ~(uintptr_t)(RAPT_ALIGN - 1));
}

void rapt_run_slice(const struct rapt_plan *plan, const rapt_attention_data *data, int slice,
                    int slices, void *workspace) {
    struct team *team = find_team(workspace);
    float *scratch = (float *)(void *)((char *)team + team_bytes());
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&team->next_task, 1, memory_order_relaxed);
        if (i >= plan->task_count)
            break;
        rapt_task_run(plan, data, &plan->tasks[i], scratch + (size_t)slice * plan->scratch.floats);
    }
    fesetenv(&callers);
    /* The last one leaves the workspace as it was found. */
    if (atomic_fetch_add(&team->finished, 1) == slices - 1) {
        atomic_store(&team->next_task, 0);
        atomic_store(&team->finished, 0);
    }
}

void rapt_run(const struct rapt_plan *plan, const rapt_attention_data *data, void *workspace) {
    memset(find_team(workspace), 0, team_bytes());
#ifdef _OPENMP
    if (plan->threads > 1 && !omp_in_parallel()) {
        atomic_int slice = 0;
#    pragma omp parallel num_threads(plan->threads)
        {
            /* There may be fewer threads than asked for; their number is known here only. */
            const int slices = omp_get_num_threads();
            rapt_run_slice(plan, data, atomic_fetch_add(&slice, 1), slices, workspace);
        }
        return;
    }
#endif
    rapt_run_slice(plan, data, 0, 1, workspace);
}
