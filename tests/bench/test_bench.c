/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: its report and how it refuses bad options. */
#include "tests/support/reports.h"

#include <rapt/isa.h>

static void check_run(const cJSON *run) {
    cr_expect_str_eq(string(run, "case"), "2,4,2,4,9,3,causal");
    cr_expect_str_eq(string(run, "dtype"), "f32");
    cr_expect_str_neq(string(run, "isa"), "");
    cr_expect_eq(number(run, "batch"), 2);
    cr_expect_eq(number(run, "q_heads"), 4);
    cr_expect_eq(number(run, "kv_heads"), 2);
    cr_expect_eq(number(run, "q_len"), 4);
    cr_expect_eq(number(run, "kv_len"), 9);
    cr_expect_eq(number(run, "head_dim"), 3);
    cr_expect_eq(number(run, "q_offset"), 5);
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "causal")));
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "correct")));
    cr_expect_geq(number(run, "repetitions"), 3);
    cr_expect_leq(number(run, "threads_used"), number(run, "threads"));
    cr_expect_gt(number(run, "min_ms"), 0);
    cr_expect_geq(number(run, "ms"), number(run, "min_ms"));
    cr_expect_geq(number(run, "spread"), 0);
    cr_expect_gt(number(run, "peak_gflops"), 0);
    cr_expect_geq(number(run, "max_error"), 0);
    /* 4 queries from position 5 see 6 + 7 + 8 + 9 keys. */
    const double gflops = 4.0 * 3 * 2 * 4 * 30 / (1e6 * number(run, "ms"));
    cr_expect_float_eq(number(run, "gflops"), gflops, 1e-9 * gflops);
    const double share = number(run, "gflops") / number(run, "peak_gflops");
    cr_expect_float_eq(number(run, "share"), share, 1e-9 * share);
}

Test(bench, the_report_parses_back, .init = make_directory, .fini = remove_directory) {
    const int code = run_command("--shape 2,4,2,4,9,3,causal --threads 1,2,1 --time 0.001 --quick "
                                 "--json report.json");
    char *error = read_file("err"), *table = read_file("out"), *text = read_file("report.json");
    cr_assert_eq(code, 0, "%s", error);
    cr_expect_not_null(strstr(table, "2,4,2,4,9,3,causal"));
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

Test(bench, decode_is_told_in_bytes, .init = make_directory, .fini = remove_directory) {
    const rapt_isa *best = NULL; /* what it says doesn't depend on it, and the scalar one is slow */
    cr_assert_eq(rapt_isa_choose(NULL, &best), RAPT_OK);
    char options[80];
    snprintf(options, sizeof options, "--case decode-4k-warm --threads 1 --isa %s", best->name);
    cJSON *report = run_report(options);
    const char *const types[] = {"f32", "bf16", "int8"};
    const double row[] = {512, 256, 132};
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    int at = 0;
    double base = 0;
    cr_expect_eq(cJSON_GetArraySize(runs), 3);
    cJSON_ArrayForEach(run, runs) {
        const int type = at++ % 3;
        char name[32];
        snprintf(name, sizeof name, "decode-4k-warm-%s", types[type]);
        cr_expect_str_eq(string(run, "case"), name);
        cr_expect_str_eq(string(run, "dtype"), types[type]);
        cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "correct")));
        cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(run, "warm")));
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "gflops"));
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "peak_gflops"));
        const double gbps = 2.0 * 8 * 4096 * row[type] / (1e6 * number(run, "ms"));
        cr_expect_float_eq(number(run, "gbps"), gbps, 1e-9 * gbps);
        const double share = number(run, "gbps") / number(run, "bandwidth_gbps");
        cr_expect_float_eq(number(run, "share"), share, 1e-9 * share);
        base = type == 0 ? number(run, "ms") : base;
        if (type == 0) {
            cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "time_ratio"));
            continue;
        }
        cr_expect_str_eq(string(run, "base"), "decode-4k-warm-f32");
        const double ratio = number(run, "ms") / base;
        cr_expect_float_eq(number(run, "time_ratio"), ratio, 1e-9 * ratio);
    }
    cJSON_Delete(report);
}

