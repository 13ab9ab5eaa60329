/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the steps of a row of attention as a lesson. */
#include "cli/attend/explain.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/attend/explain_row.h"
#include "cli/base/args.h"
#include "cli/base/plot.h"
#include "cli/base/text.h"

static const char command[] = "attend";

enum { INDENT = 3, LABEL = 26, MOST_TERMS = 3, NUMBER = 9, LEAST_BAR = 4, MOST_BAR = 40 };

/* What is told, and how. */
struct lesson {
    FILE *out;
    const struct heads_view *view;
    struct explain_row row;
    int step;
    double *scaled, *rest; /* room for any of the vectors */
};

static const char *token(const struct lesson *lesson, int i) {
    return lesson->view->sentence->tokens[i];
}

static const float *vector_of(const struct lesson *lesson, const float *vectors, int i) {
    return vectors + (size_t)i * (size_t)lesson->row.dim;
}

/* A paragraph, indented and wrapped. */
static void say_list(const struct lesson *lesson, const char *format, va_list arguments) {
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    text_print_wrapped(lesson->out, text, INDENT, lesson->view->style.width);
}

__attribute__((format(printf, 2, 3))) static void say(const struct lesson *lesson,
                                                      const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_list(lesson, format, arguments);
    va_end(arguments);
}

/* The next step: its name, and a paragraph. */
__attribute__((format(printf, 3, 4))) static void
begin_step(struct lesson *lesson, const char *name, const char *format, ...) {
    const enum color_mode colors = lesson->view->style.colors;
    fputc('\n', lesson->out);
    color_bold(lesson->out, colors);
    fprintf(lesson->out, "%d. %s", ++lesson->step, name);
    color_reset(lesson->out, colors);
    fputc('\n', lesson->out);
    va_list arguments;
    va_start(arguments, format);
    say_list(lesson, format, arguments);
    va_end(arguments);
}

/* A token in quotes. Returns the columns that it takes. */
static int print_quoted(const struct lesson *lesson, int i) {
    int width = heatmap_label_width(token(lesson, i));
    fputc('"', lesson->out);
    heatmap_print_label(lesson->out, token(lesson, i), width);
    fputc('"', lesson->out);
    return width + 2;
}

/* What stands before a vector: some words and a token, if not -1, in a field of one width. */
__attribute__((format(printf, 3, 4))) static void print_label(const struct lesson *lesson, int of,
                                                              const char *format, ...) {
    FILE *out = lesson->out;
    fprintf(out, "%*s", INDENT, "");
    va_list arguments;
    va_start(arguments, format);
    int used = vfprintf(out, format, arguments);
    va_end(arguments);
    if (of >= 0) {
        fputc(' ', out);
        used += 1 + print_quoted(lesson, of);
    }
    fprintf(out, "%*s", used < LABEL ? LABEL - used : 0, "");
}

/* As many values as there is room for, and the length of all. */
static void print_vector(const struct lesson *lesson, const double *values, int count,
                         int decimals) {
    enum { AROUND = 5, END = 18 }; /* sign, digits, point and gap; the norm */
    int fit = (lesson->view->style.width - INDENT - LABEL - END) / (decimals + AROUND);
    int shown = fit < 1 ? 1 : fit < count ? fit : count;
    double squares = 0;
    for (int i = 0; i < count; i++)
        squares += values[i] * values[i];
    for (int i = 0; i < shown; i++)
        fprintf(lesson->out, "%*.*f", decimals + AROUND, decimals, values[i]);
    fprintf(lesson->out, "%s  norm %.3f\n", shown < count ? " ..." : "", sqrt(squares));
}

/* A vector of the sample, times a factor. */
static void print_scaled(const struct lesson *lesson, const float *values, int count, double factor,
                         int decimals) {
    for (int i = 0; i < count; i++)
        lesson->scaled[i] = factor * (double)values[i];
    print_vector(lesson, lesson->scaled, count, decimals);
}

static void tell_title(const struct lesson *lesson) {
    const struct heads_view *view = lesson->view;
    char name[HEADS_VIEW_NAME_SIZE];
    heads_view_name(view, name);
    color_bold(lesson->out, view->style.colors);
    text_print_wrapped(lesson->out, name, 0, view->style.width);
    color_reset(lesson->out, view->style.colors);
    text_print_wrapped(lesson->out, view->sentence->text, 0, view->style.width);
    fputs("What ", lesson->out);
    print_quoted(lesson, lesson->row.word);
    fprintf(lesson->out, ", token %d of 0-%d, takes from all of them:\n", lesson->row.word,
            lesson->row.tokens - 1);
}

/* What enters the layer, where a model has been run and it is known. */
static void tell_input(struct lesson *lesson) {
    const struct heads_view *view = lesson->view;
    const struct explain_row *row = &lesson->row;
    size_t dim = (size_t)view->samples->model_dim;
    size_t token_row = (size_t)(view->range.layer * row->tokens + row->word);
    begin_step(lesson, "Input", "Layer %d is given %d numbers for every token: %s.",
               view->range.layer, view->samples->model_dim,
               view->range.layer == 0 ? "rows of the model's tables, of its word and of its place"
                                      : "what the layers before have made of it");
    print_label(lesson, row->word, "input of");
    print_scaled(lesson, view->sentence->hidden + token_row * dim, (int)dim, 1, 3);
}

