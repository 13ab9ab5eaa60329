/* SPDX-License-Identifier: Apache-2.0 */
/* Writes SVG 1.1: cells as paths, a path for each colour of a panel, and texts as texts. */
#include "cli/attend/svg.h"

#include <stdlib.h>

#include "cli/base/text.h"

struct svg {
    struct canvas canvas; /* the first member, by which a canvas is known as this */
    FILE *out;
    bool failed;
};

/* Neighbouring cells of a row that have the same colour. */
struct run {
    int color, row, column, length;
};

static int pack(struct color color) {
    return color.red << 16 | color.green << 8 | color.blue;
}

static int compare_runs(const void *a, const void *b) {
    const struct run *first = a, *second = b;
    if (first->color != second->color)
        return first->color < second->color ? -1 : 1;
    if (first->row != second->row)
        return first->row < second->row ? -1 : 1;
    return (first->column > second->column) - (first->column < second->column);
}

static size_t find_runs(const struct canvas_cells *cells, struct run *runs) {
    size_t count = 0;
    for (int row = 0; row < cells->rows; row++) {
        const struct color *colors = cells->colors + (size_t)row * (size_t)cells->columns;
        for (int column = 0; column < cells->columns; column++) {
            int color = pack(colors[column]);
            if (column > 0 && runs[count - 1].color == color)
                runs[count - 1].length++;
            else
                runs[count++] = (struct run){color, row, column, 1};
        }
    }
    qsort(runs, count, sizeof *runs, compare_runs);
    return count;
}

/* Where the runs of the next colour begin. */
static size_t next_color(const struct run *runs, size_t count, size_t at) {
    int color = runs[at].color;
    while (at < count && runs[at].color == color)
        at++;
    return at;
}

/* The colour of the most runs lies below all, so none of them is written. */
static void write_runs(FILE *out, const struct canvas_cells *cells, const struct run *runs,
                       size_t count) {
    size_t ground = 0, most = 0;
    for (size_t at = 0, next; at < count; at = next) {
        next = next_color(runs, count, at);
        if (next - at > most) {
            most = next - at;
            ground = at;
        }
    }
    fprintf(out, "<path fill=\"#%06x\" d=\"M0 0h%dv%dh-%dz\"/>\n", (unsigned)runs[ground].color,
            cells->columns, cells->rows, cells->columns);
    for (size_t at = 0; at < count;) {
        size_t next = next_color(runs, count, at);
        if (at == ground) {
            at = next;
            continue;
        }
        fprintf(out, "<path fill=\"#%06x\" d=\"", (unsigned)runs[at].color);
        for (; at < next; at++) {
            fprintf(out, "M%d %dh%dv1h-%dz", runs[at].column, runs[at].row, runs[at].length,
                    runs[at].length);
        }
        fputs("\"/>\n", out);
    }
}

static void draw_cells(struct canvas *canvas, const struct canvas_cells *cells) {
    struct svg *svg = (struct svg *)canvas;
    struct run *runs = malloc((size_t)cells->rows * (size_t)cells->columns * sizeof *runs);
    if (!runs) {
        svg->failed = true;
        return;
    }
    fprintf(svg->out,
            "<g transform=\"translate(%d %d) scale(%d)\" shape-rendering=\"crispEdges\">\n",
            cells->x, cells->y, cells->side);
    write_runs(svg->out, cells, runs, find_runs(cells, runs));
    fputs("</g>\n", svg->out);
    free(runs);
}

/* text_next leaves nothing that XML forbids. */
static void write_text(FILE *out, const char *text) {
    const char *at = text;
    for (int32_t character; (character = text_next(&at)); text = at)
        if (character == '&')
            fputs("&amp;", out);
        else if (character == '<')
            fputs("&lt;", out);
        else if (character == '>')
            fputs("&gt;", out);
        else
            text_print(out, text, (size_t)(at - text));
}

static void draw_text(struct canvas *canvas, const char *text, const struct canvas_text *style) {
    FILE *out = ((struct svg *)canvas)->out;
    static const char *const anchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
    fprintf(out, "<text x=\"%.6g\" y=\"%.6g\" font-size=\"%.6g\" fill=\"#%06x\"%s%s", style->x,
            style->y, style->size, (unsigned)pack(style->color), anchors[style->anchor],
            style->bold ? " font-weight=\"bold\"" : "");
    if (style->upward)
        fprintf(out, " transform=\"rotate(-90 %.6g %.6g)\"", style->x, style->y);
    fputs(">", out);
    write_text(out, text);
    fputs("</text>\n", out);
}

bool svg_write(FILE *out, const struct figure *figure) {
    struct svg svg = {.canvas = {draw_cells, draw_text}, .out = out};
    char name[HEADS_VIEW_NAME_SIZE];
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"Helvetica, Arial, sans-serif\">\n<title>",
            figure->width, figure->height, figure->width, figure->height);
    heads_view_name(figure->view, name);
    write_text(out, name);
    fputs(": ", out);
    write_text(out, figure->view->sentence->text);
    fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", out);
    bool drawn = figure_draw(figure, &svg.canvas);
    fputs("</svg>\n", out);
    return drawn && !svg.failed;
}
