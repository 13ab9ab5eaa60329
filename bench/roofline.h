/* SPDX-License-Identifier: Apache-2.0 */
/* Where cases stand between the two roofs: the peak of FMAs, and the bandwidth times intensity. */
#ifndef RAPT_BENCH_ROOFLINE_H
#define RAPT_BENCH_ROOFLINE_H

#include <stdio.h>

#include "bench/summary.h"

/* A case in the plane of intensity and rate. */
struct roofline_point {
    double intensity; /* FLOP per byte of compulsory traffic: Q, K, V read and O written once */
    double rate;      /* GFLOP/s */
    double roof;      /* what the rate can be at this intensity, in GFLOP/s */
    double share;     /* of the roof */
    bool memory;      /* the roof is the bandwidth's */
};

/* Of a correct result that has roofs. */
struct roofline_point roofline_point(const struct bench_result *result);

/* The roofs of an instruction set with a number of threads: medians over the cases; 0 if none is
 * correct. */
struct bench_roof roofline_of(const struct summary *summary, size_t isa, int threads);

/* One table for each instruction set and number of threads. */
void roofline_print(const struct summary *summary);

/* A chart of one of them, and a list of its cases. */
void roofline_chart(FILE *file, const struct summary *summary, size_t isa, int threads);

#endif