static void tell_vectors(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    begin_step(
        lesson, "Query, key and value",
        "Every token has three vectors of %d numbers, products of what enters the layer with "
        "the head's three matrices: what it looks for, what it is found by, what it gives.%s",
        row->dim,
        lesson->view->sentence->hidden ? ""
                                       : " (The step before, from words to these, needs a "
                                         "model: --model.)");
    print_label(lesson, row->word, "query of");
    print_scaled(lesson, row->query, row->dim, 1, 3);
    print_label(lesson, row->strongest, "key of");
    print_scaled(lesson, vector_of(lesson, row->keys, row->strongest), row->dim, 1, 3);
    print_label(lesson, row->strongest, "value of");
    print_scaled(lesson, vector_of(lesson, row->values, row->strongest), row->dim, 1, 3);
}

static void tell_scores(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    const float *key = vector_of(lesson, row->keys, row->strongest);
    begin_step(lesson, "Scores",
               "The query times the key of each token, channel by channel, summed: q.k is large "
               "where the two point the same way.");
    double score = row->scores[row->strongest];
    say(lesson, "With \"%s\": %.3f * %.3f + ... + %.3f * %.3f = %.3f.",
        token(lesson, row->strongest), (double)row->query[0], (double)key[0],
        (double)row->query[row->dim - 1], (double)key[row->dim - 1], score);
    begin_step(
        lesson, "Scale",
        "A sum of %d products spreads as the square root of %d, so it is divided by that, or "
        "one key would take nearly all (see rapt study scale).",
        row->dim, row->dim);
    say(lesson, "For \"%s\": %.3f / %.3f = %.3f.", token(lesson, row->strongest), score, row->root,
        score / row->root);
}

static void tell_mask(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    int hidden = row->tokens - row->visible;
    if (!row->causal) {
        begin_step(lesson, "Mask",
                   "None: this model lets a word see all %d tokens, those after it, "
                   "too (--causal hides them).",
                   row->tokens);
    } else {
        begin_step(lesson, "Mask",
                   "Causal: the word sees the tokens from 0 to %d, itself the last; the scores of "
                   "the %d after it become -inf, which is a weight of 0.",
                   row->word, hidden);
    }
}

static void print_table_row(const struct lesson *lesson, int i, int label, int bar) {
    const struct explain_row *row = &lesson->row;
    const struct heatmap_style *style = &lesson->view->style;
    const struct plot_style bars = {style->colors, plot_unicode(), style->width};
    double scaled = row->scores[i] / row->root;
    fprintf(lesson->out, "%*s", INDENT, "");
    heatmap_print_label(lesson->out, token(lesson, i), label);
    fprintf(lesson->out, "%*.3f%*.3f", NUMBER, row->scores[i], NUMBER, scaled);
    if (i < row->visible)
        fprintf(lesson->out, "%*.3f", NUMBER, scaled - row->largest);
    else
        fprintf(lesson->out, "%*s", NUMBER, "-inf");
    fprintf(lesson->out, "%*.4f%*.4f ", NUMBER, row->exponentials[i], NUMBER, row->weights[i]);
    if (bar >= LEAST_BAR)
        plot_bar(lesson->out, row->weights[i], bar < MOST_BAR ? bar : MOST_BAR, &bars);
    fputc('\n', lesson->out);
}

static void tell_softmax(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    begin_step(
        lesson, "Softmax",
        "Less the largest score, %.3f, so that no exponential is too large; then e^ of each; "
        "then divided by their sum, %.4f: positive weights that sum to 1.",
        row->largest, row->sum);
    int label = heatmap_widest(lesson->view->sentence->tokens, row->tokens);
    int bar = lesson->view->style.width - INDENT - label - 5 * NUMBER - 1;
    fprintf(lesson->out, "\n%*s%*s%*s%*s%*s%*s\n", INDENT + label, "", NUMBER, "q.k", NUMBER,
            "scaled", NUMBER, "- max", NUMBER, "e^", NUMBER, "weight");
    for (int i = 0; i < row->tokens; i++)
        print_table_row(lesson, i, label, bar);
    double entropy = 0;
    for (int i = 0; i < row->visible; i++)
        entropy -= row->weights[i] > 0 ? row->weights[i] * log(row->weights[i]) : 0;
    fputc('\n', lesson->out);
    say(lesson, "Their entropy, -sum of w ln w, is %.3f nats, of at most ln %d = %.3f.",
        fabs(entropy), row->visible, log(row->visible));
}

