/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the kernel table one by one: gather, scatter, scale, clear, join, finish, probes. */
#include <float.h>

#include "tests/support/panels.h"
#include "tests/support/variants.h"

enum { N_MAX = 40, STEP_MAX = 5 };

static bool is_canary(float a) {
    const uint32_t canary = CANARY * UINT32_C(0x01010101);
    return memcmp(&a, &canary, sizeof a) == 0;
}

/* Rows in memory of exactly their size, at any step; step 0 repeats one element. */
static void expect_gather(const struct rapt_kernels *k, int width, ptrdiff_t step, int64_t n) {
    float *memory[RAPT_PANEL_ROWS_MAX];
    const float *rows[RAPT_PANEL_ROWS_MAX];
    const ptrdiff_t reach = (n - 1) * (step < 0 ? -step : step);
    uint64_t seed = 1;
    for (int lane = 0; lane < width; lane++) {
        memory[lane] = malloc((size_t)(reach + 1) * sizeof(float));
        cr_assert_not_null(memory[lane]);
        for (ptrdiff_t i = 0; i <= reach; i++)
            memory[lane][i] = random_float(&seed);
        rows[lane] = memory[lane] + (step < 0 ? reach : 0);
    }
    const size_t used = (size_t)n * (size_t)width;
    float *dst = allocate((used + 16) * sizeof(float));
    memset(dst, CANARY, (used + 16) * sizeof(float));
    k->gather(dst, width, rows, step, n);
    for (int64_t i = 0; i < n; i++)
        for (int lane = 0; lane < width; lane++)
            cr_assert_eq(dst[i * width + lane], rows[lane][i * step],
                         "%s: width %d, step %td, n %d: lane %d of row %d", k->name, width, step,
                         (int)n, lane, (int)i);
    for (size_t i = used; i < used + 16; i++)
        cr_assert(is_canary(dst[i]), "%s: width %d, n %d", k->name, width, (int)n);
    for (int lane = 0; lane < width; lane++)
        free(memory[lane]);
    free(dst);
}

/* Writes the elements of the first `count` rows and nothing between, before or behind them. */
static void expect_scatter(const struct rapt_kernels *k, int width, int count, ptrdiff_t step,
                           int64_t n) {
    const ptrdiff_t size = step < 0 ? -step : step, reach = (n - 1) * size;
    const ptrdiff_t each = reach + 1 + 8, total = each * width;
    float *memory = allocate((size_t)total * sizeof(float));
    memset(memory, CANARY, (size_t)total * sizeof(float));
    float *src = allocate((size_t)n * (size_t)width * sizeof(float));
    float *rows[RAPT_PANEL_ROWS_MAX] = {NULL};
    uint64_t seed = 2;
    for (int64_t i = 0; i < n * width; i++)
        src[i] = random_float(&seed);
    for (int lane = 0; lane < count; lane++)
        rows[lane] = memory + lane * each + 4 + (step < 0 ? reach : 0);
    k->scatter(rows, step, count, src, width, n);
    for (int lane = 0; lane < count; lane++)
        for (int64_t i = 0; i < n; i++) {
            float *at = rows[lane] + i * step;
            cr_assert_eq(*at, src[i * width + lane], "%s: width %d, count %d, step %td, n %d",
                         k->name, width, count, step, (int)n);
            memset(at, CANARY, sizeof *at);
        }
    for (ptrdiff_t i = 0; i < total; i++)
        cr_assert(is_canary(memory[i]), "%s: width %d, count %d, step %td, n %d", k->name, width,
                  count, step, (int)n);
    free(memory);
    free(src);
}

Test(kernels, gather) {
    FOR_EACH_VARIANT(k) {
        for (int width = k->lanes; width <= k->panel_rows; width += k->lanes)
            for (ptrdiff_t step = -2; step <= STEP_MAX; step++)
                for (int64_t n = 1; n <= N_MAX; n += n < 20 ? 1 : 7)
                    expect_gather(k, width, step, n);
    }
}

