/* SPDX-License-Identifier: Apache-2.0 */
/* The algebra of rapt_merge. */
#include <float.h>

#include "tests/support/merges.h"

static bool is_nan(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits == 0x7fc00000;
}

static double largest_lse(const struct merge *m, size_t row) {
    double top = -INFINITY;
    for (int p = 0; p < m->count; p++)
        top = fmax(top, (double)*number(&m->lses[p], row));
    return top;
}

/* The definition in double, and a few roundings for each part. */
static void expect_definition(const struct merge *m) {
    for (size_t i = 0; i < elements(&m->out); i++) {
        const size_t row = i / CHANNELS;
        const double top = largest_lse(m, row);
        double total = 0, sum = 0, size = 0;
        for (int p = 0; p < m->count; p++) {
            const double factor = exp((double)*number(&m->lses[p], row) - top);
            total += factor;
            sum += factor * (double)*number(&m->outs[p], i);
            size += factor * fabs((double)*number(&m->outs[p], i));
        }
        const double unit = 0x1p-24, roundings = m->count + 16 + 4 * fabs(top);
        cr_expect_float_eq((double)*number(&m->out, i), sum / total,
                           2 * unit * roundings * size / total, "%d parts: %.9g, expected %.9g",
                           m->count, (double)*number(&m->out, i), sum / total);
        cr_expect_float_eq((double)*number(&m->lse, row), top + log(total),
                           unit * (roundings + 4 * fabs(log(total))),
                           "%d parts: lse %.9g, expected %.9g", m->count,
                           (double)*number(&m->lse, row), top + log(total));
    }
}

Test(merge, weighted_mean) {
    for (int count = 1; count <= PARTS_MAX; count++) {
        for (int spread = 0; spread <= 20; spread += 5) {
            struct merge m = new_merge(count, (float)spread, (uint64_t)spread + 1);
            run(&m);
            expect_definition(&m);
            free_merge(&m);
        }
    }
}

Test(merge, one_part_keeps_its_bits) {
    struct merge m = new_merge(1, 90, 1);
    const float edges[] = {FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-39f, INFINITY, -INFINITY, 0};
    memcpy(m.outs[0].data, edges, sizeof edges);
    run(&m);
    cr_expect(same_bits(&m.out, &m.outs[0]));
    cr_expect(same_bits(&m.lse, &m.lses[0]));
    free_merge(&m);
}

