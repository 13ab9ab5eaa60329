/* SPDX-License-Identifier: Apache-2.0 */
/* How `rapt bench` compares its results to an earlier report. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/changes.h"

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
