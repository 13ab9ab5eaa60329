/* SPDX-License-Identifier: Apache-2.0 */
/* A row of attention by hand: every step on its own, in double precision. */
#ifndef RAPT_CLI_ATTEND_EXPLAIN_ROW_H
#define RAPT_CLI_ATTEND_EXPLAIN_ROW_H

#include <stdbool.h>

#include "cli/sentences/attend.h"

struct explain_row {
    const float *query, *keys, *values; /* of the word; of all tokens, [token][dim] */
    int word, tokens, dim;
    bool causal;
    int visible;                             /* tokens that the mask leaves: the first ones */
    double root;                             /* of dim */
    double *scores, *exponentials, *weights; /* of each token; 0 behind the mask but for scores */
    double largest, sum;                     /* of scaled scores; of exponentials */
    int strongest;                           /* the token with the largest weight */
    double *out;                             /* dim numbers */
    float *found, *found_weights;            /* the library's out and weights, in f32 */
};

/* Computes the row of a word in a head, but for what the library finds. False without memory. */
bool explain_row_create(struct explain_row *row, const struct samples *samples,
                        const struct sample *sentence, const struct attend_range *head, int word,
                        bool causal);

/* The same row by the library, which is given this one query. */
rapt_status explain_row_check(struct explain_row *row, const char *isa);

/* The heaviest token that is lighter than this one, or as heavy and after it; -1: there is none.
 * The heaviest of all for -1. */
int explain_row_next(const struct explain_row *row, int than);

void explain_row_destroy(struct explain_row *row);

#endif
