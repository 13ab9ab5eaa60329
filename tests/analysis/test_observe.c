/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tells of the weights without them: entropy, the largest, distances, segments, and what keys
 * receive. All are worked out anew from the whole matrix, which the oracle gives in double.
 */
#include "oracle/oracle.h"
#include "oracle/places.h"
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

#include <float.h>

static const struct form forms[] = {
    {1, 1, 1, 1, 1, 1, 1, .observed = true},
    {1, 1, 1, 3, 7, 5, 4, .observed = true},
    {2, 4, 4, 70, 130, 16, 16, .observed = true},
    {1, 6, 2, 167, 200, 33, 20, .causal = true, .observed = true},
    {2, 2, 1, 150, 99, 24, 40, .softcap = 3, .mask = RAPT_BOOL, .observed = true},
    {1, 4, 2, 130, 230, 64, 64, .mask = RAPT_F32, .window_left = 20, .observed = true},
    {1, 2, 2, 140, 140, 9, 8, .causal = true, .window_left = 30, .observed = true},
    {1, 2, 1, 60, 1500, 40, 8, .window_right = 900, .observed = true},
    {1, 3, 1, 2, 2500, 80, 64, .observed = true},
};
enum { FORMS = sizeof forms / sizeof *forms };

static float element(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t at = ((b * t->shape[1] + h) * t->shape[2] + s) * t->shape[3] + c;
    return ((const float *)t->data)[at];
}

static int32_t key_at(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t at = ((b * t->shape[1] + h) * t->shape[2] + s) * t->shape[3] + c;
    return ((const int32_t *)t->data)[at];
}

static void expect_near(const char *what, const char *isa, double got, double expected,
                        double scale) {
    cr_assert(fabs(got - expected) <= 4e-5 * (1 + scale), "%s, %s: %.9g, not %.9g", isa, what, got,
              expected);
}

/* The largest weights of a row: each its key's own, none left out, in order. */
static void expect_top(const rapt_attention_args *args, const int64_t *at, const double *weights,
                       int64_t keys) {
    const int64_t count = args->top_weight.shape[3];
    bool *listed = calloc((size_t)keys + 1, sizeof *listed);
    double least = 1;
    for (int64_t n = 0; n < count; n++) {
        const double weight = (double)element(&args->top_weight, at[0], at[1], at[2], n);
        const int32_t key = key_at(&args->top_key, at[0], at[1], at[2], n);
        cr_assert(weight <= least * (1 + 0x1p-22), "%s: %g after %g", args->isa, weight, least);
        least = weight;
        if (key < 0) {
            cr_assert(key == -1 && weight == 0);
            continue;
        }
        cr_assert(key < keys && !listed[key], "%s: key %d of %d", args->isa, key, (int)keys);
        expect_near("weight", args->isa, weight, weights[key], 0);
        listed[key] = true;
    }
    for (int64_t j = 0; j < keys; j++)
        cr_assert(listed[j] || weights[j] <= least + 4e-5, "%s: key %d is missing", args->isa,
                  (int)j);
    free(listed);
}

static void expect_row(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                       const double *weights) {
    const int64_t keys = places_keys(args, b);
    const int64_t position = i + (args->q_offset ? args->q_offset[b] : 0);
    int64_t at[4] = {0, h, 0, 0};
    double entropy = 0, distance = 0;
    places_query(args, b, i, at);
    at[1] = h;
    for (int64_t j = 0; j < keys; j++) {
        entropy -= weights[j] > 0 ? weights[j] * log(weights[j]) : 0;
        distance += weights[j] * (double)llabs((long long)(position - j));
    }
    expect_near("entropy", args->isa, (double)element(&args->entropy, at[0], h, at[2], 0), entropy,
                1);
    expect_near("distance", args->isa, (double)element(&args->distance, at[0], h, at[2], 0),
                distance, distance);
    for (int64_t s = 0; s < args->segments.shape[3]; s++) {
        double mass = 0;
        for (int64_t j = args->segment_bounds[s]; j < args->segment_bounds[s + 1] && j < keys; j++)
            mass += weights[j];
        expect_near("segment", args->isa, (double)element(&args->segments, at[0], h, at[2], s),
                    mass, 0);
    }
    for (int64_t d = 0; d < args->diagonals.shape[3]; d++) {
        const int64_t j = position + args->diagonal_offsets[d];
        expect_near("diagonal", args->isa, (double)element(&args->diagonals, at[0], h, at[2], d),
                    j >= 0 && j < keys ? weights[j] : 0, 0);
    }
    expect_top(args, at, weights, keys);
}

