/* SPDX-License-Identifier: Apache-2.0 */
/* Prints weights with what they mean. */
#include "cli/attend/print_heads.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/attend/groups.h"
#include "cli/base/row.h"
#include "cli/base/text.h"

static float largest(const float *numbers, size_t count) {
    float most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, numbers[i]);
    return most;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

static size_t row_count(const struct heads_view *view) {
    return (size_t)view->range.layers * (size_t)view->range.heads *
           (size_t)view->sentence->token_count;
}

/* Prints a paragraph. */
__attribute__((format(printf, 3, 4))) static void say(FILE *out, int width, const char *format,
                                                      ...) {
    va_list args;
    char *text;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length >= 0) {
        text_print_wrapped(out, text, 0, width);
        free(text);
    }
}

static bool print_tokens(FILE *out, const char *const *tokens, int count, int width) {
    char *text = text_join(tokens, count);
    if (text)
        text_print_wrapped(out, text, 0, width);
    free(text);
    return text != NULL;
}

static void print_title(FILE *out, const struct heads_view *view) {
    char name[HEADS_VIEW_NAME_SIZE];
    heads_view_name(view, name);
    color_bold(out, view->style.colors);
    say(out, view->style.width, "%s", name);
    color_reset(out, view->style.colors);
    text_print_wrapped(out, view->sentence->text, 0, view->style.width);
    fputc('\n', out);
}

static void print_facts(FILE *out, const struct heads_view *view) {
    const int keys = sample_keys(view->sentence);
    size_t rows = row_count(view);
    say(out, view->style.width,
        "Entropy: 0 for all weight on one key, ln %d = %.2f nats (100%%) for all alike.", keys,
        log(keys));
    say(out, view->style.width, "Each of the %zu rows sums to 1, the largest deviation is %.1e.",
        rows, attend_sum_deviation(view->weights, rows, keys));
    say(out, view->style.width, "Computed on %s.", view->isa);
}

static void print_strongest_pair(FILE *out, const struct heads_view *view) {
    const struct sample *sentence = view->sentence;
    int query, key;
    if (heads_view_strongest_pair(view, &query, &key)) {
        float weight = view->weights[(size_t)query * (size_t)sample_keys(sentence) + (size_t)key];
        say(out, view->style.width,
            "Strongest between two words: \"%s\" attends to \"%s\" with weight %.2f.",
            sentence->tokens[query], sample_key_tokens(sentence)[key], (double)weight);
    }
}

/* Entropy and strongest key of a query, beside its row. */
static void print_note(FILE *out, int query, const void *context) {
    const struct heads_view *view = context;
    const char *const *tokens = sample_key_tokens(view->sentence);
    const int keys = sample_keys(view->sentence);
    const float *weights = view->weights + (size_t)query * (size_t)keys;
    struct row_summary row = row_summarise(weights, keys);
    double most = keys > 1 ? log(keys) : 1;
    fprintf(out, "%4.2f %3.0f%% ", row.entropy, 100 * row.entropy / most);
    heatmap_print_label(out, tokens[row.strongest], -heatmap_widest(tokens, keys));
    fprintf(out, " %4.2f", (double)weights[row.strongest]);
}

static void print_one_legend(FILE *out, const struct heads_view *view, int per_column,
                             float brightest) {
    int width = view->style.width;
    fputc('\n', out);
    heatmap_print_legend(out, brightest, &view->style);
    say(out, width, "A row is a query, a column a key.");
    if (per_column > 1) {
        say(out, width, "A column is %d keys, named by the first: their weights summed.",
            per_column);
    }
}

/* Columns are as many keys as it takes to fit the width, rows are single queries. */
static bool print_one(FILE *out, const struct heads_view *view) {
    const struct sample *sentence = view->sentence;
    const char *const *key_tokens = sample_key_tokens(sentence);
    const int tokens = sentence->token_count, keys = sample_keys(sentence);
    const int width = view->style.width;
    struct heatmap map = {.rows = tokens, .columns = keys};
    struct heatmap_labels labels = {
        .rows = sentence->tokens,
        .columns = key_tokens,
        .heading = {"entropy   strongest", "nats rel. key"},
        .note = print_note,
        .context = view,
        .note_width = 15 + heatmap_widest(key_tokens, keys),
    };
    int per_column = ceil_div(keys, heatmap_most_columns(&map, &labels, width));
    struct groups rows = groups_of(tokens, 1), columns = groups_of(keys, per_column);
    map.columns = columns.count;
    float *weights = groups_merge(view->weights, 1, &rows, &columns);
    const char **names = weights ? groups_firsts(&columns, key_tokens) : NULL;
    if (names) {
        labels.columns = names;
        map.weights = weights;
        map.brightest = largest(weights, (size_t)tokens * (size_t)columns.count);
        bool notes = heatmap_fits_notes(&map, &labels, width);
        heatmap_print(out, &map, &labels, &view->style);
        print_one_legend(out, view, per_column, map.brightest);
        if (!notes)
            say(out, width, "Each row's entropy and strongest key need a wider terminal.");
        print_strongest_pair(out, view);
    }
    bool allocated = names != NULL;
    free(names);
    free(weights);
    groups_free(&columns);
    groups_free(&rows);
    return allocated;
}

