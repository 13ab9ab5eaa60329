/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel for a few queries: the bits that a panel gives the same rows, whatever comes. */
#include <float.h>

#include "cpu.h"
#include "dispatch.h"
#include "panels.h"

#define FOR_EACH_VARIANT(k)                                                                        \
    int count_;                                                                                    \
    const struct rapt_variant *list_ = rapt_variants(&count_);                                     \
    for (int at_ = 0; at_ < count_; at_++)                                                         \
        for (const struct rapt_kernels *k = list_[at_].available ? list_[at_].kernels : NULL; k;   \
             k = NULL)

enum { BIAS = 1, BOUNDS = 2, SOFTCAP = 4, ALIBI = 8, POISON = 16, HUGE_SCORES = 32, OPTIONS = 64 };

/* A head of some rows and of blocks of `block` keys, the last of them shorter. */
static struct head sample(int rows, int block, int options, uint64_t seed) {
    const int keys = 2 * block + (block + 1) / 2;
    struct head h =
        new_head(rows, keys, 1 + next_random(&seed) % 200, 1 + next_random(&seed) % 200, seed + 1);
    if (options & BIAS)
        add_bias(&h, seed + 2);
    if (options & BOUNDS)
        add_bounds(&h, seed + 3);
    if (options & SOFTCAP)
        h.softcap = 1.5f;
    if (options & ALIBI)
        add_slopes(&h, seed + 4);
    const float special[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (int i = 0; options & POISON && i < keys; i += 1 + (int)(next_random(&seed) % 7))
        h.value[i * h.value_dim + next_random(&seed) % h.value_dim] = special[i % 4];
    for (int i = 0; options & HUGE_SCORES && i < rows * h.head_dim; i++)
        h.query[i] *= 3e37f;
    if (options & HUGE_SCORES && options & BIAS) {
        h.bias[next_random(&seed) % (uint32_t)(rows * keys)] = INFINITY;
        h.bias[next_random(&seed) % (uint32_t)(rows * keys)] = NAN;
    }
    for (int i = 0; options & HUGE_SCORES && i < keys * h.head_dim; i += 5)
        h.key[i] *= 1e20f;
    return h;
}

/* Memory of exactly that size, as aligned as a thread's scratch. */
static float *exactly(int64_t floats) {
    void *memory;
    cr_assert_eq(posix_memalign(&memory, RAPT_ALIGN, (size_t)floats * sizeof(float)), 0);
    memset(memory, CANARY, (size_t)floats * sizeof(float));
    return memory;
}

static struct rapt_few open_few(const struct rapt_kernels *k, const struct head *h) {
    struct rapt_few few = {h->rows, h->head_dim, h->value_dim, NULL, NULL, NULL, NULL, NULL, NULL};
    few.query = exactly(h->rows * h->head_dim);
    few.out = exactly(h->rows * h->value_dim);
    few.max = exactly(k->lanes);
    few.sum = exactly(k->lanes);
    few.seen = exactly(k->lanes);
    few.lanes = exactly(k->panel_rows * h->head_dim);
    memcpy(few.query, h->query, (size_t)(h->rows * h->head_dim) * sizeof(float));
    k->scale(few.query, h->softcap > 0 ? h->scale : h->scale * 0x1.715476p+0f,
             h->rows * h->head_dim);
    memset(few.out, 0, (size_t)(h->rows * h->value_dim) * sizeof(float));
    for (int r = 0; r < h->rows; r++) {
        few.max[r] = -FLT_MAX;
        few.sum[r] = few.seen[r] = 0;
    }
    return few;
}

/* Feeds keys first <= i < last; the rows of the bias have some columns more. */
static void feed_few(const struct rapt_kernels *k, const struct rapt_few *few, const struct head *h,
                     int first, int last, float start) {
    const int keys = last - first, bias_row = keys + 3;
    const int width = (keys + k->lanes - 1) / k->lanes * k->lanes;
    float *bounds = exactly(4 * h->rows), *scores = exactly((int64_t)h->rows * width);
    float *bias = exactly((int64_t)(h->rows - 1) * bias_row + keys);
    for (int r = 0; r < h->rows; r++) {
        bounds[r] = h->first ? (float)(h->first[r] - first) : 0;
        bounds[h->rows + r] = h->first ? (float)(h->last[r] - first) : 0;
        bounds[2 * h->rows + r] = h->slope ? h->slope[r] * 0x1.715476p+0f : 0;
        bounds[3 * h->rows + r] = (float)(h->position + r - first) + start;
        if (h->bias)
            memcpy(bias + (ptrdiff_t)r * bias_row, h->bias + r * h->keys + first,
                   (size_t)keys * sizeof(float));
    }
    const struct rapt_block block = {
        .keys = keys,
        .key = h->key + first * h->head_dim,
        .value = h->value + first * h->value_dim,
        .key_row = h->head_dim,
        .value_row = h->value_dim,
        .first = h->first ? bounds : NULL,
        .last = h->first ? bounds + h->rows : NULL,
        .bias = h->bias ? bias : NULL,
        .bias_row = bias_row,
        .softcap = h->softcap * 0x1.715476p+0f,
        .softcap_inverse = h->softcap > 0 ? 1 / h->softcap : 0,
        .slope = h->slope ? bounds + 2 * h->rows : NULL,
        .position = h->slope ? bounds + 3 * h->rows : NULL,
        .start = start,
    };
    k->attend_few(few, &block, scores);
    free(bounds);
    free(scores);
    free(bias);
}

/* Results of the state that few queries have, by way of a panel's lanes. */
static struct result close_few(const struct rapt_kernels *k, struct rapt_few *few,
                               const struct head *h, int block) {
    struct result result = new_result(h);
    struct work w = open_panel(k, h, 0, k->panel_rows, block);
    for (int lane = 0; lane < w.panel.width; lane++) {
        const int r = lane_row(&w, lane);
        w.panel.max[lane] = few->max[r];
        w.panel.sum[lane] = few->sum[r];
        w.panel.seen[lane] = few->seen[r];
        for (int64_t c = 0; c < h->value_dim; c++)
            w.panel.out[c * w.panel.width + lane] = few->out[r * h->value_dim + c];
    }
    close_panel(k, &w, block, &result);
    float *memory[] = {few->query, few->out, few->max, few->sum, few->seen, few->lanes};
    for (int i = 0; i < 6; i++)
        free(memory[i]);
    return result;
}

static struct result run_few(const struct rapt_kernels *k, const struct head *h, int block,
                             float start) {
    struct rapt_few few = open_few(k, h);
    for (int first = 0; first < h->keys; first += block)
        feed_few(k, &few, h, first, first + block < h->keys ? first + block : h->keys, start);
    return close_few(k, &few, h, block);
}

Test(few, rows_have_the_bits_of_a_panel) {
    uint64_t seed = 1;
    FOR_EACH_VARIANT(k) {
        for (int rows = 1; rows <= k->few_rows; rows++) {
            for (int i = 0; i < 3 * 96; i++) {
                const int block = 1 + i / 3;
                const int options = (int)(next_random(&seed) % OPTIONS);
                struct head h = sample(rows, block, options, seed);
                const struct division d = {k->panel_rows, block, false};
                struct result panel = run_head(k, &h, d), few = run_few(k, &h, block, 0);
                for (int r = 0; r < rows; r++)
                    cr_expect(same_row(&h, &panel, &few, r),
                              "%s: row %d of %d, %d keys a block, channels %d and %d, options %d",
                              k->name, r, rows, block, (int)h.head_dim, (int)h.value_dim, options);
                free_result(&panel);
                free_result(&few);
                free_head(&h);
            }
        }
    }
}

/* Every option alone and with every other, at the largest number of rows. */
Test(few, every_option) {
    FOR_EACH_VARIANT(k) {
        for (int options = 0; options < OPTIONS; options++) {
            for (int block = 31; block <= 48; block += 17) {
                struct head h = sample(k->few_rows, block, options, (uint64_t)options);
                const struct division d = {k->panel_rows, block, false};
                struct result panel = run_head(k, &h, d), few = run_few(k, &h, block, 0);
                cr_expect(same_result(&h, &panel, &few), "%s: options %d", k->name, options);
                free_result(&panel);
                free_result(&few);
                free_head(&h);
            }
        }
    }
}

/* Where distances are exact, it makes no difference from which key positions count. */
Test(few, positions_count_from_the_start_of_the_block) {
    FOR_EACH_VARIANT(k) {
        for (int block = 1; block <= 40; block += 13) {
            struct head h = sample(k->few_rows, block, ALIBI, 5);
            struct result zero = run_few(k, &h, block, 0), other = run_few(k, &h, block, 17);
            cr_expect(same_result(&h, &zero, &other), "%s, %d keys", k->name, block);
            free_result(&zero);
            free_result(&other);
            free_head(&h);
        }
    }
}

Test(few, variants_that_fuse_agree_bit_for_bit) {
    const bool fma_here = rapt_cpu_detect() & RAPT_CPU_FMA;
    uint64_t seed = 2;
    for (int i = 0; i < 4 * OPTIONS; i++) {
        const int block = 1 + (int)(next_random(&seed) % 96);
        struct head h = sample(1, block, i % OPTIONS, seed);
        struct result first = {NULL, NULL, NULL};
        FOR_EACH_VARIANT(k) {
            if (!fma_here && k->lanes == 1)
                continue;
            struct result r = run_few(k, &h, block, 0);
            if (!first.out) {
                first = r;
                continue;
            }
            cr_expect(same_result(&h, &first, &r), "%s, case %d", k->name, i);
            free_result(&r);
        }
        free_result(&first);
        free_head(&h);
    }
}

/* A block that a row attends nothing of leaves its state as it is, whatever lies in it. */
Test(few, masked_block_leaves_no_trace) {
    FOR_EACH_VARIANT(k) {
        for (int by_bias = 0; by_bias < 2; by_bias++) {
            struct head h = sample(k->few_rows, 20, by_bias ? BIAS : BOUNDS, 3);
            const size_t channels = (size_t)h.value_dim;
            for (int r = 0; r < h.rows; r++) {
                for (int i = 20; by_bias && i < 40; i++)
                    h.bias[r * h.keys + i] = -INFINITY;
                if (!by_bias) {
                    h.first[r] = 0;
                    h.last[r] = 20;
                }
            }
            for (int64_t i = 20 * h.value_dim; i < 40 * h.value_dim; i++)
                h.value[i] = i % 2 ? NAN : INFINITY;
            for (int64_t i = 20 * h.head_dim; i < 40 * h.head_dim; i++)
                h.key[i] = i % 2 ? NAN : FLT_MAX;
            struct rapt_few few = open_few(k, &h);
            feed_few(k, &few, &h, 0, 20, 0);
            float *out = exactly(h.rows * h.value_dim), state[3][16];
            float *const now[] = {few.max, few.sum, few.seen};
            memcpy(out, few.out, (size_t)h.rows * channels * sizeof(float));
            for (int i = 0; i < 3; i++)
                memcpy(state[i], now[i], (size_t)h.rows * sizeof(float));
            feed_few(k, &few, &h, 20, 40, 0);
            cr_expect_arr_eq(out, few.out, (size_t)h.rows * channels * sizeof(float));
            for (int i = 0; i < 3; i++)
                cr_expect_arr_eq(state[i], now[i], (size_t)h.rows * sizeof(float));
            free(out);
            struct result result = close_few(k, &few, &h, 20);
            free_result(&result);
            free_head(&h);
        }
    }
}
