/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of head one is, by where its weight lies. */
#ifndef RAPT_CLI_PAGE_KINDS_H
#define RAPT_CLI_PAGE_KINDS_H

#include "cli/page/sight.h"

enum kind {
    KIND_PREVIOUS,  /* the key before the query; of the first eight, those with a place */
    KIND_NEXT,      /* the one after it */
    KIND_FIRST,     /* the first of all, which is [CLS] in BERT */
    KIND_SELF,      /* the query's own */
    KIND_SEPARATOR, /* [SEP] or </s> */
    KIND_DUPLICATE, /* others of the query's token */
    KIND_INDUCTION, /* what came after an earlier one of the query's token */
    KIND_LOCAL,     /* at most KINDS_NEAR from the query */
    KIND_BROAD,     /* the rows' entropy is near the most that it can be */
    KIND_MIXED,     /* none of these */
    KINDS,
    KIND_PLACES = KIND_BROAD, /* how many have a place */
};

enum { KINDS_NEAR = 2, KINDS_REPEATS = 4 };

/*
 * A head's mass on a place is the mean over its rows. Rows that see one key alone don't count, nor
 * do those without weights, which are padding's, nor those without the place: the separators' own
 * for KIND_SEPARATOR, a first or last token's for its neighbour, those of tokens that don't repeat
 * for KIND_DUPLICATE and KIND_INDUCTION. These two need KINDS_REPEATS rows; Elhage et al. 2021 and
 * Olsson et al. 2022 have found such heads. A place without rows is absent. So are all but the
 * first key and separators where queries and keys are of different texts.
 *
 * `even` is the mass of even attention. The excess over it is (mass - even) / (1 - even): 0 for
 * even attention, 1 for all weight there. The kind is the one with the largest excess among those
 * before KIND_LOCAL, if that reaches KINDS_EXCESS. Else it is local if that excess does, else broad
 * if the spread reaches KINDS_SPREAD, else mixed.
 */
#define KINDS_EXCESS 0.4
#define KINDS_SPREAD 0.8

extern const char *const kinds_names[KINDS]; /* "previous", ... */

/* What the kinds go by. */
struct kinds_text {
    struct sight sight;
    bool own;                    /* queries are tokens of the keys' text */
    bool *separator;             /* of each key */
    int64_t *earlier, *later;    /* the next key on that side with the same token, or -1 */
    int64_t *separators, marked; /* the keys that are separators, and their number */
};

/* The text of so many tokens, those of the keys; false if memory ran out. */
bool kinds_open(struct kinds_text *text, const struct sight *sight, const char *const *tokens,
                bool own);
void kinds_close(struct kinds_text *text);

/* The sums over a head's rows, and how many rows they are of. */
struct kinds_head {
    double sum[KIND_PLACES];
    int64_t rows[KIND_PLACES];
    double entropy, spread;
    int64_t queries, seeing; /* those with weights, and of them those that see several keys */
};

/* Adds a query's row of weights, of all keys, whose entropy is known. */
void kinds_add(struct kinds_head *head, const struct kinds_text *text, int64_t query,
               const float *weights, double entropy);

struct kinds_summary {
    double entropy;           /* mean of the rows', in nats */
    double spread;            /* mean of the rows' entropies as a share of ln(keys seen), 0 to 1 */
    double mass[KIND_PLACES]; /* 0 to 1, or -1 for what is absent */
    enum kind kind;
};

/* Of the rows that were added; even is what kinds_even gave. */
struct kinds_summary kinds_summarise(const struct kinds_head *head, const double even[KIND_PLACES]);

/* The masses of even attention, which gives every key that a query sees the same weight. */
void kinds_even(const struct kinds_text *text, double even[KIND_PLACES]);

#endif
