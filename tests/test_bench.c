/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt bench`: its statistics, its shapes, its report and how it refuses bad options. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shapes.h"
#include "timing.h"

Test(bench, median_of_odd_and_even) {
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, one[] = {7};
    const struct bench_summary a = bench_summarize(odd, 3), b = bench_summarize(even, 4),
                               c = bench_summarize(one, 1), d = bench_summarize(one, 0);
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

Test(bench, spread_leaves_out_the_outer_tenths) {
    double samples[20];
    for (int i = 0; i < 20; i++)
        samples[i] = 100 + i;
    samples[3] = 1;
    samples[7] = 10000;
    samples[11] = 1000;
    /* In order: 1, 100, 101, 102, 104 ... and at the end 119, 1000, 10000; two leave each side. */
    const struct bench_summary s = bench_summarize(samples, 20);
    cr_expect_eq(s.min, 1);
    cr_expect_eq(s.max, 10000);
    cr_expect_float_eq(s.spread, (119 - 101) / s.median, 1e-12);
}

/* Counts every score that exists. */
static double count_flops(const struct bench_shape *s) {
    double scores = 0;
    for (int64_t i = 0; i < s->q_len; i++)
        for (int64_t key = 0; key < s->kv_len; key++)
            scores += !s->causal || key <= s->q_offset + i;
    return 4.0 * (double)(s->batch * s->q_heads * s->head_dim) * scores;
}

Test(bench, flops_are_those_of_the_scores_that_exist) {
    const char *const shapes[] = {"1,1,1,1,1,1",           "2,6,3,5,9,7",
                                  "1,4,2,48,48,16,causal", "3,2,1,5,11,4,causal",
                                  "1,1,1,13,5,2,causal",   "1,8,8,1,300,64,causal"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bench_case c;
        char expected[128];
        cr_assert(bench_case_parse(shapes[i], &c, expected, sizeof expected), "%s: %s", shapes[i],
                  expected);
        cr_expect_eq(bench_shape_flops(&c.shape), count_flops(&c.shape), "%s", shapes[i]);
        for (int64_t q_len = 1; q_len <= c.shape.q_len; q_len++) {
            const struct bench_shape cut = bench_shape_cut(c.shape, q_len);
            cr_expect_eq(cut.q_len, q_len);
            cr_expect_eq(bench_shape_flops(&cut), count_flops(&cut), "%s, %d queries", shapes[i],
                         (int)q_len);
        }
    }
}

Test(bench, a_cut_keeps_the_work_per_query) {
    const struct bench_shape whole = {1, 8, 8, 2048, 2048, 64, true, 0};
    for (int64_t q_len = 2; q_len < whole.q_len; q_len += 2) {
        const struct bench_shape cut = bench_shape_cut(whole, q_len);
        cr_expect_eq(bench_shape_flops(&cut) / (double)q_len,
                     bench_shape_flops(&whole) / (double)whole.q_len);
    }
}

Test(bench, the_cases_are_the_documented_ones) {
    const char *const names[] = {"prefill-2048-d128", "prefill-2048-d128-causal",
                                 "prefill-2048-d64",  "prefill-2048-d64-causal",
                                 "prefill-2048-d32",  "prefill-2048-d32-causal"};
    const int64_t dims[] = {128, 128, 64, 64, 32, 32};
    const struct bench_case *list;
    cr_assert_eq(bench_case_list(&list), sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct bench_shape *s = &list[i].shape;
        const double length = 2048, pairs = s->causal ? length * (length + 1) / 2 : length * length;
        cr_expect_str_eq(list[i].name, names[i]);
        cr_expect_eq(s->head_dim, dims[i]);
        cr_expect_eq(s->causal, strstr(names[i], "causal") != NULL);
        cr_expect(s->batch == 1 && s->q_heads == 8 && s->kv_heads == 8);
        cr_expect(s->q_len == 2048 && s->kv_len == 2048 && s->q_offset == 0);
        cr_expect_eq(bench_shape_flops(s), 4.0 * 8 * (double)dims[i] * pairs);
    }
}

Test(bench, shapes_that_are_none) {
    const char *const texts[] = {"",
                                 "1",
                                 "1,2,3",
                                 "1,1,1,1,1",
                                 "1,1,1,1,1,1,",
                                 "1,1,1,1,1,1,1",
                                 "1,1,1,1,1,1,causa",
                                 "1,1,1,1,1,1,causal,",
                                 "1,1,1,1,1,1 ",
                                 "0,1,1,1,1,1",
                                 "-1,1,1,1,1,1",
                                 " 1,1,1,1,1,1",
                                 "1,1,1,1,1,x",
                                 "1,1,1,1,1,1.5",
                                 "1,1,1,1,1,0x10",
                                 "1,,1,1,1,1",
                                 "1,3,2,1,1,1",
                                 "1,1,2,1,1,1",
                                 "1,1,1,4294967297,1,1",
                                 "1,1,1,99999999999999999999999999,1,1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bench_case c;
        char expected[128] = "";
        cr_expect_not(bench_case_parse(texts[i], &c, expected, sizeof expected), "\"%s\"",
                      texts[i]);
        cr_expect_neq(expected[0], '\0', "\"%s\"", texts[i]);
    }
}

static atomic_int calls;

static double fake_fma(int64_t rounds) {
    atomic_fetch_add(&calls, 1);
    return (double)rounds;
}

Test(bench, the_probe_runs_on_every_thread) {
    for (int threads = 1; threads <= 5; threads++) {
        const struct bench_probe probe = {fake_fma, threads, 1000};
        atomic_store(&calls, 0);
        cr_expect_gt(bench_probe_peak(&probe), 0);
        cr_expect_gt(atomic_load(&calls), 0);
        cr_expect_eq(atomic_load(&calls) % threads, 0);
    }
}

static char directory[] = "bench-test-XXXXXX";

static void make_directory(void) {
    cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

/* Runs the command with these options in the directory; stdout goes to `out`, stderr to `err`. */
static int run_command(const char *options) {
    char line[PATH_MAX + 512];
    const char *command = getenv("RAPT_COMMAND");
    cr_assert_not_null(command, "RAPT_COMMAND must name the command rapt");
    snprintf(line, sizeof line, "cd %s && '%s' bench %s >out 2>err </dev/null", directory, command,
             options);
    const int status = system(line);
    cr_assert(WIFEXITED(status), "%s", options);
    return WEXITSTATUS(status);
}

/* The text of a file in the directory, to be freed; "" if there is none. */
static char *read_file(const char *name) {
    char path[PATH_MAX], *text = calloc(1, 1 << 20);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    cr_assert_not_null(text);
    FILE *file = fopen(path, "r");
    if (file) {
        const size_t size = fread(text, 1, (1 << 20) - 1, file);
        text[size] = '\0';
        fclose(file);
    }
    return text;
}

static int count_files(void) {
    int count = 0;
    DIR *dir = opendir(directory);
    cr_assert_not_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static double number(const cJSON *run, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(run, key);
    cr_assert(cJSON_IsNumber(item), "%s", key);
    return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    cr_assert(cJSON_IsString(item), "%s", key);
    return item->valuestring;
}

static void check_run(const cJSON *run) {
    cr_expect_str_eq(string(run, "case"), "2,4,2,5,9,3,causal");
    cr_expect_str_eq(string(run, "dtype"), "f32");
    cr_expect_str_neq(string(run, "isa"), "");
    cr_expect_eq(number(run, "batch"), 2);
    cr_expect_eq(number(run, "q_heads"), 4);
    cr_expect_eq(number(run, "kv_heads"), 2);
    cr_expect_eq(number(run, "q_len"), 5);
    cr_expect_eq(number(run, "kv_len"), 9);
    cr_expect_eq(number(run, "head_dim"), 3);
    cr_expect_eq(number(run, "q_offset"), 4);
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "causal")));
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "correct")));
    cr_expect_geq(number(run, "repetitions"), 3);
    cr_expect_leq(number(run, "threads_used"), number(run, "threads"));
    cr_expect_gt(number(run, "min_ms"), 0);
    cr_expect_geq(number(run, "ms"), number(run, "min_ms"));
    cr_expect_geq(number(run, "spread"), 0);
    cr_expect_gt(number(run, "peak_gflops"), 0);
    cr_expect_geq(number(run, "max_error"), 0);
    /* 5 queries from position 4 see 5 + 6 + 7 + 8 + 9 keys. */
    const double gflops = 4.0 * 3 * 2 * 4 * 35 / (1e6 * number(run, "ms"));
    cr_expect_float_eq(number(run, "gflops"), gflops, 1e-9 * gflops);
    const double share = number(run, "gflops") / number(run, "peak_gflops");
    cr_expect_float_eq(number(run, "share"), share, 1e-9 * share);
}

Test(bench, the_report_parses_back, .init = make_directory, .fini = remove_directory) {
    const int code = run_command("--shape 2,4,2,5,9,3,causal --threads 1,2,1 --time 0.001 --quick "
                                 "--json report.json");
    char *error = read_file("err"), *table = read_file("out"), *text = read_file("report.json");
    cr_assert_eq(code, 0, "%s", error);
    cr_expect_not_null(strstr(table, "2,4,2,5,9,3,causal"));
    cr_expect_null(strstr(error, "\033")); /* no progress unless on a terminal */

    cJSON *report = cJSON_Parse(text);
    cr_assert_not_null(report);
    const cJSON *machine = cJSON_GetObjectItemCaseSensitive(report, "machine");
    cr_expect_str_neq(string(machine, "cpu"), "");
    cr_expect_not_null(string(machine, "features"));
    cr_expect_geq(number(machine, "cpus"), 1);
    cr_expect_geq(number(machine, "threads"), 1);
    cr_expect_str_neq(string(machine, "compiler"), "");
    cr_expect_str_neq(string(machine, "os"), "");
    cr_expect_str_neq(string(machine, "rapt"), "");
    cr_expect_eq(strlen(string(machine, "date")), strlen("2000-01-01T00:00:00Z"));

    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    int with_threads[3] = {0};
    cJSON_ArrayForEach(run, runs) {
        check_run(run);
        const int threads = (int)number(run, "threads");
        cr_assert(threads == 1 || threads == 2);
        with_threads[threads]++;
    }
    cr_expect_geq(with_threads[1], 1);
    cr_expect_eq(with_threads[1], with_threads[2]);
    cr_expect_eq(count_files(), 3, "a temporary file is left");
    cJSON_Delete(report);
    free(text);
    free(table);
    free(error);
}

Test(bench, bad_options_are_one_line, .init = make_directory, .fini = remove_directory) {
    const char *const bad[] = {"--isa no-such-isa",
                               "--isa ''",
                               "--threads 0",
                               "--threads -1",
                               "--threads 1,,2",
                               "--threads 1,x",
                               "--threads 99999999999999999999",
                               "--case no-such-case",
                               "--case prefill-2048-d64,",
                               "--case ,",
                               "--shape 1,2,3",
                               "--shape 1,3,2,1,1,1",
                               "--shape 2147483647,1,1,2147483647,2147483647,2147483647",
                               "--time 0",
                               "--time -1",
                               "--time nan",
                               "--time inf",
                               "--time",
                               "--json /no/such/directory/report.json",
                               "--json .",
                               "--json /dev/null",
                               "--no-such-option",
                               "stray"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(run_command(bad[i]), 2, "%s", bad[i]);
        char *error = read_file("err"), *out = read_file("out");
        const char *end = strchr(error, '\n');
        cr_expect(end && end[1] == '\0', "%s: \"%s\"", bad[i], error);
        cr_expect_eq(strncmp(error, "rapt bench: ", 12), 0, "%s: \"%s\"", bad[i], error);
        cr_expect_str_eq(out, "", "%s", bad[i]);
        cr_expect_eq(count_files(), 2, "%s", bad[i]);
        free(error);
        free(out);
    }
}

Test(bench, help_names_every_option, .init = make_directory, .fini = remove_directory) {
    const char *const names[] = {"--threads", "--isa",  "--case", "--shape",
                                 "--quick",   "--time", "--json", "--help"};
    cr_expect_eq(run_command("--help"), 0);
    char *out = read_file("out");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_not_null(strstr(out, names[i]), "%s", names[i]);
    free(out);
}
