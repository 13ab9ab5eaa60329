/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the command as a user does, and reads and writes its files. RAPT_COMMAND is the path of the
 * binary. Every test works in a folder of its own, between enter() and leave().
 */
#ifndef RAPT_TESTS_SUPPORT_COMMAND_H
#define RAPT_TESTS_SUPPORT_COMMAND_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char scratch[1024];

enum { MAX_WORDS = 40, TEXT_SIZE = 1 << 16 };

/* What the last call printed. */
static char out_text[TEXT_SIZE], err_text[TEXT_SIZE];

static inline void slurp(const char *path, char text[TEXT_SIZE]) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    text[fread(text, 1, TEXT_SIZE - 1, file)] = '\0';
    fclose(file);
    remove(path);
}

/* Runs the command with its stdout on the descriptor. Returns its exit code, or -signal. */
static inline int spawn_rapt(char *const words[], int out) {
    const char *command = getenv("RAPT_COMMAND");
    cr_assert(command, "RAPT_COMMAND must be the path of the command");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "../err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid;
    int status;
    const int failed = posix_spawn(&pid, command, &actions, NULL, words, environ);
    cr_assert(failed == 0, "%s: %s", command, strerror(failed));
    posix_spawn_file_actions_destroy(&actions);
    cr_assert(waitpid(pid, &status, 0) == pid);
    slurp("../err", err_text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Splits a line at its spaces and runs it: the text after "rapt". */
static inline int rapt(const char *line) {
    char copy[1024], name[] = "rapt", *words[MAX_WORDS] = {name};
    cr_assert(strlen(line) < sizeof copy);
    strcpy(copy, line);
    int count = 1;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    const int out = open("../out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(out >= 0);
    const int code = spawn_rapt(words, out);
    close(out);
    slurp("../out", out_text);
    return code;
}

static inline int count_files(void) {
    DIR *folder = opendir(".");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

/* Expects a line on stderr that holds the text, exit code 2, and no file more or less. */
static inline void expect_fault(const char *line, const char *message) {
    const int files = count_files(), code = rapt(line);
    cr_expect(code == 2, "rapt %s: exits with %d", line, code);
    cr_expect(strstr(err_text, message), "rapt %s: says \"%s\", expected \"%s\"", line, err_text,
              message);
    const char *end = strchr(err_text, '\n');
    cr_expect(end && !end[1], "rapt %s: prints \"%s\", expected one line", line, err_text);
    cr_expect(!*out_text, "rapt %s: prints \"%s\"", line, out_text);
    cr_expect(count_files() == files, "rapt %s: leaves a file behind", line);
}

/* Writes a .npy file. */
static inline void save(const char *path, const char *descr, const char *shape, bool fortran,
                        const void *data, size_t bytes) {
    char dict[128];
    snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr,
             fortran ? "True" : "False", shape);
    FILE *file = fopen(path, "wb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    fprintf(file, "\x93NUMPY%c%c%c%c%-117s\n", 1, 0, 118, 0, dict);
    fwrite(data, 1, bytes, file);
    cr_assert(fclose(file) == 0);
}

#define SAVE_F32(path, shape, ...)                                                                 \
    do {                                                                                           \
        const float saved[] = {__VA_ARGS__};                                                       \
        save(path, "<f4", shape, false, saved, sizeof saved);                                      \
    } while (0)
#define SAVE_I64(path, shape, ...)                                                                 \
    do {                                                                                           \
        const int64_t saved[] = {__VA_ARGS__};                                                     \
        save(path, "<i8", shape, false, saved, sizeof saved);                                      \
    } while (0)

/* Reads a file that the command wrote, and removes it. The shape must be as Python writes it. */
static inline void load_as(const char *path, const char *descr, const char *shape, void *data,
                           size_t bytes) {
    unsigned char prefix[10];
    char dict[512] = "";
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    cr_assert(fread(prefix, 1, 10, file) == 10 && memcmp(prefix, "\x93NUMPY\1", 7) == 0);
    const size_t length = prefix[8] + 256u * prefix[9];
    cr_assert((length + 10) % 64 == 0 && length < sizeof dict);
    cr_assert(fread(dict, 1, length, file) == length);
    char expected[128];
    snprintf(expected, sizeof expected, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
             descr, shape);
    cr_expect(strncmp(dict, expected, strlen(expected)) == 0, "%s: header %s, expected %s", path,
              dict, expected);
    cr_assert(fread(data, 1, bytes, file) == bytes, "%s: too short", path);
    cr_expect(fgetc(file) == EOF, "%s: too long", path);
    fclose(file);
    remove(path);
}

static inline void load(const char *path, const char *shape, float *values, size_t count) {
    load_as(path, "<f4", shape, values, count * sizeof *values);
}

/*
 * One head, two queries and three keys whose scores are log 1, log 2, log 5. So the weights are
 * 1/8, 2/8 and 5/8, the LSE is log 8, the result is 8/8 + 2*16/8 + 5*24/8 = 20.
 */
static inline void enter(void) {
    const char *folder = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/rapt-command-XXXXXX", folder ? folder : P_tmpdir);
    cr_assert(mkdtemp(scratch) && chdir(scratch) == 0 && mkdir("w", 0700) == 0 && chdir("w") == 0);
    SAVE_F32("Q.npy", "(2, 1)", 1, 1);
    SAVE_F32("K.npy", "(3, 1)", 0, logf(2), logf(5));
    SAVE_F32("V.npy", "(3, 1)", 8, 16, 24);
}

static inline void leave(void) {
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    cr_expect(rmdir("../w") == 0 && chdir("..") == 0 && rmdir(scratch) == 0, "%s is left", scratch);
}

#define RUN "run --q Q.npy --k K.npy --v V.npy --out O.npy"

#endif
