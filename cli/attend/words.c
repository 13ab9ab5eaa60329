/* SPDX-License-Identifier: Apache-2.0 */
/* Joins the pieces of every word, in the tokens and in the weights of all heads. */
#include "cli/attend/words.h"

#include <stdlib.h>

#include "cli/attend/groups.h"

bool words_merge(struct words *words, struct heads_view *view) {
    const struct sample *sentence = view->sentence;
    struct groups groups = groups_of_words(sentence->tokens, sentence->token_count);
    *words = (struct words){
        .weights =
            groups_merge(view->weights, view->range.layers * view->range.heads, &groups, &groups),
    };
    if (words->weights) {
        words->sentence.text = sentence->text;
        words->sentence.token_count = groups.count;
        words->sentence.tokens = groups_labels(&groups, sentence->tokens);
    }
    groups_free(&groups);
    if (!words->sentence.tokens) {
        words_free(words);
        return false;
    }
    view->sentence = &words->sentence;
    view->weights = words->weights;
    return true;
}

void words_free(struct words *words) {
    free(words->sentence.tokens);
    free(words->weights);
    *words = (struct words){0};
}
