/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices of weights as pictures in a terminal: one with labels, or many small ones side by side.
 */
#ifndef RAPT_CLI_ATTEND_HEATMAP_H
#define RAPT_CLI_ATTEND_HEATMAP_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/base/color.h"

struct heatmap {
    const float *weights; /* rows * columns, dense */
    int rows, columns;
    float brightest; /* the weight that gets the brightest colour */
};

/* What stands around one. */
struct heatmap_labels {
    const char *const *rows, *const *columns;
    const char *heading[2]; /* two lines above the notes */
    /* Prints what stands to the right of a row, in so many characters; NULL: nothing. */
    void (*note)(FILE *out, int row, const void *context);
    const void *context;
    int note_width;
};

struct heatmap_style {
    enum color_mode colors;
    int width; /* of the terminal, in characters */
};

/* How many columns a label takes, at most 12, and the widest of some. */
int heatmap_label_width(const char *label);
int heatmap_widest(const char *const *labels, int count);

/* Prints a label in a field that is so wide, right-aligned, or left-aligned if width is negative.
 */
void heatmap_print_label(FILE *out, const char *label, int width);

/* Whether the notes fit beside the cells, and how many columns of cells do without them. */
bool heatmap_fits_notes(const struct heatmap *map, const struct heatmap_labels *labels, int width);
int heatmap_most_columns(const struct heatmap *map, const struct heatmap_labels *labels, int width);

/*
 * Row labels, cells, notes where they fit. Column labels run downwards above the cells. A cell is
 * two characters wide, or one if the rows would be wider than the terminal.
 */
void heatmap_print(FILE *out, const struct heatmap *map, const struct heatmap_labels *labels,
                   const struct heatmap_style *style);

/* Small ones without labels, as many side by side as fit, each under its title. */
void heatmap_print_grid(FILE *out, const struct heatmap *maps, const char *const *titles, int count,
                        const struct heatmap_style *style);

/* The scale from 0 to `brightest`. */
void heatmap_print_legend(FILE *out, double brightest, const struct heatmap_style *style);

#endif
