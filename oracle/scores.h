/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle's scores, one by one: what they are, and the interval where f32 may put them. */
#ifndef RAPT_ORACLE_SCORES_H
#define RAPT_ORACLE_SCORES_H

#include <rapt/attention.h>

#define ORACLE_UNIT 0x1p-24       /* relative error of one f32 rounding */
#define ORACLE_SMALLEST 0x1p-149  /* the least f32 above 0 */
#define ORACLE_VANISHING 0x1p-123 /* smaller weights may count as 0 */

/* If low and high are the two ends of f32's range, nothing is known, not even that it's a number.
 */
struct interval {
    double low, value, high;
};

/* Rows of a sequence's keys and values, of one head; or NULL where each is read when it's used. */
struct head_rows {
    double *key, *value; /* [places_room][D] */
};

/* A query of a sequence and head, and room for a key. */
struct scored_query {
    const rapt_attention_args *args;
    const struct head_rows *rows;
    int64_t sequence, head, query;
    double *row, *key; /* [D] each */
};

/* Reads the channels of row `at` of a tensor, whose scales are only looked at for int8. */
void scores_read_row(const rapt_tensor *t, const rapt_tensor *scales, const int64_t *at,
                     double *row);

/* The key head of a query head. */
int64_t scores_key_head(const rapt_attention_args *args, int64_t head);

/* Reads the query into its row. */
void scores_read_query(const struct scored_query *q);

/* The row of key j, or of its value: that of `rows`, or read to `row`. */
const double *scores_key(const struct scored_query *q, int64_t j, double *row);
const double *scores_value(const struct scored_query *q, int64_t j, double *row);

/* The score of key j after one of the steps, the last of which the softmax is of. It's -inf from
 * there on if the key isn't attended, and else finite or NaN. */
struct interval scores_at(const struct scored_query *q, int64_t j, rapt_weights_kind step);

struct interval scores_of_sink(const struct scored_query *q);

/* What `weights` shows of a score, of column j, and how far it may be off: NaN if at all. */
struct interval scores_shown(const struct scored_query *q, int64_t j);
double scores_shown_bound(struct interval s);

#endif
