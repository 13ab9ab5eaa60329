/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: its views, and what they write down. */
#include "tests/support/reports.h"

Test(bench_views, rooflines_have_both_roofs, .init = make_directory, .fini = remove_directory) {
    cJSON *report = run_report("roofline --shape 1,2,2,40,50,16 --threads 1 --isa all "
                               "--csv runs.csv --html page.html");
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    char *out = read_file("out"), *csv = read_file("runs.csv"), *page = read_file("page.html");
    cr_expect_gt(cJSON_GetArraySize(runs), 0);
    cJSON_ArrayForEach(run, runs) {
        const cJSON *line = cJSON_GetObjectItemCaseSensitive(run, "roofline");
        const double queries = number(run, "q_len"); /* fewer if the machine looked very slow */
        const double intensity = 4 * queries * 50 / (2 * (queries + 50) * sizeof(float));
        const double peak = number(line, "peak_gflops");
        const double slope = intensity * number(line, "bandwidth_gbps");
        cr_expect_float_eq(number(line, "flop_per_byte"), intensity, 1e-9);
        cr_expect_gt(number(line, "memory_gbps"), 0);
        cr_expect_float_eq(number(line, "gflops"), number(run, "gflops"), 1e-6);
        cr_expect_float_eq(number(line, "roof_gflops"), slope < peak ? slope : peak, 1e-6);
        cr_expect_float_eq(number(line, "share"),
                           number(line, "gflops") / number(line, "roof_gflops"), 1e-9);
        cr_expect_str_eq(string(line, "bound"), slope < peak ? "memory" : "compute");
        cr_expect_gt(number(run, "workspace_bytes"), 0);
    }
    cr_expect_not_null(strstr(out, "ridge at "));
    cr_expect_not_null(strstr(csv, ",bound\r\n"));
    cr_expect(strstr(csv, ",memory\r\n") || strstr(csv, ",compute\r\n"), "%s", csv);
    cr_expect_not_null(strstr(page, "<h2>Roofline</h2>"));
    cJSON_Delete(report);
    free(out);
    free(csv);
    free(page);
}

Test(bench_views, the_report_says_what_is_pinned, .init = make_directory,
     .fini = remove_directory) {
    for (int pinned = 0; pinned < 2; pinned++) {
        cJSON *report = run_report(pinned ? "scaling --shape 1,2,2,20,30,8 --pin auto"
                                          : "scaling --shape 1,2,2,20,30,8");
        const cJSON *machine = cJSON_GetObjectItemCaseSensitive(report, "machine");
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(machine, "pinned");
        char *out = read_file("out");
        cr_expect(pinned ? cJSON_GetArraySize(list) == (int)number(machine, "threads")
                         : cJSON_IsFalse(list));
        cr_expect_eq(strstr(out, "; threads on CPUs ") != NULL, pinned, "%s", out);
        free(out);
        cJSON_Delete(report);
    }
}

Test(bench_views, growth_is_told_by_score, .init = make_directory, .fini = remove_directory) {
    cJSON *report = run_report("--case growth-1k,growth-2k --threads 1");
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs");
    char *out = read_file("out");
    bool compared = false;
    cr_expect_gt(cJSON_GetArraySize(runs), 0);
    for (int i = 0; i < cJSON_GetArraySize(runs); i += 2) {
        const cJSON *first = cJSON_GetArrayItem(runs, i), *run = cJSON_GetArrayItem(runs, i + 1);
        const double ratio = number(run, "ms") / number(first, "ms");
        if (number(run, "q_len") < 192 || number(first, "q_len") < 192)
            continue; /* too slow to be compared */
        compared = true;
        cr_expect_eq(number(run, "workspace_bytes"), number(first, "workspace_bytes"));
        cr_expect_float_eq(number(run, "time_ratio"), ratio, 1e-9 * ratio);
        cr_expect_float_eq(number(run, "score_time_ratio"), ratio / 2, 1e-9 * ratio);
    }
    cr_expect(!compared || strstr(out, " of growth-1k's time per score"), "%s", out);
    cJSON_Delete(report);
    free(out);
}

/* The number of lines, and of those that hold the word. */
static int count_lines(const char *text, const char *word, int *with_word) {
    int count = 0;
    *with_word = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1, count++) {
        const char *found = strstr(line, word);
        *with_word += found && found < line + strcspn(line, "\n");
    }
    return count;
}

Test(bench_views, views_show_each_run_once, .init = make_directory, .fini = remove_directory) {
    static const char shape[] = "--shape 1,2,1,20,30,8,window=5,softcap=9,sinks,alibi,int8";
    char line[256];
    int rows;
    cJSON *report = NULL;
    snprintf(line, sizeof line, "scaling --threads 3,1,2 --csv runs.csv --html page.html %s",
             shape);
    report = run_report(line);
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs");
    cr_expect_eq(cJSON_GetArraySize(runs), 3, "one instruction set");
    for (int i = 0; i < 3; i++)
        cr_expect_eq(number(cJSON_GetArrayItem(runs, i), "threads"), i + 1);
    const cJSON *run = cJSON_GetArrayItem(runs, 0);
    cr_expect_eq(number(run, "window"), 5);
    cr_expect_eq(number(run, "softcap"), 9);
    cr_expect_str_eq(string(run, "dtype"), "int8");
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "sinks")));
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "alibi")));
    char *out = read_file("out"), *csv = read_file("runs.csv");
    char *page = read_file("page.html");
    cr_expect_not_null(strstr(page, "</html>"));
    free(page);
    count_lines(out, "1.00   1.00     100.0%", &rows);
    cr_expect_eq(rows, 1, "one thread is its own ideal: %s", out);
    cr_expect_eq(count_lines(csv, "\"1,2,1,20,30,8,window=5,softcap=9,sinks,alibi,int8\",", &rows),
                 4);
    cr_expect_eq(rows, 3, "%s", csv);
    free(csv);
    free(out);
    cJSON_Delete(report);

    snprintf(line, sizeof line, "isa --threads 1 %s", shape);
    report = run_report(line);
    out = read_file("out");
    count_lines(out, "1,2,1,20,30,8,window", &rows);
    cr_expect_eq(rows, 1, "%s", out);
    cJSON_Delete(report);
    free(out);
}
