/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of a model that doesn't exist, to be shown: random weights over tokens of several scripts.
 */
#ifndef RAPT_TESTS_SUPPORT_HEADS_VIEWS_H
#define RAPT_TESTS_SUPPORT_HEADS_VIEWS_H

#include "tests/support/helpers.h"

#include "cli/attend/heads_view.h"
#include "cli/base/text.h"

/* From one token in one head to more of both than fit a terminal. */
static const struct {
    int tokens, layers, heads;
} sizes[] = {{1, 1, 1}, {2, 1, 1},  {24, 1, 1},  {64, 1, 1}, {130, 1, 1}, {9, 1, 12},
             {9, 5, 1}, {65, 1, 2}, {100, 2, 1}, {5, 3, 24}, {300, 1, 1}, {170, 6, 13}};
enum { SIZES = sizeof sizes / sizeof *sizes };

struct made_view {
    struct heads_view view;
    struct samples samples;
    struct sample sentence;
    const char **tokens;
    char *text;
    float *weights;
};

static const char *const plain_tokens[] = {"[CLS]", "the",   "attention", "##s",
                                           "of",    "words", ",",         "internationalization"};
/* Wide, joining and right-to-left characters, what XML and terminals take for their own, and what
 * is no text. */
static const char *const odd_tokens[] = {"[CLS]",
                                         "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
                                         "e\xcc\x81t\xc3\xa9",
                                         "<&>\"'",
                                         "]]>",
                                         "a\x1b[31m",
                                         "\xff\xfe\x01",
                                         "\xd9\x85\xd8\xb1\xd8\xad",
                                         "\xe2\x80\xaex",
                                         "\xf0\x9f\x98\x80",
                                         "&amp;",
                                         "a b"};

static inline struct made_view *make_view(bool odd, int tokens, int layers, int heads, int width) {
    struct made_view *made = calloc(1, sizeof *made);
    const size_t rows = (size_t)(layers * heads * tokens);
    made->tokens = calloc((size_t)tokens, sizeof *made->tokens);
    made->weights = malloc(rows * (size_t)tokens * sizeof *made->weights);
    for (int i = 0; i < tokens; i++)
        made->tokens[i] = odd ? odd_tokens[i % 12] : plain_tokens[i % 8];
    uint64_t state = 1;
    for (size_t row = 0; row < rows; row++) {
        float *weights = made->weights + row * (size_t)tokens, sum = 0;
        for (int i = 0; i < tokens; i++)
            sum += weights[i] = expf(5 * random_float(&state));
        for (int i = 0; i < tokens; i++)
            weights[i] /= sum;
    }
    made->text = text_join(made->tokens, tokens);
    made->samples =
        (struct samples){.model = odd ? "<m\x01>" : "model", .layers = layers, .heads = heads};
    made->sentence =
        (struct sample){.text = made->text, .token_count = tokens, .tokens = made->tokens};
    made->view = (struct heads_view){.samples = &made->samples,
                                     .sentence = &made->sentence,
                                     .range = {.layers = layers, .heads = heads},
                                     .isa = "none",
                                     .weights = made->weights,
                                     .style = {COLOR_NONE, width}};
    return made;
}

static inline void free_view(struct made_view *made) {
    free(made->tokens);
    free(made->weights);
    free(made->text);
    free(made);
}

#endif
