/* SPDX-License-Identifier: Apache-2.0 */
/* The results of `rapt bench` side by side: speed-ups, and the page with charts. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/html.h"
#include "bench/summary.h"

Test(bench_summary, speedups_are_over_the_fewest_threads) {
    const struct bench_case cases[] = {{.name = "a"}, {.name = "b"}};
    const int threads[] = {2, 3, 8};
    const double rates[] = {10, 20, 30, 50, 40, 60};
    struct bench_result results[6];
    for (int i = 0; i < 6; i++)
        results[i] = (struct bench_result){
            .of = &cases[i % 2], .threads = threads[i / 2], .correct = true, .rate = rates[i]};
    const struct summary s = {results, 2, 1, {.value = {2, 3, 8}, .count = 3}, 8, 8};
    cr_expect_float_eq(summary_speedup(&s, 0, 0, 1), 1, 1e-12);
    cr_expect_float_eq(summary_speedup(&s, 0, 1, 1), 2.5, 1e-12);
    cr_expect_float_eq(summary_speedup(&s, 0, 2, 0), 4, 1e-12);
    cr_expect_float_eq(summary_speedup(&s, 0, 2, 1), 3, 1e-12);
    results[0].correct = false;
    cr_expect_float_eq(summary_speedup(&s, 0, 2, 0), 0, 0);
    cr_expect_float_eq(summary_speedup(&s, 0, 2, 1), 3, 1e-12);
}

/* The parts of a page, and that nothing in it comes from elsewhere. */
Test(bench_summary, the_page_has_a_chart_for_each_case) {
    const struct bench_case cases[] = {{.name = "a"}, {.name = "b", .memory = true}};
    struct bench_result results[8];
    for (int i = 0; i < 8; i++)
        results[i] = (struct bench_result){.of = &cases[i % 2],
                                           .isa = i < 4 ? "x" : "y",
                                           .threads = 1 + i / 2 % 2,
                                           .correct = i != 3,
                                           .rate = 10 + i,
                                           .share = 0.5,
                                           .limit = {.median = 20 + 2 * i}};
    struct summary s = {results, 2, 2, {.value = {1, 2}, .count = 2}, 2, 2};
    for (int threads = 2; threads >= 1; threads--) {
        char *page = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&page, &size);
        cr_assert_not_null(file);
        s.threads.count = threads;
        s.isa_count = threads == 2 ? 2 : 1;
        cr_expect(html_write(file, &s, 0.25));
        fclose(file);
        int charts = 0, closed = 0;
        for (const char *at = page; (at = strstr(at, "<svg")); at++)
            charts++;
        for (const char *at = page; (at = strstr(at, "</svg>")); at++)
            closed++;
        /* Bars for each case and number of threads; curves for each case if there is a curve. */
        cr_expect_eq(charts, threads == 2 ? 2 * 2 + 2 : 2);
        cr_expect_eq(closed, charts);
        cr_expect_eq(strstr(page, "wrong result") != NULL, threads == 2);
        cr_expect_null(strstr(page, "http"));
        cr_expect_null(strstr(page, "nan"));
        cr_expect_null(strstr(page, "inf"));
        cr_expect_not_null(strstr(page, "</html>"));
        free(page);
    }
}
