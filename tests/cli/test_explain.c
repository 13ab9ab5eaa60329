/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt attend --explain`: every number that it prints, computed again in double precision. */
#include "tests/support/command.h"

#include "cli/sentences/samples.h"

TestSuite(explain, .init = enter, .fini = leave);

static struct samples samples;

static void parse_samples(void) {
    char error[SAMPLES_ERROR_SIZE];
    cr_assert(samples_parse(&samples, samples_data, samples_data_size, error), "%s", error);
}

static void expect_text(const char *line, const char *text) {
    cr_expect_not_null(strstr(out_text, text), "rapt %s: no \"%s\" in\n%s", line, text, out_text);
}

enum { MOST_TOKENS = 64, MOST_DIM = 64 };

/* One row in double precision. */
struct row {
    double scores[MOST_TOKENS], less[MOST_TOKENS], exponentials[MOST_TOKENS], weights[MOST_TOKENS];
    double sum, out[MOST_DIM];
    int dim;
};

static void compute(struct row *row, const struct sample *sentence, int layer, int head, int word,
                    int visible) {
    const int n = sentence->token_count, d = samples.head_dim;
    const int start = (layer * samples.heads + head) * n * d;
    double most = -INFINITY;
    *row = (struct row){.dim = d};
    for (int j = 0; j < n; j++) {
        for (int c = 0; c < d; c++)
            row->scores[j] += (double)sentence->query[start + word * d + c] *
                              (double)sentence->key[start + j * d + c];
        most = j < visible ? fmax(most, row->scores[j] / sqrt(d)) : most;
    }
    for (int j = 0; j < n; j++) {
        row->less[j] = j < visible ? row->scores[j] / sqrt(d) - most : -INFINITY;
        row->exponentials[j] = exp(row->less[j]);
        row->sum += row->exponentials[j];
    }
    for (int j = 0; j < n; j++) {
        row->weights[j] = row->exponentials[j] / row->sum;
        for (int c = 0; c < d; c++)
            row->out[c] += row->weights[j] * (double)sentence->value[start + j * d + c];
    }
}

/* What is left of the output after the three heaviest values, if that is anything. */
static void expect_rest(const char *line, const struct sample *sentence, const struct row *row,
                        const float *values, int visible) {
    double rest[MOST_DIM], weights[MOST_TOKENS];
    char text[128];
    memcpy(rest, row->out, sizeof rest);
    memcpy(weights, row->weights, sizeof weights);
    for (int term = 0; term < 3 && term < visible; term++) {
        int best = 0;
        for (int j = 0; j < visible; j++)
            best = weights[j] > weights[best] ? j : best;
        snprintf(text, sizeof text, "   %.4f v of \"%s\" ", weights[best], sentence->tokens[best]);
        expect_text(line, text);
        for (int c = 0; c < row->dim; c++)
            rest[c] -= weights[best] * (double)values[best * row->dim + c];
        weights[best] = -1;
    }
    snprintf(text, sizeof text, "the other %-16d%8.3f%8.3f%8.3f%8.3f ...", visible - 3, rest[0],
             rest[1], rest[2], rest[3]);
    cr_expect_eq(strstr(out_text, text) != NULL, visible > 3, "rapt %s: no \"%s\" in\n%s", line,
                 text, out_text);
}

static void expect_row(const char *line, const struct sample *sentence, const struct row *row) {
    char text[128];
    for (int j = 0; j < sentence->token_count; j++) {
        snprintf(text, sizeof text, "%s%9.3f%9.3f%9.3f%9.4f%9.4f ", sentence->tokens[j],
                 row->scores[j], row->scores[j] / sqrt(row->dim), row->less[j],
                 row->exponentials[j], row->weights[j]);
        expect_text(line, text);
    }
    double norm = 0;
    for (int c = 0; c < row->dim; c++)
        norm += row->out[c] * row->out[c];
    snprintf(text, sizeof text, "by hand %*s%11.6f%11.6f%11.6f ...  norm %.3f\n", 18, "",
             row->out[0], row->out[1], row->out[2], sqrt(norm));
    expect_text(line, text);
    double entropy = 0;
    for (int j = 0; j < sentence->token_count; j++)
        entropy -= row->weights[j] > 0 ? row->weights[j] * log(row->weights[j]) : 0;
    snprintf(text, sizeof text, "-sum of w ln w, is %.3f nats, of at", fabs(entropy));
    expect_text(line, text);
    snprintf(text, sizeof text, "their sum, %.4f:", row->sum);
    char *flat = strdup(out_text);
    for (char *at = flat; (at = strstr(at, "\n   "));)
        memmove(at + 1, at + 4, strlen(at + 4) + 1), *at = ' ';
    cr_expect_not_null(strstr(flat, text), "rapt %s: no \"%s\"", line, text);
    free(flat);
}

/* The library's numbers are those of f32. */
static void expect_agreement(const char *line) {
    const char *text = strstr(out_text, "The largest difference is ");
    double sum, weights;
    cr_assert_not_null(text);
    cr_assert_eq(
        sscanf(text, "The largest difference is %lf in the sum and %lf in", &sum, &weights), 2);
    cr_expect(sum < 1e-5 && weights < 1e-6, "rapt %s: %g, %g", line, sum, weights);
}

Test(explain, numbers_are_those_of_a_computation_by_hand) {
    parse_samples();
    for (int i = 0; i < 12; i++) {
        const struct sample *sentence = &samples.sentences[i % 3];
        const int layer = i % samples.layers, head = 11 - i, causal = i % 2;
        const int word = 5 * i % sentence->token_count;
        char line[128];
        snprintf(line, sizeof line,
                 "attend --explain --sentence %d --layer %d --head %d --word %d%s", i % 3 + 1,
                 layer, head, word, causal ? " --causal" : "");
        cr_assert_eq(rapt(line), 0, "%s", err_text);
        struct row row;
        compute(&row, sentence, layer, head, word, causal ? word + 1 : sentence->token_count);
        expect_row(line, sentence, &row);
        const int start = (layer * samples.heads + head) * sentence->token_count;
        expect_rest(line, sentence, &row, sentence->value + start * row.dim,
                    causal ? word + 1 : sentence->token_count);
        expect_agreement(line);
    }
    samples_free(&samples);
}

Test(explain, words_are_found_by_name) {
    cr_expect_eq(rapt("attend --explain"), 0);
    expect_text("", "What \"it\", token 10 of 0-15, ");
    expect_text("", "For \"animal\": 21.688 / 5.657 = 3.834.");
    cr_expect_eq(rapt("attend --explain --word The"), 0);
    expect_text("The", "What \"the\", token 1 of 0-15, ");
    cr_expect_eq(rapt("attend --explain --word [SEP] --causal"), 0);
    expect_text("[SEP]", "What \"[SEP]\", token 15 of 0-15, ");
    expect_text("[SEP]", "the tokens from 0 to 15, itself");
    cr_expect_eq(rapt("attend --explain --word 0 --causal"), 0);
    expect_text("0", "from 0 to 0, itself the last; the scores of");
    cr_expect_null(strstr(out_text, "the other "));
}

Test(explain, lines_fit_the_width) {
    for (int width = 60; width <= 120; width += 20) {
        char line[128];
        snprintf(line, sizeof line, "attend --explain --sentence 3 --width %d", width);
        cr_assert_eq(rapt(line), 0);
        for (const char *at = out_text; *at; at += strcspn(at, "\n") + 1)
            cr_expect_leq((int)strcspn(at, "\n"), width, "%.*s", (int)strcspn(at, "\n"), at);
    }
}

Test(explain, wrong_arguments_are_refused) {
    expect_fault("attend --explain --word dog",
                 "--word: found \"dog\", expected 0 to 15 or a token of the sentence");
    expect_fault("attend --explain --word 16", "--word: found \"16\", expected 0 to 15");
    expect_fault("attend --explain --word -1", "--word: found \"-1\", expected 0 to 15");
    expect_fault("attend --explain --head all", "--explain: found --head \"all\"");
    expect_fault("attend --explain --layer all", "--explain: found --layer \"all\"");
    expect_fault("attend --explain --isa none", "none");
    expect_fault("attend --explain --merge-words",
                 "--explain: found also --merge-words, expected one");
    expect_fault("attend --explain --svg x.svg",
                 "--explain: found also --svg, expected one of the two");
    expect_fault("attend --word it", "--word: found no --explain, expected it, too");
    expect_fault("attend --causal",
                 "--causal: found none of --explain, --qkv, expected one of them, too");
}