/* All outputs of a problem that has been solved. */
static void expect_all(const rapt_attention_args *args) {
    struct oracle_result oracle;
    cr_assert(oracle_attention(args, &oracle));
    const int64_t columns = places_columns(args), heads = args->query.shape[1];
    const double *weights = oracle.weights;
    double *received = calloc((size_t)columns, sizeof *received);
    for (int64_t b = 0; b < places_sequences(args); b++) {
        for (int64_t h = 0; h < heads; h++) {
            memset(received, 0, (size_t)columns * sizeof *received);
            for (int64_t i = 0; i < places_queries(args, b); i++, weights += columns) {
                expect_row(args, b, h, i, weights);
                for (int64_t j = 0; j < columns; j++)
                    received[j] += weights[j];
            }
            for (int64_t j = 0; j < args->received.shape[3]; j++)
                expect_near("received", args->isa, (double)element(&args->received, b, h, 0, j),
                            j < columns ? received[j] : 0, received[j < columns ? j : 0]);
        }
    }
    free(received);
    oracle_free(&oracle);
}

/* Solves it on every instruction set, and frees it. */
static void check_problem(rapt_attention_args args) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].available)
            continue;
        args.isa = list[i].name;
        reset_outputs(&args);
        expect_ok(rapt_attention(&args));
        expect_all(&args);
    }
    free_problem(&args);
}

Test(observed, is_that_of_the_whole_matrix) {
    for (int i = 0; i < FORMS; i++)
        check_problem(new_problem(&forms[i], (uint64_t)i));
}

Test(observed, sinks_slopes_and_positions) {
    static const int64_t offsets[] = {30, -20};
    const struct form form = {2, 4, 2, 70, 110, 12, 5, .causal = true, .observed = true};
    rapt_attention_args args = new_problem(&form, 3);
    args.sink = random_tensor(RAPT_F32, 2, 4, 1, 1, 1);
    args.alibi = random_tensor(RAPT_F32, 1, 4, 1, 1, 2);
    args.q_offset = offsets;
    ((float *)args.sink.data)[1] = 40;
    check_problem(args);
}

Test(observed, sequences_end_to_end_in_pages_and_quantized) {
    check_problem(ragged_problem());
    check_problem(paged_problem());
    check_problem(quantized_problem());
}

/* Weights that the output `weights` has, too, to the bit, and the first keys of equal ones. */
Test(observed, largest_weights_are_those_of_the_matrix) {
    for (int i = 0; i < FORMS; i++) {
        rapt_attention_args args = new_problem(&forms[i], 50 + (uint64_t)i);
        const int64_t *q = args.query.shape, keys = args.key.shape[2];
        float *key = args.key.data;
        /* Every third key is the first of its head again. */
        for (int64_t j = 0; j < args.key.shape[0] * args.key.shape[1] * keys; j += 3)
            memcpy(key + j * q[3], key + j / keys * keys * q[3], (size_t)q[3] * sizeof *key);
        args.weights = new_tensor(RAPT_F32, q[0], q[1], q[2], keys);
        expect_ok(rapt_attention(&args));
        const int64_t count = args.top_weight.shape[3];
        const float *weight = args.top_weight.data, *weights = args.weights.data;
        const int32_t *top = args.top_key.data;
        for (int64_t row = 0; row < q[0] * q[1] * q[2]; row++, weight += count, top += count) {
            for (int64_t n = 0; n < count && top[n] >= 0; n++) {
                cr_assert_eq(memcmp(&weight[n], &weights[row * keys + top[n]], sizeof *weight), 0);
                const bool equal = n > 0 && top[n] % 3 == 0 && top[n - 1] % 3 == 0 &&
                                   weight[n] == weight[n - 1] && args.mask.dtype == RAPT_NONE &&
                                   keys % 3 == 0;
                cr_assert(!equal || top[n] > top[n - 1]);
            }
        }
        free_problem(&args);
    }
}

