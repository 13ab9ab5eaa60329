/* SPDX-License-Identifier: Apache-2.0 */
/* The command's exit codes and messages, and what becomes of the files that it can't write. */
#include "tests/support/command.h"

#include <sys/resource.h>

#define RUN4 "run --q Q4.npy --k K4.npy --v K4.npy --out O.npy"

TestSuite(command, .init = enter, .fini = leave, .timeout = 600);

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
        {RUN " --causal --q-offset never", "--q-offset: found \"never\", expected N|end|FILE.npy"},
        {RUN " --causal --q-offset 99999999999999999999",
         "--q-offset: found \"99999999999999999999\""},
        {RUN " --isa sse9", "\"sse9\", expected one of: "},
        {RUN " --lse=", "--lse: found \"\""},
        {RUN " --bf16=yes", "--bf16: found \"yes\", expected no value"},
        {RUN " --out-type f64", "--out-type: found \"f64\", expected f32 or f16 or bf16"},
        {RUN " --mask-start 1", "--mask-start: found no --mask, expected it, too\n"},
        {RUN " --mask M.npy --mask-start last", "--mask: M.npy: No such file"},
        {RUN " --mask V.npy --mask-start last",
         "--mask-start: found \"last\", expected N|end|FILE"},
        {RUN " --mask Q.npy --mask-start -1", "mask_start[0]: found -1, expected 0"},
        {RUN " --weights-kind scaled", "--weights-kind: found no --weights, expected it, too\n"},
        {RUN " --weights W.npy --weights-kind raw",
         "--weights-kind: found \"raw\", expected softmax or scaled or capped or masked\n"},
        {RUN " --q8-0=on", "--q8-0: found \"on\", expected no value\n"},
        {RUN " --out-type", "--out-type: found no value, expected f32 or f16 or bf16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_files) {
    SAVE_F32("short.npy", "(4, 1)", 1, 2, 3);
    SAVE_F32("long.npy", "(3, 1)", 1, 2, 3, 4);
    SAVE_F32("huge.npy", "(1152921504606846976, 1)", 1, 2, 3);
    SAVE_F32("empty.npy", "(0, 1)", 0);
    SAVE_F32("flat.npy", "(2, 0)", 0);
    SAVE_F32("vector.npy", "(3,)", 1, 2, 3);
    SAVE_F32("wide.npy", "(3, 2)", 1, 2, 3, 4, 5, 6);
    SAVE_I64("integers.npy", "(3, 1)", 1, 2, 3);
    SAVE_I64("too-many.npy", "(2,)", 1, 2);
    SAVE_I64("beyond.npy", "(1,)", 4);
    SAVE_I64("far.npy", "(1,)", INT64_MIN);
    save("f8.npy", "<f8", "(3, 1)", false, (double[]){1, 2, 3}, 24);
    save("big.npy", ">f4", "(3, 1)", false, (float[]){1, 2, 3}, 12);
    cr_assert(truncate("empty.npy", 128) == 0 && truncate("flat.npy", 128) == 0);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"run --q Q.npy --k none.npy --v V.npy --out O.npy", "--k: none.npy: No such file"},
        {"run --q . --k K.npy --v V.npy --out O.npy", "--q: .: is a directory"},
        {"run --q Q.npy --k f8.npy --v V.npy --out O.npy",
         "rapt run: --k: f8.npy: dtype '<f8', expected '<f4' (float32) or '<f2' (float16)"},
        {"run --q Q.npy --k big.npy --v V.npy --out O.npy", "'>f4' (big-endian), expected"},
        {"run --q Q.npy --k short.npy --v V.npy --out O.npy", "12 bytes of data, expected 16"},
        {"run --q Q.npy --k long.npy --v V.npy --out O.npy", "16 bytes of data, expected 12"},
        {"run --q Q.npy --k huge.npy --v V.npy --out O.npy", "12 bytes of data, expected 4611"},
        {"run --q flat.npy --k K.npy --v V.npy --out O.npy", "query: shape[3] (channels) is 0"},
        {"run --q Q.npy --k K.npy --v empty.npy --out O.npy",
         "value: shape[2] (positions) is 0, expected 3"},
        {"run --q vector.npy --k K.npy --v V.npy --out O.npy", "shape (3,), expected 2 to 4 dim"},
        {"run --q Q.npy --k wide.npy --v V.npy --out O.npy", "key: shape[3] (channels) is 2"},
        {RUN " --mask integers.npy",
         "dtype '<i8', expected '<f4' (float32) or '<f2' (float16) or '|b1'"},
        {RUN " --mask wide.npy", "mask: shape[2]"},
        {RUN " --kv-len K.npy", "--kv-len: K.npy: dtype '<f4', expected '<i8' (int64)"},
        {RUN " --kv-len too-many.npy", "shape (2,), expected (1,), one per sequence\n"},
        {RUN " --kv-len beyond.npy", "kv_len[0]"},
        {RUN " --kv-start too-many.npy", "shape (2,), expected (1,), one per sequence\n"},
        {RUN " --kv-len far.npy --causal --q-offset end", "kv_len[0]"},
        {RUN " --causal --q-offset integers.npy",
         "shape (3, 1), expected (1,), one per sequence\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_numbers_of_16_bits) {
    const uint16_t ones[3] = {0x3f80, 0x3f80, 0x3f80};
    save("u2.npy", "<u2", "(3, 1)", false, ones, 6);
    save("i2.npy", "<i2", "(3, 1)", false, ones, 6);
    save("big.npy", ">f2", "(3, 1)", false, ones, 6);
    save("short.npy", "<f2", "(3, 1)", false, ones, 5);
    save("long.npy", "<u2", "(1, 1)", false, ones, 3);
    save("f4.npy", "<f2", "(3, 1)", false, (float[]){1, 2, 3}, 12);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"run --q u2.npy --k K.npy --v V.npy --out O.npy",
         "rapt run: --q: u2.npy: dtype '<u2', expected '<f4' (float32) or '<f2' (float16); --bf16 "
         "reads it as bf16\n"},
        {"run --q Q.npy --k u2.npy --v V.npy --out O.npy", "--bf16 reads it as bf16\n"},
        {"run --q Q.npy --k K.npy --v u2.npy --out O.npy", "--bf16 reads it as bf16\n"},
        {RUN " --mask u2.npy", "or '|b1' (bool); --bf16 reads it as bf16\n"},
        {RUN " --alibi u2.npy", "--alibi: u2.npy: dtype '<u2', expected '<f4' (float32)\n"},
        {RUN " --sinks short.npy --bf16",
         "--sinks: short.npy: dtype '<f2', expected '<f4' (float32)\n"},
        {RUN " --kv-len u2.npy --bf16", "dtype '<u2', expected '<i8' (int64) or '<i4' (int32)\n"},
        {"run --q i2.npy --k K.npy --v V.npy --out O.npy",
         "dtype '<i2', expected '<f4' (float32) or '<f2' (float16)\n"},
        {"run --q i2.npy --k K.npy --v V.npy --out O.npy --bf16",
         "'<f4' (float32) or '<f2' (float16) or '<u2' (uint16)\n"},
        {"run --q Q.npy --k big.npy --v V.npy --out O.npy", "dtype '>f2' (big-endian), expected"},
        {"run --q Q.npy --k short.npy --v V.npy --out O.npy",
         "--k: short.npy: 5 bytes of data, expected 6 for shape (3, 1)\n"},
        {"run --q long.npy --k K.npy --v V.npy --out O.npy --bf16",
         "--q: long.npy: 3 bytes of data, expected 2 for shape (1, 1)\n"},
        {RUN " --mask f4.npy", "--mask: f4.npy: 12 bytes of data, expected 6 for shape (3, 1)\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_slopes_and_sinks) {
    SAVE_F32("Q4.npy", "(2, 4, 1, 1)", 1, 1, 1, 1, 1, 1, 1, 1);
    SAVE_F32("K4.npy", "(2, 2, 1, 1)", 1, 1, 1, 1);
    SAVE_F32("heads.npy", "(2,)", 1, 1);
    SAVE_F32("turned.npy", "(4, 2)", 1, 1, 1, 1, 1, 1, 1, 1);
    SAVE_F32("one.npy", "(1, 4)", 1, 1, 1, 1);
    SAVE_F32("deep.npy", "(1, 1, 1)", 1);
    SAVE_F32("scalar.npy", "()", 1);
    SAVE_F32("empty.npy", "(0,)", 0);
    save("f8.npy", "<f8", "(1,)", false, (double[]){1}, 8);
    cr_assert(truncate("empty.npy", 128) == 0);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {RUN " --alibi none.npy", "--alibi: none.npy: No such file"},
        {RUN " --alibi f8.npy", "--alibi: f8.npy: dtype '<f8', expected '<f4' (float32)\n"},
        {RUN " --alibi heads.npy",
         "--alibi: heads.npy: shape (2,), expected (1,) or (1, 1), one per query head\n"},
        {RUN " --sinks deep.npy", "--sinks: deep.npy: shape (1, 1, 1), expected (1,) or (1, 1)"},
        {RUN " --sinks scalar.npy", "--sinks: scalar.npy: shape (), expected (1,) or (1, 1)"},
        {RUN " --sinks empty.npy",
         "--sinks: empty.npy: shape (0,), expected (1,) or (1, 1), one per query head"},
        {RUN4 " --alibi heads.npy", "shape (2,), expected (4,) or (2, 4), one per query head"},
        {RUN4 " --sinks turned.npy", "--sinks: turned.npy: shape (4, 2), expected (4,) or (2, 4)"},
        {RUN4 " --sinks one.npy", "--sinks: one.npy: shape (1, 4), expected (4,) or (2, 4)"},
        {RUN " --alibi=", "--alibi: found \"\", expected FILE.npy"},
        {RUN " --sinks", "--sinks: found no value, expected FILE.npy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_refuses_bad_outputs) {
    cr_assert(symlink("Q.npy", "link.npy") == 0 && symlink("nowhere", "dangling.npy") == 0);
    SAVE_F32("A.npy", "(1,)", 1);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {RUN " --max O.npy", "--max: O.npy: is also --out, expected another file"},
        {RUN " --lse X.npy --max X.npy --weights W.npy", "--max: X.npy: is also --lse"},
        {RUN " --alibi A.npy --max A.npy", "--max: A.npy: is also the input --alibi"},
        {RUN " --sinks A.npy --max ./A.npy", "--max: ./A.npy: is also the input --sinks"},
        {RUN " --max none/M.npy", "--max: none/M.npy: No such file or directory"},
        {RUN " --lse O.npy", "--lse: O.npy: is also --out, expected another file"},
        {RUN " --weights ./O.npy", "--weights: ./O.npy: is also --out"},
        {RUN " --lse K.npy", "--lse: K.npy: is also the input --k, expected another file"},
        {RUN " --lse link.npy", "--lse: link.npy: is also the input --q"},
        {RUN " --lse dangling.npy", "dangling.npy: is a symbolic link to a file that doesn't"},
        {RUN " --lse .", "--lse: .: is a directory, expected a file to write"},
        {RUN " --lse none/L.npy", "--lse: none/L.npy: No such file or directory"},
        {RUN " --lse Q.npy/L.npy", "--lse: Q.npy/L.npy: Not a directory"},
        {RUN " --lse /dev/full", "--lse: /dev/full: is no regular file, expected one, or - for"},
        {RUN " --lse /proc/L.npy", "--lse: /proc/L.npy: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(command, run_replaces_a_file_only_when_all_is_written) {
    float values[2];
    SAVE_F32("real.npy", "(1,)", 7);
    cr_assert(chmod("real.npy", 0640) == 0 && symlink("real.npy", "O.npy") == 0);

    /* The weights don't fit where the output does, and what an OpenMP runtime keeps in a file. */
    enum { KEYS = 1024 };
    static const float zeros[KEYS];
    save("K.npy", "<f4", "(1024, 1)", false, zeros, sizeof zeros);
    save("V.npy", "<f4", "(1024, 1)", false, zeros, sizeof zeros);
    const struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY}, limit = {4096, RLIM_INFINITY};
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

static int longest_line(const char *text) {
    int longest = 0;
    while (*text) {
        const int length = (int)strcspn(text, "\n");
        longest = length > longest ? length : longest;
        text += length + (text[length] == '\n');
    }
    return longest;
}

Test(command, shows_help_and_version) {
    static const char *const commands[] = {"run", "attend", "study", "verify", "isa", "bench"};
    char line[64], usage[64];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        for (int way = 0; way < 2; way++) {
            snprintf(line, sizeof line, way ? "help %s" : "%s --help", commands[i]);
            snprintf(usage, sizeof usage, "Usage: rapt %s", commands[i]);
            cr_expect(rapt(line) == 0 && !*err_text, "rapt %s: %s", line, err_text);
            cr_expect(strncmp(out_text, usage, strlen(usage)) == 0);
            cr_expect(strstr(out_text, "Options:") && strstr(out_text, "Exit codes:"));
            cr_expect_leq(longest_line(out_text), 80, "rapt %s", line);
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
    char isa[32], line[80];
    unsetenv("RAPT_ISA");
    cr_assert(rapt("isa") == 0 && strstr(out_text, "Chosen: "), "%s", out_text);
    cr_assert_eq(sscanf(strstr(out_text, "Chosen: "), "Chosen: %31[a-z0-9]", isa), 1);
    snprintf(line, sizeof line, "verify --isa %s --quick --seed 3", isa);
    cr_expect(rapt(line) == 0, "%s", err_text);
    cr_expect(strstr(out_text, isa), "%s", out_text);
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
