/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of head one is, by where its weight lies. */
#ifndef RAPT_CLI_PAGE_KINDS_H
#define RAPT_CLI_PAGE_KINDS_H

#include <stdbool.h>

enum kind {
    KIND_PREVIOUS,  /* the key before the query; of the first six, those with a place */
    KIND_NEXT,      /* the one after it */
    KIND_FIRST,     /* the first of all, which is [CLS] in BERT */
    KIND_SELF,      /* the query's own */
    KIND_SEPARATOR, /* [SEP] or </s> */
    KIND_LOCAL,     /* at most KINDS_NEAR from the query */
    KIND_BROAD,     /* the rows' entropy is near the most that it can be */
    KIND_MIXED,     /* none of these */
    KINDS,
    KIND_PLACES = KIND_BROAD, /* how many have a place */
};

enum { KINDS_NEAR = 2 };

/*
 * A head's mass on a place is the mean over its rows. Rows that see one key alone don't count. Nor
 * do the first token's row for KIND_PREVIOUS and KIND_FIRST, the last token's for KIND_NEXT, and
 * the separators' own for KIND_SEPARATOR. `even` is the mass of even attention. The excess over it
 * is (mass - even) / (1 - even): 0 for even attention, 1 for all weight there. The kind is the one
 * with the largest excess among the first five, if that reaches KINDS_EXCESS. Else it is local if
 * that excess does, else broad if the spread reaches KINDS_SPREAD, else mixed.
 */
#define KINDS_EXCESS 0.4
#define KINDS_SPREAD 0.8

extern const char *const kinds_names[KINDS]; /* "previous", ... */

/* The tokens of a sentence. With causal, a query sees no key after its own. */
struct kinds_text {
    const char *const *tokens;
    int count;
    bool causal;
};

struct kinds_summary {
    double entropy;           /* mean of the rows', in nats */
    double spread;            /* mean of the rows' entropies as a share of ln(keys seen), 0 to 1 */
    double mass[KIND_PLACES]; /* 0 to 1 */
    enum kind kind;
};

/* Of the weights [query][key] of one head; even is what kinds_even gave. */
struct kinds_summary kinds_summarise(const struct kinds_text *text, const float *weights,
                                     const double even[KIND_PLACES]);

/* The masses of even attention, which gives every key that a query sees the same weight. */
void kinds_even(const struct kinds_text *text, double even[KIND_PLACES]);

#endif
