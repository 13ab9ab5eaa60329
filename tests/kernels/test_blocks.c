/* SPDX-License-Identifier: Apache-2.0 */
/* Merging of blocks: the kernel table of every variant, against a naive softmax and itself. */
#include <float.h>

#include "simd/cpu.h"
#include "tests/support/panels.h"
#include "tests/support/variants.h"

/* One row in double precision: weights of all keys, and the LSE. */
static double naive_row(const struct head *h, int row, double *weights) {
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < h->keys; i++) {
        double s = 0;
        for (int64_t c = 0; c < h->head_dim; c++)
            s += (double)h->query[row * h->head_dim + c] * (double)h->key[i * h->head_dim + c];
        s *= (double)h->scale;
        if (h->softcap > 0)
            s = (double)h->softcap * tanh(s / (double)h->softcap);
        if (h->slope)
            s -= (double)h->slope[row] * abs(h->position + row - i);
        if (h->bias)
            s += (double)h->bias[row * h->keys + i];
        if (h->first && (i < h->first[row] || i >= h->last[row]))
            s = -INFINITY;
        weights[i] = s;
        top = s > top ? s : top;
    }
    for (int i = 0; i < h->keys; i++) {
        weights[i] = weights[i] > -INFINITY ? exp(weights[i] - top) : 0;
        sum += weights[i];
    }
    for (int i = 0; i < h->keys && sum > 0; i++)
        weights[i] /= sum;
    return sum > 0 ? top + log(sum) : -INFINITY;
}

static void expect_naive(const char *name, const struct head *h, const struct result *r) {
    double *weights = malloc((size_t)h->keys * sizeof *weights);
    for (int row = 0; row < h->rows; row++) {
        const double lse = naive_row(h, row, weights);
        if (lse > -INFINITY)
            cr_assert_float_eq((double)r->lse[row], lse, 1e-5, "%s, row %d: LSE is %g, not %g",
                               name, row, (double)r->lse[row], lse);
        else
            cr_assert_eq(r->lse[row], -INFINITY, "%s, row %d", name, row);
        for (int i = 0; i < h->keys; i++) {
            const float w = r->weights[(ptrdiff_t)row * h->keys + i];
            cr_assert_float_eq((double)w, weights[i], 2e-6, "%s, row %d, key %d: %g, not %g", name,
                               row, i, (double)w, weights[i]);
            cr_assert(weights[i] > 0 || (w == 0 && !signbit(w)), "%s: masked, but %g", name,
                      (double)w);
        }
        for (int64_t c = 0; c < h->value_dim; c++) {
            double sum = 0;
            for (int i = 0; i < h->keys; i++)
                sum += weights[i] > 0 ? weights[i] * (double)h->value[i * h->value_dim + c] : 0;
            const float out = r->out[row * h->value_dim + c];
            cr_assert_float_eq((double)out, sum, 5e-6, "%s, row %d, channel %d: %g, not %g", name,
                               row, (int)c, (double)out, sum);
        }
    }
    free(weights);
}

/* Heads of several sizes; the bits of `options` add bias, bounds, softcap and ALiBi. */
static struct head sample_head(int which, int options) {
    static const int sizes[][4] = {{1, 1, 1, 1},    {3, 5, 2, 3},      {17, 40, 9, 7},
                                   {50, 97, 33, 5}, {64, 130, 16, 70}, {131, 60, 64, 64}};
    const int *s = sizes[which];
    struct head h = new_head(s[0], s[1], s[2], s[3], (uint64_t)which + 1);
    if (options & 1)
        add_bias(&h, (uint64_t)which + 2);
    if (options & 2)
        add_bounds(&h, (uint64_t)which + 3);
    if (options & 4)
        h.softcap = 1.5f;
    if (options & 8)
        add_slopes(&h, (uint64_t)which + 4);
    return h;
}
/* Loops take every fifth of these pairs, in which each head has options of every kind. */
enum { HEADS = 6, OPTIONS = 16 };

Test(blocks, match_a_naive_softmax) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < HEADS * OPTIONS; i += 5) {
            struct head h = sample_head(i / OPTIONS, i % OPTIONS);
            for (int block = 1; block <= 192; block += block < 7 ? 6 : 37) {
                struct result r = run_head(k, &h, (struct division){k->panel_rows, block, false});
                expect_naive(k->name, &h, &r);
                free_result(&r);
            }
            free_head(&h);
        }
    }
}

