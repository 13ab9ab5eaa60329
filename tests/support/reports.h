/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs `rapt bench` as a user does and reads its reports. RAPT_COMMAND is the path of the binary.
 * Every test works in a folder of its own, between make_directory() and remove_directory().
 */
#ifndef RAPT_TESTS_SUPPORT_REPORTS_H
#define RAPT_TESTS_SUPPORT_REPORTS_H

#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "bench-test-XXXXXX";

static inline void make_directory(void) {
    cr_assert_not_null(mkdtemp(directory));
}

static inline void remove_directory(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

/* Runs the command with these options in the directory; stdout goes to `out`, stderr to `err`. */
static inline int run_command(const char *options) {
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

static inline int count_files(void) {
    int count = 0;
    DIR *dir = opendir(directory);
    cr_assert_not_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static inline double number(const cJSON *run, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(run, key);
    cr_assert(cJSON_IsNumber(item), "%s", key);
    return item->valuedouble;
}

static inline const char *string(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    cr_assert(cJSON_IsString(item), "%s", key);
    return item->valuestring;
}

/* Runs with --json and parses the report, to be deleted. */
static inline cJSON *run_report(const char *options) {
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

#endif
