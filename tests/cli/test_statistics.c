/* SPDX-License-Identifier: Apache-2.0 */
/* The median, the extremes and the spread. */
#include <criterion/criterion.h>

#include "cli/base/statistics.h"

Test(statistics, median_of_odd_and_even) {
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, one[] = {7};
    const struct statistics a = statistics_of(odd, 3), b = statistics_of(even, 4),
                            c = statistics_of(one, 1), d = statistics_of(one, 0);
    cr_expect_eq(a.median, 3);
    cr_expect_eq(a.min, 1);
    cr_expect_eq(a.max, 5);
    cr_expect_eq(a.count, 3);
    cr_expect_float_eq(a.spread, 4.0 / 3, 1e-12);
    cr_expect_eq(b.median, 2.5);
    cr_expect_float_eq(b.spread, 3 / 2.5, 1e-12);
    cr_expect_eq(c.median, 7);
    cr_expect_eq(c.spread, 0);
    cr_expect_eq(d.count, 0);
    cr_expect_eq(d.median, 0);
}

Test(statistics, spread_leaves_out_the_outer_tenths) {
    double samples[20];
    for (int i = 0; i < 20; i++)
        samples[i] = 100 + i;
    samples[3] = 1;
    samples[7] = 10000;
    samples[11] = 1000;
    /* In order: 1, 100, 101, 102, 104 ... and at the end 119, 1000, 10000; two leave each side. */
    const struct statistics s = statistics_of(samples, 20);
    cr_expect_eq(s.min, 1);
    cr_expect_eq(s.max, 10000);
    cr_expect_float_eq(s.spread, (119 - 101) / s.median, 1e-12);
}
