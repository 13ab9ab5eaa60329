/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the place of everything in a figure. */
#include "cli/attend/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/text.h"

enum {
    MOST_CELLS = 1 << 21, /* of all panels: the file stays one that a viewer opens */
    LEAST_NAMED = 8,      /* the smallest cell that has room for its label */
    AXIS_TITLE = 18,
    LAYER_ROOM = 52,
    SCALE_ROOM = 34,
    HEADING = 20,
    NARROWEST = 440,
};

/*
 * How long the sides of a panel are, and of its cells. Cells are no smaller than `least`, unless
 * that makes the panel larger than `limit`.
 */
struct panel_size {
    int target, limit, least, most;
};

static int clamp(int number, int least, int most) {
    return number < least ? least : number > most ? most : number;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

/* Fonts are the viewer's: in lines of text letters are seldom wider than this on the average, in
 * single words than that. */
int figure_text_columns(double room, double size, bool bold) {
    return (int)(room / (size * (bold ? 0.62 : 0.57)));
}

static int word_room(int columns, double size) {
    return (int)ceil((0.58 * columns + 0.5) * size);
}

static int count_lines(const char *text, int columns) {
    const char *line;
    int lines = 0;
    for (size_t length; text_line(&text, columns, &line, &length);)
        lines++;
    return lines;
}

static void arrange(struct figure *figure) {
    const struct attend_range *range = &figure->view->range;
    figure->panels = range->layers * range->heads;
    figure->matrix = range->layers > 1 && range->heads > 1;
    figure->columns = figure->matrix ? range->heads : (int)ceil(sqrt(figure->panels));
}

static bool merge(struct figure *figure) {
    const struct heads_view *view = figure->view;
    const int tokens = view->sentence->token_count, keys = sample_keys(view->sentence);
    int per_cell = 1;
    size_t cells;
    do {
        cells = (size_t)ceil_div(tokens, per_cell) * (size_t)ceil_div(keys, per_cell);
        cells *= (size_t)figure->panels;
    } while (cells > MOST_CELLS && per_cell++ < (tokens > keys ? tokens : keys));
    figure->queries = groups_of(tokens, per_cell);
    figure->keys = groups_of(keys, per_cell);
    figure->weights = groups_merge(view->weights, figure->panels, &figure->queries, &figure->keys);
    for (size_t i = 0; figure->weights && i < cells; i++)
        figure->brightest = fmaxf(figure->brightest, figure->weights[i]);
    return figure->weights != NULL;
}

/* The longest label decides how much room all have, within limits. */
static int find_room(const struct figure *figure, const struct groups *groups,
                     const char *const *tokens) {
    int widest = 0;
    for (int i = 0; figure->label_step && i < groups->count; i += figure->label_step) {
        int width = text_width(tokens[groups->start[i]]);
        widest = width > widest ? width : widest;
    }
    widest = clamp(widest, 0, FIGURE_LONGEST_LABEL);
    return word_room(widest, figure->label_size) + FIGURE_LABEL_GAP;
}

static void size_cells(struct figure *figure) {
    static const struct panel_size large = {600, 1440, 9, 28}, middle = {220, 400, LEAST_NAMED, 14},
                                   small = {90, 1440, 1, 10};
    const struct panel_size *size = figure->panels == 1 ? &large
                                    : figure->matrix    ? &small
                                                        : &middle;
    const struct sample *sentence = figure->view->sentence;
    const int queries = figure->queries.count, keys = figure->keys.count;
    const int count = queries > keys ? queries : keys;
    bool crowded = count * size->least > size->limit;
    figure->side = crowded ? clamp(size->limit / count, 1, size->least)
                           : clamp(size->target / count, size->least, size->most);
    bool named = figure->panels == 1 || figure->side >= LEAST_NAMED;
    figure->label_step = named ? ceil_div(LEAST_NAMED, figure->side) : 0;
    figure->label_size = fmin(FIGURE_TEXT, 0.9 * figure->side * figure->label_step);
    figure->query_room = find_room(figure, &figure->queries, sentence->tokens);
    figure->key_room = find_room(figure, &figure->keys, sample_key_tokens(sentence));
}

static bool write_caption(struct figure *figure) {
    const struct heads_view *view = figure->view;
    const struct sample *sentence = view->sentence;
    const int tokens = sentence->token_count, keys = sample_keys(sentence);
    const int queries_of = figure->queries.start[1], keys_of = figure->keys.start[1];
    size_t size = 0;
    FILE *out = open_memstream(&figure->caption, &size);
    if (!out)
        return false;
    fputs("Each row is a query, each column a key. ", out);
    if (figure->panels == 1) {
        fprintf(out, "Mean entropy of the rows: %.2f of at most ln %d = %.2f nats. ",
                attend_mean_entropy(view->weights, tokens, keys), keys, log(keys));
    } else if (!figure->matrix) {
        fprintf(out, "Above each: the mean entropy of its rows, at most ln %d = %.2f nats. ", keys,
                log(keys));
    }
    if (queries_of > 1 || keys_of > 1) {
        fprintf(
            out,
            "A cell is %d queries by %d keys: weights summed over the keys, and their mean over "
            "the queries. ",
            queries_of, keys_of);
    }
    if (figure->label_step > 1)
        fprintf(out, "One in %d is named. ", figure->label_step);
    char *joined = figure->label_step ? NULL : text_join(sentence->tokens, tokens);
    char *of_keys = joined && sentence->keys ? text_join(sentence->keys, keys) : NULL;
    if (joined)
        fprintf(out, "In this order: %s", joined);
    if (of_keys)
        fprintf(out, " The keys: %s", of_keys);
    const bool written = figure->label_step || (joined && (of_keys || !sentence->keys));
    free(joined);
    free(of_keys);
    return fclose(out) == 0 && written;
}

static void place(struct figure *figure) {
    const struct heads_view *view = figure->view;
    const int panel = figure->keys.count * figure->side; /* its width */
    const int height = figure->queries.count * figure->side;
    int rows = ceil_div(figure->panels, figure->columns);
    int gap = figure->matrix ? 8 : 20;
    figure->across = panel + gap;
    figure->down = height + gap + (figure->panels > 1 && !figure->matrix ? HEADING : 0);
    if (!figure->matrix && figure->panels > 1) { /* a heading is as wide as 18 letters */
        int least = word_room(18, FIGURE_TEXT) + 8;
        figure->across = figure->across > least ? figure->across : least;
    }
    figure->left = FIGURE_MARGIN + AXIS_TITLE + (figure->matrix ? LAYER_ROOM : 0) +
                   (figure->label_step ? figure->query_room : 0);
    int right = figure->left + (figure->columns - 1) * figure->across + panel;
    figure->width = right + FIGURE_BAR_GAP + FIGURE_BAR + SCALE_ROOM + FIGURE_MARGIN;
    figure->width = figure->width > NARROWEST ? figure->width : NARROWEST;

    int room = figure->width - 2 * FIGURE_MARGIN;
    int titles = count_lines(view->sentence->text, figure_text_columns(room, FIGURE_TITLE, true));
    figure->top = FIGURE_MARGIN + clamp(titles, 0, FIGURE_TITLE_LINES) * FIGURE_TITLE_LINE +
                  FIGURE_TEXT_LINE + HEADING + (figure->panels > 1 ? HEADING : 8);
    int bottom = figure->top + (rows - 1) * figure->down + height;
    figure->bar_height = clamp(bottom - figure->top, 60, 200);
    figure->caption_top = bottom + (figure->label_step ? figure->key_room : 0) + AXIS_TITLE + 12;
    int lines = count_lines(figure->caption, figure_text_columns(room, FIGURE_TEXT, false));
    figure->height = figure->caption_top +
                     clamp(lines, 0, FIGURE_CAPTION_LINES) * FIGURE_TEXT_LINE + FIGURE_MARGIN - 4;
}

bool figure_create(struct figure *figure, const struct heads_view *view) {
    *figure = (struct figure){.view = view};
    arrange(figure);
    if (!merge(figure))
        return false;
    size_cells(figure);
    if (!write_caption(figure))
        return false;
    place(figure);
    return true;
}

void figure_destroy(struct figure *figure) {
    groups_free(&figure->queries);
    groups_free(&figure->keys);
    free(figure->weights);
    free(figure->caption);
    *figure = (struct figure){0};
}
