/* SPDX-License-Identifier: Apache-2.0 */
/* What `weights` may hold, kind by kind: scores before and after the masks, and the softmax. */
#include <float.h>

#include "simd/cpu.h"
#include "tests/support/panels.h"
#include "tests/support/variants.h"

enum { KINDS = 4, BIAS = 1, BOUNDS = 2, SOFTCAP = 4, ALIBI = 8, OPTIONS = 16 };

static struct head sample(int rows, int keys, int options, uint64_t seed) {
    struct head h = new_head(rows, keys, 1 + next_random(&seed) % 70, 3, seed + 1);
    h.scale = 0.3f;
    if (options & BIAS)
        add_bias(&h, seed + 2);
    if (options & BOUNDS)
        add_bounds(&h, seed + 3);
    if (options & SOFTCAP)
        h.softcap = 1.5f;
    if (options & ALIBI)
        add_slopes(&h, seed + 4);
    return h;
}

/* All keys as one block, weighed as `kind`: [rows][keys], to be freed. */
static float *compute_weights(const struct rapt_kernels *k, const struct head *h,
                              rapt_weights_kind kind) {
    float *weights = allocate((size_t)h->rows * (size_t)h->keys * sizeof(float));
    for (int first = 0; first < h->rows; first += k->panel_rows) {
        struct work w = open_panel(k, h, first, k->panel_rows, h->keys);
        feed_block(k, &w, 0, h->keys);
        k->finish(&w.panel, NULL, w.lse, w.scores);
        struct rapt_block block = make_block(&w, 0, h->keys);
        if (kind == RAPT_WEIGHTS_SCALED || kind == RAPT_WEIGHTS_CAPPED)
            block.first = block.last = block.bias = block.slope = NULL;
        k->weights(&w.panel, &block, kind, w.scores);
        for (int lane = 0; lane < w.rows; lane++)
            for (int i = 0; i < h->keys; i++)
                weights[(first + lane) * h->keys + i] = w.scores[i * w.panel.width + lane];
        free(w.memory);
    }
    return weights;
}

/* A score at the step that the kind tells, in double. */
static double score_of(const struct head *h, int row, int key, rapt_weights_kind kind) {
    double s = 0;
    for (int64_t c = 0; c < h->head_dim; c++)
        s += (double)h->query[row * h->head_dim + c] * (double)h->key[key * h->head_dim + c];
    s *= (double)h->scale;
    if (kind == RAPT_WEIGHTS_SCALED)
        return s;
    if (h->softcap > 0)
        s = (double)h->softcap * tanh(s / (double)h->softcap);
    if (kind == RAPT_WEIGHTS_CAPPED)
        return s;
    if (h->first && (key < h->first[row] || key >= h->last[row]))
        return -INFINITY;
    if (h->slope)
        s -= (double)h->slope[row] * abs(h->position + row - key);
    return s + (h->bias ? (double)h->bias[row * h->keys + key] : 0);
}

Test(weights, scores_of_every_step) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < OPTIONS * 5; i++) {
            struct head h = sample(1 + i * 2 % 61, 1 + i * 17 % 96, i % OPTIONS, (uint64_t)i);
            for (int kind = RAPT_WEIGHTS_SCALED; kind < KINDS; kind++) {
                float *scores = compute_weights(k, &h, (rapt_weights_kind)kind);
                for (int at = 0; at < h.rows * h.keys; at++) {
                    const double expected =
                        score_of(&h, at / h.keys, at % h.keys, (rapt_weights_kind)kind);
                    if (expected == -INFINITY)
                        cr_assert_eq(scores[at], -INFINITY, "%s, kind %d: masked, but %g", k->name,
                                     kind, (double)scores[at]);
                    else
                        cr_assert_float_eq((double)scores[at], expected, 2e-5,
                                           "%s, kind %d, options %d: %g, not %g", k->name, kind,
                                           i % OPTIONS, (double)scores[at], expected);
                }
                free(scores);
            }
            free_head(&h);
        }
    }
}

