/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and poison for the tensors of a case: the same bits on any machine. */
#include "numbers.h"

#include <float.h>
#include <math.h>

#include "oracle.h"
#include "tensors.h"

static float *element(const rapt_tensor *view, const int64_t *at) {
    return tensors_element(view, at);
}

/* 0 to 1 */
static float uniform(uint64_t *state) {
    return (float)(cases_random(state) >> 40) * 0x1p-24f;
}

/* Close to a normal distribution: the sum of four uniform ones, the same bits everywhere. */
static float normal(uint64_t *state) {
    const uint64_t r = cases_random(state);
    const int sum =
        (int)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 2 * 0xffff;
    return (float)sum * (1.7320508f / 65536);
}

static float query_element(const struct attention_case *c, uint64_t *state) {
    switch (c->fill) {
    case FILL_LARGE:
        return 100 * normal(state);
    case FILL_OVERFLOW:
        return 1e15f * (0.5f + uniform(state));
    case FILL_EQUAL:
        return 0.75f;
    case FILL_SUBNORMAL:
        return 1e-20f * normal(state);
    default:
        return normal(state);
    }
}

/* One sign for all channels if it overflows: else the order of summation would matter. */
static float key_element(const struct attention_case *c, uint64_t kind, uint64_t *state) {
    if (c->fill != FILL_OVERFLOW)
        return query_element(c, state);
    const float size = kind % 4 == 0 ? -1e25f : 1e25f;
    return kind % 4 == 1 ? 1e-15f * normal(state) : size * (0.5f + uniform(state));
}

static float mask_element(const struct attention_case *c, int64_t i, uint64_t *state) {
    const uint64_t percent = cases_random(state) % 100;
    const float bias = 2 * normal(state);
    const bool odd_row = i % 5 == 3;
    switch (c->mask) {
    case MASK_BIAS_HEADS:
        return odd_row ? -INFINITY : bias;
    case MASK_INFINITE:
        return percent < 30 ? -INFINITY : percent < 33 ? INFINITY : bias;
    case MASK_LOWEST:
        return percent < 30 || odd_row ? -FLT_MAX : bias;
    case MASK_NAN:
        return percent < 30 ? -INFINITY : percent < 31 ? NAN : bias;
    default:
        return bias;
    }
}

static void fill_mask(const rapt_tensor *mask, const struct attention_case *c, uint64_t *state) {
    static const unsigned char truths[] = {1, 2, 0x80, 0xff};
    int64_t at[4] = {0};
    do {
        if (mask->dtype == RAPT_F32) {
            *element(mask, at) = mask_element(c, at[2], state);
            continue;
        }
        const uint64_t r = cases_random(state);
        const bool attend = r % 10 < 7 && !(c->mask == MASK_BOOL && at[2] % 5 == 3);
        *(unsigned char *)tensors_element(mask, at) = attend ? truths[r >> 62] : 0;
    } while (tensors_next(mask, at));
}

static void fill_query(const rapt_tensor *query, const struct attention_case *c, uint64_t *state) {
    int64_t at[4] = {0};
    do
        *element(query, at) = query_element(c, state);
    while (tensors_next(query, at));
}

static void fill_key(const rapt_tensor *key, const struct attention_case *c, uint64_t *state) {
    int64_t at[4] = {0};
    uint64_t kind = 0;
    do {
        kind = at[3] == 0 ? cases_random(state) : kind;
        *element(key, at) = key_element(c, kind, state);
    } while (tensors_next(key, at));
}

static void fill_value(const rapt_tensor *value, const struct attention_case *c, uint64_t *state) {
    const float size = c->fill == FILL_SUBNORMAL ? 1e-39f : 1;
    int64_t at[4] = {0};
    do
        *element(value, at) = size * normal(state);
    while (tensors_next(value, at));
}

/* Puts a number somewhere into each batch and head. */
static void sprinkle(const rapt_tensor *view, float number, uint64_t *state) {
    int64_t at[4];
    for (at[0] = 0; at[0] < view->shape[0]; at[0]++) {
        for (at[1] = 0; at[1] < view->shape[1]; at[1]++) {
            at[2] = (int64_t)(cases_random(state) % (uint64_t)view->shape[2]);
            at[3] = (int64_t)(cases_random(state) % (uint64_t)view->shape[3]);
            *element(view, at) = cases_random(state) & 1 ? number : -number;
        }
    }
}

static void spoil_row(const rapt_tensor *view, int64_t b, int64_t h, int64_t s, uint64_t *state) {
    const float garbage[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (int64_t at[4] = {b, h, s, 0}; at[3] < view->shape[3]; at[3]++)
        *element(view, at) = garbage[cases_random(state) % 4];
}

/* Garbage in keys and values that no query attends, and in queries that attend no key. */
static void spoil_hidden(const rapt_attention_args *args, uint64_t *state) {
    const int64_t group = args->query.shape[1] / args->key.shape[1];
    for (int64_t b = 0; b < args->key.shape[0]; b++) {
        for (int64_t h = 0; h < args->key.shape[1]; h++) {
            for (int64_t j = 0; j < args->key.shape[2]; j++) {
                bool seen = false;
                for (int64_t r = 0; !seen && r < group * args->query.shape[2]; r++)
                    seen = oracle_attends(args, b, h * group + r % group, r / group, j);
                if (!seen) {
                    spoil_row(&args->key, b, h, j, state);
                    spoil_row(&args->value, b, h, j, state);
                }
            }
        }
        for (int64_t r = 0; r < args->query.shape[1] * args->query.shape[2]; r++) {
            const int64_t h = r % args->query.shape[1], i = r / args->query.shape[1];
            bool sees = false;
            for (int64_t j = 0; !sees && j < args->key.shape[2]; j++)
                sees = oracle_attends(args, b, h, i, j);
            if (!sees)
                spoil_row(&args->query, b, h, i, state);
        }
    }
}

void numbers_fill(const rapt_attention_args *args, const struct attention_case *c) {
    uint64_t state = c->seed;
    fill_query(&args->query, c, &state);
    fill_key(&args->key, c, &state);
    fill_value(&args->value, c, &state);
    if (args->mask.dtype != RAPT_NONE)
        fill_mask(&args->mask, c, &state);
    if (c->fill == FILL_HIDDEN)
        spoil_hidden(args, &state);
    else if (c->fill == FILL_NAN_QUERY)
        sprinkle(&args->query, NAN, &state);
    else if (c->fill == FILL_NAN_KEY)
        sprinkle(&args->key, NAN, &state);
    else if (c->fill == FILL_NAN_VALUE)
        sprinkle(&args->value, NAN, &state);
    else if (c->fill == FILL_INF_VALUE)
        sprinkle(&args->value, INFINITY, &state);
}
