/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pin.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench/topology.h"
#include "cli/base/args.h"
#include "cli/base/clock.h"
#include "src/run/cpus.h"
#include "src/run/run.h"

/* What is bound: there is one benchmark in a process. */
static struct {
    int *cpus;
    int count; /* 0: nothing is bound */
    int team;  /* threads of the library that are; its own thread alone is the caller */
#if defined(__linux__)
    cpu_set_t *before; /* where the caller could go */
    size_t size;
#endif
} state;

#if defined(__linux__)

/* Binds the calling thread to one processor. False with errno if the system doesn't. */
static bool bind_to(int cpu) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
    const size_t size = CPU_ALLOC_SIZE((size_t)cpu + 1);
    if (!set)
        return false;
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    const bool bound = sched_setaffinity(0, size, set) == 0;
    const int reason = errno;
    CPU_FREE(set);
    errno = reason;
    return bound;
}

static bool remember(void) {
    state.before = rapt_allowed_cpus(&state.size);
    return state.before != NULL;
}

static void bind_back(void) {
    sched_setaffinity(0, state.size, state.before);
}

static void forget(void) {
    CPU_FREE(state.before);
    state.before = NULL;
}

#else

static bool bind_to(int cpu) {
    (void)cpu;
    errno = ENOSYS;
    return false;
}
static bool remember(void) {
    return true;
}
static void bind_back(void) {}
static void forget(void) {}

#endif

static bool refuse(const char *list) {
    args_fail_value("bench", "pin", list,
                    "auto, or CPUs that this process may use, each once, such as 0,2");
    return false;
}

/* Reads "CPU,..." into the state. */
static bool read_list(const char *list, const int *usable, int usable_count) {
    for (const char *at = list;; at++) {
        char *end;
        errno = 0;
        const long cpu = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : -1;
        bool known = false;
        for (int i = 0; i < usable_count; i++)
            known = known || usable[i] == cpu;
        for (int i = 0; i < state.count; i++)
            known = known && state.cpus[i] != cpu;
        if (!known || errno)
            return refuse(list);
        state.cpus[state.count++] = (int)cpu;
        at = end;
        if (!*at)
            return true;
        if (*at != ',')
            return refuse(list);
    }
}

/* Binds the caller to each in turn and to the first at last, so that none fails later. */
static bool try_all(void) {
    for (int i = state.count - 1; i >= 0; i--)
        if (!bind_to(state.cpus[i])) {
            args_fail("bench", "--pin: the system doesn't bind a thread to CPU %d: %s",
                      state.cpus[i], strerror(errno));
            return false;
        }
    return true;
}

bool pin_start(const char *list) {
    int count;
    int *usable = topology_cpus_ordered(&count);
    state.cpus = malloc((size_t)(count > 0 ? count : 1) * sizeof *state.cpus);
    bool started = usable && state.cpus && remember();
    if (!started)
        args_fail("bench", "--pin: this system doesn't tell which CPUs there are");
    else if (strcmp(list, "auto") != 0)
        started = read_list(list, usable, count);
    else
        memcpy(state.cpus, usable, (size_t)(state.count = count) * sizeof *usable);
    free(usable);
    started = started && try_all();
    state.team = 1;
    if (!started)
        pin_stop();
    return started;
}

const int *pin_list(int *count) {
    *count = state.count;
    return state.count ? state.cpus : NULL;
}

void pin_thread(int number) {
    if (state.count)
        bind_to(state.cpus[number % state.count]);
}

double pin_patience = 2;

/* What the threads of a team share while they are bound. */
struct binding {
    atomic_int *arrived;
    int threads;
    const char *scratch; /* a byte for each thread, whose address is its number */
    bool back;
    double until; /* the others are waited for no longer: there may be fewer threads */
};

/* One of the team's tasks. Each thread has to take one, so it waits for the others to have one. */
static void bind_member(const void *context, int64_t task, void *scratch) {
    const struct binding *binding = context;
    (void)task;
    if (binding->back)
        bind_back();
    else
        pin_thread((int)((const char *)scratch - binding->scratch));
    atomic_fetch_add(binding->arrived, 1);
    while (atomic_load(binding->arrived) < binding->threads && clock_now() < binding->until)
        sched_yield();
}

static void bind_members(int threads, bool back) {
    atomic_int arrived = 0;
    char *scratch = malloc((size_t)threads);
    if (scratch)
        rapt_parallel_for(
            threads, threads, bind_member,
            &(struct binding){&arrived, threads, scratch, back, clock_now() + pin_patience},
            scratch, 1);
    free(scratch);
}

void pin_team(int threads) {
    if (!state.count || threads == 1 || threads == state.team)
        return;
    bind_members(threads, false);
    state.team = threads;
}

void pin_stop(void) {
    if (state.count && state.team > 1)
        bind_members(state.team, true);
    if (state.count)
        bind_back();
    forget();
    free(state.cpus);
    state.cpus = NULL;
    state.count = state.team = 0;
}

int pin_cpus(void) {
    return state.count ? state.count : topology_cpus_usable();
}

int pin_cores(void) {
    return state.count ? topology_cores_of(state.cpus, state.count) : topology_cores_usable();
}