Test(observed, equal_scores_go_by_the_lower_key) {
    const struct form form = {1, 1, 1, 50, 333, 8, 8, .causal = true, .observed = true};
    rapt_attention_args args = new_problem(&form, 1);
    memset(args.key.data, 0, bytes_of(&args.key));
    expect_ok(rapt_attention(&args));
    for (int64_t i = 0; i < 50; i++)
        for (int64_t n = 0; n < args.top_key.shape[3]; n++)
            cr_assert_eq(key_at(&args.top_key, 0, 0, i, n), n <= i ? n : -1);
    free_problem(&args);
}

/* Each alone, all together, by any number of threads: the bits of the rest don't change. */
Test(observed, outputs_do_not_change_each_other) {
    const struct form more[] = {{1, 2, 1, 60, 1500, 40, 8, .lse = true, .observed = true},
                                {1, 3, 1, 2, 4500, 80, 64, .lse = true, .observed = true},
                                {2, 4, 2, 99, 130, 64, 16, true, .lse = true, .observed = true}};
    for (int i = 0; i < 3; i++) {
        rapt_attention_args all = new_problem(&more[i], 7);
        all.threads = 1;
        expect_ok(rapt_attention(&all));
        for (int chosen = 1; chosen < 1 << 7; chosen <<= 1) {
            for (int threads = 1; threads <= 6; threads += 5) {
                rapt_attention_args args = new_problem(&more[i], 7), whole = all;
                args.threads = threads;
                for (int k = 4; k < OUTPUTS; k++) {
                    const bool top = k == 5 || k == 6;
                    if (chosen & 1 << (k - 4) || (top && chosen & 6) || chosen == 1 << 6)
                        continue;
                    free(output_of(&args, k)->data);
                    *output_of(&args, k) = *output_of(&whole, k) = (rapt_tensor){.data = NULL};
                }
                if (args.segments.dtype == RAPT_NONE)
                    args.segment_bounds = NULL;
                if (args.diagonals.dtype == RAPT_NONE)
                    args.diagonal_offsets = NULL;
                expect_ok(rapt_attention(&args));
                cr_assert(same_outputs(&whole, &args), "form %d, %x, %d threads", i, chosen,
                          threads);
                free_problem(&args);
            }
        }
        free_problem(&all);
    }
}

/* Nothing but the output that is always there. */
Test(observed, out_has_the_same_bits_without) {
    for (int i = 0; i < FORMS; i++) {
        struct form plain = forms[i];
        plain.observed = false;
        rapt_attention_args a = new_problem(&plain, 9), b = new_problem(&forms[i], 9);
        expect_ok(rapt_attention(&a));
        expect_ok(rapt_attention(&b));
        cr_assert(same_outputs(&a, &b), "form %d", i);
        free_problem(&a);
        free_problem(&b);
    }
}

static const int64_t falling[] = {0, 5, 4, 9}, before[] = {-1, 0, 0, 0},
                     beyond[] = {0, 1, 1, INT64_MAX};
static const int64_t far[] = {0, 1, 1048577, 0};

