/* SPDX-License-Identifier: Apache-2.0 */
/* Draws curves on a grid of dots, of which a character holds one, or 2 by 4 in braille. */
#include "cli/base/plot.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINES = 12,
    MARGIN = 10, /* for the numbers of the vertical axis */
    MOST_COLUMNS = 160,
    DOTS_X = 2, /* of a braille character */
    DOTS_Y = 4,
};

static const char marks[PLOT_MOST_SERIES] = {'*', 'o', '+', 'x'};

struct dot_grid {
    bool braille;
    int columns;
    int dots_x, dots_y;                        /* of a character */
    unsigned char dots[LINES][MOST_COLUMNS];   /* one bit for each; 0 where nothing is */
    unsigned char on_top[LINES][MOST_COLUMNS]; /* the last series that drew there */
};

/* What an axis spans, after the logarithm if it has one. */
struct span {
    double low, high;
    bool logarithmic;
};

bool plot_unicode(void) {
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (!locale)
        return false;
    bool unicode = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return unicode;
}

static bool uses_unicode(const struct plot_style *style) {
    return style->unicode && style->colors != COLOR_NONE;
}

static double along(const struct span *span, double value) {
    return span->logarithmic ? log(value) : value;
}

static void widen(struct span *span, double value) {
    double at = along(span, value);
    if (isfinite(at)) {
        span->low = fmin(span->low, at);
        span->high = fmax(span->high, at);
    }
}

static struct span horizontal_span(const struct plot *plot) {
    struct span span = {INFINITY, -INFINITY, plot->horizontal.logarithmic};
    for (int i = 0; i < plot->points; i++)
        widen(&span, plot->x[i]);
    return span;
}

static struct span vertical_span(const struct plot *plot) {
    struct span span = {INFINITY, -INFINITY, plot->vertical.logarithmic};
    if (!span.logarithmic)
        widen(&span, 0);
    for (int s = 0; s < plot->count; s++)
        for (int i = 0; i < plot->points; i++)
            widen(&span, plot->series[s].y[i]);
    return span;
}

/* The value at a share of the way from the axis' low end to its high one. */
static double value_at(const struct span *span, double share) {
    double at = span->low + share * (span->high - span->low);
    return span->logarithmic ? exp(at) : at;
}

/* The dot for a value among so many, -1 if it has none. */
static int dot_of(const struct span *span, double value, int count) {
    double at = along(span, value);
    if (!isfinite(at))
        return -1;
    double share = span->high > span->low ? (at - span->low) / (span->high - span->low) : 0;
    return (int)lround(share * (count - 1));
}

static void set_dot(struct dot_grid *canvas, int x, int y, int series) {
    static const unsigned char bits[DOTS_Y][DOTS_X] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    int line = LINES - 1 - y / canvas->dots_y, column = x / canvas->dots_x;
    int row = canvas->dots_y - 1 - y % canvas->dots_y;
    canvas->dots[line][column] |= bits[row][x % canvas->dots_x];
    canvas->on_top[line][column] = (unsigned char)series;
}

/* Straight lines from point to point. */
static void draw_series(struct dot_grid *canvas, const struct plot *plot, int series,
                        const struct span *across, const struct span *up) {
    int before_x = -1, before_y = -1;
    for (int i = 0; i < plot->points; i++) {
        int x = dot_of(across, plot->x[i], canvas->columns * canvas->dots_x);
        int y = dot_of(up, plot->series[series].y[i], LINES * canvas->dots_y);
        bool visible = x >= 0 && y >= 0;
        if (visible) {
            bool joined = before_x >= 0;
            int from_x = joined ? before_x : x, from_y = joined ? before_y : y;
            int steps = (int)fmax(fmax(x - from_x, abs(y - from_y)), 1);
            for (int step = 0; step <= steps; step++) {
                double share = step / (double)steps;
                set_dot(canvas, (int)lround(from_x + share * (x - from_x)),
                        (int)lround(from_y + share * (y - from_y)), series);
            }
        }
        before_x = visible ? x : -1;
        before_y = y;
    }
}

/* Curves share the ramp, from its middle on, which shows on dark and on light. */
static void color_series(FILE *out, int series, int count, enum color_mode colors) {
    color_foreground(out, colors, count > 1 ? 0.45 + 0.4 * series / (count - 1) : 0.6);
}

