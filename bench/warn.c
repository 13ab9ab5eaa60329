/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings: a machine that was busy, or whose clock changed. */
#include "bench/warn.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/machine.h"
#include "bench/topology.h"

/* How far the limits of one kind lie apart, on one instruction set with one number of threads. */
struct drift {
    const struct bench_result *run; /* one of them */
    double low, high;
};

static void include_limits(struct drift *drift, const struct bench_result *r) {
    drift->low = drift->low > 0 && drift->low < r->limit.min ? drift->low : r->limit.min;
    drift->high = drift->high > r->limit.max ? drift->high : r->limit.max;
}

/* Looks for the limits that moved most: peaks in a group, bandwidths in a case. */
static struct drift worst_drift(const struct bench_result *results, size_t count,
                                size_t group_size) {
    struct drift worst = {results, 1, 1};
    for (size_t i = 0; i < count; i++) {
        const struct bench_result *r = &results[i], *group = &results[i - i % group_size];
        struct drift drift = {r, 0, 0};
        if (!r->correct)
            continue;
        include_limits(&drift, r);
        for (size_t j = 0; !r->of->memory && j < group_size; j++)
            if (group[j].correct && !group[j].of->memory)
                include_limits(&drift, &group[j]);
        if (drift.low * worst.high < worst.low * drift.high)
            worst = drift;
    }
    return worst;
}

/* Below these nobody needs to know. */
static const double loaded = 0.25, drifted = 0.1, disturbed = 0.05;

void warn_before(void) {
    const double cpus = topology_cpus_online();
    double load;
    if (getloadavg(&load, 1) != 1 || load <= loaded * cpus)
        return;
    /* What was busy may have been a benchmark that has ended. */
    const struct machine_load before = machine_load_now();
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
    const struct machine_load after = machine_load_now();
    if (after.total > 0 && machine_load_others(before, after) <= disturbed)
        return;
    fprintf(stderr,
            "rapt bench: warning: the machine is busy, with a load of %.1f on %.0f CPUs; expect "
            "better figures when it's idle\n",
            load, cpus);
}

void warn_after(const struct bench_result *results, size_t count, size_t group_size,
                double others) {
    const struct drift drift = worst_drift(results, count, group_size);
    const bool memory = drift.run->of->memory;
    if (drift.low < (1 - drifted) * drift.high)
        fprintf(stderr,
                "rapt bench: warning: the %s of %s with %d thread%s moved between %.1f and %.1f "
                "%s%s\n",
                memory ? "bandwidth" : "peak", drift.run->isa, drift.run->threads,
                drift.run->threads == 1 ? "" : "s", drift.low, drift.high,
                memory ? "GB/s" : "GFLOP/s",
                others > disturbed ? "" : "; trust the shares rather than the times");
    if (others > disturbed)
        fprintf(stderr,
                "rapt bench: warning: others took %.0f%% of the machine's CPU time; expect better "
                "figures when it's idle\n",
                100 * others);
}
