/* SPDX-License-Identifier: Apache-2.0 */
/* The results as a page with charts that needs nothing but itself. */
#ifndef RAPT_BENCH_HTML_H
#define RAPT_BENCH_HTML_H

#include <stdio.h>

#include "bench/summary.h"

/* Writes the page. False if that fails, with errno set. */
bool html_write(FILE *file, const struct summary *summary, double others);

#endif