Test(blocks, grouping_changes_no_bit) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < HEADS * OPTIONS; i += 5) {
            struct head h = sample_head(i / OPTIONS, i % OPTIONS);
            const struct division whole = {k->panel_rows, 32, false};
            struct result expected = run_head(k, &h, whole);
            for (int width = k->lanes; width <= k->panel_rows; width += k->lanes) {
                for (int interleaved = 0; interleaved < 2; interleaved++) {
                    const struct division other = {width, 32, interleaved};
                    struct result r = run_head(k, &h, other);
                    cr_expect(same_result(&h, &expected, &r), "%s, head %d, width %d", k->name, i,
                              width);
                    free_result(&r);
                }
            }
            free_result(&expected);
            free_head(&h);
        }
    }
}

Test(blocks, variants_that_fuse_agree_bit_for_bit) {
    const bool fma_here = rapt_cpu_detect() & RAPT_CPU_FMA;
    for (int i = 0; i < HEADS * OPTIONS; i += 5) {
        struct head h = sample_head(i / OPTIONS, i % OPTIONS);
        struct result first = {NULL, NULL, NULL};
        FOR_EACH_VARIANT(k) {
            if (!fma_here && k->lanes == 1)
                continue;
            struct result r = run_head(k, &h, (struct division){k->panel_rows, 48, false});
            if (!first.out) {
                first = r;
                continue;
            }
            cr_expect(same_result(&h, &first, &r), "%s, head %d", k->name, i);
            free_result(&r);
        }
        free_result(&first);
        free_head(&h);
    }
}

/* What masks nothing changes nothing: bounds around all keys, a bias of 0. */
Test(blocks, idle_masks_change_no_bit) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < HEADS; i++) {
            struct head h = sample_head(i, 0);
            const struct division d = {k->panel_rows, 32, false};
            struct result expected = run_head(k, &h, d);
            for (int mask = 1; mask < 4; mask++) {
                struct head masked = sample_head(i, mask);
                for (int row = 0; mask & 2 && row < h.rows; row++) {
                    masked.first[row] = 0;
                    masked.last[row] = h.keys;
                }
                for (int at = 0; mask & 1 && at < h.rows * h.keys; at++)
                    masked.bias[at] = 0;
                struct result r = run_head(k, &masked, d);
                cr_expect(same_result(&h, &expected, &r), "%s, head %d, mask %d", k->name, i, mask);
                free_result(&r);
                free_head(&masked);
            }
            free_result(&expected);
            free_head(&h);
        }
    }
}

