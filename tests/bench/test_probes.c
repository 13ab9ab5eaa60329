/* SPDX-License-Identifier: Apache-2.0 */
/* The probes of the machine's peak and bandwidth. */
#include <criterion/criterion.h>

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/probes.h"

static atomic_int calls;

static double fake_fma(int64_t rounds) {
    atomic_fetch_add(&calls, 1);
    return (double)rounds;
}

/* Holds each thread until all are there, or one that is done would take what is left. */
static atomic_int arrived;
static int probe_number;
static _Thread_local int arrived_in;

static double meeting_fma(int64_t rounds) {
    if (arrived_in != probe_number)
        atomic_fetch_add(&arrived, 1);
    arrived_in = probe_number;
    while (atomic_load(&arrived) < rounds)
        sched_yield();
    return (double)rounds;
}

Test(probes, the_probe_runs_on_every_thread) {
    for (int threads = 1; threads <= 5; threads++) {
        const struct bench_probe probe = {meeting_fma, threads, threads};
        atomic_store(&arrived, 0);
        probe_number++;
        cr_expect_gt(bench_probe_peak(&probe, 0), 0);
        cr_expect_eq(atomic_load(&arrived), threads);
    }
}

/* A span of the peak is as long as a run: so many pieces of a millisecond for each thread. */
Test(probes, the_probe_takes_as_long_as_a_run) {
    static const struct {
        double seconds;
        int pieces;
    } spans[] = {{0, 24}, {0.0009, 24}, {0.0061, 6 * 4}, {0.0101, 10 * 3}, {1e9, 250 * 3}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        for (int threads = 1; threads <= 3; threads++) {
            const struct bench_probe probe = {fake_fma, threads, 1000};
            atomic_store(&calls, 0);
            cr_expect_gt(bench_probe_peak(&probe, spans[i].seconds), 0);
            cr_expect_eq(atomic_load(&calls), spans[i].pieces * threads);
        }
    }
}

enum { COPY_FLOATS = 7 * 16, COPIES = 5 };
static float copies[COPIES * COPY_FLOATS];
static atomic_int times_read[COPIES * COPY_FLOATS / 16], times_outside;

static double fake_read(const float *data, int64_t n) {
    const int64_t first = data - copies;
    if (first < 0 || first % 16 || n % 16 || first + n > COPIES * COPY_FLOATS) {
        atomic_fetch_add(&times_outside, 1);
        return 0;
    }
    for (int64_t i = first; i < first + n; i += 16)
        atomic_fetch_add(&times_read[i / 16], 1);
    return 0;
}

Test(probes, the_reader_reads_copy_after_copy) {
    for (int threads = 1; threads <= 9; threads++) {
        struct bench_reader reader = {
            fake_read, threads, (const char *)copies, COPY_FLOATS * sizeof(float), COPIES, 1, 0};
        memset(times_read, 0, sizeof times_read);
        cr_expect_gt(bench_reader_bandwidth(&reader), 0);
        int64_t reads = 0, least = INT64_MAX, most = 0;
        for (int copy = 0; copy < COPIES; copy++) {
            const int times = atomic_load(&times_read[copy * COPY_FLOATS / 16]);
            reads += times;
            least = times < least ? times : least;
            most = times > most ? times : most;
            for (int line = 0; line < COPY_FLOATS / 16; line++)
                cr_expect_eq(atomic_load(&times_read[copy * COPY_FLOATS / 16 + line]), times);
        }
        cr_expect_eq(atomic_load(&times_outside), 0);
        cr_expect_leq(most, least + 1);
        cr_expect_geq(times_read[COPY_FLOATS / 16], most); /* it began with copy 1 */
        cr_expect_eq(reader.turn, (1 + reads) % COPIES);
    }
}

Test(probes, a_copy_in_a_cache_is_read_again) {
    struct bench_reader reader = {
        fake_read, 2, (const char *)copies, COPY_FLOATS * sizeof(float), 1, 0, 4};
    memset(times_read, 0, sizeof times_read);
    cr_expect_gt(bench_reader_bandwidth(&reader), 0);
    cr_expect_eq(atomic_load(&times_outside), 0);
    for (int line = 0; line < COPIES * COPY_FLOATS / 16; line++) {
        const int times = atomic_load(&times_read[line]);
        cr_expect(line < COPY_FLOATS / 16 ? times > 0 && times % 5 == 0 : times == 0);
    }
}
