/* SPDX-License-Identifier: Apache-2.0 */
/* The results as a JSON report. */
#ifndef RAPT_BENCH_JSON_H
#define RAPT_BENCH_JSON_H

#include <stdio.h>

#include "bench/result.h"

/* False if that fails, with errno set. */
bool json_write(FILE *file, const struct bench_result *results, size_t count, double others);

#endif
