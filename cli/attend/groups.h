/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbouring tokens taken as one: the pieces of a word, or as many as a cell has to stand for. */
#ifndef RAPT_CLI_ATTEND_GROUPS_H
#define RAPT_CLI_ATTEND_GROUPS_H

#include <stdbool.h>
#include <stddef.h>

/* Group i has the tokens from start[i] to before start[i + 1]. */
struct groups {
    int count;
    int *start; /* count + 1 of them, allocated; NULL if memory ran out */
};

/* Groups of `size` tokens, of which the last may have fewer: of 1 for every token by itself. */
struct groups groups_of(int tokens, int size);

void groups_free(struct groups *groups);

/* The first token of each group. The caller frees the list; NULL if memory ran out. */
const char **groups_firsts(const struct groups *groups, const char *const *tokens);

/*
 * Weights between the groups, of so many heads. Attention to a group is the sum over its tokens'
 * columns, and attention of a group is the mean of its tokens' rows. So a row that sums to 1 still
 * does. `weights` is [head][query][key]; the result is [head][row][column], for the caller to
 * free. NULL if memory ran out, here or when the groups were made.
 */
float *groups_merge(const float *weights, int heads, const struct groups *rows,
                    const struct groups *columns);

#endif
