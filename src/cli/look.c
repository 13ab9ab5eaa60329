/* SPDX-License-Identifier: Apache-2.0 */
/* Prints weights with what they mean. */
#include "look.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static struct heatmap head_map(const struct look *look, int index, float brightest) {
    int tokens = look->sentence->token_count;
    return (struct heatmap){.weights = head_weights(look, index),
                            .rows = tokens,
                            .columns = tokens,
                            .brightest = brightest};
}

static size_t row_count(const struct look *look) {
    return (size_t)look->range.layers * (size_t)look->range.heads *
           (size_t)look->sentence->token_count;
}

/* Goes on with a word on the line whose first `column` characters are filled, or on a new one. */
static int print_word(FILE *out, const char *word, int size, int column, int width) {
    int own = 0;
    for (int i = 0; i < size; i++) {
        own += ((unsigned char)word[i] & 0xc0) != 0x80;
    }
    if (column > 0 && column + 1 + own > width) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%s%.*s", column > 0 ? " " : "", size, word);
    return column + (column > 0) + own;
}

static void print_text(FILE *out, const char *text, int width) {
    int column = 0;
    while (*text) {
        int size = (int)strcspn(text, " ");
        column = print_word(out, text, size, column, width);
        text += size + (text[size] == ' ');
    }
    fputc('\n', out);
}

static void print_tokens(FILE *out, const struct sample *sentence, int width) {
    int column = 0;
    for (int i = 0; i < sentence->token_count; i++) {
        const char *token = sentence->tokens[i];
        column = print_word(out, token, (int)strlen(token), column, width);
    }
    fputc('\n', out);
}

/* "layer 3 of 0-5", or "layers 0-5" */
static void print_range(FILE *out, const char *what, int first, int count, int all) {
    if (count == 1) {
        fprintf(out, "%s %d of 0-%d", what, first, all - 1);
    } else {
        fprintf(out, "%ss 0-%d", what, all - 1);
    }
}

static void print_title(FILE *out, const struct look *look) {
    const struct attend_range *range = &look->range;
    color_bold(out, look->style.colors);
    fprintf(out, "%s, ", look->samples->model);
    print_range(out, "layer", range->layer, range->layers, look->samples->layers);
    fputs(", ", out);
    print_range(out, "head", range->head, range->heads, look->samples->heads);
    color_reset(out, look->style.colors);
    fprintf(out, ", computed on %s\n", look->isa);
    print_text(out, look->sentence->text, look->style.width);
    fputc('\n', out);
}

static void print_row_sums(FILE *out, const struct look *look) {
    size_t rows = row_count(look);
    double deviation = attend_sum_deviation(look->weights, rows, look->sentence->token_count);
    fprintf(out, "Each of the %zu rows sums to 1, the largest deviation is %.1e.\n", rows,
            deviation);
}

static void print_entropy_scale(FILE *out, int tokens) {
    fprintf(out, "Entropy: 0 for all weight on one key, ln %d = %.2f nats (100%%) for all alike.\n",
            tokens, log(tokens));
}

static bool is_word(const char *token) {
    return isalnum((unsigned char)token[0]) || (unsigned char)token[0] >= 0x80;
}

