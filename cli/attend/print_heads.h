/* SPDX-License-Identifier: Apache-2.0 */
/* What rapt attend prints: one head large, several heads small, or a table of all. */
#ifndef RAPT_CLI_ATTEND_PRINT_HEADS_H
#define RAPT_CLI_ATTEND_PRINT_HEADS_H

#include "cli/sentences/attend.h"
#include "cli/attend/heatmap.h"

/* What is shown, and how. */
struct look {
    const struct samples *samples;
    const struct sample *sentence;
    struct attend_range range;
    const char *isa;      /* that the weights were computed on */
    const float *weights; /* of attend_compute */
    struct heatmap_style style;
};

enum { LOOK_NAME_SIZE = 160 };

/* "all-MiniLM-L6-v2, layer 3 of 0-5, head 1 of 0-11", and of one head among several "head 1, 1.76
 * nats": its mean entropy. */
void look_name(const struct look *look, char name[LOOK_NAME_SIZE]);
void look_name_panel(const struct look *look, int index, char name[LOOK_NAME_SIZE]);

/*
 * The largest weight that one word gives another in the first head: no markers, no punctuation, not
 * itself. False if there are no two words.
 */
bool look_strongest_pair(const struct look *look, int *query, int *key);

/* Prints it all; false if memory ran out. */
bool look_print(FILE *out, const struct look *look);

/* The sentences and their tokens, wrapped to a width. */
void look_print_list(FILE *out, const struct samples *samples, int width);

#endif
