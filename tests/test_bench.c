/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: its report and how it refuses bad options. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rapt/isa.h>

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

/* Runs with --json and parses the report, to be deleted. */
static cJSON *run_report(const char *options) {
    char line[512];
    snprintf(line, sizeof line, "%s --quick --time 0.001 --json report.json", options);
    const int code = run_command(line);
    char *error = read_file("err"), *text = read_file("report.json");
    cr_assert_eq(code, 0, "%s: %s", options, error);
    cJSON *report = cJSON_Parse(text);
    cr_assert_not_null(report, "%s", options);
    free(error);
    free(text);
    return report;
}

Test(bench, decode_is_told_in_bytes, .init = make_directory, .fini = remove_directory) {
    cJSON *report = run_report("--case decode-4k-warm --threads 1");
    const char *const types[] = {"f32", "bf16", "int8"};
    const double row[] = {512, 256, 132};
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    int at = 0;
    double base = 0;
    cr_expect_gt(cJSON_GetArraySize(runs), 0);
    cr_expect_eq(cJSON_GetArraySize(runs) % 3, 0);
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
        cr_expect_float_eq(number(run, "time_ratio"), number(run, "ms") / base, 1e-9);
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
        available += isas[i].available;
    cr_expect_eq(cJSON_GetArraySize(runs), available);
    cJSON_ArrayForEach(run, runs) {
        cr_expect_str_eq(string(run, "case"), "prefill-2048-d32");
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "gbps"));
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(run, "warm"));
    }
    cJSON_Delete(report);
}

Test(bench, rooflines_have_both_roofs, .init = make_directory, .fini = remove_directory) {
    cJSON *report = run_report("roofline --shape 1,2,2,40,50,16 --threads 1 --isa all "
                               "--csv runs.csv --html page.html");
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs"), *run;
    char *out = read_file("out"), *csv = read_file("runs.csv"), *page = read_file("page.html");
    cr_expect_gt(cJSON_GetArraySize(runs), 0);
    cJSON_ArrayForEach(run, runs) {
        const cJSON *line = cJSON_GetObjectItemCaseSensitive(run, "roofline");
        const double intensity = 4.0 * 40 * 50 / (2 * (40 + 50) * sizeof(float));
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

Test(bench, the_report_says_what_is_pinned, .init = make_directory, .fini = remove_directory) {
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

Test(bench, growth_is_told_by_score, .init = make_directory, .fini = remove_directory) {
    cJSON *report = run_report("--case growth-1k,growth-2k --threads 1");
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(report, "runs");
    char *out = read_file("out");
    cr_expect_gt(cJSON_GetArraySize(runs), 0);
    for (int i = 0; i < cJSON_GetArraySize(runs); i += 2) {
        const cJSON *first = cJSON_GetArrayItem(runs, i), *run = cJSON_GetArrayItem(runs, i + 1);
        const double ratio = number(run, "ms") / number(first, "ms");
        if (number(run, "q_len") < 192 || number(first, "q_len") < 192)
            continue; /* too slow to be compared */
        cr_expect_eq(number(run, "workspace_bytes"), number(first, "workspace_bytes"));
        cr_expect_float_eq(number(run, "time_ratio"), ratio, 1e-9 * ratio);
        cr_expect_float_eq(number(run, "score_time_ratio"), ratio / 2, 1e-9 * ratio);
    }
    cr_expect_not_null(strstr(out, " of growth-1k's time per score"), "%s", out);
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

Test(bench, views_show_each_run_once, .init = make_directory, .fini = remove_directory) {
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

/* Multiplies every rate and share in report.json, which becomes old.json. */
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
        write_old(report, slower ? 1e12 : 1e-6);
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
