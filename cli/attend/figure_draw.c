/* SPDX-License-Identifier: Apache-2.0 */
/* Draws a figure from the top to the bottom. */
#include "cli/attend/figure.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/base/text.h"

static const struct color black = {0x1a, 0x1a, 0x1a}, grey = {0x55, 0x55, 0x55};

enum { BAR_CELL = 2, TICK_LENGTH = 4, MOST_TICKS = 6 };

/* From the middle of small letters to the line that they stand on. */
static double below_middle(double size) {
    return 0.35 * size;
}

/* Formatted text, which is left out if memory runs out. */
__attribute__((format(printf, 3, 4))) static void
draw_format(struct canvas *canvas, const struct canvas_text *style, const char *format, ...) {
    va_list args;
    char *text;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length >= 0) {
        canvas->text(canvas, text, style);
        free(text);
    }
}

/* A paragraph of at most so many lines, with an ellipsis if that is not all. Returns where the next
 * line begins. */
static double draw_lines(struct canvas *canvas, const char *text, int columns, int most, int height,
                         struct canvas_text style) {
    const char *line, *next;
    size_t length, more;
    for (int i = 1; i <= most && text_line(&text, columns, &line, &length); i++) {
        const char *rest = text;
        bool cut = i == most && text_line(&rest, columns, &next, &more);
        draw_format(canvas, &style, "%.*s%s", (int)length, line, cut ? " …" : "");
        style.y += height;
    }
    return style.y;
}

static void draw_title(const struct figure *figure, struct canvas *canvas) {
    char name[HEADS_VIEW_NAME_SIZE];
    int room = figure->width - 2 * FIGURE_MARGIN;
    struct canvas_text style = {.x = FIGURE_MARGIN,
                                .y = FIGURE_MARGIN + FIGURE_TITLE,
                                .size = FIGURE_TITLE,
                                .bold = true,
                                .color = black};
    style.y = draw_lines(canvas, figure->view->sentence->text,
                         figure_text_columns(room, FIGURE_TITLE, true), FIGURE_TITLE_LINES,
                         FIGURE_TITLE_LINE, style);
    style.size = FIGURE_TEXT;
    style.bold = false;
    style.color = grey;
    heads_view_name(figure->view, name);
    canvas->text(canvas, name, &style);
}

/* A token, or what of it has room, and an ellipsis. */
static void draw_label(struct canvas *canvas, const char *token, const struct canvas_text *style) {
    bool whole = text_width(token) <= FIGURE_LONGEST_LABEL;
    int fit = (int)text_fit(token, FIGURE_LONGEST_LABEL - !whole);
    draw_format(canvas, style, "%.*s%s", fit, token, whole ? "" : "…");
}

static void draw_labels(const struct figure *figure, struct canvas *canvas, int x, int y,
                        bool keys) {
    struct canvas_text style = {
        .size = figure->label_size, .anchor = CANVAS_END, .upward = keys, .color = black};
    const struct groups *groups = keys ? &figure->keys : &figure->queries;
    const char *const *tokens =
        keys ? sample_key_tokens(figure->view->sentence) : figure->view->sentence->tokens;
    for (int i = 0; i < groups->count; i += figure->label_step) {
        double middle = (i + 0.5) * figure->side + below_middle(style.size);
        style.x = keys ? x + middle : x - FIGURE_LABEL_GAP;
        style.y = keys ? y + FIGURE_LABEL_GAP : y + middle;
        draw_label(canvas, tokens[groups->start[i]], &style);
    }
}

/* What stands above a panel, and in a matrix beside it. */
static void draw_headings(const struct figure *figure, struct canvas *canvas, int panel, int x,
                          int y) {
    char name[HEADS_VIEW_NAME_SIZE];
    int row = panel / figure->columns, column = panel % figure->columns;
    struct canvas_text style = {.x = x, .y = y - 6, .size = FIGURE_TEXT, .color = black};
    if (figure->matrix && row == 0) {
        style.anchor = CANVAS_MIDDLE;
        style.x += figure->keys.count * figure->side / 2.0;
        draw_format(canvas, &style, "%s%d", figure->across < 60 ? "" : "head ", column);
    }
    if (figure->matrix && column == 0) {
        style.anchor = CANVAS_END;
        style.x = x - 8 - (figure->label_step ? figure->query_room : 0);
        style.y = y + figure->queries.count * figure->side / 2.0 + below_middle(style.size);
        draw_format(canvas, &style, "layer %d", row);
    }
    if (!figure->matrix && figure->panels > 1) {
        heads_view_panel_name(figure->view, panel, name);
        canvas->text(canvas, name, &style);
    }
}

