/* SPDX-License-Identifier: Apache-2.0 */
/* What a figure is drawn on. Lengths are in units of 1/96 inch, y grows downwards. */
#ifndef RAPT_CLI_ATTEND_CANVAS_H
#define RAPT_CLI_ATTEND_CANVAS_H

#include "cli/base/color.h"

enum canvas_anchor { CANVAS_START, CANVAS_MIDDLE, CANVAS_END }; /* what of a text is at x, y */

struct canvas_text {
    double x, y; /* on the baseline */
    double size; /* of the letters, in units */
    enum canvas_anchor anchor;
    bool upward; /* turned to the left, to be read from the bottom to the top */
    bool bold;
    struct color color;
};

/* Squares of one size, in rows. */
struct canvas_cells {
    int x, y, side;
    int rows, columns;
    const struct color *colors; /* rows * columns */
};

struct canvas {
    void (*cells)(struct canvas *canvas, const struct canvas_cells *cells);
    void (*text)(struct canvas *canvas, const char *text, const struct canvas_text *style);
};

#endif
