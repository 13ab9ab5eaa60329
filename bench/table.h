/* SPDX-License-Identifier: Apache-2.0 */
/* The table of results on stdout. */
#ifndef RAPT_BENCH_TABLE_H
#define RAPT_BENCH_TABLE_H

#include "bench/result.h"

void table_title(const char *isa, int threads);

/* name_width is the length of the longest name. */
void table_head(bool memory, int name_width);
void table_row(const struct bench_result *result, int name_width);

#endif