/* The largest weight that one word gives another: no markers, no punctuation, not itself. */
static void print_strongest_pair(FILE *out, const struct look *look) {
    const struct sample *sentence = look->sentence;
    int tokens = sentence->token_count;
    int best_query = -1, best_key = -1;
    float best = 0;
    for (int query = 0; query < tokens; query++) {
        for (int key = 0; key < tokens; key++) {
            float weight = look->weights[(size_t)query * (size_t)tokens + (size_t)key];
            if (weight > best && is_word(sentence->tokens[query]) &&
                is_word(sentence->tokens[key]) &&
                strcmp(sentence->tokens[query], sentence->tokens[key]) != 0) {
                best_query = query;
                best_key = key;
                best = weight;
            }
        }
    }
    if (best > 0) {
        fprintf(out, "Strongest between two words: \"%s\" attends to \"%s\" with weight %.2f.\n",
                sentence->tokens[best_query], sentence->tokens[best_key], (double)best);
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

static void print_one(FILE *out, const struct look *look) {
    const struct sample *sentence = look->sentence;
    int tokens = sentence->token_count;
    float brightest = largest(look->weights, row_count(look) * (size_t)tokens);
    struct heatmap map = head_map(look, 0, brightest);
    struct heatmap_labels labels = {
        .rows = sentence->tokens,
        .columns = sentence->tokens,
        .heading = {"entropy   strongest", "nats rel. key"},
        .note = print_note,
        .context = look,
        .note_width = 15 + heatmap_widest(sentence->tokens, tokens),
    };
    heatmap_print(out, &map, &labels, &look->style);
    fputc('\n', out);
    heatmap_print_legend(out, brightest, "weight; a row is a query, a column a key", &look->style);
    print_strongest_pair(out, look);
}

static bool print_grid(FILE *out, const struct look *look) {
    int tokens = look->sentence->token_count;
    int count = look->range.layers * look->range.heads;
    float brightest = largest(look->weights, row_count(look) * (size_t)tokens);
    struct heatmap *maps = calloc((size_t)count, sizeof *maps);
    char(*titles)[32] = calloc((size_t)count, sizeof *titles);
    const char **title_list = calloc((size_t)count, sizeof *title_list);
    bool allocated = maps && titles && title_list;
    for (int i = 0; allocated && i < count; i++) {
        maps[i] = head_map(look, i, brightest);
        snprintf(titles[i], sizeof titles[i], "%s %d, %.2f nats",
                 look->range.layers > 1 ? "layer" : "head", i,
                 attend_mean_entropy(maps[i].weights, tokens));
        title_list[i] = titles[i];
    }
    if (allocated) {
        heatmap_print_grid(out, maps, title_list, count, &look->style);
        fputs("\nRows are queries, columns are keys, in this order:\n", out);
        print_tokens(out, look->sentence, look->style.width);
        fputc('\n', out);
        heatmap_print_legend(out, brightest, "weight; above: mean entropy of the rows",
                             &look->style);
    }
    free(title_list);
    free(titles);
    free(maps);
    return allocated;
}

/* A layer per line, a head per column: the mean entropy of its rows, as a share of the most. */
static void print_table(FILE *out, const struct look *look) {
    int tokens = look->sentence->token_count;
    const struct attend_range *range = &look->range;
    double most = tokens > 1 ? log(tokens) : 1;
    fprintf(out, "Mean entropy of each head's rows, in %% of ln %d nats\n\n    head", tokens);
    for (int head = 0; head < range->heads; head++) {
        fprintf(out, "%4d ", head);
    }
    fputs("  mean\n", out);
    for (int layer = 0; layer < range->layers; layer++) {
        double total = 0;
        fprintf(out, "layer %-2d", layer);
        for (int head = 0; head < range->heads; head++) {
            const float *weights = head_weights(look, layer * range->heads + head);
            double share = attend_mean_entropy(weights, tokens) / most;
            color_text_on(out, look->style.colors, share);
            fprintf(out, "%4.0f ", 100 * share);
            total += share;
        }
        color_reset(out, look->style.colors);
        fprintf(out, "%6.0f\n", 100 * total / range->heads);
    }
    fputc('\n', out);
}

void look_print_list(FILE *out, const struct samples *samples, int width) {
    for (int i = 0; i < samples->count; i++) {
        const struct sample *sentence = &samples->sentences[i];
        fprintf(out, "%sSentence %d, %d tokens\n", i ? "\n" : "", i + 1, sentence->token_count);
        print_text(out, sentence->text, width);
        print_tokens(out, sentence, width);
    }
}

bool look_print(FILE *out, const struct look *look) {
    bool shown = true;
    print_title(out, look);
    if (look->range.layers * look->range.heads == 1) {
        print_one(out, look);
    } else if (look->range.layers > 1 && look->range.heads > 1) {
        print_table(out, look);
    } else {
        shown = print_grid(out, look);
    }
    print_entropy_scale(out, look->sentence->token_count);
    print_row_sums(out, look);
    return shown;
}
