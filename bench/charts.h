/* SPDX-License-Identifier: Apache-2.0 */
/* Charts of results as inline SVG. Colours are the page's: the classes i0, i1, ... are those of the
 * instruction sets. */
#ifndef RAPT_BENCH_CHARTS_H
#define RAPT_BENCH_CHARTS_H

#include <stdio.h>

#include "bench/summary.h"

/* As many decimals as leave a number three digits or more. */
int chart_decimals(double number);

/* A number for which a chart has little room: four characters at most, with an SI prefix where it
 * needs one, from 1e-18 to 1e20. */
struct chart_number {
    char text[16];
};
struct chart_number chart_number(double number);

/* A bar for each instruction set: its rate, on a track as long as its own limit. `most` is at the
 * right end, so that bars of several charts can be compared. */
void chart_bars(FILE *file, const struct summary *summary, int threads, size_t case_index,
                double most);

/* A curve for each instruction set: the speed-up by threads, next to that of the limit and to the
 * ideal. */
void chart_scaling(FILE *file, const struct summary *summary, size_t case_index);

#endif
