/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, the median, and on any number of threads the FMA peak and the read bandwidth. */
#include "bench/probes.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "bench/pin.h"
#include "cli/base/clock.h"
#include "cli/base/statistics.h"

enum { LEAST_CHUNKS = 3, MOST_CHUNKS = 24 };
enum { LINE = 64, PIECES_PER_THREAD = 4, LONGEST_PIECE = 1 << 20 }; /* of reading */
static const double piece_seconds = 1e-3; /* of FMAs; a chunk has one or more for each thread */
static const double longest_chunk = 0.25;
static const double read_bytes = 256e6; /* by all threads, if that takes enough chunks */

struct bench_probe bench_probe_create(double (*fma)(int64_t rounds), int threads) {
    struct bench_probe probe = {fma, threads, 1};
    const int64_t most = INT64_C(1) << 40;
    for (double seconds = 0; seconds < piece_seconds && probe.rounds < most;) {
        const double start = clock_now();
        probe.rounds *= 2;
        fma(probe.rounds);
        seconds = clock_since(start);
    }
    return probe;
}

/* What each thread does in each chunk; returns the operations, or the bytes. */
typedef double chunk_work(const void *context, int thread, int chunk);

/* What one thread did in one chunk. */
struct span {
    double start, end, amount;
};

struct gang {
    chunk_work *work;
    const void *context;
    int threads, chunks;
    struct span *spans; /* [threads][chunks] */
    atomic_int enrolled, arrived;
    atomic_int called_off;
};

/*
 * Waits until `target` threads have arrived. It spins, because waking up costs one percent of a
 * chunk. It yields at times, because there may be more threads than CPUs.
 */
static void meet(struct gang *gang, int target) {
    atomic_fetch_add(&gang->arrived, 1);
    for (int spins = 1; atomic_load(&gang->arrived) < target; spins++) {
        if (atomic_load(&gang->called_off))
            return;
        if (spins % 1024 == 0)
            sched_yield();
    }
}

static void run_chunks(struct gang *gang, int thread) {
    struct span *spans = gang->spans + (ptrdiff_t)thread * gang->chunks;
    for (int i = 0; i < gang->chunks; i++) {
        meet(gang, (i + 1) * gang->threads);
        if (atomic_load(&gang->called_off))
            break;
        spans[i].start = clock_now();
        spans[i].amount = gang->work(gang->context, thread, i);
        spans[i].end = clock_now();
    }
}

static void *enrol(void *argument) {
    struct gang *gang = argument;
    const int thread = 1 + atomic_fetch_add(&gang->enrolled, 1);
    pin_thread(thread);
    run_chunks(gang, thread);
    return NULL;
}

/* From the first start to the last end, so that threads which had to take turns don't look fast. */
static double typical_rate(const struct gang *gang) {
    double rates[MOST_CHUNKS];
    for (int i = 0; i < gang->chunks; i++) {
        struct span all = gang->spans[i];
        for (int t = 1; t < gang->threads; t++) {
            const struct span *s = &gang->spans[(ptrdiff_t)t * gang->chunks + i];
            all.start = s->start < all.start ? s->start : all.start;
            all.end = s->end > all.end ? s->end : all.end;
            all.amount += s->amount;
        }
        rates[i] = all.amount / clock_elapsed(all.start, all.end);
    }
    return statistics_of(rates, gang->chunks).median;
}

/* The median over the chunks of the rate of all threads together; 0 if they can't be started. */
static double measure_rate(chunk_work *work, const void *context, int threads, int chunks) {
    const size_t count = (size_t)threads;
    struct gang gang = {.work = work, .context = context, .threads = threads, .chunks = chunks};
    gang.spans = calloc(count * (size_t)chunks, sizeof *gang.spans);
    pthread_t *ids = calloc(count, sizeof *ids);
    size_t started = 0;
    if (gang.spans && ids) {
        while (started + 1 < count && pthread_create(&ids[started], NULL, enrol, &gang) == 0)
            started++;
        if (started + 1 < count)
            atomic_store(&gang.called_off, 1);
        run_chunks(&gang, 0); /* the caller is the first of the gang and comes last */
        for (size_t i = 0; i < started; i++)
            pthread_join(ids[i], NULL);
    }
    const double rate = started + 1 == count && gang.spans && ids ? typical_rate(&gang) : 0;
    free(ids);
    free(gang.spans);
    return rate;
}

