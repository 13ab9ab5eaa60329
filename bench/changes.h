/* SPDX-License-Identifier: Apache-2.0 */
/* Results against those of an earlier report. */
#ifndef RAPT_BENCH_CHANGES_H
#define RAPT_BENCH_CHANGES_H

#include "bench/result.h"

struct old_report {
    struct cJSON *report;
    const char *path;
};

/* Reads a report that --json wrote. False with the reason on stderr; to be freed in any case. */
bool changes_read(struct old_report *old, const char *path);
void changes_free(struct old_report *old);

/* Whether the report has a correct result of that run. */
bool changes_has(const struct old_report *old, const char *name, const char *isa, int threads);

enum changes_verdict { CHANGES_SAME, CHANGES_SLOWER, CHANGES_FASTER };

/* The figures of a run: GFLOP/s or GB/s, its share of the limit, and how far each scatters. */
struct changes_figures {
    double rate, share, spread, limit_spread;
};

/*
 * A run is slower, or faster, if both its rate and its share of the limit moved that way by more
 * than the noise. So a machine that is faster today is not taken for progress. The noise is half
 * the spreads of both runs, and 3 % at least.
 */
enum changes_verdict changes_judge(const struct changes_figures *before,
                                   const struct changes_figures *now, double *noise);

/* Prints what changed, and returns how many runs are slower. */
size_t changes_print(const struct old_report *old, const struct bench_result *results,
                     size_t count);

#endif
