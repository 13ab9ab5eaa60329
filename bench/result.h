/* SPDX-License-Identifier: Apache-2.0 */
/* A result of `rapt bench`: one case on one instruction set with one number of threads. */
#ifndef RAPT_BENCH_RESULT_H
#define RAPT_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/shapes.h"
#include "cli/base/statistics.h"

/* What bounds a case from above: medians of measurements around and between its runs. */
struct bench_roof {
    double peak;      /* of FMAs, in GFLOP/s */
    double bandwidth; /* of reading keys and values where the runs find them, in GB/s */
    double memory;    /* of reading what is in no cache, in GB/s */
};

struct bench_result {
    const struct bench_case *of;
    struct bench_shape shape; /* as timed: a slow variant gets fewer queries than the case has */
    bool cut;                 /* whether it did */
    const char *isa;
    int threads, threads_used; /* the library takes fewer where there is little work */

    bool correct;      /* a wrong result is not timed: the figures are 0 */
    double max_error;  /* largest absolute error on the rows that were checked */
    char failure[192]; /* what was wrong */

    struct statistics time;  /* of one run, in seconds */
    struct statistics limit; /* of the FMA peaks around and between the runs in GFLOP/s, or of
                                   the read bandwidths in GB/s */
    double rate;             /* in the same unit */
    double share;            /* of the median limit */
    double time_ratio;       /* to the case's base; 0 if that wasn't timed in turns with it */
    double score_time_ratio; /* the same of the time for each score */
    double rate_ratio;       /* and of the rate, if both have the same unit */
    size_t workspace;        /* bytes of scratch */
    struct bench_roof roof;  /* for rapt bench roofline, else 0 */
};

#endif
