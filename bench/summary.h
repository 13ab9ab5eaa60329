/* SPDX-License-Identifier: Apache-2.0 */
/* All results side by side: by instruction set, and by number of threads. */
#ifndef RAPT_BENCH_SUMMARY_H
#define RAPT_BENCH_SUMMARY_H

#include "bench/result.h"
#include "cli/base/args.h"

/* Results in the order instruction set, threads, case. */
struct summary {
    const struct bench_result *results;
    size_t case_count, isa_count;
    struct args_ints threads; /* fewest first */
    int cores, cpus;          /* that the threads have */
};

/* One table for each number of threads, in it a column for each instruction set. */
void summary_isa(const struct summary *summary);

/* One table for each case and instruction set, in it a row for each number of threads. */
void summary_scaling(const struct summary *summary);

/* The result of a case. */
const struct bench_result *summary_at(const struct summary *summary, size_t isa, int threads,
                                      size_t case_index);

/* How many times the rate with the fewest threads; 0 if either result was wrong. */
double summary_speedup(const struct summary *summary, size_t isa, int threads, size_t case_index);

#endif
