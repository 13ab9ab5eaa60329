/* SPDX-License-Identifier: Apache-2.0 */
/* Checks cases and times them. */
#ifndef RAPT_BENCH_MEASURE_H
#define RAPT_BENCH_MEASURE_H

#include <rapt/isa.h>

#include "bench/data.h"
#include "bench/probes.h"
#include "bench/result.h"

/* How long to measure. */
struct bench_effort {
    double seconds;  /* in runs of one case, at least */
    int repetitions; /* at least */
    int limits;      /* measurements of the limit around and between the repetitions */
};

/* The machine's own speed on an instruction set, with a number of threads. */
struct bench_limits {
    struct bench_probe probe;
    double (*read)(const float *data, int64_t n);
    struct bench_reader *memory; /* of what is in no cache, if cases are to have roofs; or NULL */
};

/* The most cases that are timed in turns. */
enum { MEASURE_MOST_TURNS = 9 };

/*
 * Checks the cases and times those whose result is right, in turns, so that the machine is the same
 * for each. False, with the reason on stderr, if the library or the machine refuses.
 */
bool bench_measure(const struct bench_case *cases, int count, const struct rapt_isa *isa,
                   const struct bench_limits *limits, const struct bench_effort *effort,
                   const struct bench_data *data, struct bench_result *results);

#endif
