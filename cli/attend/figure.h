/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heatmaps as a figure of a paper, with a title, a scale and a caption. One head has its tokens
 * along both axes, and each of many heads has a panel.
 */
#ifndef RAPT_CLI_ATTEND_FIGURE_H
#define RAPT_CLI_ATTEND_FIGURE_H

#include "cli/attend/canvas.h"
#include "cli/attend/groups.h"
#include "cli/attend/heads_view.h"

/* Sizes of letters, and of lines of them. */
enum { FIGURE_TITLE = 15, FIGURE_TITLE_LINE = 21, FIGURE_TEXT = 11, FIGURE_TEXT_LINE = 16 };

enum { FIGURE_MARGIN = 20, FIGURE_BAR = 14, FIGURE_BAR_GAP = 24, FIGURE_LABEL_GAP = 5 };

/* Longer texts are cut: labels after so many columns, the others after so many lines. */
enum { FIGURE_LONGEST_LABEL = 20, FIGURE_TITLE_LINES = 3, FIGURE_CAPTION_LINES = 12 };

/* What is drawn, and where, in units of the canvas. */
struct figure {
    const struct heads_view *view;
    struct groups queries, keys; /* the tokens that share a cell */
    float *weights;              /* [panel][row][column] of cells */
    float brightest;
    int panels, columns;      /* so many panels stand side by side */
    bool matrix;              /* a layer is a row of panels, a head a column */
    int side;                 /* of a cell */
    int left, top;            /* of the first panel */
    int across, down;         /* from one panel to the next */
    int label_step;           /* of how many cells one is named along the axes; 0 names none */
    int query_room, key_room; /* for the labels of rows and columns */
    double label_size;
    int bar_height;
    char *caption;
    int caption_top;
    int width, height;
};

/*
 * Lays out the heads that are shown in `view`, which the figure goes on to read; false if memory
 * ran out. Always destroy it.
 */
bool figure_create(struct figure *figure, const struct heads_view *view);
void figure_destroy(struct figure *figure);

/* How many columns of text fit into that much room. */
int figure_text_columns(double room, double size, bool bold);

/* Draws it on a white canvas of its size; false if memory ran out. */
bool figure_draw(const struct figure *figure, struct canvas *canvas);

#endif
