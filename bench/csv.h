/* SPDX-License-Identifier: Apache-2.0 */
/* The results as comma-separated values. */
#ifndef RAPT_BENCH_CSV_H
#define RAPT_BENCH_CSV_H

#include <stdio.h>

#include "bench/result.h"

/* Writes one line for each result. False if that fails, with errno set. */
bool csv_write(FILE *file, const struct bench_result *results, size_t count);

#endif
