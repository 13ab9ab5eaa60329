/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `rapt bench` share: a result, how to get one, and where it goes. */
#ifndef RAPT_BENCH_BENCH_H
#define RAPT_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <rapt/isa.h>

#include "shapes.h"
#include "timing.h"

/* One case on one instruction set with one number of threads. */
struct bench_result {
    const char *name;
    struct bench_shape shape; /* as timed: a slow variant gets fewer queries than the case has */
    bool cut;                 /* whether it did */
    const char *isa;
    int threads, threads_used; /* the library takes fewer where there is little work */

    bool correct;      /* a wrong result is not timed: the figures are 0 */
    double max_error;  /* largest absolute error on the rows that were checked */
    char failure[128]; /* what was wrong */

    struct bench_summary time; /* of one run, in seconds */
    struct bench_summary peak; /* of the FMA peaks around and between the runs, in GFLOP/s */
    double gflops;
    double share; /* of the median peak */
};

/* How long to measure. */
struct bench_effort {
    double seconds;  /* in runs of one case, at least */
    int repetitions; /* at least */
    int peaks;       /* measurements of the FMA peak around and between the repetitions */
};

/* Inputs and output that are large enough for each of the cases, 64-byte aligned. */
struct bench_data {
    float *query, *key, *value, *out;
    size_t out_size; /* bytes */
};

/* False if there isn't so much memory; *size tells how many bytes the cases need. */
bool bench_data_create(struct bench_data *data, const struct bench_case *cases, size_t count,
                       double *size);
void bench_data_destroy(struct bench_data *data);

/*
 * Checks one case and, if its result is right, times it. False, with the reason on stderr, if the
 * library or the machine refuses.
 */
bool bench_measure(const struct bench_case *bench_case, const struct rapt_isa *isa,
                   const struct bench_probe *probe, const struct bench_effort *effort,
                   const struct bench_data *data, struct bench_result *result);

/* The table on stdout. name_width is the length of the longest name. */
void bench_table_head(const char *isa, int threads, int name_width);
void bench_table_row(const struct bench_result *result, int name_width);

/* The machine's processors: those that this process may use, and all that are switched on. */
int bench_cpus_usable(void);
int bench_cpus_online(void);

/* CPU time since the start, of this process and of the whole machine. */
struct bench_load {
    double own, busy, total; /* seconds; total is 0 where the system doesn't tell */
};
struct bench_load bench_load_now(void);

/* The share of the machine that others took between two moments, from 0 to 1. */
double bench_load_others(struct bench_load before, struct bench_load after);

/* The model's name. */
void bench_cpu_model(char *text, size_t size);

/* Facts about the machine and this build, as a JSON object; NULL if there is no memory. */
struct cJSON;
struct cJSON *bench_machine(double others);

/* Writes the report. False if that fails, with errno set. */
bool bench_json_write(FILE *file, const struct bench_result *results, size_t count, double others);

#endif