/* Rows for which a block is masked end up as if it had never been run. The block is poisoned. */
Test(blocks, masked_block_leaves_no_trace) {
    enum { BLOCK = 16, KEYS = 48 };
    FOR_EACH_VARIANT(k) {
        for (int options = 1; options < 4; options++) {
            struct head h = new_head(k->panel_rows, KEYS, 12, 10, 7);
            if (options & 1)
                add_bias(&h, 8);
            if (options & 2)
                add_bounds(&h, 9);
            for (int row = 0; row < h.rows; row++) {
                for (int i = BLOCK; h.bias && i < 2 * BLOCK; i++)
                    h.bias[row * KEYS + i] = row % 2 ? -INFINITY : 0;
                if (h.first) /* the middle block comes after all keys, or before them */
                    h.first[row] = row % 2 ? row % 4 / 2 * 2 * BLOCK : 0;
                if (h.first)
                    h.last[row] = row % 2 ? h.first[row] + BLOCK : KEYS;
            }
            for (int i = BLOCK * 10; i < 2 * BLOCK * 10; i++)
                h.value[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -FLT_MAX;
            for (int i = BLOCK * 12; i < 2 * BLOCK * 12; i++)
                h.key[i] = i % 2 ? NAN : FLT_MAX;
            struct result with = new_result(&h), without = new_result(&h);
            for (int skip = 0; skip < 2; skip++) {
                struct work w = open_panel(k, &h, 0, k->panel_rows, BLOCK);
                feed_block(k, &w, 0, BLOCK);
                if (!skip)
                    feed_block(k, &w, BLOCK, 2 * BLOCK);
                feed_block(k, &w, 2 * BLOCK, KEYS);
                close_panel(k, &w, BLOCK, skip ? &without : &with);
            }
            for (int row = 0; row < h.rows; row++)
                cr_expect_eq(same_row(&h, &with, &without, row), row % 2 == 1,
                             "%s, options %d, row %d", k->name, options, row);
            free_result(&with);
            free_result(&without);
            free_head(&h);
        }
    }
}

Test(blocks, rows_without_keys_are_empty) {
    FOR_EACH_VARIANT(k) {
        for (int by_bias = 0; by_bias < 2; by_bias++) {
            struct head h = new_head(k->panel_rows, 20, 6, 5, 11);
            if (by_bias)
                add_bias(&h, 12);
            else
                add_bounds(&h, 12);
            for (int row = 0; row < h.rows; row += 2) {
                for (int i = 0; by_bias && i < 20; i++)
                    h.bias[row * 20 + i] = -INFINITY;
                if (!by_bias)
                    h.first[row] = h.last[row] = row % 20;
            }
            struct result r = run_head(k, &h, (struct division){k->panel_rows, 8, false});
            const float zeros[20] = {0};
            for (int row = 0; row < h.rows; row += 2) {
                cr_expect_eq(r.lse[row], -INFINITY, "%s, row %d", k->name, row);
                cr_expect_arr_eq(r.out + (ptrdiff_t)row * 5, zeros, 5 * sizeof(float));
                cr_expect_arr_eq(r.weights + (ptrdiff_t)row * 20, zeros, 20 * sizeof(float));
            }
            free_result(&r);
            free_head(&h);
        }
    }
}

/* Values that are NaN or infinite where they are masked, and finite ones: the same bits. */
Test(blocks, poison_behind_masks_never_leaks) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < HEADS * 3; i++) {
            struct head clean = sample_head(i / 3, 1 + i % 3), h = sample_head(i / 3, 1 + i % 3);
            /* Whether a key is masked for all rows; only then its key and value may be poison. */
            for (int key = 0; key < h.keys; key += 2) {
                for (int row = 0; row < h.rows && h.bias; row++)
                    h.bias[row * h.keys + key] = clean.bias[row * h.keys + key] = -INFINITY;
                for (int64_t c = 0; c < h.value_dim && h.bias; c++)
                    h.value[key * h.value_dim + c] = c % 2 ? NAN : -INFINITY;
                for (int64_t c = 0; c < h.head_dim && h.bias; c++)
                    h.key[key * h.head_dim + c] = c % 2 ? INFINITY : NAN;
            }
            for (int row = 0; row < h.rows && !h.bias; row++) { /* the last keys, by bounds */
                h.last[row] = clean.last[row] = h.last[row] < h.keys / 2 ? h.last[row] : h.keys / 2;
                h.first[row] = clean.first[row] =
                    h.first[row] < h.last[row] ? h.first[row] : h.last[row];
            }
            for (int at = h.keys / 2; at < h.keys && !h.bias; at++)
                h.value[at * h.value_dim + at % h.value_dim] = NAN;
            const struct division d = {k->panel_rows, 24, false};
            struct result expected = run_head(k, &clean, d), r = run_head(k, &h, d);
            cr_expect(same_result(&h, &expected, &r), "%s, head %d", k->name, i);
            free_result(&expected);
            free_result(&r);
            free_head(&clean);
            free_head(&h);
        }
    }
}

Test(blocks, attended_poison_reaches_its_row_and_channel) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 30, 8, 6, 13);
        add_bounds(&h, 14);
        for (int row = 0; row < h.rows; row++) { /* even rows attend keys 10 to 19, odd ones not */
            h.first[row] = row % 2 ? 20 : 5;
            h.last[row] = 25;
        }
        h.value[12 * 6 + 1] = NAN;
        h.value[13 * 6 + 2] = INFINITY;
        h.value[14 * 6 + 3] = -INFINITY;
        struct result r = run_head(k, &h, (struct division){k->panel_rows, 7, false});
        for (int row = 0; row < h.rows; row++) {
            const float *out = r.out + (ptrdiff_t)row * 6;
            uint32_t bits;
            memcpy(&bits, &out[1], sizeof bits);
            cr_expect(row % 2 ? isfinite(out[1]) : bits == 0x7fc00000, "%s: %#x", k->name, bits);
            cr_expect(row % 2 ? isfinite(out[2]) : out[2] == INFINITY, "%s", k->name);
            cr_expect(row % 2 ? isfinite(out[3]) : out[3] == -INFINITY, "%s", k->name);
            cr_expect(isfinite(out[0]) && isfinite(out[4]) && isfinite(out[5]), "%s", k->name);
            cr_expect(isfinite(r.lse[row]), "%s", k->name);
        }
        free_result(&r);
        free_head(&h);
    }
}

