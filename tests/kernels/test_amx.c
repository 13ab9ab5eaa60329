/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of bf16 on amx beside scalar, with many queries and with few: numbers of which tiles
 * would make NaN, and the edges of tiles. kcheck has the rest. */
#include <math.h>

#include "tests/support/helpers.h"

/* A row in memory goes on with NaNs, which are no part of it. */
enum { KEYS = 150, HEAD_DIM = 44, VALUE_DIM = 39, ROWS_MOST = 50, ROW = 96 };
static const int row_counts[] = {1, 5, 9, 33, ROWS_MOST};
enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

static uint16_t bf16(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (uint16_t)(bits >> 16);
}

struct problem {
    uint16_t query[ROWS_MOST][ROW], key[KEYS][ROW], value[KEYS][ROW];
    float out[2][ROWS_MOST][VALUE_DIM], weights[2][ROWS_MOST][KEYS];
    float received[2][KEYS];
    bool causal;
    int64_t window; /* keys before a query's own, or -1 */
};

static void fill_row(uint16_t *row, int channels, uint64_t *seed) {
    for (int c = 0; c < ROW; c++)
        row[c] = bf16(c < channels ? random_float(seed) : NAN);
}

static void fill(struct problem *p) {
    uint64_t seed = 5;
    memset(p, 0, sizeof *p);
    p->window = -1;
    for (int i = 0; i < ROWS_MOST; i++)
        fill_row(p->query[i], HEAD_DIM, &seed);
    for (int i = 0; i < KEYS; i++) {
        fill_row(p->key[i], HEAD_DIM, &seed);
        fill_row(p->value[i], VALUE_DIM, &seed);
    }
}

static bool has_amx(void) {
    const rapt_isa *isa;
    return rapt_isa_choose("amx", &isa) == RAPT_OK;
}

static rapt_tensor rows_of(const void *data, int64_t rows, int64_t channels) {
    rapt_tensor t = rapt_tensor_bhsd(data, RAPT_BF16, 1, 1, rows, channels);
    t.stride[2] = ROW;
    return t;
}

/* Some of the queries, the last of which is aligned with the last key. */
static void run(struct problem *p, const char *isa, int first, int rows, int to, bool all) {
    rapt_attention_args args = rapt_attention_defaults();
    const int64_t offset = KEYS - ROWS_MOST + first;
    args.query = rows_of(p->query[first], rows, HEAD_DIM);
    args.key = rows_of(p->key, KEYS, HEAD_DIM);
    args.value = rows_of(p->value, KEYS, VALUE_DIM);
    args.out = rapt_tensor_bhsd(p->out[to][first], RAPT_F32, 1, 1, rows, VALUE_DIM);
    if (all) {
        args.weights = rapt_tensor_bhsd(p->weights[to][first], RAPT_F32, 1, 1, rows, KEYS);
        args.received = rapt_tensor_bhsd(p->received[to], RAPT_F32, 1, 1, 1, KEYS);
    }
    args.q_offset = &offset;
    args.causal = p->causal;
    args.window_left = p->window;
    args.isa = isa;
    cr_assert_eq(rapt_attention(&args), RAPT_OK, "%s", rapt_last_error());
}

static void expect_close(const float *found, const float *expected, size_t n, const char *what,
                         int rows) {
    for (size_t i = 0; i < n; i++) {
        const double a = (double)found[i], b = (double)expected[i];
        const bool same = isfinite(b) ? fabs(a - b) <= 2e-5 * fmax(1, fabs(b))
                          : isnan(b)  ? isnan(a)
                                      : a == b;
        cr_assert(same, "%s %zu of %d rows: %g, expected %g", what, i, rows, a, b);
    }
}

/* Holds amx against scalar: with weights and what keys receive, then without. */
static void expect_alike(struct problem *p) {
    for (int i = 0; i < ROW_COUNTS; i++)
        for (int all = 0; all < 2; all++) {
            const int rows = row_counts[i], first = ROWS_MOST - rows;
            run(p, "amx", first, rows, 0, all);
            run(p, "scalar", first, rows, 1, all);
            expect_close(p->out[0][first], p->out[1][first], (size_t)rows * VALUE_DIM, "out", rows);
            if (!all)
                continue;
            expect_close(p->weights[0][first], p->weights[1][first], (size_t)rows * KEYS, "weight",
                         rows);
            expect_close(p->received[0], p->received[1], KEYS, "received", rows);
        }
}

