/* SPDX-License-Identifier: Apache-2.0 */
/* What rapt attend prints: one head large, several heads small, or a table of all. */
#ifndef RAPT_CLI_LOOK_H
#define RAPT_CLI_LOOK_H

#include "attend.h"
#include "heatmap.h"

/* What is shown, and how. */
struct look {
    const struct samples *samples;
    const struct sample *sentence;
    struct attend_range range;
    const char *isa;      /* that the weights were computed on */
    const float *weights; /* of attend_compute */
    struct heatmap_style style;
};

/* Prints it all; false if memory ran out. */
bool look_print(FILE *out, const struct look *look);

/* The sentences and their tokens, wrapped to a width. */
void look_print_list(FILE *out, const struct samples *samples, int width);

#endif
