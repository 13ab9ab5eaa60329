/* SPDX-License-Identifier: Apache-2.0 */
/* Curves and bars in a terminal: braille dots and blocks in colour, or plain characters. */
#ifndef RAPT_CLI_BASE_PLOT_H
#define RAPT_CLI_BASE_PLOT_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/base/color.h"

enum { PLOT_MOST_SERIES = 4 };

struct plot_series {
    const char *name;
    const double *y; /* as many as the plot has points; what isn't finite leaves a gap */
};

/* A linear vertical axis also shows 0. On a logarithmic one there is nothing at or below 0. */
struct plot_axis {
    const char *label;
    bool logarithmic;
};

struct plot {
    const double *x; /* ascending */
    int points;
    struct plot_series series[PLOT_MOST_SERIES];
    int count;
    struct plot_axis horizontal, vertical;
};

struct plot_style {
    enum color_mode colors;
    bool unicode; /* braille dots and blocks, if there are colours to tell the curves apart */
    int width;    /* of the terminal, in characters */
};

/* Whether the user's locale writes UTF-8. */
bool plot_unicode(void);

/* The curves with axes, and a line that names them. */
void plot_print(FILE *out, const struct plot *plot, const struct plot_style *style);

/* A bar of at most so many characters, for a share from 0 to 1; nothing follows it. */
void plot_bar(FILE *out, double share, int width, const struct plot_style *style);

#endif
