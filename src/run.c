/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#ifdef _OPENMP
#    include <omp.h>
#endif

#include "received.h"
#include "task.h"

/* What the slices of one run share. It lies at the start of the workspace, zero between runs. */
struct team {
    atomic_int_fast64_t next_task, tasks_done, next_second;
    atomic_int finished;                    /* slices */
    _Alignas(RAPT_ALIGN) atomic_int done[]; /* tasks of each split */
};

int rapt_run_threads(int asked) {
#ifdef _OPENMP
    return asked ? asked : omp_get_max_threads();
#else
    (void)asked;
    return 1;
#endif
}

/* Where a workspace's pieces lie: the team, then every slice's scratch, then what they share. */
static size_t whole_lines(size_t bytes) {
    return (bytes + RAPT_ALIGN - 1) / RAPT_ALIGN * RAPT_ALIGN;
}

static size_t look_bytes(const struct rapt_plan *plan) {
    return whole_lines((size_t)plan->look_count * sizeof(struct rapt_look));
}

/* The team begins with the counters, and ends with the looks. */
static size_t team_bytes(const struct rapt_plan *plan) {
    return whole_lines(sizeof(struct team) + (size_t)plan->split_count * sizeof(atomic_int)) +
           look_bytes(plan);
}

size_t rapt_run_workspace(const struct rapt_plan *plan, int slices) {
    const size_t parts = (size_t)plan->part_count * plan->part_floats;
    size_t floats, bytes;
    if (__builtin_mul_overflow((size_t)slices, plan->scratch.floats, &floats) ||
        __builtin_add_overflow(floats, parts, &floats) ||
        __builtin_add_overflow(floats, (size_t)plan->second.results, &floats) ||
        __builtin_mul_overflow(floats, sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, RAPT_ALIGN + team_bytes(plan), &bytes))
        return SIZE_MAX; /* more than anyone has */
    return bytes;
}

void rapt_enter_environment(fenv_t *callers) {
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}

static struct team *find_team(void *workspace) {
    return (void *)(((uintptr_t)workspace + RAPT_ALIGN - 1) & ~(uintptr_t)(RAPT_ALIGN - 1));
}

/* Tasks of the second pass, after all of the first. Those that aren't done are run by others who
 * wait for nothing, so they will be. */
static void run_second(const struct rapt_plan *plan, const rapt_attention_data *data,
                       struct team *team, float *scratch, const float *results) {
    while (atomic_load(&team->tasks_done) < plan->task_count)
        sched_yield();
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&team->next_second, 1, memory_order_relaxed);
        if (i >= plan->second.tasks)
            break;
        rapt_received_run(plan, data, i, scratch, results);
    }
}

void rapt_run_slice(const struct rapt_plan *plan, const rapt_attention_data *data, int slice,
                    int slices, void *workspace) {
    struct team *team = find_team(workspace);
    float *all_scratch = (float *)(void *)((char *)team + team_bytes(plan));
    float *scratch = all_scratch + (size_t)slice * plan->scratch.floats;
    float *parts = all_scratch + (size_t)slices * plan->scratch.floats;
    float *results = parts + (size_t)plan->part_count * plan->part_floats;
    struct rapt_look *looks = (void *)((char *)all_scratch - look_bytes(plan));
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&team->next_task, 1, memory_order_relaxed);
        if (i >= plan->task_count)
            break;
        const struct rapt_task *task = &plan->tasks[i];
        rapt_task_run(plan, data, task, scratch, parts, results, looks);
        /* Who finishes a split last joins it, and nobody waits. */
        if (task->split >= 0 &&
            atomic_fetch_add(&team->done[task->split], 1) == plan->splits[task->split].tasks - 1) {
            atomic_store_explicit(&team->done[task->split], 0, memory_order_relaxed);
            rapt_task_join(plan, data, task, scratch, parts, results);
        }
        if (plan->second.tasks > 0)
            atomic_fetch_add(&team->tasks_done, 1);
    }
    if (plan->second.tasks > 0)
        run_second(plan, data, team, scratch, results);
    fesetenv(&callers);
    /* The last one leaves the workspace as it was found. */
    if (atomic_fetch_add(&team->finished, 1) == slices - 1) {
        atomic_store(&team->next_task, 0);
        atomic_store(&team->tasks_done, 0);
        atomic_store(&team->next_second, 0);
        memset(looks, 0, look_bytes(plan));
        atomic_store(&team->finished, 0);
    }
}

void rapt_run(const struct rapt_plan *plan, const rapt_attention_data *data, void *workspace) {
    memset(find_team(workspace), 0, team_bytes(plan));
#ifdef _OPENMP
    if (plan->threads > 1 && !omp_in_parallel()) {
#    pragma omp parallel num_threads(plan->threads)
        /* There may be fewer threads than asked for; their number is known here only. */
        rapt_run_slice(plan, data, omp_get_thread_num(), omp_get_num_threads(), workspace);
        return;
    }
#endif
    rapt_run_slice(plan, data, 0, 1, workspace);
}

/* What the threads of rapt_run_each() share. */
struct each {
    atomic_int_fast64_t next;
    int64_t count;
    void (*task)(const void *, int64_t, void *);
    const void *context;
};

static void run_some(struct each *each, void *scratch) {
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&each->next, 1, memory_order_relaxed);
        if (i >= each->count)
            break;
        each->task(each->context, i, scratch);
    }
    fesetenv(&callers);
}

void rapt_run_each(int threads, int64_t count, void (*task)(const void *, int64_t, void *),
                   const void *context, void *scratch, size_t scratch_bytes) {
    struct each each = {.count = count, .task = task, .context = context};
#ifdef _OPENMP
    if (threads > 1 && count > 1 && !omp_in_parallel()) {
#    pragma omp parallel num_threads(threads)
        run_some(&each, (char *)scratch + (size_t)omp_get_thread_num() * scratch_bytes);
        return;
    }
#endif
    (void)threads;
    (void)scratch_bytes;
    run_some(&each, scratch);
}
