/* SPDX-License-Identifier: Apache-2.0 */
/* Draws heatmaps with coloured cells, or with denser and denser characters. */
#include "heatmap.h"

#include <stdbool.h>

enum {
    longest_label = 12,
    panel_gap = 2,
    legend_cells = 30,
};

/* The bytes of the code point at `text`, 0 at the end. Stray continuation bytes join it. */
static int code_point_size(const char *text) {
    int size = *text != 0;
    while (size && ((unsigned char)text[size] & 0xc0) == 0x80) {
        size++;
    }
    return size;
}

static int text_width(const char *text) {
    int width = 0;
    for (; *text; text += code_point_size(text)) {
        width++;
    }
    return width;
}

int heatmap_label_width(const char *label) {
    int width = text_width(label);
    return width < longest_label ? width : longest_label;
}

int heatmap_widest(const char *const *labels, int count) {
    int most = 0;
    for (int i = 0; i < count; i++) {
        int width = heatmap_label_width(labels[i]);
        most = width > most ? width : most;
    }
    return most;
}

/* The code point at a position of a label, or a blank beyond its end; '~' tells of a cut. */
static void print_code_point(FILE *out, const char *label, int position) {
    if (position == longest_label - 1 && text_width(label) > longest_label) {
        fputc('~', out);
        return;
    }
    for (; *label && position > 0; position--) {
        label += code_point_size(label);
    }
    fprintf(out, "%.*s", *label ? code_point_size(label) : 1, *label ? label : " ");
}

void heatmap_print_label(FILE *out, const char *label, int width) {
    int own = heatmap_label_width(label);
    fprintf(out, "%*s", width > own ? width - own : 0, "");
    for (int i = 0; i < own; i++) {
        print_code_point(out, label, i);
    }
    fprintf(out, "%*s", -width > own ? -width - own : 0, "");
}

static double level_at(const struct heatmap *map, int row, int column) {
    return map->weights[(size_t)row * (size_t)map->columns + (size_t)column] / map->brightest;
}

static void print_cell(FILE *out, enum color_mode colors, double level, int width) {
    color_background(out, colors, level);
    for (int i = 0; i < width; i++) {
        fputc(colors == COLOR_NONE ? color_character(level) : ' ', out);
    }
}

static void print_row(FILE *out, const struct heatmap *map, int row, int cell,
                      enum color_mode colors) {
    for (int column = 0; column < map->columns; column++) {
        print_cell(out, colors, level_at(map, row, column), cell);
    }
    color_reset(out, colors);
}

/* The column labels, read downwards, with the notes' heading beside their last two lines. */
static void print_heading(FILE *out, const struct heatmap *map, const struct heatmap_labels *labels,
                          int indent, int cell) {
    int height = heatmap_widest(labels->columns, map->columns);
    height = height > 2 ? height : 2;
    for (int line = 0; line < height; line++) {
        fprintf(out, "%*s", indent, "");
        for (int column = 0; column < map->columns; column++) {
            const char *label = labels->columns[column];
            int position = line - (height - heatmap_label_width(label));
            if (position < 0) {
                fputc(' ', out);
            } else {
                print_code_point(out, label, position);
            }
            fprintf(out, "%*s", cell - 1, "");
        }
        int from_end = height - line;
        fprintf(out, " %s\n", from_end <= 2 ? labels->heading[2 - from_end] : "");
    }
}

void heatmap_print(FILE *out, const struct heatmap *map, const struct heatmap_labels *labels,
                   const struct heatmap_style *style) {
    int label = heatmap_widest(labels->rows, map->rows);
    int cell = label + 1 + 2 * map->columns + 1 + labels->note_width <= style->width ? 2 : 1;
    print_heading(out, map, labels, label + 1, cell);
    for (int row = 0; row < map->rows; row++) {
        heatmap_print_label(out, labels->rows[row], label);
        fputc(' ', out);
        print_row(out, map, row, cell, style->colors);
        fputc(' ', out);
        labels->note(out, row, labels->context);
        fputc('\n', out);
    }
}

/* Two rows of cells in one line: the upper half of each character is the first, the lower the next.
 */
static void print_half_rows(FILE *out, const struct heatmap *map, int row, enum color_mode colors) {
    for (int column = 0; column < map->columns; column++) {
        color_foreground(out, colors, level_at(map, row, column));
        if (row + 1 < map->rows) {
            color_background(out, colors, level_at(map, row + 1, column));
        }
        fputs("\xe2\x96\x80", out); /* U+2580, upper half block */
    }
    color_reset(out, colors);
}

static int panel_width(const struct heatmap *maps, const char *const *titles, int count) {
    int most = 0;
    for (int i = 0; i < count; i++) {
        int title = text_width(titles[i]);
        int width = maps[i].columns > title ? maps[i].columns : title;
        most = width > most ? width : most;
    }
    return most;
}

/* One line of a row of panels: the titles, or line `row` of each map. */
static void print_titles(FILE *out, const char *const *titles, int count, int width) {
    for (int i = 0; i < count; i++) {
        bool last = i + 1 == count;
        int blank = last ? 0 : width - text_width(titles[i]) + panel_gap;
        fprintf(out, "%s%*s", titles[i], blank, "");
    }
    fputc('\n', out);
}

static void print_panel_lines(FILE *out, const struct heatmap *maps, int count, int width,
                              enum color_mode colors) {
    int step = colors == COLOR_NONE ? 1 : 2;
    for (int row = 0; row < maps[0].rows; row += step) {
        for (int i = 0; i < count; i++) {
            if (step == 2) {
                print_half_rows(out, &maps[i], row, colors);
            } else {
                print_row(out, &maps[i], row, 1, colors);
            }
            bool last = i + 1 == count;
            fprintf(out, "%*s", last ? 0 : width - maps[i].columns + panel_gap, "");
        }
        fputc('\n', out);
    }
}

void heatmap_print_grid(FILE *out, const struct heatmap *maps, const char *const *titles, int count,
                        const struct heatmap_style *style) {
    int width = panel_width(maps, titles, count);
    int fit = (style->width + panel_gap) / (width + panel_gap);
    fit = fit > 1 ? fit : 1;
    int lines = (count + fit - 1) / fit;
    int per_line = (count + lines - 1) / lines;
    for (int first = 0; first < count; first += per_line) {
        int panels = count - first < per_line ? count - first : per_line;
        print_titles(out, titles + first, panels, width);
        print_panel_lines(out, maps + first, panels, width, style->colors);
        if (first + per_line < count) {
            fputc('\n', out);
        }
    }
}

void heatmap_print_legend(FILE *out, double brightest, const char *unit,
                          const struct heatmap_style *style) {
    fputs("0 ", out);
    for (int i = 0; i < legend_cells; i++) {
        print_cell(out, style->colors, i / (double)(legend_cells - 1), 1);
    }
    color_reset(out, style->colors);
    fprintf(out, " %.2f %s\n", brightest, unit);
}
