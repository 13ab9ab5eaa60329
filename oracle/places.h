/* SPDX-License-Identifier: Apache-2.0 */
/* Where a sequence's queries, keys and masks lie in the tensors of dense, ragged and paged batches.
 */
#ifndef RAPT_ORACLE_PLACES_H
#define RAPT_ORACLE_PLACES_H

#include <rapt/attention.h>

int64_t places_sequences(const rapt_attention_args *args);

/* Queries and keys of a sequence. */
int64_t places_queries(const rapt_attention_args *args, int64_t b);
int64_t places_keys(const rapt_attention_args *args, int64_t b);

/* Whether all sequences have as many places for keys, also where they have fewer keys. */
bool places_dense(const rapt_attention_args *args);

/* Keys that have a place: with those beyond kv_len, if it is dense. */
int64_t places_room(const rapt_attention_args *args, int64_t b);

/* Columns of a row of weights, also where there are none. */
int64_t places_columns(const rapt_attention_args *args);

/* Sets at[0] and at[2], batch and position. Those of a query are for query, out, lse, max and
 * weights, those of a key for key, value and their scales. */
void places_query(const rapt_attention_args *args, int64_t b, int64_t i, int64_t *at);
void places_key(const rapt_attention_args *args, int64_t b, int64_t j, int64_t *at);

/* Sets `at` to the element of the mask. A dimension of 1 counts for all. With a mask_start, columns
 * don't: they are counted from it. */
void places_mask(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t column,
                 int64_t *at);

/* The element of a tensor of heads, ALiBi or sinks, for a sequence. */
void places_head(const rapt_tensor *heads, int64_t b, int64_t h, int64_t *at);

#endif