/* The softmax of the masked scores is the weights. */
Test(weights, softmax_is_that_of_the_masked_scores) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < OPTIONS; i++) {
            struct head h = sample(33, 50, i, (uint64_t)i + 100);
            float *scores = compute_weights(k, &h, RAPT_WEIGHTS_MASKED);
            float *weights = compute_weights(k, &h, RAPT_WEIGHTS_SOFTMAX);
            for (int row = 0; row < h.rows; row++) {
                double sum = 0;
                for (int key = 0; key < h.keys; key++)
                    sum += exp((double)scores[row * h.keys + key]);
                for (int key = 0; key < h.keys; key++) {
                    const float score = scores[row * h.keys + key];
                    const float weight = weights[row * h.keys + key];
                    const double expected = sum > 0 ? exp((double)score) / sum : 0;
                    cr_assert_float_eq((double)weight, expected, 2e-6, "%s, options %d", k->name,
                                       i);
                    cr_assert((score != -INFINITY) || (weight == 0 && !signbit(weight)));
                }
            }
            free(scores);
            free(weights);
            free_head(&h);
        }
    }
}

Test(weights, variants_that_fuse_agree_bit_for_bit) {
    const bool fma_here = rapt_cpu_detect() & RAPT_CPU_FMA;
    for (int i = 0; i < OPTIONS * KINDS; i++) {
        struct head h = sample(49, 75, i / KINDS, (uint64_t)i + 200);
        float *first = NULL;
        FOR_EACH_VARIANT(k) {
            if (!fma_here && k->lanes == 1)
                continue;
            float *weights = compute_weights(k, &h, (rapt_weights_kind)(i % KINDS));
            if (!first) {
                first = weights;
                continue;
            }
            cr_expect_arr_eq(first, weights, (size_t)(h.rows * h.keys) * sizeof(float),
                             "%s, case %d", k->name, i);
            free(weights);
        }
        free(first);
        free_head(&h);
    }
}

/* Scores beyond f32 are the largest there are, in natural units; NaN is the one NaN, 0 has no sign.
 * What a mask leaves out is shown by the kinds that come before it, and -inf in the one behind. */
Test(weights, scores_at_the_limits) {
    const float queries[] = {1e30f, -1e30f, 0.0f, NAN, 1};
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < 2 * KINDS; i++) {
            struct head h = new_head(5, 2, 1, 1, 3);
            const rapt_weights_kind kind = (rapt_weights_kind)(i % KINDS);
            h.scale = 1;
            h.softcap = i < KINDS ? 0 : 2;
            add_bounds(&h, 4);
            for (int row = 0; row < 5; row++) {
                h.query[row] = queries[row];
                h.first[row] = 0;
                h.last[row] = row == 4 ? 0 : 2;
            }
            h.key[0] = 1e30f;
            h.key[1] = -1e-30f;
            float *scores = compute_weights(k, &h, kind);
            const float log_most = FLT_MAX * 0x1.62e43p-1f;
            const float most = h.softcap == 0 || kind == RAPT_WEIGHTS_SCALED ? log_most : 2;
            uint32_t bits;
            memcpy(&bits, &scores[6], sizeof bits);
            if (kind == RAPT_WEIGHTS_SOFTMAX) {
                cr_expect_eq(scores[4], 0.5f, "%s", k->name);
                cr_expect(h.softcap > 0 || (scores[0] == 1 && scores[2] == 0), "%s", k->name);
            } else {
                cr_expect_float_eq(scores[0], most, most * 1e-6f, "%s, case %d: %g", k->name, i,
                                   (double)scores[0]);
                cr_expect_float_eq(scores[2], -most, most * 1e-6f, "%s, case %d: %g", k->name, i,
                                   (double)scores[2]);
                cr_expect(scores[4] == 0 && !signbit(scores[4]) && !signbit(scores[5]), "%s",
                          k->name);
            }
            cr_expect_eq(bits, 0x7fc00000u, "%s, case %d: NaN is %#x", k->name, i, bits);
            const float masked = kind == RAPT_WEIGHTS_SOFTMAX  ? 0
                                 : kind == RAPT_WEIGHTS_MASKED ? -INFINITY
                                                               : scores[8];
            cr_expect(scores[8] == masked && (kind == RAPT_WEIGHTS_SOFTMAX || scores[8] != 0));
            free(scores);
            free_head(&h);
        }
    }
}