Test(kernels, scatter) {
    FOR_EACH_VARIANT(k) {
        for (int width = k->lanes; width <= k->panel_rows; width += k->lanes)
            for (int count = width - k->lanes + 1; count <= width; count++)
                for (ptrdiff_t step = -2; step <= 3; step += step == -1 ? 2 : 1)
                    for (int64_t n = 1; n <= N_MAX; n += n < 18 ? 1 : 7)
                        expect_scatter(k, width, count, step, n);
    }
}

Test(kernels, a_panel_is_opened_empty_and_scaled) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 1, 5, 3, 1);
        const float special[] = {FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1.5f};
        for (int i = 0; i < h.rows * 5; i++)
            h.query[i] = special[(i + i / 5) % 8];
        h.scale = 3;
        struct work w = open_panel(k, &h, 0, k->panel_rows, 1);
        const int width = w.panel.width;
        const float factor = h.scale * 0x1.715476p+0f;
        for (int lane = 0; lane < width; lane++) {
            for (int c = 0; c < 5; c++) {
                const float q = h.query[lane * 5 + c], got = w.panel.query[c * width + lane];
                const float scaled = fminf(fmaxf(q * factor, -FLT_MAX), FLT_MAX);
                cr_expect(isnan(q) ? isnan(got) : got == scaled, "%s: %g gives %g", k->name,
                          (double)q, (double)got);
            }
            for (int c = 0; c < 3; c++)
                cr_expect_eq(w.panel.out[c * width + lane], 0);
            cr_expect_eq(w.panel.sum[lane], 0);
            cr_expect_eq(w.panel.seen[lane], 0);
            cr_expect(isfinite(w.panel.max[lane]));
        }
        free(w.memory);
        free_head(&h);
    }
}

/* In memory of exactly its size, at any alignment of a float. */
Test(kernels, scale_saturates_and_ends_where_it_should) {
    const float special[] = {1e38f, -1e38f, INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 0x1p-149f, 3.5f};
    const float factors[] = {1, 0.7f, 10, 1e-30f, 1e30f};
    FOR_EACH_VARIANT(k) {
        for (int n = 0; n <= N_MAX; n++) {
            for (int f = 0; f < 5; f++) {
                float *memory = malloc((size_t)(n + 1) * sizeof(float)), *x = memory + 1;
                cr_assert_not_null(memory);
                memory[0] = 42;
                for (int i = 0; i < n; i++)
                    x[i] = special[i % 9];
                k->scale(x, factors[f], n);
                cr_expect_eq(memory[0], 42);
                for (int i = 0; i < n; i++) {
                    const float scaled = special[i % 9] * factors[f];
                    const float expected = fminf(fmaxf(scaled, -FLT_MAX), FLT_MAX);
                    cr_expect(isnan(scaled) ? isnan(x[i]) : x[i] == expected,
                              "%s, %d of %d: %g times %g gives %g", k->name, i, n,
                              (double)special[i % 9], (double)factors[f], (double)x[i]);
                }
                free(memory);
            }
        }
    }
}

static bool same_state(const struct rapt_panel *a, const struct rapt_panel *b) {
    const size_t bytes = (size_t)a->width * sizeof(float);
    return memcmp(a->max, b->max, bytes) == 0 && memcmp(a->sum, b->sum, bytes) == 0 &&
           memcmp(a->seen, b->seen, bytes) == 0 &&
           memcmp(a->out, b->out, bytes * (size_t)a->value_dim) == 0;
}

