/* SPDX-License-Identifier: Apache-2.0 */
/* Results against those of an earlier report. */
#ifndef RAPT_BENCH_COMPARE_H
#define RAPT_BENCH_COMPARE_H

#include "bench.h"

struct compare {
    struct cJSON *report;
    const char *path;
};

/* Reads a report that --json wrote. False with the reason on stderr; to be freed in any case. */
bool compare_read(struct compare *old, const char *path);
void compare_free(struct compare *old);

/* Whether the report has a correct result of that run. */
bool compare_has(const struct compare *old, const char *name, const char *isa, int threads);

enum compare_verdict { COMPARE_SAME, COMPARE_SLOWER, COMPARE_FASTER };

/* The figures of a run: GFLOP/s or GB/s, its share of the limit, and how far each scatters. */
struct compare_figures {
    double rate, share, spread, limit_spread;
};

/*
 * A run is slower, or faster, if both its rate and its share of what the machine could do moved
 * that way by more than the noise: so a machine that is faster today isn't taken for progress. The
 * noise is half the spreads of both runs, and 3 % at least.
 */
enum compare_verdict compare_judge(const struct compare_figures *before,
                                   const struct compare_figures *now, double *noise);

/* Prints what changed, and returns how many runs are slower. */
size_t compare_print(const struct compare *old, const struct bench_result *results, size_t count);

#endif