Test(observed, refusals) {
    static const struct bad table[] = {
        SHAPE(entropy, 3, 2),
        SHAPE(entropy, 2, 4),
        SHAPE(top_weight, 3, 0),
        SHAPE(top_weight, 3, 1025),
        SHAPE(top_weight, 1, 1),
        SHAPE(top_key, 3, 4),
        SHAPE(top_key, 0, 2),
        SHAPE(distance, 0, 9),
        SHAPE(segments, 3, 0),
        SHAPE(segments, 3, 1025),
        SHAPE(diagonals, 3, -1),
        SHAPE(received, 3, 6),
        SHAPE(received, 2, 3),
        STRIDE(top_weight, 3, 0, "strides"),
        STRIDE(received, 3, 0, "strides"),
        DTYPE_(entropy, RAPT_F16, "f16"),
        DTYPE_(top_weight, RAPT_I32, "int32"),
        DTYPE_(top_weight, RAPT_NONE, "none"),
        DTYPE_(top_key, RAPT_F32, "f32"),
        DTYPE_(top_key, RAPT_NONE, "none"),
        DTYPE_(distance, RAPT_I32, "int32"),
        DTYPE_(received, RAPT_BF16, "bf16"),
        DATA(top_key, NULL, "NULL"),
        DATA(received, NULL, "NULL"),
        MOVED(top_key, 2),
        MOVED(diagonals, 1),
        {"segment_bounds", "NULL", AT(segment_bounds), POINTER, 0, 0, NULL},
        {"segment_bounds", "4", AT(segment_bounds), POINTER, 0, 0, falling},
        {"segment_bounds", "-1", AT(segment_bounds), POINTER, 0, 0, before},
        {"segment_bounds", INT64_MAX_TEXT, AT(segment_bounds), POINTER, 0, 0, beyond},
        {"diagonal_offsets", "NULL", AT(diagonal_offsets), POINTER, 0, 0, NULL},
        {"diagonal_offsets", "1048577", AT(diagonal_offsets), POINTER, 0, 0, far},
    };
    const struct form form = {1, 2, 1, 3, 5, 4, 4, .observed = true};
    rapt_attention_args good = new_problem(&form, 1), args = good;
    args.top_key = (rapt_tensor){.dtype = RAPT_NONE};
    expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, "top_weight", "top_key");
    args = good;
    args.segments = (rapt_tensor){.dtype = RAPT_NONE};
    expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, "segment_bounds", "bounds");
    expect_refusals(good, table, sizeof table / sizeof *table);
}

static bool is_nan(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits == 0x7fc00000;
}

Test(observed, rows_without_keys_and_with_nan) {
    static const int64_t kv_len[] = {0, 40};
    const struct form form = {2, 1, 1, 60, 40, 8, 8, .observed = true};
    rapt_attention_args args = new_problem(&form, 1);
    args.kv_len = kv_len;
    ((float *)args.query.data)[(60 + 7) * 8] = NAN;
    expect_ok(rapt_attention(&args));
    for (int64_t i = 0; i < 60; i++) {
        cr_expect_eq(element(&args.entropy, 0, 0, i, 0), 0);
        cr_expect_eq(element(&args.distance, 0, 0, i, 0), 0);
        cr_expect_eq(element(&args.segments, 0, 0, i, 1), 0);
        for (int n = 0; n < 5; n++) {
            cr_expect_eq(element(&args.top_weight, 0, 0, i, n), 0);
            cr_expect_eq(key_at(&args.top_key, 0, 0, i, n), -1);
            cr_expect_eq(is_nan(element(&args.top_weight, 1, 0, i, n)), i == 7);
            cr_expect_eq(key_at(&args.top_key, 1, 0, i, n) == -1, i == 7);
        }
        cr_expect_eq(is_nan(element(&args.entropy, 1, 0, i, 0)), i == 7);
        cr_expect_eq(is_nan(element(&args.distance, 1, 0, i, 0)), i == 7);
        cr_expect_eq(is_nan(element(&args.segments, 1, 0, i, 2)), i == 7);
    }
    for (int64_t j = 0; j < 40; j++) {
        cr_expect_eq(element(&args.received, 0, 0, 0, j), 0);
        cr_expect(is_nan(element(&args.received, 1, 0, 0, j)));
    }
    free_problem(&args);
}

Test(observed, a_nan_stays_before_a_mask) {
    const struct form form = {1, 1, 1, 60, 60, 8, 8, .causal = true, .observed = true};
    rapt_attention_args args = new_problem(&form, 1);
    ((float *)args.query.data)[7 * 8] = NAN;
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        args.isa = list[i].name;
        if (list[i].available)
            expect_ok(rapt_attention(&args));
        for (int64_t j = 0; list[i].available && j < 60; j++)
            cr_expect_eq(is_nan(element(&args.received, 0, 0, 0, j)), j <= 7, "%s, key %d",
                         args.isa, (int)j);
    }
    free_problem(&args);
}