static void tell_sum(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    int shown = 0;
    begin_step(lesson, "Weighted sum",
               "Each value times its weight, all added up: what the word takes with it out of this "
               "head.");
    memcpy(lesson->rest, row->out, (size_t)row->dim * sizeof *row->out);
    for (int i = explain_row_next(row, -1); i >= 0 && shown < MOST_TERMS;
         i = explain_row_next(row, i)) {
        const float *value = vector_of(lesson, row->values, i);
        print_label(lesson, i, "%.4f v of", row->weights[i]);
        print_scaled(lesson, value, row->dim, row->weights[i], 3);
        for (int c = 0; c < row->dim; c++)
            lesson->rest[c] -= lesson->scaled[c];
        shown++;
    }
    if (row->visible > shown) {
        print_label(lesson, -1, "the other %d", row->visible - shown);
        print_vector(lesson, lesson->rest, row->dim, 3);
    }
    print_label(lesson, -1, "sum");
    print_vector(lesson, row->out, row->dim, 3);
}

static double largest_distance(const float *found, const double *expected, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) {
        const double distance = fabs((double)found[i] - expected[i]);
        most = distance > most ? distance : most;
    }
    return most;
}

static void tell_check(struct lesson *lesson) {
    const struct explain_row *row = &lesson->row;
    const double most = largest_distance(row->found, row->out, row->dim);
    const double most_weight = largest_distance(row->found_weights, row->weights, row->tokens);
    begin_step(
        lesson, "Check",
        "The library computes the row in one pass in f32, here on %s; the steps above are in "
        "double precision.",
        lesson->view->isa);
    print_label(lesson, -1, "library");
    print_scaled(lesson, row->found, row->dim, 1, 6);
    print_label(lesson, -1, "by hand");
    print_vector(lesson, row->out, row->dim, 6);
    say(lesson, "The largest difference is %.1e in the sum and %.1e in the weights.", most,
        most_weight);
}

/* The index of the token that is numbered or named, or -1. */
static int find_word(const struct sample *sentence, const char *word) {
    int64_t number;
    if (args_parse_int(word, &number))
        return number >= 0 && number < sentence->token_count ? (int)number : -1;
    for (int i = 0; i < sentence->token_count; i++)
        if (strcasecmp(sentence->tokens[i], word) == 0)
            return i;
    return -1;
}

static int fail(rapt_status status) {
    bool memory = status == RAPT_OUT_OF_MEMORY;
    return args_fail(command, "%s", memory ? rapt_status_text(status) : rapt_last_error());
}

/* The token with the strongest tie, or the first one. Returns an exit code or ARGS_GO_ON. */
static int choose_word(const struct heads_view *view, int threads, int *word) {
    float *weights;
    rapt_status status =
        attend_compute(view->samples, view->sentence, &view->range, view->isa, threads, &weights);
    if (status != RAPT_OK)
        return fail(status);
    struct heads_view all = *view;
    int key;
    all.weights = weights;
    if (!heads_view_strongest_pair(&all, word, &key))
        *word = 0;
    free(weights);
    return ARGS_GO_ON;
}

static int read_word(const struct heads_view *view, const char *text, int threads, int *word) {
    if (!text)
        return choose_word(view, threads, word);
    *word = find_word(view->sentence, text);
    if (*word >= 0)
        return ARGS_GO_ON;
    char expected[80];
    snprintf(expected, sizeof expected, "0 to %d or a token of the sentence",
             view->sentence->token_count - 1);
    return args_fail_value(command, "word", text, expected);
}

static void tell(struct lesson *lesson) {
    tell_title(lesson);
    if (lesson->view->sentence->hidden)
        tell_input(lesson);
    tell_vectors(lesson);
    tell_scores(lesson);
    tell_mask(lesson);
    tell_softmax(lesson);
    tell_sum(lesson);
    tell_check(lesson);
}

static int tell_row(FILE *out, const struct heads_view *view, int word, bool causal) {
    struct lesson lesson = {.out = out, .view = view};
    const struct samples *samples = view->samples;
    int widest = samples->head_dim > samples->model_dim ? samples->head_dim : samples->model_dim;
    lesson.scaled = calloc(2 * (size_t)widest, sizeof *lesson.scaled);
    rapt_status status = RAPT_OUT_OF_MEMORY;
    if (lesson.scaled &&
        explain_row_create(&lesson.row, samples, view->sentence, &view->range, word, causal)) {
        lesson.rest = lesson.scaled + widest;
        status = explain_row_check(&lesson.row, view->isa);
        if (status == RAPT_OK)
            tell(&lesson);
        explain_row_destroy(&lesson.row);
    }
    free(lesson.scaled);
    return status == RAPT_OK ? ARGS_OK : fail(status);
}

int explain(FILE *out, const struct heads_view *view, const struct explain_request *request,
            const char *isa, int threads) {
    if (view->range.layers > 1 || view->range.heads > 1) {
        return args_fail(command, "--explain: found %s \"all\", expected one layer and one head",
                         view->range.layers > 1 ? "--layer" : "--head");
    }
    const rapt_isa *chosen = NULL;
    if (rapt_isa_choose(isa, &chosen) != RAPT_OK)
        return args_fail(command, "%s", rapt_last_error());
    struct heads_view shown = *view;
    shown.isa = chosen->name;
    int word, code = read_word(&shown, request->word, threads, &word);
    return code == ARGS_GO_ON ? tell_row(out, &shown, word, request->causal) : code;
}