/* Empty parts change nothing, wherever they stand and whatever their output is. */
Test(merge, empty_parts_are_not_read) {
    const float garbage[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (int count = 1; count <= 4; count++) {
        struct merge m = new_merge(count, 10, 3);
        run(&m);
        for (int at = 0; at <= count; at++) {
            struct merge more = new_merge(count + 1, 10, 3);
            for (int p = 0; p < count; p++) {
                const int to = p < at ? p : p + 1;
                memcpy(more.outs[to].data, m.outs[p].data, bytes_of(&m.outs[p]));
                memcpy(more.lses[to].data, m.lses[p].data, bytes_of(&m.lses[p]));
            }
            fill(&more.outs[at], garbage[(count + at) % 4]);
            fill(&more.lses[at], -INFINITY);
            run(&more);
            cr_expect(same_bits(&m.out, &more.out), "empty part %d of %d", at, count + 1);
            cr_expect(same_bits(&m.lse, &more.lse), "empty part %d of %d", at, count + 1);
            free_merge(&more);
        }
        free_merge(&m);
    }
}

Test(merge, rows_are_empty_on_their_own) {
    struct merge m = new_merge(3, 10, 4);
    const size_t rows = elements(&m.lse);
    for (size_t row = 0; row < rows; row++) {
        for (int p = 0; p < 3; p++) {
            if (row % 4 != 3 && (int)(row % 4) != p)
                continue;
            *number(&m.lses[p], row) = -INFINITY;
            for (size_t c = 0; c < CHANNELS; c++)
                *number(&m.outs[p], row * CHANNELS + c) = NAN;
        }
    }
    run(&m);
    for (size_t row = 0; row < rows; row++) {
        const bool empty = row % 4 == 3;
        cr_expect_eq(*number(&m.lse, row) == -INFINITY, empty);
        for (size_t c = 0; c < CHANNELS; c++) {
            const float out = *number(&m.out, row * CHANNELS + c);
            cr_expect_eq(out == 0 && !signbit(out), empty, "row %zu: %g", row, (double)out);
            cr_expect(isfinite(out));
        }
    }
    free_merge(&m);
}

Test(merge, all_parts_empty) {
    for (int count = 1; count <= PARTS_MAX; count += 8) {
        struct merge m = new_merge(count, 1, 5);
        for (int p = 0; p < count; p++) {
            fill(&m.outs[p], NAN);
            fill(&m.lses[p], -INFINITY);
        }
        run(&m);
        for (size_t i = 0; i < elements(&m.out); i++)
            cr_expect(*number(&m.out, i) == 0 && !signbit(*number(&m.out, i)));
        for (size_t i = 0; i < elements(&m.lse); i++)
            cr_expect_eq(*number(&m.lse, i), -INFINITY);
        free_merge(&m);
    }
}

/* With equal LSEs the outputs are added up and divided by 4, in f32: the order shows. */
Test(merge, order_of_the_sum_is_that_of_the_parts) {
    const float numbers[][5] = {
        {1e8f, 1, -1e8f, 1, 0.25f}, {1e8f, -1e8f, 1, 1, 0.5f}, {1, 1, 1e8f, -1e8f, 0}};
    for (int i = 0; i < 3; i++) {
        struct merge m = new_merge(4, 1, 6);
        for (int p = 0; p < 4; p++) {
            fill(&m.outs[p], numbers[i][p]);
            fill(&m.lses[p], -3);
        }
        run(&m);
        for (size_t k = 0; k < elements(&m.out); k++)
            cr_expect_eq(*number(&m.out, k), numbers[i][4], "%g", (double)*number(&m.out, k));
        free_merge(&m);
    }
}

Test(merge, in_steps_is_about_the_same) {
    struct merge all = new_merge(5, 8, 7), first = new_merge(5, 8, 7), rest = {.count = 4};
    run(&all);
    first.count = 2;
    run(&first);
    rest.outs[0] = first.out;
    rest.lses[0] = first.lse;
    for (int p = 2; p < 5; p++) {
        rest.outs[p - 1] = all.outs[p];
        rest.lses[p - 1] = all.lses[p];
    }
    rest.out = new_out();
    rest.lse = new_lse();
    run(&rest);
    for (size_t i = 0; i < elements(&all.out); i++)
        cr_expect_float_eq(*number(&all.out, i), *number(&rest.out, i), 2e-5f);
    for (size_t i = 0; i < elements(&all.lse); i++)
        cr_expect_float_eq(*number(&all.lse, i), *number(&rest.lse, i), 1e-5f);
    free(rest.out.data);
    free(rest.lse.data);
    first.count = 5;
    free_merge(&first);
    free_merge(&all);
}

Test(merge, lse_is_optional) {
    struct merge m = new_merge(3, 10, 8), without = new_merge(3, 10, 8);
    const rapt_tensor none = {.dtype = RAPT_NONE};
    run(&m);
    expect_ok(rapt_merge(3, without.outs, without.lses, &without.out, &none));
    cr_expect(same_bits(&m.out, &without.out));
    cr_expect(untouched(&without.lse));
    free_merge(&m);
    free_merge(&without);
}

Test(merge, inputs_are_never_written) {
    struct merge m = new_merge(3, 10, 9), copy = new_merge(3, 10, 9);
    run(&m);
    for (int p = 0; p < 3; p++)
        cr_expect(same_bits(&m.outs[p], &copy.outs[p]) && same_bits(&m.lses[p], &copy.lses[p]));
    free_merge(&m);
    free_merge(&copy);
}

Test(merge, huge_lses_stay_finite) {
    const float lses[][3] = {{1e30f, 1e30f, -1e30f}, {-2e38f, -2e38f, -2e38f}, {2e38f, -2e38f, 0}};
    const float expected[][2] = {{1.5f, 1e30f}, {2, -2e38f}, {1, 2e38f}};
    for (int i = 0; i < 3; i++) {
        struct merge m = new_merge(3, 1, 10);
        for (int p = 0; p < 3; p++) {
            fill(&m.outs[p], (float)(p + 1));
            fill(&m.lses[p], lses[i][p]);
        }
        run(&m);
        for (size_t k = 0; k < elements(&m.out); k++)
            cr_expect_float_eq(*number(&m.out, k), expected[i][0], 1e-6f);
        for (size_t k = 0; k < elements(&m.lse); k++)
            cr_expect_eq(*number(&m.lse, k), expected[i][1]);
        free_merge(&m);
    }
}

/* A NaN of either sign and any payload comes out as the one NaN, in its row or element alone. */
Test(merge, nan_reaches_what_it_should) {
    const uint32_t other_nan = 0xffc01234;
    const size_t row = 7, element = 11 * CHANNELS + 4;
    for (int p = 0; p < 3; p++) {
        struct merge m = new_merge(3, 10, 11);
        memcpy(number(&m.lses[p], row), &other_nan, sizeof other_nan);
        memcpy(number(&m.outs[p], element), &other_nan, sizeof other_nan);
        run(&m);
        for (size_t i = 0; i < elements(&m.lse); i++)
            cr_expect_eq(is_nan(*number(&m.lse, i)), i == row);
        for (size_t i = 0; i < elements(&m.out); i++) {
            cr_expect_eq(is_nan(*number(&m.out, i)), i / CHANNELS == row || i == element);
            cr_expect_eq(isnan(*number(&m.out, i)), i / CHANNELS == row || i == element);
        }
        free_merge(&m);
    }
}

/* Not the weight decides whether a part is read, which may be too small for f32, but its LSE. */
Test(merge, nan_of_a_tiny_weight) {
    for (int p = 0; p < 2; p++) {
        struct merge m = new_merge(2, 1, 12);
        fill(&m.lses[p], -200);
        fill(&m.lses[1 - p], 1);
        fill(&m.outs[p], NAN);
        run(&m);
        for (size_t i = 0; i < elements(&m.out); i++)
            cr_assert(is_nan(*number(&m.out, i)));
        for (size_t i = 0; i < elements(&m.lse); i++)
            cr_expect_eq(*number(&m.lse, i), 1);
        free_merge(&m);
    }
}
