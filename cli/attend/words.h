/* SPDX-License-Identifier: Apache-2.0 */
/* Whole words in place of word pieces. */
#ifndef RAPT_CLI_ATTEND_WORDS_H
#define RAPT_CLI_ATTEND_WORDS_H

#include "cli/attend/heads_view.h"

struct words {
    struct sample sentence; /* its tokens are words; without queries, keys and values */
    float *weights;
};

/*
 * Makes `view` show words, with their weights as groups_merge has them. It then views `words`,
 * which is to be freed after it; false if memory ran out.
 */
bool words_merge(struct words *words, struct heads_view *view);

void words_free(struct words *words);

#endif
