/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the tokens of a sentence, and joins those of every word in the weights of all heads. */
#include "cli/attend/words.h"

#include <stdlib.h>

#include "cli/attend/groups.h"

static bool read_tokens(struct words *words, const struct sample *sentence) {
    return tokens_read(&words->queries, sentence->tokens, sentence->token_count) &&
           (!sentence->keys || tokens_read(&words->keys, sentence->keys, sentence->key_count));
}

static bool merge(struct words *words, const struct heads_view *view) {
    const struct groups rows = {words->queries.words, words->queries.start};
    const struct groups columns = {words->keys.words, words->keys.start};
    words->weights = groups_merge(view->weights, view->range.layers * view->range.heads, &rows,
                                  view->sentence->keys ? &columns : &rows);
    words->sentence.token_count = words->queries.words;
    words->sentence.key_count = words->keys.words;
    words->sentence.tokens = words->queries.names;
    words->sentence.keys = words->keys.names;
    return words->weights;
}

bool words_read(struct words *words, struct heads_view *view, bool merged) {
    const struct sample *sentence = view->sentence;
    *words = (struct words){.sentence = {.text = sentence->text,
                                         .token_count = sentence->token_count,
                                         .key_count = sentence->key_count}};
    bool good = read_tokens(words, sentence);
    words->sentence.tokens = words->queries.shown;
    words->sentence.keys = words->keys.shown;
    good = good && (!merged || merge(words, view));
    if (!good) {
        words_free(words);
        return false;
    }
    view->sentence = &words->sentence;
    if (merged)
        view->weights = words->weights;
    return true;
}

void words_free(struct words *words) {
    tokens_free(&words->queries);
    tokens_free(&words->keys);
    free(words->weights);
    *words = (struct words){.weights = NULL};
}