/* Chunks of FMAs in pieces, which threads take off a counter as they do a run's tasks. */
struct multiplication {
    const struct bench_probe *probe;
    int pieces;
    atomic_int *taken; /* [MOST_CHUNKS] */
};

static double multiply(const void *context, int thread, int chunk) {
    const struct multiplication *m = context;
    double done = 0;
    (void)thread;
    while (atomic_fetch_add(&m->taken[chunk], 1) < m->pieces)
        done += m->probe->fma(m->probe->rounds);
    return done;
}

double bench_probe_peak(const struct bench_probe *probe, double seconds) {
    atomic_int taken[MOST_CHUNKS];
    for (int i = 0; i < MOST_CHUNKS; i++)
        atomic_init(&taken[i], 0);
    seconds = seconds < longest_chunk ? seconds : longest_chunk;
    const int each = seconds > piece_seconds ? (int)(seconds / piece_seconds) : 1;
    const int chunks = MOST_CHUNKS / each > LEAST_CHUNKS ? MOST_CHUNKS / each : LEAST_CHUNKS;
    const struct multiplication m = {probe, each * probe->threads, taken};
    return measure_rate(multiply, &m, probe->threads, chunks);
}

/*
 * A chunk reads a copy, in pieces that threads take off a counter. As with the library's tasks,
 * chance decides which thread finds a piece in its own cache.
 */
struct reading {
    const struct bench_reader *reader;
    int64_t lines; /* of a piece */
    int64_t pieces;
    atomic_int_fast64_t *taken; /* [MOST_CHUNKS] */
};

static double read_pieces(const void *context, int thread, int chunk) {
    const struct reading *reading = context;
    const struct bench_reader *r = reading->reader;
    const char *copy = r->data + (r->turn + chunk) % r->copies * (int64_t)r->size;
    const int64_t all = (int64_t)r->size / LINE;
    double bytes = 0;
    (void)thread;
    for (;;) {
        const int64_t taken = atomic_fetch_add(&reading->taken[chunk], 1);
        if (taken >= reading->pieces * (r->more + 1))
            return bytes;
        const int64_t first = taken % reading->pieces * reading->lines;
        const int64_t lines = all - first < reading->lines ? all - first : reading->lines;
        volatile double seen =
            r->read((const void *)(copy + first * LINE), lines * (LINE / (int64_t)sizeof(float)));
        (void)seen;
        bytes += (double)(lines * LINE);
    }
}

double bench_reader_bandwidth(struct bench_reader *reader) {
    int chunks = LEAST_CHUNKS;
    while (chunks < MOST_CHUNKS && (double)reader->size * chunks < read_bytes)
        chunks++;
    atomic_int_fast64_t taken[MOST_CHUNKS];
    for (int i = 0; i < MOST_CHUNKS; i++)
        atomic_init(&taken[i], 0);
    const int64_t all = (int64_t)reader->size / LINE;
    const int64_t even = all / (PIECES_PER_THREAD * reader->threads) + 1;
    const int64_t lines = even < LONGEST_PIECE / LINE ? even : LONGEST_PIECE / LINE;
    const struct reading reading = {reader, lines, (all + lines - 1) / lines, taken};
    const double bandwidth = measure_rate(read_pieces, &reading, reader->threads, chunks);
    reader->turn = (reader->turn + chunks) % reader->copies;
    return bandwidth;
}