Test(kernels, clear_empties_the_state_alone) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 1, 5, 3, 4);
        struct work w = open_panel(k, &h, 0, k->panel_rows, 1);
        const int width = w.panel.width;
        float *arrays[] = {w.panel.out, w.panel.max, w.panel.sum, w.panel.seen};
        for (int i = 0; i < 4; i++)
            for (int at = 0; at < (i ? 1 : 3) * width; at++)
                arrays[i][at] = at % 2 ? NAN : 7;
        const float query = w.panel.query[0];
        k->clear(&w.panel);
        for (int at = 0; at < 3 * width; at++)
            cr_expect(at % 2 ? isnan(w.panel.out[at]) : w.panel.out[at] == 7, "%s", k->name);
        for (int i = 1; i < 4; i++)
            for (int at = 0; at < width; at++)
                cr_expect_eq(arrays[i][at], i == 1 ? -FLT_MAX : 0, "%s", k->name);
        cr_expect_eq(w.panel.query[0], query);
        free(w.memory);
        free_head(&h);
    }
}

/* The first block of a state writes out, whatever stood there, also where a value behind a mask
 * isn't finite. One more block adds to it. */
Test(kernels, begin_without_out) {
    FOR_EACH_VARIANT(k) {
        for (int guarded = 0; guarded < 2; guarded++) {
            struct head h = new_head(k->panel_rows, 80, 9, 13, 7);
            add_bounds(&h, 8);
            for (int row = 0; row < h.rows; row++) {
                h.first[row] = 1;
                h.last[row] = 70;
            }
            if (guarded)
                h.value[0] = NAN;
            struct work zeros = open_panel(k, &h, 0, k->panel_rows, 40);
            struct work fresh = open_panel(k, &h, 0, k->panel_rows, 40);
            for (int at = 0; at < 13 * fresh.panel.width; at++)
                fresh.panel.out[at] = at % 2 ? NAN : 7;
            feed_block(k, &zeros, 0, 40);
            struct rapt_block block = make_block(&fresh, 0, 40);
            block.panel.begins = true;
            k->attend(&fresh.panel, &block, fresh.scores);
            feed_block(k, &zeros, 40, 80);
            feed_block(k, &fresh, 40, 80);
            cr_expect(same_state(&zeros.panel, &fresh.panel), "%s", k->name);
            cr_expect_not(isnan(fresh.panel.out[0]), "%s", k->name);
            free(zeros.memory);
            free(fresh.memory);
            free_head(&h);
        }
    }
}

/* A state of some keys, or of none in the lanes that `empty` picks: each third or all. */
static struct work fed_panel(const struct rapt_kernels *k, struct head *h, int first, int last,
                             int empty) {
    struct work w = open_panel(k, h, 0, k->panel_rows, 40);
    for (int row = 0; row < h->rows; row++) {
        h->first[row] = first;
        h->last[row] = empty == 2 || (empty == 1 && row % 3 == 0) ? first : last;
    }
    if (last > first)
        feed_block(k, &w, first, last);
    return w;
}

/* Joining an empty part changes nothing, and the part joined to an empty total is the total. Each
 * third lane may be empty on its own. */
Test(kernels, join_of_the_empty) {
    FOR_EACH_VARIANT(k) {
        for (int width = k->lanes; width <= k->panel_rows; width += k->lanes) {
            struct head h = new_head(width, 40, 9, 7, 5);
            add_bounds(&h, 6);
            for (int empty = 0; empty < 3; empty++) {
                struct work state = fed_panel(k, &h, 0, 40, empty);
                struct work total = fed_panel(k, &h, 0, 40, empty);
                struct work none = fed_panel(k, &h, 0, 0, 2), masked = fed_panel(k, &h, 0, 40, 2);
                k->join(&total.panel, &none.panel);
                cr_expect(same_state(&total.panel, &state.panel), "%s, width %d", k->name, width);
                k->join(&total.panel, &masked.panel);
                cr_expect(same_state(&total.panel, &state.panel), "%s, width %d", k->name, width);
                k->join(&none.panel, &state.panel);
                cr_expect(same_state(&none.panel, &state.panel), "%s, width %d", k->name, width);
                k->join(&masked.panel, &none.panel);
                cr_expect(same_state(&masked.panel, &state.panel), "%s, width %d", k->name, width);
                struct work *all[] = {&state, &total, &none, &masked};
                for (int i = 0; i < 4; i++)
                    free(all[i]->memory);
            }
            free_head(&h);
        }
    }
}

