/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as a reader is shown them, or whole words in place of them. */
#ifndef RAPT_CLI_ATTEND_WORDS_H
#define RAPT_CLI_ATTEND_WORDS_H

#include "cli/attend/heads_view.h"
#include "cli/base/tokens.h"

struct words {
    struct sample sentence; /* without queries, keys and values */
    struct tokens queries, keys;
    float *weights; /* of words, or NULL */
};

/*
 * Makes `view` show the tokens as tokens_read() gives them. With `merged` these are words, with
 * their weights as groups_merge() has them. The view then reads `words`, which is to be freed after
 * it; false if memory ran out.
 */
bool words_read(struct words *words, struct heads_view *view, bool merged);

void words_free(struct words *words);

#endif
