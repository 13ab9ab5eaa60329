/* SPDX-License-Identifier: Apache-2.0 */
/* Time, statistics, and the machine's own speed. */
#ifndef RAPT_BENCH_PROBES_H
#define RAPT_BENCH_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the FMA peak of an instruction set is measured. */
struct bench_probe {
    double (*fma)(int64_t rounds); /* runs chains of FMAs and returns the operations done */
    int threads;
    int64_t rounds; /* as many as take about a millisecond */
};

/* Makes a probe: finds out how many rounds it takes. */
struct bench_probe bench_probe_create(double (*fma)(int64_t rounds), int threads);

/*
 * Operations per second of all threads together: the median of several chunks. 0 if the threads
 * can't be started. A chunk is as long as `seconds`, the time of the run that the peak is compared
 * to, but from 1 to 250 ms. Disturbances, such as a neighbour on the other thread of a core, come
 * and go. A short chunk mostly escapes them and a long run never does, so only spans of one length
 * compare.
 */
double bench_probe_peak(const struct bench_probe *probe, double seconds);

/* What is read to measure the bandwidth: copies of one size, one behind the other. */
struct bench_reader {
    double (*read)(const float *data, int64_t n);
    int threads; /* that read a copy together, piece by piece */
    const char *data;
    size_t size; /* of a copy, a multiple of 64 */
    int64_t copies;
    int64_t turn; /* the copy to read next, modulo copies */
    int64_t more; /* times that a copy is read again before the next one; for one in a cache */
};

/* Bytes per second of all threads together, the median over copies; moves the turn on. */
double bench_reader_bandwidth(struct bench_reader *reader);

#endif