/* What the states of two parts come to, in double: the weights relative to the larger maximum. */
static void expect_joined(const char *name, const struct rapt_panel *total,
                          const struct rapt_panel *a, const struct rapt_panel *b) {
    for (int lane = 0; lane < total->width; lane++) {
        const double top = fmax((double)a->max[lane], (double)b->max[lane]);
        const double keep = exp2((double)a->max[lane] - top);
        const double take = exp2((double)b->max[lane] - top);
        const double sum = keep * (double)a->sum[lane] + take * (double)b->sum[lane];
        cr_expect_eq((double)total->max[lane], top, "%s", name);
        cr_expect_float_eq((double)total->sum[lane], sum, 1e-6 * sum, "%s: %g, not %g", name,
                           (double)total->sum[lane], sum);
        cr_expect_eq(total->seen[lane], fmaxf(a->seen[lane], b->seen[lane]), "%s", name);
        for (int64_t c = 0; c < total->value_dim; c++) {
            const ptrdiff_t at = c * total->width + lane;
            const double out = keep * (double)a->out[at] + take * (double)b->out[at];
            cr_expect_float_eq((double)total->out[at], out, 1e-6 * sum, "%s: %g, not %g", name,
                               (double)total->out[at], out);
        }
    }
}

Test(kernels, join_of_two_parts) {
    FOR_EACH_VARIANT(k) {
        for (int width = k->lanes; width <= k->panel_rows; width += k->lanes) {
            struct head h = new_head(width, 60, 9, 7, 7);
            add_bounds(&h, 8);
            h.scale = 5; /* so that the parts' maxima differ */
            for (int empty = 0; empty < 4; empty++) {
                struct work a = fed_panel(k, &h, 0, 25, empty % 2);
                struct work b = fed_panel(k, &h, 25, 60, empty / 2);
                struct work total = fed_panel(k, &h, 0, 25, empty % 2);
                k->join(&total.panel, &b.panel);
                expect_joined(k->name, &total.panel, &a.panel, &b.panel);
                free(a.memory);
                free(b.memory);
                free(total.memory);
            }
            free_head(&h);
        }
    }
}

/* Saturated maxima, and a NaN in one lane of a part: it stays in its lane. */
Test(kernels, join_at_the_limits) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 1, 1, 2, 9);
        struct work a = open_panel(k, &h, 0, k->panel_rows, 1);
        struct work b = open_panel(k, &h, 0, k->panel_rows, 1);
        const int width = a.panel.width;
        const float tops[] = {FLT_MAX, -FLT_MAX, 0};
        for (int lane = 0; lane < width; lane++) {
            a.panel.max[lane] = tops[lane % 3];
            b.panel.max[lane] = tops[lane / 3 % 3];
            a.panel.sum[lane] = b.panel.sum[lane] = 1;
            a.panel.seen[lane] = 1;
            a.panel.out[lane] = a.panel.out[width + lane] = 2;
            b.panel.out[lane] = lane == width - 1 ? NAN : 4;
            b.panel.out[width + lane] = 4;
        }
        k->join(&a.panel, &b.panel);
        for (int lane = 0; lane < width; lane++) {
            const float x = tops[lane % 3], y = tops[lane / 3 % 3];
            const float sum = x == y ? 2 : 1, out = x == y ? 6 : x > y ? 2 : 4;
            cr_expect_eq(a.panel.max[lane], x > y ? x : y);
            cr_expect_eq(a.panel.sum[lane], sum, "%s, lane %d", k->name, lane);
            cr_expect_eq(a.panel.seen[lane], 1);
            cr_expect_eq(a.panel.out[width + lane], out, "%s, lane %d", k->name, lane);
            cr_expect(lane == width - 1 ? isnan(a.panel.out[lane]) : a.panel.out[lane] == out);
        }
        free(a.memory);
        free(b.memory);
        free_head(&h);
    }
}

