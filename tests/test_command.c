/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command, as a user runs it: exit codes, messages and files. RAPT_COMMAND is the path of the
 * binary. Every test works in a folder of its own.
 */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char scratch[1024];

enum { MAX_WORDS = 40, TEXT_SIZE = 1 << 16 };

/* What the last call printed. */
static char out_text[TEXT_SIZE], err_text[TEXT_SIZE];

static void slurp(const char *path, char text[TEXT_SIZE]) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    text[fread(text, 1, TEXT_SIZE - 1, file)] = '\0';
    fclose(file);
    remove(path);
}

/* Runs the command with its stdout on the descriptor. Returns its exit code, or -signal. */
static int spawn_rapt(char *const words[], int out) {
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
static int rapt(const char *line) {
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

static int count_files(void) {
    DIR *folder = opendir(".");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

/* Expects a line on stderr that holds the text, exit code 2, and no file more or less. */
static void expect_fault(const char *line, const char *message) {
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
static void save(const char *path, const char *descr, const char *shape, bool fortran,
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
static void load(const char *path, const char *shape, float *values, size_t count) {
    unsigned char prefix[10];
    char dict[512] = "";
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    cr_assert(fread(prefix, 1, 10, file) == 10 && memcmp(prefix, "\x93NUMPY\1", 7) == 0);
    const size_t length = prefix[8] + 256u * prefix[9];
    cr_assert((length + 10) % 64 == 0 && length < sizeof dict);
    cr_assert(fread(dict, 1, length, file) == length);
    cr_expect(strstr(dict, "'<f4'") && strstr(dict, "False") && strstr(dict, shape),
              "%s: header %s, expected shape %s", path, dict, shape);
    cr_assert(fread(values, sizeof *values, count, file) == count, "%s: too short", path);
    cr_expect(fgetc(file) == EOF, "%s: too long", path);
    fclose(file);
    remove(path);
}

/*
 * One head, two queries and three keys whose scores are log 1, log 2, log 5: the weights are 1/8,
 * 2/8 and 5/8, the LSE is log 8, the result is 8/8 + 2*16/8 + 5*24/8 = 20.
 */
static void enter(void) {
    const char *folder = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/rapt-command-XXXXXX", folder ? folder : P_tmpdir);
    cr_assert(mkdtemp(scratch) && chdir(scratch) == 0 && mkdir("w", 0700) == 0 && chdir("w") == 0);
    SAVE_F32("Q.npy", "(2, 1)", 1, 1);
    SAVE_F32("K.npy", "(3, 1)", 0, logf(2), logf(5));
    SAVE_F32("V.npy", "(3, 1)", 8, 16, 24);
}

static void leave(void) {
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    cr_expect(rmdir("../w") == 0 && chdir("..") == 0 && rmdir(scratch) == 0, "%s is left", scratch);
}

TestSuite(command, .init = enter, .fini = leave, .timeout = 120);

#define RUN "run --q Q.npy --k K.npy --v V.npy --out O.npy"

static void expect_near(const float *found, const float *expected, size_t count, const char *what) {
    for (size_t i = 0; i < count; i++)
        cr_expect(found[i] == expected[i] || fabsf(found[i] - expected[i]) <= 1e-5f,
                  "%s: [%zu] is %.9g, expected %.9g", what, i, found[i], expected[i]);
}

/* Runs the case of enter() with more options and expects these two rows. */
static void expect_rows(const char *options, float first, float second) {
    char line[256];
    float found[2];
    const float expected[2] = {first, second};
    snprintf(line, sizeof line, RUN " --scale 1 %s", options);
    cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
    cr_expect(!*err_text && !*out_text);
    load("O.npy", "(2, 1)", found, 2);
    expect_near(found, expected, 2, options);
}

Test(command, run_computes_known_values) {
    float lse[2], weights[6];
    expect_rows("--lse L.npy --weights W.npy", 20, 20);
    load("L.npy", "(2,)", lse, 2);
    load("W.npy", "(2, 3)", weights, 6);
    expect_near(lse, (float[]){logf(8), logf(8)}, 2, "lse");
    expect_near(weights, (float[]){.125f, .25f, .625f, .125f, .25f, .625f}, 6, "weights");

    const float two = 40.0f / 3; /* of the first two keys alone */
    expect_rows("--causal", 8, two);
    expect_rows("--causal --q-offset end", two, 20);
    expect_rows("--causal --q-offset=-1", 0, 8);
    expect_rows("--window 0,0 --q-offset 1", 16, 24);
    expect_rows("--window=-1,0", 8, two);
    expect_rows("--window -1,-1", 20, 20);

    SAVE_I64("N.npy", "(1,)", 2);
    expect_rows("--kv-len N.npy", two, two);
    expect_rows("--kv-len N.npy --causal --q-offset end", 8, two);
    expect_rows("--causal --q-offset N.npy", 20, 20);

    const unsigned char keep[] = {1, 1, 0, 0, 0, 0};
    save("M.npy", "|b1", "(2, 3)", false, keep, 6);
    expect_rows("--mask M.npy", two, 0);
    save("M.npy", "|b1", "(3,)", false, keep, 3);
    expect_rows("--mask M.npy", two, two);
    SAVE_F32("M.npy", "(1, 1, 2, 1)", 0, -INFINITY);
    expect_rows("--mask M.npy", 20, 0);
    SAVE_F32("M.npy", "(3,)", logf(10), logf(5), 0); /* 10/25, 10/25, 5/25 */
    expect_rows("--mask M.npy", 14.4f, 14.4f);
}

Test(command, run_scales_and_caps) {
    float found[2];
    cr_assert(rapt(RUN " --scale 2 --threads 1 --isa scalar") == 0); /* weights 1, 4, 25 of 30 */
    load("O.npy", "(2, 1)", found, 2);
    expect_near(found, (float[]){22.4f, 22.4f}, 2, "scale 2");

    SAVE_F32("K.npy", "(3, 1)", 0, 1000, 2000); /* the cap makes the last two scores log 2 */
    char line[256];
    snprintf(line, sizeof line, RUN " --softcap %.9g", log(2));
    cr_assert(rapt(line) == 0);
    load("O.npy", "(2, 1)", found, 2);
    expect_near(found, (float[]){17.6f, 17.6f}, 2, "softcap");
}

/* The same tensor in three forms: B = 2, H = 2, S = 3, D = 4. */
static void save_forms(const char *name, float seed) {
    enum { B = 2, H = 2, S = 3, D = 4 };
    float bhsd[B * H * S * D], bshd[B * H * S * D], fortran[B * H * S * D];
    for (int i = 0; i < B * H * S * D; i++) {
        const int d = i % D, s = i / D % S, h = i / D / S % H, b = i / D / S / H;
        bhsd[i] = sinf(seed + (float)i);
        bshd[((b * S + s) * H + h) * D + d] = bhsd[i];
        fortran[((d * S + s) * H + h) * B + b] = bhsd[i];
    }
    char path[16];
    snprintf(path, sizeof path, "%s.npy", name);
    save(path, "<f4", "(2, 2, 3, 4)", false, bhsd, sizeof bhsd);
    snprintf(path, sizeof path, "%s-bshd.npy", name);
    save(path, "<f4", "(2, 3, 2, 4)", false, bshd, sizeof bshd);
    snprintf(path, sizeof path, "%s-f.npy", name);
    save(path, "<f4", "(2, 2, 3, 4)", true, fortran, sizeof fortran);
}

Test(command, run_gives_the_same_bits_for_every_layout) {
    float bhsd[48], bshd[48], fortran[48], permuted[48];
    save_forms("Q", 1);
    save_forms("K", 2);
    save_forms("V", 3);
    cr_assert(rapt(RUN " --causal") == 0, "%s", err_text);
    load("O.npy", "(2, 2, 3, 4)", bhsd, 48);
    cr_assert(rapt("run --q Q-f.npy --k K-f.npy --v V-f.npy --out O.npy --causal") == 0);
    load("O.npy", "(2, 2, 3, 4)", fortran, 48);
    cr_assert(rapt("run --q Q-bshd.npy --k K-bshd.npy --v V-bshd.npy --out O.npy --causal "
                   "--layout bshd --lse L.npy --weights W.npy") == 0);
    load("O.npy", "(2, 3, 2, 4)", bshd, 48);
    load("L.npy", "(2, 2, 3)", permuted, 12);
    load("W.npy", "(2, 2, 3, 3)", permuted, 36);
    for (int i = 0; i < 48; i++) {
        const int d = i % 4, s = i / 4 % 3, h = i / 12 % 2, b = i / 24;
        permuted[i] = bshd[((b * 3 + s) * 2 + h) * 4 + d];
    }
    cr_expect(memcmp(bhsd, fortran, sizeof bhsd) == 0, "C and Fortran order differ");
    cr_expect(memcmp(bhsd, permuted, sizeof bhsd) == 0, "bhsd and bshd differ");
}

Test(command, run_refuses_bad_options) {
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"run", "rapt run: --q is missing, expected --q FILE.npy"},
        {RUN " --widow 1,2", "unknown option --widow, did you mean --window?"},
        {RUN " --xyzzy", "unknown option --xyzzy (rapt run --help lists the options)"},
        {RUN " extra", "found \"extra\", expected an option"},
        {RUN " --causal --causal", "--causal: found twice, expected once"},
        {RUN " --causal=yes", "--causal: found \"yes\", expected no value"},
        {RUN " --scale", "--scale: found no value, expected X, a finite number above 0"},
        {RUN " --scale --causal", "--scale: found no value"},
        {RUN " --scale 0", "--scale: found \"0\", expected X, a finite number above 0"},
        {RUN " --scale -1", "--scale: found \"-1\""},
        {RUN " --scale nan", "--scale: found \"nan\""},
        {RUN " --scale inf", "--scale: found \"inf\""},
        {RUN " --scale 1e99", "--scale: found \"1e99\""},
        {RUN " --scale 1x", "--scale: found \"1x\""},
        {RUN " --softcap=", "--softcap: found \"\""},
        {RUN " --window 3",
         "rapt run: --window: found \"3\", expected LEFT,RIGHT, two integers of at least -1"},
        {RUN " --window 1,2,3", "--window: found \"1,2,3\""},
        {RUN " --window -2,0", "--window: found \"-2,0\""},
        {RUN " --window 1,", "--window: found \"1,\""},
        {RUN " --window 9223372036854775808,0", "--window: found \"9223372036854775808,0\""},
        {RUN " --layout bdsh", "--layout: found \"bdsh\", expected bhsd or bshd"},
        {RUN " --threads 0", "--threads: found \"0\", expected N, an integer of 1 to 1024"},
        {RUN " --threads 99999999999999999999", "expected N, an integer of 1 to 1024"},
        {RUN " --q-offset never", "--q-offset: found \"never\", expected N|end|FILE.npy"},
        {RUN " --q-offset 99999999999999999999", "--q-offset: found \"99999999999999999999\""},
        {RUN " --isa sse9", "\"sse9\", expected one of: "},
        {RUN " --lse=", "--lse: found \"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_files) {
    SAVE_F32("short.npy", "(4, 1)", 1, 2, 3);
    SAVE_F32("long.npy", "(3, 1)", 1, 2, 3, 4);
    SAVE_F32("huge.npy", "(1152921504606846976, 1)", 1, 2, 3);
    SAVE_F32("empty.npy", "(0, 1)", 0);
    SAVE_F32("vector.npy", "(3,)", 1, 2, 3);
    SAVE_F32("wide.npy", "(3, 2)", 1, 2, 3, 4, 5, 6);
    SAVE_I64("integers.npy", "(3, 1)", 1, 2, 3);
    SAVE_I64("too-many.npy", "(2,)", 1, 2);
    SAVE_I64("beyond.npy", "(1,)", 4);
    SAVE_I64("far.npy", "(1,)", INT64_MIN);
    save("f8.npy", "<f8", "(3, 1)", false, (double[]){1, 2, 3}, 24);
    save("big.npy", ">f4", "(3, 1)", false, (float[]){1, 2, 3}, 12);
    cr_assert(truncate("empty.npy", 128) == 0);
    cr_assert(mkfifo("fifo", 0600) == 0);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"run --q Q.npy --k none.npy --v V.npy --out O.npy", "--k: none.npy: No such file"},
        {"run --q . --k K.npy --v V.npy --out O.npy", "--q: .: is a directory"},
        {"run --q fifo --k K.npy --v V.npy --out O.npy", "--q: fifo: is no regular file"},
        {"run --q Q.npy --k f8.npy --v V.npy --out O.npy",
         "rapt run: --k: f8.npy: dtype '<f8', expected '<f4' (float32)"},
        {"run --q Q.npy --k big.npy --v V.npy --out O.npy", "'>f4' (big-endian), expected"},
        {"run --q Q.npy --k short.npy --v V.npy --out O.npy", "12 bytes of data, expected 16"},
        {"run --q Q.npy --k long.npy --v V.npy --out O.npy", "16 bytes of data, expected 12"},
        {"run --q Q.npy --k huge.npy --v V.npy --out O.npy", "12 bytes of data, expected 4611"},
        {"run --q empty.npy --k K.npy --v V.npy --out O.npy",
         "shape (0, 1), expected no dimension"},
        {"run --q Q.npy --k K.npy --v empty.npy --out O.npy", "--v: empty.npy: shape (0, 1)"},
        {"run --q vector.npy --k K.npy --v V.npy --out O.npy", "shape (3,), expected 2 to 4 dim"},
        {"run --q Q.npy --k wide.npy --v V.npy --out O.npy", "key: shape[3] (channels) is 2"},
        {RUN " --mask integers.npy", "dtype '<i8', expected '<f4' (float32) or '|b1' (bool)"},
        {RUN " --mask wide.npy", "mask: shape[2]"},
        {RUN " --kv-len K.npy", "--kv-len: K.npy: dtype '<f4', expected '<i8' (int64)"},
        {RUN " --kv-len too-many.npy", "shape (2,), expected (1,), one per batch"},
        {RUN " --kv-len beyond.npy", "kv_len[0]"},
        {RUN " --kv-len far.npy --q-offset end", "kv_len[0]"},
        {RUN " --q-offset integers.npy", "shape (3, 1), expected (1,), one per batch"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_outputs) {
    cr_assert(symlink("Q.npy", "link.npy") == 0 && symlink("nowhere", "dangling.npy") == 0);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {RUN " --lse O.npy", "--lse: O.npy: is also --out, expected another file"},
        {RUN " --weights ./O.npy", "--weights: ./O.npy: is also --out"},
        {RUN " --lse K.npy", "--lse: K.npy: is also the input --k, expected another file"},
        {RUN " --lse link.npy", "--lse: link.npy: is also the input --q"},
        {RUN " --lse dangling.npy", "dangling.npy: is a symbolic link to a file that doesn't"},
        {RUN " --lse .", "--lse: .: is a directory, expected a file to write"},
        {RUN " --lse none/L.npy", "--lse: none/L.npy: No such file or directory"},
        {RUN " --lse Q.npy/L.npy", "--lse: Q.npy/L.npy: Not a directory"},
        {RUN " --lse /dev/full", "--lse: /dev/full: is no regular file, expected a file to write"},
        {RUN " --lse /proc/L.npy", "--lse: /proc/L.npy: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_replaces_a_file_only_when_all_is_written) {
    float values[2];
    SAVE_F32("real.npy", "(1,)", 7);
    cr_assert(chmod("real.npy", 0640) == 0 && symlink("real.npy", "O.npy") == 0);

    /* The weights don't fit where the output does. */
    const struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY}, limit = {140, RLIM_INFINITY};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect_fault(RUN " --weights W.npy", "--weights: W.npy: File too large");
    cr_assert(setrlimit(RLIMIT_FSIZE, &before) == 0);
    cr_expect(rapt(RUN " --weights .") == 2);
    struct stat status;
    cr_expect(stat("real.npy", &status) == 0 && status.st_size == 132);

    cr_assert(rapt(RUN) == 0, "%s", err_text);
    cr_expect(lstat("O.npy", &status) == 0 && S_ISLNK(status.st_mode), "the link was replaced");
    cr_expect(stat("O.npy", &status) == 0 && (status.st_mode & 0777) == 0640);
    load("O.npy", "(2, 1)", values, 2);
}

Test(command, shows_help_and_version) {
    static const char *const commands[] = {"run", "attend", "verify", "isa", "bench"};
    char line[64], usage[64];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        for (int way = 0; way < 2; way++) {
            snprintf(line, sizeof line, way ? "help %s" : "%s --help", commands[i]);
            snprintf(usage, sizeof usage, "Usage: rapt %s", commands[i]);
            cr_expect(rapt(line) == 0 && !*err_text, "rapt %s: %s", line, err_text);
            cr_expect(strncmp(out_text, usage, strlen(usage)) == 0);
            cr_expect(strstr(out_text, "Options:") && strstr(out_text, "Exit codes:"));
        }
    }
    cr_expect(rapt("--help") == 0 && strstr(out_text, "Usage: rapt COMMAND"));
    cr_expect(rapt("help") == 0 && strstr(out_text, "Usage: rapt COMMAND"));
    cr_expect(rapt("--version") == 0 && strncmp(out_text, "rapt ", 5) == 0);
    expect_fault("", "rapt: found no command, expected one");
    expect_fault("rnu", "rapt: unknown command \"rnu\", did you mean run?");
    expect_fault("frobnicate", "rapt: unknown command \"frobnicate\" (rapt --help");
    expect_fault("help frobnicate", "rapt: unknown command \"frobnicate\"");
    expect_fault("help run now", "found \"now\", expected nothing more after help");
    expect_fault("--version --help", "found \"--help\", expected nothing more after --version");
}

Test(command, isa_says_what_is_chosen_and_why) {
    unsetenv("RAPT_ISA");
    cr_expect(rapt("isa") == 0 && strstr(out_text, "the best that is available"), "%s", out_text);
    setenv("RAPT_ISA", "scalar", 1);
    cr_expect(rapt("isa") == 0 && strstr(out_text, "Chosen: scalar, because"), "%s", out_text);
    setenv("RAPT_ISA", "sse9", 1);
    cr_expect(rapt("isa") == 2 && strstr(err_text, "RAPT_ISA: found \"sse9\""), "%s", err_text);
    expect_fault("isa --all", "rapt isa: unknown option --all");
}

Test(command, verify_checks_what_it_is_told_to) {
    cr_expect(rapt("verify --isa scalar --quick --seed 3") == 0, "%s", err_text);
    cr_expect(strstr(out_text, "scalar"), "%s", out_text);
    expect_fault("verify --isa sse9", "\"sse9\", expected one of: ");
    expect_fault("verify --seed 1.5", "--seed: found \"1.5\"");
}

Test(command, meets_a_full_disk_and_a_closed_pipe) {
    char name[] = "rapt", isa[] = "isa", *words[] = {name, isa, NULL};
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert(full >= 0);
    cr_expect(spawn_rapt(words, full) == 2);
    cr_expect_str_eq(err_text, "rapt: standard output: No space left on device\n");
    close(full);

    int ends[2];
    cr_assert(pipe(ends) == 0);
    close(ends[0]);
    cr_expect(spawn_rapt(words, ends[1]) == 0);
    cr_expect_str_empty(err_text);
    close(ends[1]);
}
