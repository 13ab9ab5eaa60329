/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of `rapt bench` on processors of their own: the order, the binding, and its end. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pin.h"
#include "bench/probes.h"
#include "bench/topology.h"
#include "src/run/cpus.h"
#include "src/run/run.h"

Test(pin, cores_come_before_their_siblings) {
    const struct {
        int count, cores[6], ordered[6]; /* of processors 10, 11, ... */
    } machines[] = {
        {1, {0}, {10}},
        {4, {0, 1, 2, 3}, {10, 11, 12, 13}},
        {4, {0, 0, 2, 2}, {10, 12, 11, 13}},
        {6, {0, 1, 2, 0, 1, 2}, {10, 11, 12, 13, 14, 15}},
        {6, {0, 0, 0, 3, 4, 4}, {10, 13, 14, 11, 15, 12}},
    };
    for (size_t m = 0; m < sizeof machines / sizeof *machines; m++) {
        int cpus[] = {10, 11, 12, 13, 14, 15};
        topology_order(cpus, machines[m].cores, machines[m].count);
        for (int i = 0; i < machines[m].count; i++)
            cr_expect_eq(cpus[i], machines[m].ordered[i], "machine %zu: %d", m, i);
    }
}

Test(pin, the_usable_cpus_are_the_callers) {
    int count;
    int *cpus = topology_cpus_ordered(&count);
    cr_assert_not_null(cpus);
    cr_expect_eq(count, topology_cpus_usable());
    cr_expect_eq(topology_cores_of(cpus, count), topology_cores_usable());
    cr_expect_eq(topology_cores_of(cpus, 1), 1);
    cr_expect_eq(pin_cpus(), count);
    cr_expect_eq(pin_cores(), topology_cores_usable());
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            cr_expect_neq(cpus[i], cpus[k]);
    free(cpus);
}

#if defined(__linux__)

/* The system as some container has it. */
static bool forbidden;
int __real_sched_setaffinity(pid_t id, size_t size, const cpu_set_t *set);
int __wrap_sched_setaffinity(pid_t id, size_t size, const cpu_set_t *set);
int __wrap_sched_setaffinity(pid_t id, size_t size, const cpu_set_t *set) {
    if (!forbidden)
        return __real_sched_setaffinity(id, size, set);
    errno = EPERM;
    return -1;
}

/* The one processor that the calling thread may use; -1 if it may use several. */
static int only_cpu(void) {
    size_t size;
    cpu_set_t *set = rapt_allowed_cpus(&size);
    int only = -1;
    cr_assert_not_null(set);
    for (int cpu = 0; CPU_COUNT_S(size, set) == 1 && only < 0; cpu++)
        if (CPU_ISSET_S((size_t)cpu, size, set))
            only = cpu;
    CPU_FREE(set);
    return only;
}

enum { MOST = 8 };
static atomic_int members, bound[MOST]; /* where each thread was */

static void note_cpu(void) {
    const int member = atomic_fetch_add(&members, 1);
    if (member < MOST)
        atomic_store(&bound[member], only_cpu());
}

/* Whether the threads that were noted are where the first of the list are. */
static void check_bound(int threads) {
    int count, found = 0;
    const int *list = pin_list(&count);
    cr_assert_not_null(list);
    cr_assert_eq(atomic_load(&members), threads);
    for (int t = 0; t < threads; t++) {
        int here = 0, expected = 0;
        for (int k = 0; k < threads; k++) {
            here += atomic_load(&bound[k]) == list[t % count];
            expected += list[k % count] == list[t % count];
        }
        cr_expect_eq(here, expected, "CPU %d", list[t % count]);
        found += here > 0;
    }
    cr_expect_eq(found, threads);
}

/* Until so many are there, since a thread that is done takes what is left of the others' work. */
static void await_members(int threads) {
    while (atomic_load(&members) < threads)
        sched_yield();
}

static _Thread_local bool noted;