static bool print_panels(FILE *out, const struct heads_view *view, const struct groups *rows,
                         const struct groups *columns, const float *weights) {
    int count = view->range.layers * view->range.heads;
    size_t cells = (size_t)rows->count * (size_t)columns->count;
    struct heatmap *maps = calloc((size_t)count, sizeof *maps);
    char(*titles)[HEADS_VIEW_NAME_SIZE] = calloc((size_t)count, sizeof *titles);
    const char **title_list = calloc((size_t)count, sizeof *title_list);
    bool allocated = maps && titles && title_list;
    float brightest = largest(weights, cells * (size_t)count);
    for (int i = 0; allocated && i < count; i++) {
        maps[i] = (struct heatmap){.weights = weights + (size_t)i * cells,
                                   .rows = rows->count,
                                   .columns = columns->count,
                                   .brightest = brightest};
        heads_view_panel_name(view, i, titles[i]);
        title_list[i] = titles[i];
    }
    if (allocated) {
        heatmap_print_grid(out, maps, title_list, count, &view->style);
        fputc('\n', out);
        heatmap_print_legend(out, brightest, &view->style);
    }
    free(title_list);
    free(titles);
    free(maps);
    return allocated;
}

static bool print_grid(FILE *out, const struct heads_view *view) {
    const struct sample *sentence = view->sentence;
    const int keys = sample_keys(sentence), width = view->style.width;
    int side = ceil_div(keys, width);
    struct groups rows = groups_of(sentence->token_count, side), columns = groups_of(keys, side);
    float *weights =
        groups_merge(view->weights, view->range.layers * view->range.heads, &rows, &columns);
    bool shown = weights && print_panels(out, view, &rows, &columns, weights);
    free(weights);
    groups_free(&rows);
    groups_free(&columns);
    if (shown) {
        say(out, width,
            "Above each: the mean entropy of its rows. Rows are queries, columns are keys, in this "
            "order:");
        shown = print_tokens(out, sentence->tokens, sentence->token_count, width);
    }
    if (shown && sentence->keys) {
        say(out, width, "The keys:");
        shown = print_tokens(out, sentence->keys, keys, width);
    }
    if (shown && side > 1) {
        say(out, width,
            "A cell is %d queries by %d keys: weights summed over the keys, and their "
            "mean over the queries.",
            side, side);
    }
    return shown;
}

/* A layer per line, a head per column: the mean entropy of its rows, as a share of the most. As
 * many heads stand side by side as fit. */
static void print_head_columns(FILE *out, const struct heads_view *view, const float *shares,
                               int first, int count, int cell) {
    const struct attend_range *range = &view->range;
    bool last = first + count == range->heads;
    fputs("    head", out);
    for (int head = first; head < first + count; head++)
        fprintf(out, "%*d ", cell - 1, head);
    fputs(last ? "  mean\n" : "\n", out);
    for (int layer = 0; layer < range->layers; layer++) {
        const float *row = shares + layer * range->heads;
        fprintf(out, "layer %-2d", layer);
        for (int head = first; head < first + count; head++) {
            color_text_on(out, view->style.colors, (double)row[head]);
            fprintf(out, "%*.0f ", cell - 1, 100 * (double)row[head]);
        }
        color_reset(out, view->style.colors);
        double total = 0;
        for (int head = 0; head < range->heads; head++)
            total += (double)row[head];
        fprintf(out, last ? "%6.0f\n" : "\n", 100 * total / range->heads);
    }
    fputc('\n', out);
}

static bool print_table(FILE *out, const struct heads_view *view) {
    enum { NAMES = 8, MEAN = 6, CELL = 5, NARROW_CELL = 4 };
    const int tokens = view->sentence->token_count, keys = sample_keys(view->sentence);
    int heads = view->range.heads, count = view->range.layers * heads;
    double most = keys > 1 ? log(keys) : 1;
    float *shares = malloc((size_t)count * sizeof *shares);
    if (!shares)
        return false;
    for (int i = 0; i < count; i++)
        shares[i] = (float)(attend_mean_entropy(heads_view_weights(view, i), tokens, keys) / most);
    int room = view->style.width - NAMES - MEAN;
    int cell = heads * CELL <= room ? CELL : NARROW_CELL;
    int lines = ceil_div(heads, room / cell);
    int per_line = ceil_div(heads, lines);
    say(out, view->style.width, "Mean entropy of each head's rows, in %% of ln %d nats", keys);
    fputc('\n', out);
    for (int first = 0; first < heads; first += per_line) {
        int here = heads - first < per_line ? heads - first : per_line;
        print_head_columns(out, view, shares, first, here, cell);
    }
    free(shares);
    return true;
}

void print_heads_list(FILE *out, const struct samples *samples, int width) {
    for (int i = 0; i < samples->count; i++) {
        const struct sample *sentence = &samples->sentences[i];
        fprintf(out, "%sSentence %d, %d tokens\n", i ? "\n" : "", i + 1, sentence->token_count);
        text_print_wrapped(out, sentence->text, 0, width);
        print_tokens(out, sentence->tokens, sentence->token_count, width);
    }
}

bool print_heads(FILE *out, const struct heads_view *view) {
    bool shown;
    print_title(out, view);
    if (view->range.layers * view->range.heads == 1)
        shown = print_one(out, view);
    else if (view->range.layers > 1 && view->range.heads > 1)
        shown = print_table(out, view);
    else
        shown = print_grid(out, view);
    print_facts(out, view);
    return shown;
}
