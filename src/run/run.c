/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/run.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "src/run/parallel.h"
#include "src/received/received.h"
#include "src/run/spin.h"
#include "src/panel/task.h"

enum { ASK_EACH = 100 * 1000 * 1000 }; /* ns */

/*
 * What the threads of one run share. It lies at the start of the workspace, zero between runs, and
 * is of one size, so that it is where the plan before has left it whatever comes next.
 */
struct shared {
    atomic_uint_fast64_t owner; /* the run that has the workspace: see owner_of() */
    atomic_int_fast64_t next_task, tasks_done, next_second;
    atomic_int finished;              /* slices */
    atomic_bool interrupted;          /* what isn't begun is left */
    atomic_int done[RAPT_SPLITS_MAX]; /* tasks of each split */
    _Alignas(RAPT_ALIGN) char rest[]; /* chunk_masks, then the scratch of all threads, then parts */
};

/* A run, as each of its threads sees it. */
struct run {
    const struct rapt_plan *plan;
    const rapt_attention_data *data;
    struct shared *shared;
    struct rapt_chunk_mask
        *chunk_masks; /* NULL in slices, which can't clear them before the first of them looks */
    float *scratch, *parts, *results;
    int64_t ask; /* when the caller is to be asked whether to go on, in ns */
};

static size_t chunk_mask_bytes(const struct rapt_plan *plan) {
    const size_t bytes = (size_t)plan->chunk_mask_count * sizeof(struct rapt_chunk_mask);
    return (bytes + RAPT_ALIGN - 1) / RAPT_ALIGN * RAPT_ALIGN;
}

size_t rapt_run_workspace(const struct rapt_plan *plan, int slices) {
    const size_t parts = (size_t)plan->part_count * plan->part_floats;
    size_t floats, bytes;
    if (__builtin_mul_overflow((size_t)slices, plan->scratch.floats, &floats) ||
        __builtin_add_overflow(floats, parts, &floats) ||
        __builtin_add_overflow(floats, (size_t)plan->received.results, &floats) ||
        __builtin_mul_overflow(floats, sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, RAPT_ALIGN + sizeof(struct shared) + chunk_mask_bytes(plan),
                               &bytes))
        return SIZE_MAX; /* more than anyone has */
    return bytes;
}

void rapt_enter_environment(fenv_t *callers) {
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}

static struct run new_run(const struct rapt_plan *plan, const rapt_attention_data *data, int slices,
                          void *workspace) {
    struct shared *shared =
        (void *)(((uintptr_t)workspace + RAPT_ALIGN - 1) & ~(uintptr_t)(RAPT_ALIGN - 1));
    float *scratch = (void *)(shared->rest + chunk_mask_bytes(plan));
    float *parts = scratch + (size_t)slices * plan->scratch.floats;
    float *results = parts + (size_t)plan->part_count * plan->part_floats;
    return (struct run){.plan = plan,
                        .data = data,
                        .shared = shared,
                        .scratch = scratch,
                        .parts = parts,
                        .results = results,
                        .ask = rapt_spin_clock() + ASK_EACH};
}

static float *scratch_of(const struct run *run, int slice) {
    return run->scratch + (size_t)slice * run->plan->scratch.floats;
}

/* Whether to leave what isn't begun; `asks` on the thread whose caller has a say in it. */
static bool is_interrupted(struct run *run, bool asks) {
    const struct rapt_plan *plan = run->plan;
    if (asks && plan->interrupted && rapt_spin_clock() >= run->ask) {
        if (plan->interrupted(plan->interrupted_context))
            atomic_store_explicit(&run->shared->interrupted, true, memory_order_relaxed);
        run->ask = rapt_spin_clock() + ASK_EACH;
    }
    return atomic_load_explicit(&run->shared->interrupted, memory_order_relaxed);
}

/* Tasks of the first pass, off a counter. */
static void run_first(struct run *run, float *scratch, bool asks) {
    const struct rapt_plan *plan = run->plan;
    struct shared *shared = run->shared;
    while (!is_interrupted(run, asks)) {
        const int64_t i = atomic_fetch_add_explicit(&shared->next_task, 1, memory_order_relaxed);
        if (i >= plan->task_count)
            return;
        const struct rapt_task *task = &plan->tasks[i];
        rapt_task_run(plan, run->data, task, scratch, run->parts, run->results, run->chunk_masks);
        /* Who finishes a split last joins it, and nobody waits. */
        if (task->split >= 0 && atomic_fetch_add(&shared->done[task->split], 1) ==
                                    plan->splits[task->split].tasks - 1) {
            atomic_store_explicit(&shared->done[task->split], 0, memory_order_relaxed);
            rapt_task_join(plan, run->data, task, scratch, run->parts, run->results);
        }
        if (plan->received.tasks > 0)
            atomic_fetch_add(&shared->tasks_done, 1);
    }
}

