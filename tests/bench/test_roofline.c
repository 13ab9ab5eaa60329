/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt bench roofline`: where cases stand, and a chart whose numbers can be read. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/charts.h"
#include "bench/html.h"
#include "bench/roofline.h"

/* A prefill, and a decode whose keys are twice as many bytes as FLOP. */
static const struct bench_case prefill = {.name = "prefill",
                                          .shape = {.batch = 1,
                                                    .q_heads = 2,
                                                    .kv_heads = 2,
                                                    .q_len = 100,
                                                    .kv_len = 100,
                                                    .head_dim = 16,
                                                    .kv_type = RAPT_F32}};
static const struct bench_case decode = {.name = "decode",
                                         .memory = true,
                                         .shape = {.batch = 1,
                                                   .q_heads = 2,
                                                   .kv_heads = 2,
                                                   .q_len = 1,
                                                   .kv_len = 1000,
                                                   .head_dim = 16,
                                                   .kv_type = RAPT_F32}};

/* A result whose rate is this one, in GFLOP/s. */
static struct bench_result result_of(const struct bench_case *c, double rate, double bandwidth) {
    return (struct bench_result){.of = c,
                                 .shape = c->shape,
                                 .isa = "x",
                                 .threads = 1,
                                 .correct = true,
                                 .time = {.median = 1e-9 * bench_shape_flops(&c->shape) / rate},
                                 .limit = {.median = 100},
                                 .rate = rate,
                                 .share = rate / 100,
                                 .roof = {.peak = 100, .bandwidth = bandwidth, .memory = 10}};
}

Test(roofline, numbers_of_charts_have_four_characters_at_most) {
    static const struct {
        double number;
        const char *text;
    } numbers[] = {{0, "0"},          {1, "1"},         {0.5, "0.5"},      {0.25, "0.25"},
                   {1.5, "1.5"},      {40, "40"},       {12.25, "12.2"},   {123.4, "123"},
                   {1024, "1024"},    {9999.4, "9999"}, {9999.6, "10k"},   {16384, "16k"},
                   {131072, "131k"},  {999.96, "1000"}, {999600, "1M"},    {1048576, "1M"},
                   {1572864, "1.6M"}, {2e9, "2G"},      {0.0625, "62m"},   {0.0078125, "7.8m"},
                   {1e-3, "1m"},      {1e-5, "10µ"},    {9.99e-7, "999n"}, {9.999e-7, "1µ"},
                   {1e-18, "1a"},     {1e20, "100E"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_expect_str_eq(chart_number(numbers[i].number).text, numbers[i].text, "%g",
                         numbers[i].number);
}

Test(roofline, cases_are_bound_by_the_lower_roof) {
    const struct bench_result a = result_of(&prefill, 80, 10), b = result_of(&decode, 4, 10),
                              warm = result_of(&decode, 4, 1000);
    const struct roofline_point p = roofline_point(&a), q = roofline_point(&b),
                                w = roofline_point(&warm);
    /* 4 * 16 * 100 * 100 operations on 4 tensors of 100 * 16 floats. */
    cr_expect_float_eq(p.intensity, 25, 1e-12);
    cr_expect_not(p.memory);
    cr_expect_float_eq(p.rate, 80, 1e-9);
    cr_expect_float_eq(p.roof, 100, 1e-12);
    cr_expect_float_eq(p.share, 0.8, 1e-9);
    /* 4 * 16 * 1000 operations on 2 tensors of 1000 * 16 floats and 2 rows. */
    cr_expect_float_eq(q.intensity, 64000.0 / (4 * 16 * 2002), 1e-12);
    cr_expect(q.memory);
    cr_expect_float_eq(q.roof, 10 * q.intensity, 1e-9);
    cr_expect_float_eq(q.share, 4 / q.roof, 1e-9);
    /* A cache is so fast that compute is the bound. */
    cr_expect_not(w.memory);
    cr_expect_float_eq(w.share, 0.04, 1e-9);
}

Test(roofline, roofs_are_medians_of_correct_results) {
    struct bench_result results[4];
    const struct summary s = {results, 4, 1, {.value = {1}, .count = 1}, 1, 1};
    for (int i = 0; i < 4; i++) {
        results[i] = result_of(&prefill, 10, 10);
        results[i].roof = (struct bench_roof){90 + i, 1, 5 + i};
    }
    results[3].correct = false;
    cr_expect_float_eq(roofline_of(&s, 0, 0).peak, 91, 1e-12);
    cr_expect_float_eq(roofline_of(&s, 0, 0).memory, 6, 1e-12);
    results[0].correct = results[1].correct = results[2].correct = false;
    cr_expect_float_eq(roofline_of(&s, 0, 0).memory, 0, 0);
}

/* The page of these results, to be freed. */
static char *write_page(const struct summary *s) {
    char *page = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&page, &size);
    cr_assert_not_null(file);
    cr_expect(html_write(file, s, 0));
    fclose(file);
    return page;
}

enum { MANY = 64 };

struct place {
    double x, y, width;
};

/* Where the chart's numbers are. */
static int read_numbers(const char *page, struct place *places) {
    static const char start[] = "<text class=\"number middle\" x=\"";
    int count = 0;
    for (const char *at = page; (at = strstr(at, start)); count++) {
        char *end;
        cr_assert_lt(count, MANY);
        at += strlen(start);
        places[count].x = strtod(at, &end);
        places[count].y = strtod(end + strlen("\" y=\""), &end);
        places[count].width = 6.0 * (double)strcspn(end + 2, "<");
    }
    return count;
}

Test(roofline, numbers_of_a_chart_dont_overlap) {
    struct bench_result results[MANY];
    struct place places[MANY];
    for (int i = 0; i < MANY; i++) /* most of them on each other */
        results[i] = i % 8 ? result_of(&prefill, 60 + i % 3, 10)
                           : result_of(&decode, 3 + 0.1 * (double)i, 12);
    struct summary s = {results, MANY, 1, {.value = {1}, .count = 1}, 1, 1};
    for (s.case_count = 1; s.case_count <= MANY; s.case_count += 9) {
        char *page = write_page(&s);
        const int count = read_numbers(page, places);
        cr_expect_eq(count, (int)s.case_count);
        for (int i = 0; i < count; i++) {
            cr_expect(places[i].x - places[i].width / 2 >= 0 &&
                      places[i].x + places[i].width / 2 <= 340);
            for (int k = 0; k < i; k++)
                cr_expect(fabs(places[i].y - places[k].y) >= 12 ||
                              fabs(places[i].x - places[k].x) >=
                                  (places[i].width + places[k].width) / 2,
                          "%d and %d of %zu", i, k, s.case_count);
        }
        cr_expect_null(strstr(page, "nan"));
        cr_expect_null(strstr(page, "inf"));
        free(page);
    }
}

Test(roofline, wrong_results_are_listed_and_not_drawn) {
    struct bench_result results[2] = {result_of(&prefill, 60, 10), result_of(&decode, 3, 10)};
    struct place places[MANY];
    const struct summary s = {results, 2, 1, {.value = {1}, .count = 1}, 1, 1};
    for (int correct = 2; correct >= 0; correct--) {
        if (correct < 2)
            results[correct].correct = false;
        char *page = write_page(&s);
        cr_expect_not_null(strstr(page, "<h2>Roofline</h2>"));
        cr_expect_eq(read_numbers(page, places), correct);
        cr_expect_eq(strstr(page, "wrong result") != NULL, correct < 2);
        cr_expect_null(strstr(page, "nan"));
        free(page);
    }
}

Test(roofline, a_table_has_a_line_for_each_case, .init = cr_redirect_stdout) {
    struct bench_result results[2] = {result_of(&prefill, 60, 10), result_of(&decode, 3, 10)};
    const struct summary s = {results, 2, 1, {.value = {1}, .count = 1}, 1, 1};
    roofline_print(&s);
    fflush(stdout);
    cr_assert_stdout_eq_str(
        "\nx, 1 thread: peak 100.0 GFLOP/s, memory 10.0 GB/s, ridge at 10.0 FLOP/byte\n"
        "case    FLOP/byte  GFLOP/s   GB/s    roof  share bound by\n"
        "prefill      25.0     60.0   10.0   100.0  60.0% compute\n"
        "decode        0.5      3.0   10.0     5.0  60.1% memory\n");
}
