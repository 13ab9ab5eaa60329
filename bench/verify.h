/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a job computed is right. */
#ifndef RAPT_BENCH_VERIFY_H
#define RAPT_BENCH_VERIFY_H

#include "bench/job.h"
#include "bench/result.h"

/*
 * Holds rows of a job's output against the oracle's: the first, the last and random ones, fewer
 * where keys are many. Sets what the result says of it. False, with the reason on stderr, if there
 * is no memory.
 */
bool bench_verify(const struct bench_job *job, struct bench_result *result);

#endif
