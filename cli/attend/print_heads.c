/* SPDX-License-Identifier: Apache-2.0 */
/* Prints weights with what they mean. */
#include "cli/attend/print_heads.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/attend/groups.h"
#include "cli/base/text.h"

static const float *head_weights(const struct look *look, int index) {
    size_t tokens = (size_t)look->sentence->token_count;
    return look->weights + (size_t)index * tokens * tokens;
}

static float largest(const float *numbers, size_t count) {
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        most = fmaxf(most, numbers[i]);
    }
    return most;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

static size_t row_count(const struct look *look) {
    return (size_t)look->range.layers * (size_t)look->range.heads *
           (size_t)look->sentence->token_count;
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

static bool print_tokens(FILE *out, const struct sample *sentence, int width) {
    char *text = text_join(sentence->tokens, sentence->token_count);
    if (text) {
        text_print_wrapped(out, text, 0, width);
    }
    free(text);
    return text != NULL;
}

/* "layer 3 of 0-5", or "layers 0-5" */
static int name_range(char *text, size_t size, const char *what, int first, int count, int all) {
    if (count == 1) {
        return snprintf(text, size, "%s %d of 0-%d", what, first, all - 1);
    }
    return snprintf(text, size, "%ss 0-%d", what, all - 1);
}

void look_name(const struct look *look, char name[LOOK_NAME_SIZE]) {
    const struct attend_range *range = &look->range;
    char layers[40], heads[40];
    name_range(layers, sizeof layers, "layer", range->layer, range->layers, look->samples->layers);
    name_range(heads, sizeof heads, "head", range->head, range->heads, look->samples->heads);
    snprintf(name, LOOK_NAME_SIZE, "%.70s, %s, %s", look->samples->model, layers, heads);
}

static void print_title(FILE *out, const struct look *look) {
    char name[LOOK_NAME_SIZE];
    look_name(look, name);
    color_bold(out, look->style.colors);
    say(out, look->style.width, "%s", name);
    color_reset(out, look->style.colors);
    text_print_wrapped(out, look->sentence->text, 0, look->style.width);
    fputc('\n', out);
}

static void print_facts(FILE *out, const struct look *look) {
    int tokens = look->sentence->token_count;
    size_t rows = row_count(look);
    say(out, look->style.width,
        "Entropy: 0 for all weight on one key, ln %d = %.2f nats (100%%) for all alike.", tokens,
        log(tokens));
    say(out, look->style.width, "Each of the %zu rows sums to 1, the largest deviation is %.1e.",
        rows, attend_sum_deviation(look->weights, rows, tokens));
    say(out, look->style.width, "Computed on %s.", look->isa);
}

static bool is_word(const char *token) {
    return isalnum((unsigned char)token[0]) || (unsigned char)token[0] >= 0x80;
}

bool look_strongest_pair(const struct look *look, int *query, int *key) {
    const struct sample *sentence = look->sentence;
    int tokens = sentence->token_count;
    float best = 0;
    for (int from = 0; from < tokens; from++) {
        for (int to = 0; to < tokens; to++) {
            float weight = look->weights[(size_t)from * (size_t)tokens + (size_t)to];
            if (weight > best && is_word(sentence->tokens[from]) && is_word(sentence->tokens[to]) &&
                strcmp(sentence->tokens[from], sentence->tokens[to]) != 0) {
                *query = from;
                *key = to;
                best = weight;
            }
        }
    }
    return best > 0;
}

static void print_strongest_pair(FILE *out, const struct look *look) {
    const struct sample *sentence = look->sentence;
    int query, key;
    if (look_strongest_pair(look, &query, &key)) {
        float weight = look->weights[(size_t)query * (size_t)sentence->token_count + (size_t)key];
        say(out, look->style.width,
            "Strongest between two words: \"%s\" attends to \"%s\" with weight %.2f.",
            sentence->tokens[query], sentence->tokens[key], (double)weight);
    }
}

/* Entropy and strongest key of a query, beside its row. */
static void print_note(FILE *out, int query, const void *context) {
    const struct look *look = context;
    const struct sample *sentence = look->sentence;
    int tokens = sentence->token_count;
    const float *weights = look->weights + (size_t)query * (size_t)tokens;
    struct attend_row row = attend_summarise(weights, tokens);
    double most = tokens > 1 ? log(tokens) : 1;
    fprintf(out, "%4.2f %3.0f%% ", row.entropy, 100 * row.entropy / most);
    heatmap_print_label(out, sentence->tokens[row.strongest],
                        -heatmap_widest(sentence->tokens, tokens));
    fprintf(out, " %4.2f", (double)weights[row.strongest]);
}

static void print_one_legend(FILE *out, const struct look *look, int per_column, float brightest) {
    int width = look->style.width;
    fputc('\n', out);
    heatmap_print_legend(out, brightest, &look->style);
    say(out, width, "A row is a query, a column a key.");
    if (per_column > 1) {
        say(out, width, "A column is %d keys, named by the first: their weights summed.",
            per_column);
    }
}

/* Columns are as many keys as it takes to fit the width, rows are single queries. */
static bool print_one(FILE *out, const struct look *look) {
    const struct sample *sentence = look->sentence;
    int tokens = sentence->token_count, width = look->style.width;
    struct heatmap map = {.rows = tokens, .columns = tokens};
    struct heatmap_labels labels = {
        .rows = sentence->tokens,
        .columns = sentence->tokens,
        .heading = {"entropy   strongest", "nats rel. key"},
        .note = print_note,
        .context = look,
        .note_width = 15 + heatmap_widest(sentence->tokens, tokens),
    };
    int per_column = ceil_div(tokens, heatmap_most_columns(&map, &labels, width));
    struct groups rows = groups_of(tokens, 1), columns = groups_of(tokens, per_column);
    map.columns = columns.count;
    float *weights = groups_merge(look->weights, 1, &rows, &columns);
    const char **names = weights ? groups_firsts(&columns, sentence->tokens) : NULL;
    if (names) {
        labels.columns = names;
        map.weights = weights;
        map.brightest = largest(weights, (size_t)tokens * (size_t)columns.count);
        bool notes = heatmap_fits_notes(&map, &labels, width);
        heatmap_print(out, &map, &labels, &look->style);
        print_one_legend(out, look, per_column, map.brightest);
        if (!notes) {
            say(out, width, "Each row's entropy and strongest key need a wider terminal.");
        }
        print_strongest_pair(out, look);
    }
    bool allocated = names != NULL;
    free(names);
    free(weights);
    groups_free(&columns);
    groups_free(&rows);
    return allocated;
}

void look_name_panel(const struct look *look, int index, char title[LOOK_NAME_SIZE]) {
    const float *weights = head_weights(look, index);
    snprintf(title, LOOK_NAME_SIZE, "%s %d, %.2f nats", look->range.layers > 1 ? "layer" : "head",
             index, attend_mean_entropy(weights, look->sentence->token_count));
}

static bool print_panels(FILE *out, const struct look *look, const struct groups *groups,
                         const float *weights) {
    int count = look->range.layers * look->range.heads;
    size_t cells = (size_t)groups->count * (size_t)groups->count;
    struct heatmap *maps = calloc((size_t)count, sizeof *maps);
    char(*titles)[LOOK_NAME_SIZE] = calloc((size_t)count, sizeof *titles);
    const char **title_list = calloc((size_t)count, sizeof *title_list);
    bool allocated = maps && titles && title_list;
    float brightest = largest(weights, cells * (size_t)count);
    for (int i = 0; allocated && i < count; i++) {
        maps[i] = (struct heatmap){.weights = weights + (size_t)i * cells,
                                   .rows = groups->count,
                                   .columns = groups->count,
                                   .brightest = brightest};
        look_name_panel(look, i, titles[i]);
        title_list[i] = titles[i];
    }
    if (allocated) {
        heatmap_print_grid(out, maps, title_list, count, &look->style);
        fputc('\n', out);
        heatmap_print_legend(out, brightest, &look->style);
    }
    free(title_list);
    free(titles);
    free(maps);
    return allocated;
}

static bool print_grid(FILE *out, const struct look *look) {
    int tokens = look->sentence->token_count, width = look->style.width;
    int side = ceil_div(tokens, width);
    struct groups groups = groups_of(tokens, side);
    float *weights =
        groups_merge(look->weights, look->range.layers * look->range.heads, &groups, &groups);
    bool shown = weights && print_panels(out, look, &groups, weights);
    free(weights);
    groups_free(&groups);
    if (shown) {
        say(out, width,
            "Above each: the mean entropy of its rows. Rows are queries, columns are keys, in this "
            "order:");
        shown = print_tokens(out, look->sentence, width);
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
static void print_heads(FILE *out, const struct look *look, const float *shares, int first,
                        int count, int cell) {
    const struct attend_range *range = &look->range;
    bool last = first + count == range->heads;
    fputs("    head", out);
    for (int head = first; head < first + count; head++) {
        fprintf(out, "%*d ", cell - 1, head);
    }
    fputs(last ? "  mean\n" : "\n", out);
    for (int layer = 0; layer < range->layers; layer++) {
        const float *row = shares + layer * range->heads;
        fprintf(out, "layer %-2d", layer);
        for (int head = first; head < first + count; head++) {
            color_text_on(out, look->style.colors, (double)row[head]);
            fprintf(out, "%*.0f ", cell - 1, 100 * (double)row[head]);
        }
        color_reset(out, look->style.colors);
        double total = 0;
        for (int head = 0; head < range->heads; head++) {
            total += (double)row[head];
        }
        fprintf(out, last ? "%6.0f\n" : "\n", 100 * total / range->heads);
    }
    fputc('\n', out);
}

static bool print_table(FILE *out, const struct look *look) {
    enum { NAMES = 8, MEAN = 6, CELL = 5, NARROW_CELL = 4 };
    int tokens = look->sentence->token_count, heads = look->range.heads;
    int count = look->range.layers * heads;
    double most = tokens > 1 ? log(tokens) : 1;
    float *shares = malloc((size_t)count * sizeof *shares);
    if (!shares) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        shares[i] = (float)(attend_mean_entropy(head_weights(look, i), tokens) / most);
    }
    int room = look->style.width - NAMES - MEAN;
    int cell = heads * CELL <= room ? CELL : NARROW_CELL;
    int lines = ceil_div(heads, room / cell);
    int per_line = ceil_div(heads, lines);
    say(out, look->style.width, "Mean entropy of each head's rows, in %% of ln %d nats", tokens);
    fputc('\n', out);
    for (int first = 0; first < heads; first += per_line) {
        int here = heads - first < per_line ? heads - first : per_line;
        print_heads(out, look, shares, first, here, cell);
    }
    free(shares);
    return true;
}

void look_print_list(FILE *out, const struct samples *samples, int width) {
    for (int i = 0; i < samples->count; i++) {
        const struct sample *sentence = &samples->sentences[i];
        fprintf(out, "%sSentence %d, %d tokens\n", i ? "\n" : "", i + 1, sentence->token_count);
        text_print_wrapped(out, sentence->text, 0, width);
        print_tokens(out, sentence, width);
    }
}

bool look_print(FILE *out, const struct look *look) {
    bool shown;
    print_title(out, look);
    if (look->range.layers * look->range.heads == 1) {
        shown = print_one(out, look);
    } else if (look->range.layers > 1 && look->range.heads > 1) {
        shown = print_table(out, look);
    } else {
        shown = print_grid(out, look);
    }
    print_facts(out, look);
    return shown;
}
