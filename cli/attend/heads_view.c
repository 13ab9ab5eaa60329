/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attend/heads_view.h"

#include <ctype.h>
#include <string.h>

const float *heads_view_weights(const struct heads_view *view, int index) {
    const struct sample *sentence = view->sentence;
    const size_t cells = (size_t)sentence->token_count * (size_t)sample_keys(sentence);
    return view->weights + (size_t)index * cells;
}

/* "layer 3 of 0-5", or "layers 0-5" */
static int name_range(char *text, size_t size, const char *what, int first, int count, int all) {
    if (count == 1)
        return snprintf(text, size, "%s %d of 0-%d", what, first, all - 1);
    return snprintf(text, size, "%ss 0-%d", what, all - 1);
}

void heads_view_name(const struct heads_view *view, char name[HEADS_VIEW_NAME_SIZE]) {
    const struct attend_range *range = &view->range;
    char layers[40], heads[40];
    name_range(layers, sizeof layers, "layer", range->layer, range->layers, view->samples->layers);
    name_range(heads, sizeof heads, "head", range->head, range->heads, view->samples->heads);
    snprintf(name, HEADS_VIEW_NAME_SIZE, "%.70s, %s, %s", view->samples->model, layers, heads);
}

void heads_view_panel_name(const struct heads_view *view, int index,
                           char name[HEADS_VIEW_NAME_SIZE]) {
    const float *weights = heads_view_weights(view, index);
    snprintf(
        name, HEADS_VIEW_NAME_SIZE, "%s %d, %.2f nats", view->range.layers > 1 ? "layer" : "head",
        index,
        attend_mean_entropy(weights, view->sentence->token_count, sample_keys(view->sentence)));
}

/* No mark and no punctuation; a space that stands before it is shown as U+2423. */
static bool is_word(const char *token) {
    const char *word = strncmp(token, "\xe2\x90\xa3", 3) == 0 ? token + 3 : token;
    return isalnum((unsigned char)word[0]) || (unsigned char)word[0] >= 0x80;
}

bool heads_view_strongest_pair(const struct heads_view *view, int *query, int *key) {
    const struct sample *sentence = view->sentence;
    const char *const *key_tokens = sample_key_tokens(sentence);
    const int keys = sample_keys(sentence);
    float best = 0;
    for (int from = 0; from < sentence->token_count; from++) {
        for (int to = 0; to < keys; to++) {
            float weight = view->weights[(size_t)from * (size_t)keys + (size_t)to];
            if (weight > best && is_word(sentence->tokens[from]) && is_word(key_tokens[to]) &&
                strcmp(sentence->tokens[from], key_tokens[to]) != 0) {
                *query = from;
                *key = to;
                best = weight;
            }
        }
    }
    return best > 0;
}
