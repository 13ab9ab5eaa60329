/* SPDX-License-Identifier: Apache-2.0 */
/* Poison: NaN and infinity where no query attends, and special numbers where one does. */
#include "oracle/poison.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "oracle/numbers.h"
#include "oracle/oracle.h"
#include "oracle/places.h"
#include "oracle/storage.h"

/* An element, or the scale of an int8. */
static void put_any(const rapt_tensor *view, const rapt_tensor *scales, const int64_t *at,
                    float number) {
    if (storage_is_quantized(view->dtype))
        numbers_put_scale(view, scales, at, number);
    else
        numbers_put(view, at, number);
}

/* Puts a number somewhere into each batch, or some pages, and each head. */
static void sprinkle(const rapt_tensor *view, const rapt_tensor *scales, float number,
                     uint64_t *state) {
    const int64_t step = view->shape[0] > CASE_BATCH_MAX ? view->shape[0] / 3 : 1;
    int64_t at[4];
    for (at[0] = 0; at[0] < view->shape[0] && view->shape[2] > 0; at[0] += step) {
        for (at[1] = 0; at[1] < view->shape[1]; at[1]++) {
            at[2] = (int64_t)(cases_random(state) % (uint64_t)view->shape[2]);
            at[3] = (int64_t)(cases_random(state) % (uint64_t)view->shape[3]);
            put_any(view, scales, at, cases_random(state) & 1 ? number : -number);
        }
    }
}

static void spoil_row(const rapt_tensor *view, const rapt_tensor *scales, const int64_t *row,
                      uint64_t *state) {
    const float garbage[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (int64_t at[4] = {row[0], row[1], row[2], 0}; at[3] < view->shape[3]; at[3]++)
        put_any(view, scales, at, garbage[cases_random(state) % 4]);
}

/* Whether any query of a group that reads the key does attend it. */
static bool key_is_seen(const rapt_attention_args *args, int64_t b, int64_t kv_head, int64_t j) {
    const int64_t group = args->query.shape[1] / args->key.shape[1];
    for (int64_t r = 0; r < group * places_queries(args, b); r++)
        if (oracle_attends(args, b, kv_head * group + r % group, r / group, j))
            return true;
    return false;
}

/* Garbage in keys and values that no query attends: all but those that are `seen`, one for each
 * row. */
static void spoil_keys(const rapt_attention_args *args, const bool *seen, uint64_t *state) {
    const int64_t *shape = args->key.shape;
    for (int64_t n = 0; n < shape[0] * shape[1] * shape[2]; n++) {
        const int64_t at[4] = {n / shape[2] / shape[1], n / shape[2] % shape[1], n % shape[2], 0};
        if (!seen[n]) {
            spoil_row(&args->key, &args->key_scale, at, state);
            spoil_row(&args->value, &args->value_scale, at, state);
        }
    }
}

static void spoil_queries(const rapt_attention_args *args, int64_t b, uint64_t *state) {
    for (int64_t r = 0; r < args->query.shape[1] * places_queries(args, b); r++) {
        const int64_t h = r % args->query.shape[1], i = r / args->query.shape[1];
        int64_t at[4] = {0, h, 0, 0};
        bool sees = false;
        for (int64_t j = 0; !sees && j < places_keys(args, b); j++)
            sees = oracle_attends(args, b, h, i, j);
        places_query(args, b, i, at);
        if (!sees)
            spoil_row(&args->query, NULL, at, state);
    }
}

/* Garbage in keys and values that no query attends, and in queries that attend no key. */
static bool spoil_hidden(const rapt_attention_args *args, uint64_t *state) {
    const int64_t *shape = args->key.shape;
    bool *seen = calloc((size_t)(shape[0] * shape[1] * shape[2]), sizeof *seen);
    if (!seen)
        return false;
    for (int64_t b = 0; b < places_sequences(args); b++) {
        for (int64_t n = 0; n < shape[1] * places_keys(args, b); n++) {
            const int64_t h = n % shape[1], j = n / shape[1];
            int64_t at[4];
            places_key(args, b, j, at);
            bool *row = &seen[(at[0] * shape[1] + h) * shape[2] + at[2]];
            *row = *row || key_is_seen(args, b, h, j);
        }
    }
    for (int64_t b = 0; b < places_sequences(args); b++)
        spoil_queries(args, b, state);
    spoil_keys(args, seen, state);
    free(seen);
    return true;
}

bool poison_fill(const rapt_attention_args *args, const struct attention_case *c, uint64_t *state) {
    if (c->fill == FILL_NAN_QUERY)
        sprinkle(&args->query, NULL, NAN, state);
    else if (c->fill == FILL_NAN_KEY)
        sprinkle(&args->key, &args->key_scale, NAN, state);
    else if (c->fill == FILL_NAN_VALUE)
        sprinkle(&args->value, &args->value_scale, NAN, state);
    else if (c->fill == FILL_INF_VALUE)
        sprinkle(&args->value, &args->value_scale, INFINITY, state);
    return c->fill != FILL_HIDDEN || spoil_hidden(args, state);
}
