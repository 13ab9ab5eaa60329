/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `rapt bench` share: a result, how to get one, and where it goes. */
#ifndef RAPT_BENCH_RESULT_H
#define RAPT_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <rapt/isa.h>

#include "bench/data.h"
#include "bench/shapes.h"
#include "bench/probes.h"
#include "cli/base/statistics.h"

/* What bounds a case from above: medians of measurements around and between its runs. */
struct bench_roof {
    double peak;      /* of FMAs, in GFLOP/s */
    double bandwidth; /* of reading keys and values where the runs find them, in GB/s */
    double memory;    /* of reading what is in no cache, in GB/s */
};

/* One case on one instruction set with one number of threads. */
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

/* No more cases are timed in turns. */
enum { BENCH_MOST_TURNS = 9 };

/*
 * Checks the cases and times those whose result is right, in turns, so that the machine is the same
 * for each. False, with the reason on stderr, if the library or the machine refuses.
 */
bool bench_measure(const struct bench_case *cases, int count, const struct rapt_isa *isa,
                   const struct bench_limits *limits, const struct bench_effort *effort,
                   const struct bench_data *data, struct bench_result *results);

/* The table on stdout. name_width is the length of the longest name. */
void bench_table_title(const char *isa, int threads);
void bench_table_head(bool memory, int name_width);
void bench_table_row(const struct bench_result *result, int name_width);

/* The machine's processors: those that this process may use, and all that are switched on. */
int bench_cpus_usable(void);
int bench_cpus_online(void);

/* The cores that the usable processors belong to: fewer where a core is two of them (SMT). */
int bench_cores_usable(void);

/* The usable processors, first one of each core and then their siblings, to be freed; NULL if the
 * system doesn't tell. */
int *bench_cpus_ordered(int *count);

/* Puts processors in that order. cores: anything that is the same for those of one core. */
void bench_order_cpus(int *cpus, const int *cores, int count);

/* How many of a list, from its start, have a core of their own. */
int bench_cores_of(const int *cpus, int count);

/* Bytes that the machine can still give, and those of the last-level cache, 0 if not known. */
double bench_memory_available(void);
double bench_cache_size(void);

/* CPU time since the start, of this process and of the whole machine. */
struct bench_load {
    double own, busy, total; /* seconds; total is 0 where the system doesn't tell */
};
struct bench_load bench_load_now(void);

/* The share of the machine that others took between two moments, from 0 to 1. */
double bench_load_others(struct bench_load before, struct bench_load after);

/* Facts about the machine and this build, as a JSON object; NULL if there is no memory. */
struct cJSON;
struct cJSON *bench_machine(double others);

/* Warns on stderr of a machine that has been busy. */
void bench_warn_before(void);

/* Warns of one that was, or whose peak or bandwidth moved within a group of results. */
void bench_warn_after(const struct bench_result *results, size_t count, size_t group_size,
                      double others);

/* Writes the report, or one line for each result. False if that fails, with errno set. */
bool bench_json_write(FILE *file, const struct bench_result *results, size_t count, double others);
bool bench_csv_write(FILE *file, const struct bench_result *results, size_t count);

#endif
