/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt bench` inside: what it selects, how it compares reports and counts speed-ups. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/changes.h"
#include "bench/html.h"
#include "bench/select.h"
#include "bench/summary.h"
#include "bench/topology.h"

static enum changes_verdict judge(double rate, double share, double spread, double limit_spread) {
    const struct changes_figures before = {100, 0.8, spread, limit_spread},
                                 now = {100 * rate, 0.8 * share, spread, limit_spread};
    double noise = 0;
    const enum changes_verdict verdict = changes_judge(&before, &now, &noise);
    cr_expect_geq(noise, 0.03);
    return verdict;
}

Test(changes, a_change_is_one_of_rate_and_share_beyond_the_noise) {
    cr_expect_eq(judge(1, 1, 0, 0), CHANGES_SAME);
    cr_expect_eq(judge(1.02, 1.02, 0, 0), CHANGES_SAME);
    cr_expect_eq(judge(0.98, 0.98, 0, 0), CHANGES_SAME);
    cr_expect_eq(judge(1.05, 1.05, 0, 0), CHANGES_FASTER);
    cr_expect_eq(judge(0.95, 0.95, 0, 0), CHANGES_SLOWER);
    /* Both runs scatter by 10 %: half of each, together, is noise. */
    cr_expect_eq(judge(1.08, 1.08, 0.1, 0), CHANGES_SAME);
    cr_expect_eq(judge(1.12, 1.12, 0.1, 0), CHANGES_FASTER);
    cr_expect_eq(judge(0.92, 0.92, 0.1, 0), CHANGES_SAME);
    cr_expect_eq(judge(0.88, 0.88, 0.1, 0), CHANGES_SLOWER);
    /* The limit's noise counts for the share. */
    cr_expect_eq(judge(1.12, 1.12, 0, 0.1), CHANGES_SAME);
    cr_expect_eq(judge(1.15, 1.15, 0, 0.1), CHANGES_FASTER);
    /* The machine changed, not the code. */
    cr_expect_eq(judge(1.5, 1, 0, 0), CHANGES_SAME);
    cr_expect_eq(judge(0.5, 1, 0, 0), CHANGES_SAME);
    cr_expect_eq(judge(1, 0.5, 0, 0), CHANGES_SAME);
    /* Noise beyond all measure hides everything but the largest changes. */
    cr_expect_eq(judge(0.4, 0.4, 1.2, 0), CHANGES_SLOWER);
    cr_expect_eq(judge(0.6, 0.6, 1.2, 0), CHANGES_SAME);
}

/* Whether a file with this text is read as a report; what is read is to be freed. */
static bool read_report(struct old_report *old, const char *text) {
    char path[] = "changes-test-XXXXXX";
    const int handle = mkstemp(path);
    cr_assert_geq(handle, 0);
    FILE *file = fdopen(handle, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    *old = (struct old_report){0};
    const bool read = changes_read(old, path);
    unlink(path);
    return read;
}

Test(changes, reports_are_found_by_case_isa_and_threads) {
    struct old_report old;
    cr_assert(read_report(
        &old, "{\"runs\": [7, {}, {\"case\": 3, \"isa\": \"x\"},"
              "{\"case\": \"a\", \"isa\": \"x\", \"threads\": 2, \"gflops\": 9, \"share\": 0.5,"
              " \"spread\": 0},"
              "{\"case\": \"b\", \"isa\": \"x\", \"threads\": 2, \"gbps\": 9, \"share\": 0.5,"
              " \"spread\": 0, \"limit_spread\": 0.1},"
              "{\"case\": \"wrong\", \"isa\": \"x\", \"threads\": 2, \"gflops\": null,"
              " \"share\": null, \"spread\": null}]}"));
    cr_expect(changes_has(&old, "a", "x", 2));
    cr_expect(changes_has(&old, "b", "x", 2));
    cr_expect_not(changes_has(&old, "a", "y", 2));
    cr_expect_not(changes_has(&old, "a", "x", 1));
    cr_expect_not(changes_has(&old, "c", "x", 2));
    cr_expect_not(changes_has(&old, "wrong", "x", 2));
    changes_free(&old);
}

Test(changes, what_is_no_report_is_refused, .init = cr_redirect_stderr) {
    const char *const texts[] = {"", "{", "7", "[]", "{}", "{\"runs\": 7}", "case,isa\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct old_report old;
        cr_expect_not(read_report(&old, texts[i]), "%s", texts[i]);
        changes_free(&old);
    }
}

Test(changes, slower_and_faster_runs_are_counted, .init = cr_redirect_stdout) {
    const struct bench_case cases[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
    struct bench_result results[4];
    struct old_report old;
    for (int i = 0; i < 4; i++)
        results[i] = (struct bench_result){
            .of = &cases[i], .isa = "x", .threads = 1, .correct = true, .rate = 10, .share = 0.5};
    const char *const run = "{\"case\": \"%s\", \"isa\": \"x\", \"threads\": 1, \"gflops\": %g,"
                            " \"share\": %g, \"spread\": 0}";
    char text[1024] = "{\"runs\": [";
    const struct {
        const char *name;
        double rate, share;
    } before[] = {{"a", 20, 1}, {"b", 5, 0.25}, {"c", 12, 0.6}, {"d", 20, 0.5}};
    for (int i = 0; i < 4; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), run, before[i].name,
                 before[i].rate, before[i].share);
        strcat(text, i < 3 ? "," : "]}");
    }
    cr_assert(read_report(&old, text));
    cr_expect_eq(changes_print(&old, results, 4), 2); /* a and c */
    results[0].correct = false;
    cr_expect_eq(changes_print(&old, results, 4), 1);
    changes_free(&old);
}

Test(changes, speedups_are_over_the_fewest_threads) {
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
Test(changes, the_page_has_a_chart_for_each_case) {
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

Test(changes, suites_are_kinds_of_cases, .init = cr_redirect_stderr) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    size_t sum = 0;
    for (int suite = SUITE_QUICK; suite <= SUITE_ALL; suite++) {
        struct selection s = {0};
        cr_assert(select_make(&(struct request){.suite = suite}, &s));
        cr_expect_gt(s.case_count, 0);
        for (size_t i = 0; i < s.case_count; i++)
            cr_expect(suite == SUITE_ALL ||
                          (suite == SUITE_QUICK ? s.cases[i].use == BENCH_QUICK
                                                : (int)s.cases[i].suite == suite - SUITE_PREFILL),
                      "%s", s.cases[i].name);
        if (suite == SUITE_ALL)
            cr_expect_eq(s.case_count, sum);
        else if (suite != SUITE_QUICK)
            sum += s.case_count;
        select_free(&s);
    }
    cr_expect_leq(sum, count); /* fewer where memory is too short for some */
}

Test(changes, scaling_goes_from_one_thread_to_all) {
    struct selection s = {0};
    const int cpus = topology_cpus_usable(), cores = topology_cores_usable();
    bool at_cores = false;
    cr_expect(cores >= 1 && cores <= cpus && cpus <= topology_cpus_online());
    cr_assert(select_make(&(struct request){.view = VIEW_SCALING, .suite = SUITE_NONE}, &s));
    cr_expect_eq(s.isa_count, 1);
    cr_expect_eq(s.threads.value[0], 1);
    cr_expect_eq(s.threads.value[s.threads.count - 1], cpus);
    for (int t = 0; t < s.threads.count; t++) {
        cr_expect(t == 0 || s.threads.value[t] > s.threads.value[t - 1]);
        at_cores |= s.threads.value[t] == cores;
    }
    cr_expect(at_cores);
    select_free(&s);
    s = (struct selection){0};
    cr_assert(select_make(&(struct request){.view = VIEW_ISA, .suite = SUITE_NONE}, &s));
    cr_expect_geq(s.isa_count, 1);
    cr_expect(s.threads.count == 1 && s.threads.value[0] == cpus);
    select_free(&s);
}

Test(changes, weak_scaling_gives_each_thread_as_much, .init = cr_redirect_stderr) {
    const struct request request = {.view = VIEW_SCALING,
                                    .suite = SUITE_NONE,
                                    .weak = true,
                                    .cases = "mixed-ragged,bert-base-b8-128,whisper-cross",
                                    .threads = {.value = {3, 1, 5, 3}, .count = 4}};
    const int64_t threads[] = {1, 3, 5};
    struct selection s = {0};
    cr_assert(select_make(&request, &s));
    cr_assert_eq(s.case_count, 2); /* the ragged batch is left out */
    cr_assert_eq(s.threads.count, 3);
    cr_expect_eq(select_case_total(&s), 6);
    for (int t = 0; t < 3; t++) {
        const struct bench_case *cases = select_cases_of(&s, t);
        cr_expect_eq(s.threads.value[t], threads[t]);
        cr_expect_str_eq(cases[0].name, "bert-base-b8-128-weak");
        cr_expect_eq(cases[0].shape.batch, 8 * threads[t]);
        cr_expect_str_eq(cases[1].name, "whisper-cross-weak");
        cr_expect_eq(cases[1].shape.batch, threads[t]);
    }
    select_free(&s);
    s = (struct selection){0};
    const struct request ragged = {
        .view = VIEW_SCALING, .suite = SUITE_NONE, .weak = true, .cases = "mixed-ragged"};
    cr_expect_not(select_make(&ragged, &s));
    select_free(&s);
}
