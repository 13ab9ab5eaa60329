/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings on stderr about a machine whose speed changes. */
#ifndef RAPT_BENCH_WARN_H
#define RAPT_BENCH_WARN_H

#include "bench/result.h"

/* Warns of a machine that has been busy. */
void warn_before(void);

/* Warns of one that was, or whose peak or bandwidth moved within a group of results. */
void warn_after(const struct bench_result *results, size_t count, size_t group_size, double others);

#endif