Test(bench, words_choose_cases, .init = make_directory, .fini = remove_directory) {
    /* A name is that case alone, though others start with it. */
    cJSON *report = run_report("--case prefill-2048-d32,prefill-2048-d32 --threads 1");
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    const struct rapt_isa *isas;
    int available = 0;
    for (size_t i = 0, count = rapt_isa_list(&isas); i < count; i++)
        available += isas[i].available && !isas[i].by_name;
    cr_expect_eq(cJSON_GetArraySize(runs), available);
    cJSON_ArrayForEach(run, runs) {
        cr_expect_str_eq(string(run, "case"), "prefill-2048-d32");
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "gbps"));
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "warm"));
    }
    cJSON_Delete(report);
}

/* Multiplies every rate and share of a report, which keeps them and becomes old.json. */
static void write_old(cJSON *report, double factor) {
    cJSON *run;
    char path[PATH_MAX];
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(report, "runs")) {
        cJSON *rate = cJSON_GetObjectItemCaseSensitive(run, "gflops"),
              *share = cJSON_GetObjectItemCaseSensitive(run, "share");
        cJSON_SetNumberValue(rate, factor * rate->valuedouble);
        cJSON_SetNumberValue(share, factor * share->valuedouble);
    }
    char *text = cJSON_Print(report);
    cr_assert_not_null(text);
    snprintf(path, sizeof path, "%s/old.json", directory);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cJSON_free(text);
}

Test(bench, comparisons_set_the_exit_code, .init = make_directory, .fini = remove_directory) {
    static const char options[] = "--shape 1,2,1,20,30,8 --threads 1 --quick --time 0.001";
    char line[256];
    cJSON *report = run_report("--shape 1,2,1,20,30,8 --threads 1");
    const char *const verdicts[] = {"faster: ", "slower: "};
    snprintf(line, sizeof line, "%s --compare old.json", options);
    for (int slower = 0; slower < 2; slower++) {
        write_old(report, slower ? 1e60 : 1e-30); /* beyond any noise */
        cr_expect_eq(run_command(line), slower);
        char *out = read_file("out");
        cr_expect_not_null(strstr(out, verdicts[slower]), "%s", out);
        cr_expect_null(strstr(out, verdicts[!slower]), "%s", out);
        free(out);
    }
    cr_expect_eq(run_command("--shape 1,2,1,20,30,9 --threads 1 --compare old.json"), 2);
    cr_expect_eq(run_command("--compare old.json --json old.json"), 2);
    cJSON_Delete(report);
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
                               "--case decode-",
                               "--case decod",
                               "--case decode-4k-f32x",
                               "--case decode,no-such-case",
                               "--shape 1,2,3",
                               "--shape 1,3,2,1,1,1",
                               "--shape 1,1,1,1,1,1,window=0",
                               "--suite no-such-suite",
                               "--suite quick,decode",
                               "--shape 2147483647,1,1,2147483647,2147483647,2147483647",
                               "--time 0",
                               "--time -1",
                               "--time nan",
                               "--time inf",
                               "--time",
                               "--json /no/such/directory/report.json",
                               "--csv /no/such/directory/report.csv",
                               "--html /no/such/directory/page.html",
                               "--json x --html x",
                               "--compare /no/such/report.json",
                               "--compare .",
                               "--compare out",
                               "scalin",
                               "isa --threads 0",
                               "--weak",
                               "isa --weak",
                               "scaling --weak --case mixed",
                               "scaling scaling",
                               "roofline --weak",
                               "--pin x",
                               "--pin auto,0",
                               "--pin 0,0",
                               "--pin 99999",
                               "roofline isa",
                               "isa --isa no-such-isa",
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
    const char *const names[] = {"--threads",
                                 "--isa",
                                 "--case",
                                 "--suite",
                                 "--shape",
                                 "--csv",
                                 "--html",
                                 "--compare",
                                 "rapt bench isa",
                                 "rapt bench scaling",
                                 "rapt bench roofline",
                                 "--quick",
                                 "--pin",
                                 "--weak",
                                 "--time",
                                 "--json",
                                 "--help"};
    cr_expect_eq(run_command("--help"), 0);
    char *out = read_file("out");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_not_null(strstr(out, names[i]), "%s", names[i]);
    free(out);
}