static void draw_panels(const struct figure *figure, struct canvas *canvas, struct color *colors) {
    const int rows = figure->queries.count, columns = figure->keys.count;
    const size_t cells = (size_t)rows * (size_t)columns;
    for (int panel = 0; panel < figure->panels; panel++) {
        int x = figure->left + panel % figure->columns * figure->across;
        int y = figure->top + panel / figure->columns * figure->down;
        const float *weights = figure->weights + (size_t)panel * cells;
        for (size_t i = 0; i < cells; i++)
            colors[i] = color_ramp((double)(weights[i] / figure->brightest));
        draw_headings(figure, canvas, panel, x, y);
        const struct canvas_cells map = {x, y, figure->side, rows, columns, colors};
        canvas->cells(canvas, &map);
        if (figure->label_step && panel % figure->columns == 0)
            draw_labels(figure, canvas, x, y, false);
        if (figure->label_step && panel + figure->columns >= figure->panels)
            draw_labels(figure, canvas, x, y + rows * figure->side, true);
    }
}

static void draw_axes(const struct figure *figure, struct canvas *canvas) {
    int rows = (figure->panels + figure->columns - 1) / figure->columns;
    int right =
        figure->left + (figure->columns - 1) * figure->across + figure->keys.count * figure->side;
    int bottom = figure->top + (rows - 1) * figure->down + figure->queries.count * figure->side;
    struct canvas_text style = {.x = FIGURE_MARGIN + FIGURE_TEXT,
                                .y = (figure->top + bottom) / 2.0,
                                .size = FIGURE_TEXT,
                                .anchor = CANVAS_MIDDLE,
                                .upward = true,
                                .color = grey};
    canvas->text(canvas, "query", &style);
    style.upward = false;
    style.x = (figure->left + right) / 2.0;
    style.y = bottom + (figure->label_step ? figure->key_room : 0) + FIGURE_TEXT + 5;
    canvas->text(canvas, "key", &style);
}

/* A step of 1, 2 or 5 times a power of ten, of which some fit. */
static double tick_step(double most) {
    double least = most / (MOST_TICKS - 1);
    double power = pow(10, floor(log10(least)));
    double digit = least / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static void draw_ticks(const struct figure *figure, struct canvas *canvas, int x, int bottom) {
    const struct color marks[TICK_LENGTH] = {black, black, black, black};
    double most = (double)figure->brightest, step = most > 0 ? tick_step(most) : 1;
    for (int i = 0; i * step <= most * (1 + 1e-6); i++) {
        double y = bottom - (most > 0 ? i * step / most * figure->bar_height : 0);
        const struct canvas_cells mark = {x, (int)lround(y - 0.5), 1, 1, TICK_LENGTH, marks};
        const struct canvas_text style = {.x = x + TICK_LENGTH + 3,
                                          .y = y + below_middle(FIGURE_TEXT - 1),
                                          .size = FIGURE_TEXT - 1,
                                          .color = black};
        canvas->cells(canvas, &mark);
        draw_format(canvas, &style, "%.3g", i * step);
    }
}

static bool draw_scale(const struct figure *figure, struct canvas *canvas) {
    const int length = figure->keys.count * figure->side;
    int x = figure->left + (figure->columns - 1) * figure->across + length + FIGURE_BAR_GAP;
    const int columns = FIGURE_BAR / BAR_CELL, rows = figure->bar_height / BAR_CELL;
    struct color *colors = malloc((size_t)(columns * rows) * sizeof *colors);
    if (!colors)
        return false;
    for (int i = 0; i < columns * rows; i++)
        colors[i] = color_ramp(1 - i / columns / (double)(rows - 1));
    const struct canvas_cells bar = {x, figure->top, BAR_CELL, rows, columns, colors};
    const struct canvas_text style = {
        .x = x, .y = figure->top - 8, .size = FIGURE_TEXT, .color = grey};
    canvas->cells(canvas, &bar);
    free(colors);
    canvas->text(canvas, "weight", &style);
    draw_ticks(figure, canvas, x + FIGURE_BAR, figure->top + rows * BAR_CELL);
    return true;
}

bool figure_draw(const struct figure *figure, struct canvas *canvas) {
    size_t cells = (size_t)figure->queries.count * (size_t)figure->keys.count;
    struct color *colors = malloc(cells * sizeof *colors);
    if (!colors)
        return false;
    draw_title(figure, canvas);
    draw_panels(figure, canvas, colors);
    free(colors);
    draw_axes(figure, canvas);
    const struct canvas_text style = {.x = FIGURE_MARGIN,
                                      .y = figure->caption_top + FIGURE_TEXT,
                                      .size = FIGURE_TEXT,
                                      .color = grey};
    int room = figure->width - 2 * FIGURE_MARGIN;
    draw_lines(canvas, figure->caption, figure_text_columns(room, FIGURE_TEXT, false),
               FIGURE_CAPTION_LINES, FIGURE_TEXT_LINE, style);
    return draw_scale(figure, canvas);
}