static void print_cell(FILE *out, const struct dot_grid *canvas, int line, int column, int count,
                       enum color_mode colors) {
    unsigned dots = canvas->dots[line][column];
    int series = canvas->on_top[line][column];
    if (!dots) {
        fputc(' ', out);
        return;
    }
    color_series(out, series, count, colors);
    if (canvas->braille) /* U+2800 and a bit for each dot */
        fprintf(out, "\xe2%c%c", (int)(0xa0 | dots >> 6), (int)(0x80 | (dots & 0x3f)));
    else
        fputc(marks[series], out);
    color_reset(out, colors);
}

static void print_lines(FILE *out, const struct dot_grid *canvas, const struct span *up, int count,
                        enum color_mode colors) {
    for (int line = 0; line < LINES; line++) {
        bool labelled = line == 0 || line == LINES / 2 || line == LINES - 1;
        if (labelled)
            fprintf(out, "%*.3g ", MARGIN - 2, value_at(up, (LINES - 1 - line) / (LINES - 1.0)));
        else
            fprintf(out, "%*s", MARGIN - 1, "");
        fputs(canvas->braille ? "\xe2\x94\x82" : "|", out); /* U+2502 */
        int last = canvas->columns;
        while (last > 0 && !canvas->dots[line][last - 1])
            last--;
        for (int column = 0; column < last; column++)
            print_cell(out, canvas, line, column, count, colors);
        fputc('\n', out);
    }
}

static void print_foot(FILE *out, const struct dot_grid *canvas, const struct span *across) {
    fprintf(out, "%*s", MARGIN - 1, "");
    fputs(canvas->braille ? "\xe2\x94\x94" : "+", out); /* U+2514, then U+2500 */
    for (int i = 0; i < canvas->columns; i++)
        fputs(canvas->braille ? "\xe2\x94\x80" : "-", out);
    char middle[32], right[32];
    int left = fprintf(out, "\n%*s%.4g", MARGIN, "", value_at(across, 0)) - 1;
    int half = snprintf(middle, sizeof middle, "%.3g", value_at(across, 0.5));
    int end = snprintf(right, sizeof right, "%.4g", value_at(across, 1));
    int at = MARGIN + (canvas->columns - half) / 2;
    fprintf(out, "%*s%s", at - left, "", middle);
    fprintf(out, "%*s%s\n", MARGIN + canvas->columns - end - at - half, "", right);
}

static void print_names(FILE *out, const struct plot *plot, const struct dot_grid *canvas,
                        enum color_mode colors) {
    fprintf(out, "%*s", MARGIN, "");
    for (int s = 0; s < plot->count; s++) {
        color_series(out, s, plot->count, colors);
        if (canvas->braille)
            fputs("\xe2\x94\x81\xe2\x94\x81", out); /* U+2501 */
        else
            fputc(marks[s], out);
        color_reset(out, colors);
        fprintf(out, " %s%s", plot->series[s].name, s + 1 < plot->count ? "   " : "\n");
    }
    fprintf(out, "%*sacross: %s%s; up: %s%s\n", MARGIN, "", plot->horizontal.label,
            plot->horizontal.logarithmic ? " (log)" : "", plot->vertical.label,
            plot->vertical.logarithmic ? " (log)" : "");
}

void plot_print(FILE *out, const struct plot *plot, const struct plot_style *style) {
    bool braille = uses_unicode(style);
    int columns = style->width - MARGIN;
    struct dot_grid canvas = {.braille = braille,
                              .columns = columns < MOST_COLUMNS ? columns : MOST_COLUMNS,
                              .dots_x = braille ? DOTS_X : 1,
                              .dots_y = braille ? DOTS_Y : 1};
    struct span across = horizontal_span(plot), up = vertical_span(plot);
    for (int s = 0; s < plot->count; s++)
        draw_series(&canvas, plot, s, &across, &up);
    print_lines(out, &canvas, &up, plot->count, style->colors);
    print_foot(out, &canvas, &across);
    print_names(out, plot, &canvas, style->colors);
}

void plot_bar(FILE *out, double share, int width, const struct plot_style *style) {
    enum { EIGHTHS = 8 };
    double filled = (share > 0 ? fmin(share, 1) : 0) * width;
    color_foreground(out, style->colors, 0.45 + 0.4 * share);
    if (uses_unicode(style)) { /* U+2588, the full block; U+2589 and on are its eighths */
        int eighths = (int)lround(filled * EIGHTHS);
        for (; eighths > 0; eighths -= EIGHTHS) {
            int missing = eighths < EIGHTHS ? EIGHTHS - eighths : 0;
            fprintf(out, "\xe2\x96%c", 0x88 + missing);
        }
    } else {
        for (long i = lround(filled); i > 0; i--)
            fputc('#', out);
    }
    color_reset(out, style->colors);
}