/* A query has the same bits alone, among a few and among many. */
static void expect_same_bits(struct problem *p) {
    run(p, "amx", 0, ROWS_MOST, 0, false);
    for (int i = 0; i < ROW_COUNTS; i++) {
        const int rows = row_counts[i];
        for (int first = 0; first + rows <= ROWS_MOST; first += 7) {
            run(p, "amx", first, rows, 1, false);
            cr_assert_arr_eq(p->out[0][first], p->out[1][first], (size_t)rows * sizeof *p->out[0],
                             "%d rows from %d on", rows, first);
        }
    }
}

#define AMX_TEST(name)                                                                             \
    static void name(struct problem *p);                                                           \
    Test(amx, name) {                                                                              \
        if (!has_amx())                                                                            \
            cr_skip_test("this machine has no AMX");                                               \
        for (int causal = 0; causal < 2; causal++) {                                               \
            struct problem *p = allocate(sizeof *p);                                               \
            fill(p);                                                                               \
            p->causal = causal;                                                                    \
            name(p);                                                                               \
            expect_alike(p);                                                                       \
            expect_same_bits(p);                                                                   \
            free(p);                                                                               \
        }                                                                                          \
    }                                                                                              \
    static void name(struct problem *p)

AMX_TEST(ordinary_numbers) {
    (void)p;
}

/* Which begin within a group of keys. */
AMX_TEST(windows) {
    p->window = 41;
}

/* Even and odd channels overflow to infinities of different sign. */
AMX_TEST(scores_that_overflow_in_both_chains) {
    for (int i = 0; i < ROWS_MOST; i++)
        p->query[i][0] = p->query[i][1] = p->query[i][42] = p->query[i][43] = bf16(0x1p100f);
    for (int i = 0; i < KEYS; i++)
        p->key[i][0] = p->key[i][1] = p->key[i][42] = p->key[i][43] = 0;
    p->key[0][0] = bf16(0x1p100f);
    p->key[0][1] = bf16(-0x1p100f);
    p->key[77][42] = bf16(-0x1p100f);
    p->key[77][43] = bf16(0x1p100f);
}

AMX_TEST(infinite_queries) {
    for (int i = 0; i < ROWS_MOST; i += 3)
        p->query[i][7] = bf16(i % 2 ? INFINITY : -INFINITY);
    for (int i = 0; i < KEYS; i += 5)
        p->key[i][7] = 0;
}

AMX_TEST(infinite_keys) {
    for (int i = 0; i < ROWS_MOST; i++)
        p->query[i][3] = bf16(i % 2 ? 1 : -1);
    p->key[20][3] = bf16(INFINITY);
    p->key[149][3] = bf16(-INFINITY);
}

AMX_TEST(numbers_that_are_none) {
    p->query[2][43] = bf16(NAN);
    p->key[31][0] = bf16(NAN);
    p->value[32][38] = bf16(NAN);
    p->value[149][0] = bf16(NAN);
}

AMX_TEST(infinite_values) {
    p->value[33][5] = bf16(INFINITY);
    p->value[40][5] = bf16(-INFINITY);
    p->value[33][6] = bf16(INFINITY);
    p->value[148][38] = bf16(-INFINITY);
}

/* Values whose weighted sums overflow in each chain, but not in one with both, since all weights
 * are equal; and others that are just large. */
AMX_TEST(large_values) {
    for (int i = 0; i < ROWS_MOST; i++)
        memset(p->query[i], 0, HEAD_DIM * sizeof *p->query[i]);
    for (int i = 0; i < KEYS; i++) {
        p->value[i][0] = bf16(i % 2 ? 0x1p127f : -0x1p127f);
        p->value[i][1] = bf16(i % 2 ? 0x1p105f : 0x1p100f);
        p->value[i][2] = bf16(0x1p120f);
    }
}
