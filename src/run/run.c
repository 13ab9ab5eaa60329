/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/run.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "src/run/parallel.h"
#include "src/received/received.h"
#include "src/run/spin.h"
#include "src/panel/task.h"
#include "src/base/environment.h"

enum { ASK_EACH = 100 * 1000 * 1000 }; /* ns */

/*
 * What the threads of one run share. It lies at the start of the workspace, zero between runs.
 * It is of one size, so that every plan finds it where another plan has left it.
 */
struct shared {
    atomic_uint_fast64_t owner; /* the run that has the workspace: see owner_of() */
    atomic_int_fast64_t next_task, tasks_done, next_received;
    atomic_int finished;              /* slices */
    atomic_bool interrupted;          /* what isn't begun is left */
    atomic_int done[RAPT_SPLITS_MAX]; /* tasks of each split */
};

/* A run, as each of its threads sees it. */
struct run {
    const struct rapt_plan *plan;
    struct shared *shared;
    struct rapt_workspace workspace;
    int64_t ask; /* when the caller is to be asked whether to go on, in ns */
};

static void place_run(const struct rapt_plan *plan, int slices, struct rapt_arena *arena,
                      struct run *run) {
    run->shared = rapt_take(arena, sizeof *run->shared, 1, 1, 1);
    rapt_place_workspace(plan, slices, arena, &run->workspace);
}

size_t rapt_run_workspace(const struct rapt_plan *plan, int slices) {
    struct rapt_arena arena = {0};
    struct run run;
    place_run(plan, slices, &arena, &run);
    return rapt_arena_bytes(&arena);
}

static struct run new_run(const struct rapt_plan *plan, int slices, void *memory) {
    struct rapt_arena arena = rapt_arena_in(memory);
    struct run run = {.plan = plan, .ask = rapt_spin_clock() + ASK_EACH};
    place_run(plan, slices, &arena, &run);
    return run;
}

static void *scratch_of(const struct run *run, int slice) {
    return run->workspace.scratch + (size_t)slice * run->plan->scratch_bytes;
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
static void run_first(struct run *run, void *scratch, bool asks) {
    const struct rapt_plan *plan = run->plan;
    struct shared *shared = run->shared;
    struct rapt_arena arena = rapt_arena_in(scratch);
    struct rapt_scratch placed;
    rapt_place_scratch(plan, &arena, &placed);
    while (!is_interrupted(run, asks)) {
        const int64_t i = atomic_fetch_add_explicit(&shared->next_task, 1, memory_order_relaxed);
        if (i >= plan->task_count)
            return;
        const struct rapt_task *task = &plan->tasks[i];
        rapt_task_run(plan, task, &placed, &run->workspace);
        /* Who finishes a split last joins it, and nobody waits. */
        if (task->split >= 0 && atomic_fetch_add(&shared->done[task->split], 1) ==
                                    plan->splits[task->split].tasks - 1) {
            atomic_store_explicit(&shared->done[task->split], 0, memory_order_relaxed);
            rapt_task_join(plan, task, &placed, &run->workspace);
        }
        if (plan->received.tasks > 0)
            atomic_fetch_add(&shared->tasks_done, 1);
    }
}

/* Tasks of the received pass, after all of the first. */
static void run_received(struct run *run, void *scratch, bool asks) {
    while (!is_interrupted(run, asks)) {
        const int64_t i =
            atomic_fetch_add_explicit(&run->shared->next_received, 1, memory_order_relaxed);
        if (i >= run->plan->received.tasks)
            return;
        rapt_received_run(run->plan, i, scratch, run->workspace.statistics);
    }
}

/* Names a run of so many slices of a plan, and is never 0. */
static uint_fast64_t owner_of(const struct rapt_plan *plan, int slices) {
    return (uint_fast64_t)plan->number << 32 | (uint_fast64_t)slices;
}

bool rapt_run_slice(const struct rapt_plan *plan, int slice, int slices, void *workspace) {
    struct run run = new_run(plan, slices, workspace);
    run.workspace.chunk_masks = NULL; /* no slice could clear them before the others read */
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
    run_received(&run, scratch_of(&run, slice), false);
    rapt_leave_environment(&callers);
    /* The last one leaves the workspace as it was found. */
    if (atomic_fetch_add(&shared->finished, 1) == slices - 1) {
        atomic_store(&shared->next_task, 0);
        atomic_store(&shared->tasks_done, 0);
        atomic_store(&shared->next_received, 0);
        atomic_store(&shared->finished, 0);
        atomic_store(&shared->owner, 0);
    }
    return true;
}

static void run_thread(struct run *run, int thread,
                       void (*pass)(struct run *run, void *scratch, bool asks)) {
    fenv_t callers;
    rapt_enter_environment(&callers);
    pass(run, scratch_of(run, thread), thread == 0);
    rapt_leave_environment(&callers);
}
static void first_thread(void *run, int thread) {
    run_thread(run, thread, run_first);
}
static void received_thread(void *run, int thread) {
    run_thread(run, thread, run_received);
}

bool rapt_run(const struct rapt_plan *plan, void *workspace) {
    struct run run = new_run(plan, plan->threads, workspace);
    const size_t used =
        offsetof(struct shared, done) + (size_t)plan->split_count * sizeof run.shared->done[0];
    memset(run.shared, 0, used);
    if (plan->chunk_mask_count > 0)
        memset(run.workspace.chunk_masks, 0,
               (size_t)plan->chunk_mask_count * sizeof *run.workspace.chunk_masks);
    else
        run.workspace.chunk_masks = NULL;
    rapt_parallel(plan->threads, first_thread, &run);
    if (plan->received.tasks > 0)
        rapt_parallel(plan->threads, received_thread, &run);
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
    rapt_leave_environment(&callers);
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
