/* SPDX-License-Identifier: Apache-2.0 */
/* Draws heatmaps with coloured cells, or with denser and denser characters. */
#include "cli/attend/heatmap.h"

#include "cli/base/text.h"

enum {
    LONGEST_LABEL = 12,
    PANEL_GAP = 2,
    LEGEND_CELLS = 30,
};

/* A character with those that join it. */
struct cluster {
    const char *text;
    size_t size;
    int width;
};

static bool next_cluster(const char **text, struct cluster *cluster) {
    cluster->text = *text;
    int32_t character = text_next(text);
    cluster->width = text_char_width(character);
    for (const char *next = *text; *next; *text = next) {
        int32_t joining = text_next(&next);
        if (!joining || text_char_width(joining) > 0)
            break;
    }
    cluster->size = (size_t)(*text - cluster->text);
    return character != 0;
}

int heatmap_label_width(const char *label) {
    int width = text_width(label);
    return width < LONGEST_LABEL ? width : LONGEST_LABEL;
}

int heatmap_widest(const char *const *labels, int count) {
    int most = 0;
    for (int i = 0; i < count; i++) {
        int width = heatmap_label_width(labels[i]);
        most = width > most ? width : most;
    }
    return most;
}

void heatmap_print_label(FILE *out, const char *label, int width) {
    struct cluster cluster;
    int own = heatmap_label_width(label);
    bool cut = text_width(label) > LONGEST_LABEL;
    int room = own - cut;
    fprintf(out, "%*s", width > own ? width - own : 0, "");
    while (next_cluster(&label, &cluster) && cluster.width <= room) {
        text_print(out, cluster.text, cluster.size);
        room -= cluster.width;
    }
    /* '~' tells of a cut; the half of a wide character may be left before it. */
    fprintf(out, "%*s", cut ? room + 1 : 0, cut ? "~" : "");
    fprintf(out, "%*s", -width > own ? -width - own : 0, "");
}

/* How many lines a label takes that is read downwards. */
static int label_height(const char *label) {
    struct cluster cluster;
    int height = 0;
    while (next_cluster(&label, &cluster))
        height++;
    return height;
}

/* The narrowest cells that column labels can stand above. */
static int narrowest_cell(const struct heatmap *map, const struct heatmap_labels *labels) {
    struct cluster cluster;
    int most = 1;
    for (int column = 0; column < map->columns; column++)
        for (const char *label = labels->columns[column]; next_cluster(&label, &cluster);)
            most = cluster.width > most ? cluster.width : most;
    return most;
}

/* What of a heatmap fits into a line. */
struct layout {
    int label, cell;
    bool notes;
};

static struct layout fit(const struct heatmap *map, const struct heatmap_labels *labels,
                         int width) {
    int narrowest = narrowest_cell(map, labels);
    struct layout layout = {.label = heatmap_widest(labels->rows, map->rows)};
    for (int notes = labels->note != NULL; notes >= 0; notes--) {
        layout.notes = notes;
        for (layout.cell = 2; layout.cell >= narrowest; layout.cell--) {
            int taken = layout.label + 1 + layout.cell * map->columns;
            if (taken + (notes ? 1 + labels->note_width : 0) <= width)
                return layout;
        }
    }
    layout.cell = narrowest;
    return layout;
}

bool heatmap_fits_notes(const struct heatmap *map, const struct heatmap_labels *labels, int width) {
    return fit(map, labels, width).notes;
}

int heatmap_most_columns(const struct heatmap *map, const struct heatmap_labels *labels,
                         int width) {
    int room = width - heatmap_widest(labels->rows, map->rows) - 1;
    return room / narrowest_cell(map, labels);
}

static double level_at(const struct heatmap *map, int row, int column) {
    return map->weights[(size_t)row * (size_t)map->columns + (size_t)column] / map->brightest;
}

static void print_cell(FILE *out, enum color_mode colors, double level, int width) {
    color_background(out, colors, level);
    for (int i = 0; i < width; i++)
        fputc(colors == COLOR_NONE ? color_character(level) : ' ', out);
}

static void print_row(FILE *out, const struct heatmap *map, int row, int cell,
                      enum color_mode colors) {
    for (int column = 0; column < map->columns; column++)
        print_cell(out, colors, level_at(map, row, column), cell);
    color_reset(out, colors);
}