/* Tasks of the second pass, after all of the first. */
static void run_second(struct run *run, float *scratch, bool asks) {
    while (!is_interrupted(run, asks)) {
        const int64_t i =
            atomic_fetch_add_explicit(&run->shared->next_second, 1, memory_order_relaxed);
        if (i >= run->plan->received.tasks)
            return;
        rapt_received_run(run->plan, run->data, i, scratch, run->results);
    }
}

/* Names a run of so many slices of a plan, and is never 0. */
static uint_fast64_t owner_of(const struct rapt_plan *plan, int slices) {
    return (uint_fast64_t)plan->number << 32 | (uint_fast64_t)slices;
}

bool rapt_run_slice(const struct rapt_plan *plan, const rapt_attention_data *data, int slice,
                    int slices, void *workspace) {
    struct run run = new_run(plan, data, slices, workspace);
    struct shared *shared = run.shared;
    uint_fast64_t owner = 0;
    if (!atomic_compare_exchange_strong(&shared->owner, &owner, owner_of(plan, slices)) &&
        owner != owner_of(plan, slices))
        return false;
    fenv_t callers;
    rapt_enter_environment(&callers);
    run_first(&run, scratch_of(&run, slice), false);
    /* Those that aren't done are run by others who wait for nothing, so they will be. */
    while (plan->received.tasks > 0 && atomic_load(&shared->tasks_done) < plan->task_count)
        sched_yield();
    run_second(&run, scratch_of(&run, slice), false);
    fesetenv(&callers);
    /* The last one leaves the workspace as it was found. */
    if (atomic_fetch_add(&shared->finished, 1) == slices - 1) {
        atomic_store(&shared->next_task, 0);
        atomic_store(&shared->tasks_done, 0);
        atomic_store(&shared->next_second, 0);
        atomic_store(&shared->finished, 0);
        atomic_store(&shared->owner, 0);
    }
    return true;
}

static void run_thread(struct run *run, int thread,
                       void (*pass)(struct run *run, float *scratch, bool asks)) {
    fenv_t callers;
    rapt_enter_environment(&callers);
    pass(run, scratch_of(run, thread), thread == 0);
    fesetenv(&callers);
}
static void first_thread(void *run, int thread) {
    run_thread(run, thread, run_first);
}
static void second_thread(void *run, int thread) {
    run_thread(run, thread, run_second);
}

bool rapt_run(const struct rapt_plan *plan, const rapt_attention_data *data, void *workspace) {
    struct run run = new_run(plan, data, plan->threads, workspace);
    const size_t used =
        offsetof(struct shared, done) + (size_t)plan->split_count * sizeof run.shared->done[0];
    memset(run.shared, 0, used);
    if (plan->chunk_mask_count > 0)
        run.chunk_masks = memset(run.shared->rest, 0, chunk_mask_bytes(plan));
    rapt_parallel(plan->threads, first_thread, &run);
    if (plan->received.tasks > 0)
        rapt_parallel(plan->threads, second_thread, &run);
    const bool interrupted = atomic_load(&run.shared->interrupted);
    memset(run.shared, 0, used); /* fit for slices, too */
    return !interrupted;
}

/* What the threads of rapt_parallel_for() share. */
struct loop {
    atomic_int_fast64_t next;
    int64_t count;
    void (*task)(const void *, int64_t, void *);
    const void *context;
    char *scratch; /* of all threads */
    size_t scratch_bytes;
};

static void run_some(void *context, int thread) {
    struct loop *loop = context;
    void *scratch = loop->scratch + (size_t)thread * loop->scratch_bytes;
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&loop->next, 1, memory_order_relaxed);
        if (i >= loop->count)
            break;
        loop->task(loop->context, i, scratch);
    }
    fesetenv(&callers);
}

void rapt_parallel_for(int threads, int64_t count, void (*task)(const void *, int64_t, void *),
                       const void *context, void *scratch, size_t scratch_bytes) {
    struct loop loop = {.count = count,
                        .task = task,
                        .context = context,
                        .scratch = scratch,
                        .scratch_bytes = scratch_bytes};
    rapt_parallel((int)rapt_min(threads, count), run_some, &loop);
}