/* NaN in a query is its own row's, in a key that of the rows that attend it, in a bias one row's */
Test(blocks, nan_scores_reach_their_rows) {
    FOR_EACH_VARIANT(k) {
        for (int where = 0; where < 3; where++) {
            struct head h = new_head(k->panel_rows, 30, 8, 6, 15);
            add_bounds(&h, 16);
            for (int row = 0; row < h.rows; row++) {
                h.first[row] = row == 0 ? 2 : 15;
                h.last[row] = 30;
            }
            if (where == 2)
                add_bias(&h, 17);
            for (int i = 0; i < h.rows * 30 && where == 2; i++)
                h.bias[i] = i == 3 ? NAN : 0;
            if (where == 0)
                h.query[5] = NAN;
            if (where == 1)
                h.key[14 * 8 + 2] = NAN;
            struct result r = run_head(k, &h, (struct division){k->panel_rows, 16, false});
            for (int row = 0; row < h.rows; row++) {
                cr_expect_eq(isnan(r.lse[row]) != 0, row == 0, "%s, case %d", k->name, where);
                for (int i = 0; i < h.first[row]; i++)
                    cr_expect_eq(r.weights[row * 30 + i], 0, "%s, case %d", k->name, where);
                for (int c = 0; c < 6; c++)
                    cr_expect_eq(isnan(r.out[row * 6 + c]) != 0, row == 0, "%s, case %d, row %d",
                                 k->name, where, row);
            }
            free_result(&r);
            free_head(&h);
        }
    }
}

/* Scores beyond FLT_MAX: 2 keys share the top, some are far below, or all are. */
Test(blocks, overflowing_scores_saturate) {
    const float huge[][4] = {
        {FLT_MAX, FLT_MAX, 1, -FLT_MAX},
        {-FLT_MAX, -FLT_MAX, -FLT_MAX, -FLT_MAX},
        {1, 2, -FLT_MAX, 1},
        {INFINITY, FLT_MAX, 0, 0},
        {-INFINITY, -FLT_MAX, -INFINITY, -FLT_MAX},
    };
    const float expected[][4] = {{0.5f, 0.5f, 0, 0},
                                 {0.25f, 0.25f, 0.25f, 0.25f},
                                 {0, 1, 0, 0},
                                 {0.5f, 0.5f, 0, 0},
                                 {0.25f, 0.25f, 0.25f, 0.25f}};
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < 5 * 4; i++) {
            struct head h = new_head(k->panel_rows, 4, 3, 4, 18);
            for (int at = 0; at < h.rows * 3; at++)
                h.query[at] = 1e30f;
            for (int at = 0; at < 12; at++)
                h.key[at] = huge[i / 4][at / 3];
            struct result r = run_head(k, &h, (struct division){k->panel_rows, 1 + i % 4, false});
            for (int row = 0; row < h.rows; row++) {
                cr_expect(isfinite(r.lse[row]), "%s, case %d: %g", k->name, i, (double)r.lse[row]);
                for (int key = 0; key < 4; key++)
                    cr_expect_eq(r.weights[row * 4 + key], expected[i / 4][key],
                                 "%s, case %d: weight %d is %g", k->name, i, key,
                                 (double)r.weights[row * 4 + key]);
                for (int c = 0; c < 4; c++)
                    cr_expect(isfinite(r.out[row * 4 + c]), "%s, case %d", k->name, i);
            }
            free_result(&r);
            free_head(&h);
        }
    }
}

/* A bias of +inf is the largest score there is. */
Test(blocks, infinite_bias) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 6, 3, 4, 19);
        add_bias(&h, 20);
        for (int i = 0; i < h.rows * 6; i++)
            h.bias[i] = i % 6 == 1 || i % 6 == 4 ? INFINITY : i % 6 == 2 ? -INFINITY : 0;
        struct result r = run_head(k, &h, (struct division){k->panel_rows, 4, false});
        for (int i = 0; i < h.rows * 6; i++)
            cr_expect_eq(r.weights[i], i % 6 == 1 || i % 6 == 4 ? 0.5f : 0.0f, "%s", k->name);
        free_result(&r);
        free_head(&h);
    }
}