/* One line of a label that is read downwards and has so many. */
static void print_downwards(FILE *out, const char *label, int line, int cell) {
    struct cluster cluster = {.width = 1};
    if (line < 0) {
        fputc(' ', out);
    } else if (line == LONGEST_LABEL - 1 && label_height(label) > LONGEST_LABEL) {
        fputc('~', out);
    } else {
        for (int i = 0; i <= line; i++)
            next_cluster(&label, &cluster);
        text_print(out, cluster.text, cluster.size);
    }
    fprintf(out, "%*s", cell - cluster.width, "");
}

/* The column labels, read downwards, with the notes' heading beside their last two lines. */
static void print_heading(FILE *out, const struct heatmap *map, const struct heatmap_labels *labels,
                          const struct layout *layout) {
    int height = layout->notes ? 2 : 1;
    for (int column = 0; column < map->columns; column++) {
        int own = label_height(labels->columns[column]);
        height = own > height ? own : height;
    }
    height = height < LONGEST_LABEL ? height : LONGEST_LABEL;
    for (int line = 0; line < height; line++) {
        fprintf(out, "%*s", layout->label + 1, "");
        for (int column = 0; column < map->columns; column++) {
            const char *label = labels->columns[column];
            int own = label_height(label);
            own = own < LONGEST_LABEL ? own : LONGEST_LABEL;
            print_downwards(out, label, line - (height - own), layout->cell);
        }
        int from_end = height - line;
        if (layout->notes)
            fprintf(out, " %s", from_end <= 2 ? labels->heading[2 - from_end] : "");
        fputc('\n', out);
    }
}

void heatmap_print(FILE *out, const struct heatmap *map, const struct heatmap_labels *labels,
                   const struct heatmap_style *style) {
    struct layout layout = fit(map, labels, style->width);
    print_heading(out, map, labels, &layout);
    for (int row = 0; row < map->rows; row++) {
        heatmap_print_label(out, labels->rows[row], layout.label);
        fputc(' ', out);
        print_row(out, map, row, layout.cell, style->colors);
        if (layout.notes) {
            fputc(' ', out);
            labels->note(out, row, labels->context);
        }
        fputc('\n', out);
    }
}

/* Two rows of cells in one line: the upper half of each character is the first, the lower the next.
 */
static void print_half_rows(FILE *out, const struct heatmap *map, int row, enum color_mode colors) {
    for (int column = 0; column < map->columns; column++) {
        color_foreground(out, colors, level_at(map, row, column));
        if (row + 1 < map->rows)
            color_background(out, colors, level_at(map, row + 1, column));
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
        int blank = last ? 0 : width - text_width(titles[i]) + PANEL_GAP;
        fprintf(out, "%s%*s", titles[i], blank, "");
    }
    fputc('\n', out);
}

static void print_panel_lines(FILE *out, const struct heatmap *maps, int count, int width,
                              enum color_mode colors) {
    int step = colors == COLOR_NONE ? 1 : 2;
    for (int row = 0; row < maps[0].rows; row += step) {
        for (int i = 0; i < count; i++) {
            if (step == 2)
                print_half_rows(out, &maps[i], row, colors);
            else
                print_row(out, &maps[i], row, 1, colors);
            bool last = i + 1 == count;
            fprintf(out, "%*s", last ? 0 : width - maps[i].columns + PANEL_GAP, "");
        }
        fputc('\n', out);
    }
}

void heatmap_print_grid(FILE *out, const struct heatmap *maps, const char *const *titles, int count,
                        const struct heatmap_style *style) {
    int width = panel_width(maps, titles, count);
    int fit = (style->width + PANEL_GAP) / (width + PANEL_GAP);
    fit = fit > 1 ? fit : 1;
    int lines = (count + fit - 1) / fit;
    int per_line = (count + lines - 1) / lines;
    for (int first = 0; first < count; first += per_line) {
        int panels = count - first < per_line ? count - first : per_line;
        print_titles(out, titles + first, panels, width);
        print_panel_lines(out, maps + first, panels, width, style->colors);
        if (first + per_line < count)
            fputc('\n', out);
    }
}

void heatmap_print_legend(FILE *out, double brightest, const struct heatmap_style *style) {
    int room = style->width - 18;
    int cells = room < LEGEND_CELLS ? room : LEGEND_CELLS;
    fputs("0 ", out);
    for (int i = 0; i < cells; i++)
        print_cell(out, style->colors, i / (double)(cells - 1), 1);
    color_reset(out, style->colors);
    fprintf(out, " %.2g weight\n", brightest);
}