/* Without any block: all lanes empty. */
Test(kernels, finish_of_an_empty_panel) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 3, 5, 3, 2);
        struct result r = new_result(&h);
        struct work w = open_panel(k, &h, 0, k->panel_rows, 3);
        h.keys = 0; /* so that no weights are asked for */
        close_panel(k, &w, 3, &r);
        for (int row = 0; row < h.rows; row++) {
            cr_expect_eq(r.lse[row], -INFINITY, "%s", k->name);
            for (int c = 0; c < 3; c++)
                cr_expect(r.out[row * 3 + c] == 0 && !signbit(r.out[row * 3 + c]), "%s", k->name);
        }
        free_result(&r);
        free_head(&h);
    }
}

/* finish turns a state into results: out / sum, 1 / sum, max * ln 2 + log(sum). */
Test(kernels, finish_of_a_known_state) {
    FOR_EACH_VARIANT(k) {
        struct head h = new_head(k->panel_rows, 1, 1, 4, 3);
        struct work w = open_panel(k, &h, 0, k->panel_rows, 1);
        const int width = w.panel.width;
        for (int lane = 0; lane < width; lane++) {
            w.panel.max[lane] = (float)lane;
            w.panel.sum[lane] = 4;
            w.panel.seen[lane] = lane % 3 != 1;
            const float out[] = {6, -0.0f, -NAN, INFINITY};
            for (int c = 0; c < 4; c++)
                w.panel.out[c * width + lane] = out[c];
        }
        k->finish(&w.panel, NULL, w.lse, w.scores);
        for (int lane = 0; lane < width; lane++) {
            const float *out = w.panel.out + lane;
            if (lane % 3 == 1) {
                cr_expect(w.lse[lane] == -INFINITY && w.panel.sum[lane] == 0 && out[0] == 0);
                continue;
            }
            cr_expect_float_eq((double)w.lse[lane], lane * log(2) + log(4), 1e-5);
            uint32_t bits;
            memcpy(&bits, &out[2 * width], sizeof bits);
            cr_expect_eq(w.panel.sum[lane], 0.25f, "%s", k->name);
            cr_expect_eq(out[0], 1.5f, "%s", k->name);
            cr_expect(out[width] == 0 && !signbit(out[width]), "%s: a zero has a sign", k->name);
            cr_expect_eq(bits, 0x7fc00000u, "%s: NaN is %#x", k->name, bits);
            cr_expect_eq(out[3 * width], INFINITY, "%s", k->name);
        }
        free(w.memory);
        free_head(&h);
    }
}

Test(kernels, probe_counts_its_flops) {
    FOR_EACH_VARIANT(k) {
        const double one = k->probe_fma(1);
        cr_expect_gt(one, 0.0);
        cr_expect_eq(k->probe_fma(0), 0.0);
        cr_expect_eq(k->probe_fma(1000), 1000 * one, "%s", k->name);
        cr_expect_eq(fmod(one, 2.0 * k->lanes), 0.0, "%s", k->name);
    }
}

Test(kernels, the_read_probe_reads_everything) {
    enum { MOST = 700 };
    static float data[MOST];
    for (int i = 0; i < MOST; i++)
        data[i] = -2;
    FOR_EACH_VARIANT(k) {
        cr_expect_eq(k->probe_read(data, 0), -INFINITY, "%s", k->name);
        for (int n = 1; n <= MOST; n += n < 300 ? 1 : 50) {
            cr_expect_eq(k->probe_read(data, n), -2.0, "%s, %d", k->name, n);
            for (int i = 0; i < n; i++) {
                data[i] = -1;
                cr_expect_eq(k->probe_read(data, n), -1.0, "%s, %d of %d", k->name, i, n);
                data[i] = -2;
            }
        }
    }
}
