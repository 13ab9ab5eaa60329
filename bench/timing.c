/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, the median, and the FMA peak on any number of threads. */
#include "timing.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

enum { CHUNKS = 24 };
static const double chunk_seconds = 1e-3;

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_summary bench_summarize(double *samples, int count) {
    struct bench_summary s = {.count = count};
    if (count < 1)
        return s;
    qsort(samples, (size_t)count, sizeof *samples, compare_doubles);
    s.min = samples[0];
    s.max = samples[count - 1];
    s.median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
    const int tenth = count / 10;
    if (s.median > 0)
        s.spread = (samples[count - 1 - tenth] - samples[tenth]) / s.median;
    return s;
}

struct bench_probe bench_probe_create(double (*fma)(int64_t rounds), int threads) {
    struct bench_probe probe = {fma, threads, 1};
    const int64_t most = INT64_C(1) << 40;
    for (double seconds = 0; seconds < chunk_seconds && probe.rounds < most;) {
        const double start = bench_now();
        probe.rounds *= 2;
        fma(probe.rounds);
        seconds = bench_now() - start;
    }
    return probe;
}

/* What one thread did in one chunk. */
struct span {
    double start, end, operations;
};

struct team {
    const struct bench_probe *probe;
    struct span *spans; /* [threads][CHUNKS] */
    atomic_int enrolled, arrived;
    atomic_int called_off;
};

/*
 * Waits until `target` threads have arrived. It spins, because waking up costs as much as one
 * percent of a chunk, and yields at times, because there may be more threads than CPUs.
 */
static void meet(struct team *team, int target) {
    atomic_fetch_add(&team->arrived, 1);
    for (int spins = 1; atomic_load(&team->arrived) < target; spins++) {
        if (atomic_load(&team->called_off))
            return;
        if (spins % 1024 == 0)
            sched_yield();
    }
}

static void *run_chunks(void *argument) {
    struct team *team = argument;
    const struct bench_probe *probe = team->probe;
    struct span *spans = team->spans + (ptrdiff_t)atomic_fetch_add(&team->enrolled, 1) * CHUNKS;
    for (int i = 0; i < CHUNKS; i++) {
        meet(team, (i + 1) * probe->threads);
        if (atomic_load(&team->called_off))
            break;
        spans[i].start = bench_now();
        spans[i].operations = probe->fma(probe->rounds);
        spans[i].end = bench_now();
    }
    return NULL;
}

/* From the first start to the last end, so that threads which had to take turns don't look fast. */
static double typical_chunk(const struct span *spans, int threads) {
    double rates[CHUNKS];
    for (int i = 0; i < CHUNKS; i++) {
        struct span all = spans[i];
        for (int t = 1; t < threads; t++) {
            const struct span *s = &spans[(ptrdiff_t)t * CHUNKS + i];
            all.start = s->start < all.start ? s->start : all.start;
            all.end = s->end > all.end ? s->end : all.end;
            all.operations += s->operations;
        }
        const double seconds = all.end - all.start;
        rates[i] = seconds > 0 ? all.operations / seconds : 0;
    }
    return bench_summarize(rates, CHUNKS).median;
}

double bench_probe_peak(const struct bench_probe *probe) {
    const size_t threads = (size_t)probe->threads;
    struct team team = {.probe = probe, .spans = calloc(threads * CHUNKS, sizeof *team.spans)};
    pthread_t *ids = calloc(threads, sizeof *ids);
    size_t started = 0;
    if (team.spans && ids) {
        while (started + 1 < threads && pthread_create(&ids[started], NULL, run_chunks, &team) == 0)
            started++;
        if (started + 1 < threads)
            atomic_store(&team.called_off, 1);
        run_chunks(&team); /* the caller is the last of the team */
        for (size_t i = 0; i < started; i++)
            pthread_join(ids[i], NULL);
    }
    const double peak =
        started + 1 == threads && team.spans && ids ? typical_chunk(team.spans, probe->threads) : 0;
    free(ids);
    free(team.spans);
    return peak;
}