/* Notes each thread of a probe once; there are as many rounds as threads. */
static double note_chunk(int64_t rounds) {
    if (!noted)
        note_cpu();
    noted = true;
    await_members((int)rounds);
    return (double)rounds;
}

Test(pin, threads_of_probes_are_bound) {
    const int before = only_cpu();
    for (int threads = 1; threads <= MOST; threads++) {
        const struct bench_probe probe = {note_chunk, threads, threads};
        cr_assert(pin_start("auto"));
        noted = false;
        atomic_store(&members, 0);
        cr_expect_gt(bench_probe_peak(&probe, 0), 0);
        check_bound(threads);
        pin_stop();
        cr_expect_eq(only_cpu(), before);
    }
}

static void note_task(const void *context, int64_t task, void *scratch) {
    const int threads = *(const int *)context;
    (void)task;
    (void)scratch;
    note_cpu();
    await_members(threads);
}

/* The team of the library, with as many threads as it gives: one without OpenMP. */
static void note_team(int threads) {
    char scratch[MOST];
    atomic_store(&members, 0);
    rapt_parallel_for(threads, threads, note_task, &threads, scratch, 1);
}

Test(pin, threads_of_the_library_are_bound_and_released) {
    const int before = only_cpu();
    const bool alone = rapt_threads(2) == 1;
    pin_patience = INFINITY;
    cr_assert(pin_start("auto"));
    for (int threads = alone ? 1 : 2; threads <= (alone ? 1 : 4); threads++) {
        pin_team(threads);
        note_team(threads);
        check_bound(threads);
    }
    pin_stop();
    note_team(alone ? 1 : 4);
    for (int t = 0; t < (alone ? 1 : 4); t++)
        cr_expect_eq(atomic_load(&bound[t]), before);
}

Test(pin, a_list_is_taken_in_its_order) {
    int count, listed;
    int *cpus = topology_cpus_ordered(&count);
    char list[32], one[16];
    snprintf(list, sizeof list, "%d,%d", cpus[count - 1], cpus[0]);
    snprintf(one, sizeof one, "%d", cpus[count - 1]);
    cr_assert(pin_start(count > 1 ? list : one));
    const int *pinned = pin_list(&listed);
    cr_expect_eq(listed, count > 1 ? 2 : 1);
    cr_expect_eq(pinned[0], cpus[count - 1]);
    cr_expect_eq(only_cpu(), cpus[count - 1]);
    cr_expect_eq(pin_cpus(), listed);
    cr_expect_eq(topology_cpus_usable(), count, "the machine is what it was");
    pin_stop();
    cr_expect_null(pin_list(&listed));
    cr_expect_eq(listed, 0);
    free(cpus);
}

Test(pin, what_is_no_list_is_refused, .init = cr_redirect_stderr) {
    const char *const lists[] = {"x", "-1", "999999", "99999999999999999999", ",", "auto,"};
    const int before = only_cpu();
    char twice[32], ends[32];
    int count;
    int *cpus = topology_cpus_ordered(&count);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        cr_expect_not(pin_start(lists[i]), "%s", lists[i]);
    snprintf(twice, sizeof twice, "%d,%d", cpus[0], cpus[0]);
    snprintf(ends, sizeof ends, "%d,", cpus[0]);
    cr_expect_not(pin_start(twice));
    cr_expect_not(pin_start(ends));
    cr_expect_eq(only_cpu(), before);
    free(cpus);
}

Test(pin, a_system_that_forbids_it_is_told, .init = cr_redirect_stderr) {
    int count;
    char expected[128];
    int *cpus = topology_cpus_ordered(&count);
    forbidden = true;
    cr_expect_not(pin_start("auto"));
    snprintf(expected, sizeof expected,
             "rapt bench: --pin: the system doesn't bind a thread to CPU %d: %s\n", cpus[count - 1],
             strerror(EPERM));
    fflush(stderr);
    cr_assert_stderr_eq_str(expected);
    cr_expect_null(pin_list(&count));
    free(cpus);
}

#endif
