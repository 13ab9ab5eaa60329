/* SPDX-License-Identifier: Apache-2.0 */
/* Where the command reads and writes: pipes, standard streams, and files that are one another. */
#include "tests/support/command.h"

TestSuite(files, .init = enter, .fini = leave, .timeout = 600);

#define RUN_FROM(query) "run --k K.npy --v V.npy --out O.npy --q " query
#define RAPT "\"$RAPT_COMMAND\" "

/* Runs a line of the shell in the scratch folder; what it prints on stderr is in err_text. */
static int shell(const char *line) {
    char whole[1024];
    snprintf(whole, sizeof whole, "{ %s; } 2>../err", line);
    const int status = system(whole);
    slurp("../err", err_text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_same(const char *path, const char *other, const char *line) {
    char first[TEXT_SIZE], second[TEXT_SIZE];
    FILE *a = fopen(path, "rb"), *b = fopen(other, "rb");
    cr_assert(a && b, "%s: %s", line, err_text);
    const size_t size = fread(first, 1, sizeof first, a);
    cr_expect(size > 0 && fread(second, 1, sizeof second, b) == size &&
                  memcmp(first, second, size) == 0,
              "%s: another result", line);
    fclose(a);
    fclose(b);
}

Test(files, are_pipes_as_well) {
    static const char *const lines[] = {
        "cat Q.npy | " RAPT "run --q - --k K.npy --v V.npy --out piped",
        RAPT "run --q - --k K.npy --v V.npy --out piped <Q.npy",
        RAPT "run --q /dev/stdin --k K.npy --v V.npy --out piped <Q.npy",
        "cat K.npy | " RAPT "run --q Q.npy --k /dev/stdin --v V.npy --out piped",
        "{ head -c 60 V.npy; sleep 0; tail -c +61 V.npy; } | " RAPT
        "run --q Q.npy --k K.npy --v - --out piped",
        "cat K.npy >fifo & " RAPT "run --q - --k fifo --v V.npy --out piped <Q.npy; wait",
        "{ dd bs=3 count=1 status=none >/dev/null; " RAPT
        "run --q - --k K.npy --v V.npy --out piped; } <shifted",
        "cat Q.npy | " RAPT "run --q - --k K.npy --v V.npy --out - >piped",
        RAPT "run --q Q.npy --k K.npy --v V.npy --out - --lse L.npy | cat >piped",
        RAPT "run --q Q.npy --k K.npy --v V.npy --lse L.npy --out=- --causal --q-offset - <N.npy "
             ">piped",
    };
    SAVE_I64("N.npy", "(1,)", 3);
    cr_assert(shell("printf abc | cat - Q.npy >shifted; mkfifo fifo") == 0);
    cr_assert(rapt(RUN) == 0, "%s", err_text);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cr_expect(shell(lines[i]) == 0 && !*err_text, "%s: %s", lines[i], err_text);
        expect_same("piped", "O.npy", lines[i]);
        remove("piped");
    }
}

/* More than is taken from a pipe at once. */
Test(files, are_long_pipes) {
    enum { ROWS = 700001 };
    float *values = malloc(ROWS * sizeof *values);
    for (int i = 0; i < ROWS; i++)
        values[i] = (float)i;
    save("V.npy", "<f4", "(1, 700001)", false, values, ROWS * sizeof *values);
    SAVE_F32("K.npy", "(1, 1)", 1);
    SAVE_F32("Q.npy", "(1, 1)", 1);
    cr_expect(shell("cat V.npy | " RAPT "run --q Q.npy --k K.npy --v - --out O.npy") == 0);
    cr_expect(shell("tail -c 2800004 O.npy >o; tail -c 2800004 V.npy >v; cmp o v") == 0, "%s",
              err_text);
    free(values);
}

Test(files, that_are_no_arrays_are_told) {
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"head -c 131 Q.npy | " RAPT RUN_FROM("-"), "--q: -: 3 bytes of data, expected 8\n"},
        {"head -c 90 Q.npy | " RAPT RUN_FROM("-"), "--q: -: ends inside the .npy header\n"},
        {"cat Q.npy Q.npy | " RAPT RUN_FROM("-"), "--q: -: more than the expected 8 bytes of"},
        {": | " RAPT RUN_FROM("-"), "--q: -: not a .npy file"},
        {"cat huge.npy | " RAPT RUN_FROM("-"), "12 bytes of data, expected 4611686018427387904\n"},
        {RAPT RUN_FROM("-") " <.", "--q: -: is a directory, expected a file\n"},
        {RAPT RUN_FROM("- --mask -") " <Q.npy", "--mask: -: is also the input --q, expected"},
        {RAPT RUN_FROM("fifo --mask fifo & cat Q.npy >fifo; wait $!"),
         "--mask: fifo: is also the input --q, expected another file\n"},
        {RAPT RUN_FROM("Q.npy --lse -") " >/dev/full", "--lse: standard output: No space left"},
        {RAPT RUN_FROM("Q.npy --lse - --max -"), "--max: -: is also --lse, expected another"},
        {RAPT RUN_FROM("Q.npy") " >>Q.npy", "--q: Q.npy: is also standard output, expected an"},
        {RAPT RUN_FROM("Q.npy") " >>O.npy", "--out: O.npy: is also standard output, expected an"},
        {RAPT "study softmax --quick --json S >>S", "--json: S: is also standard output, expec"},
        {RAPT "attend --svg S >>S", "--svg: S: is also standard output, expected another file\n"},
        {RAPT "attend --html S >>S", "--html: S: is also standard output, expected another fi"},
    };
    SAVE_F32("huge.npy", "(1152921504606846976, 1)", 1, 2, 3);
    cr_assert(mkfifo("fifo", 0600) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect(shell(cases[i].line) == 2, "%s", cases[i].line);
        cr_expect(strstr(err_text, cases[i].message), "%s: %s", cases[i].line, err_text);
    }
    struct stat status;
    cr_expect(stat("O.npy", &status) == 0 && status.st_size == 0); /* the shell made it */
}

/* Under every name that a file has. */
Test(files, are_no_outputs_if_they_are_inputs) {
    static const struct {
        const char *input, *line;
    } inputs[] = {
        {"q", "run --q in.npy --k K.npy --v V.npy"},
        {"k", "run --q Q.npy --k in.npy --v V.npy"},
        {"v", "run --q Q.npy --k K.npy --v in.npy"},
        {"mask", "run --q Q.npy --k K.npy --v V.npy --mask in.npy"},
        {"alibi", "run --q Q.npy --k K.npy --v V.npy --alibi in.npy"},
        {"sinks", "run --q Q.npy --k K.npy --v V.npy --sinks in.npy"},
        {"kv-len", "run --q Q.npy --k K.npy --v V.npy --kv-len in.npy"},
        {"q-offset", "run --q Q.npy --k K.npy --v V.npy --causal --q-offset in.npy"},
    };
    static const char *const outputs[] = {"out",
                                          "out O.npy --lse",
                                          "out O.npy --max",
                                          "out O.npy --weights",
                                          "out O.npy --entropy",
                                          "out O.npy --received"};
    static const char *const names[] = {"in.npy", "./in.npy", "../w/in.npy", "hard.npy",
                                        "soft.npy"};
    const float keys[] = {0, 1, 2}, zero = 0;
    const int64_t two = 2;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        const bool is_tensor = i<3, is_number = i> 5;
        save("in.npy", is_number ? "<i8" : "<f4", is_tensor ? "(3, 1)" : "(1,)", false,
             is_tensor   ? (const void *)keys
             : is_number ? (const void *)&two
                         : &zero,
             is_tensor   ? sizeof keys
             : is_number ? sizeof two
                         : sizeof zero);
        cr_assert(link("in.npy", "hard.npy") == 0 && symlink("in.npy", "soft.npy") == 0);
        for (size_t k = 0; k < sizeof outputs / sizeof *outputs * 5; k++) {
            char line[256], message[128];
            const char *output = outputs[k / 5], *name = names[k % 5];
            snprintf(line, sizeof line, "%s --%s %s", inputs[i].line, output, name);
            const char *last = strstr(output, "--");
            snprintf(message, sizeof message,
                     "rapt run: --%s: %s: is also the input --%s, expected another file\n",
                     last ? last + 2 : output, name, inputs[i].input);
            expect_fault(line, message);
        }
        cr_assert(unlink("hard.npy") == 0 && unlink("soft.npy") == 0);
    }
    /* Two outputs may be links of one file, too. */
    cr_assert(link("in.npy", "hard.npy") == 0);
    expect_fault(RUN " --lse in.npy --max hard.npy", "--max: hard.npy: is also --lse, expected");
}

/* The other commands print something else without it. */
Test(files, that_are_standard_output_are_alone_there) {
    static const struct {
        const char *line, *start, *end;
    } cases[] = {
        {"attend --svg -", "<?xml ", "</svg>\n"},
        {"attend --html - --sentence 1", "<!doctype html>", NULL},
        {"study softmax --quick --json -", "{\n", "}\n"},
        {"bench --shape 1,1,1,8,8,8 --threads 1 --isa scalar --quick --time 0.001 --json -", "{",
         "}\n"},
        {"bench --shape 1,1,1,8,8,8 --threads 1 --isa scalar --quick --time 0.001 --html -",
         "<!doctype html>", "</html>\n"},
        {"bench --shape 1,1,1,8,8,8 --threads 1 --isa scalar --quick --time 0.001 --csv - --json J",
         "case", "\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect(rapt(cases[i].line) == 0, "%s: %s", cases[i].line, err_text);
        const size_t length = strlen(out_text), end = cases[i].end ? strlen(cases[i].end) : 0;
        cr_expect(strncmp(out_text, cases[i].start, strlen(cases[i].start)) == 0, "%s: %.40s",
                  cases[i].line, out_text);
        cr_expect(length > end && strcmp(out_text + length - end, end ? cases[i].end : "") == 0,
                  "%s: %s", cases[i].line, out_text);
    }
}

Test(files, that_are_arrays_are_kept_from_a_terminal) {
    char name[] = "rapt", run[] = "run", q[] = "--q=Q.npy", k[] = "--k=K.npy", v[] = "--v=V.npy";
    char out[] = "--out=-", *words[] = {name, run, q, k, v, out, NULL};
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    const int user = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(user >= 0);
    cr_expect(spawn_rapt(words, user) == 2);
    cr_expect_str_eq(err_text, "rapt run: --out: standard output: is a terminal, expected a file "
                               "or a pipe\n");
    close(user);
    close(terminal);
}

/* What NumPy writes of ml_dtypes' bfloat16: two bytes of no type. */
Test(files, may_hold_the_bfloat16_of_ml_dtypes) {
    static const uint16_t bits[] = {0x3f80, 0x4000, 0xc040};
    char expected[6], found[6];
    save("V.npy", "<u2", "(3, 1)", false, bits, sizeof bits);
    cr_assert(rapt(RUN " --bf16 --out-type bf16") == 0, "%s", err_text);
    load_as("O.npy", "<u2", "(2, 1)", expected, 4);
    static const char *const types[] = {"<V2", "|V2", "bfloat16"};
    for (int i = 0; i < 3; i++) {
        save("V.npy", types[i], "(3, 1)", false, bits, sizeof bits);
        cr_assert(rapt(RUN " --bf16 --out-type bf16") == 0, "%s", err_text);
        load_as("O.npy", "<u2", "(2, 1)", found, 4);
        cr_expect(memcmp(found, expected, 4) == 0);
        expect_fault(RUN, "or '|i1' (int8); --bf16 reads it as bf16\n");
    }
    save("V.npy", "<V4", "(3, 1)", false, (float[]){1, 2, 3}, 12);
    expect_fault(RUN " --bf16", "dtype '<V4', expected");
}

Test(files, and_options_without_effect_are_refused) {
    static const struct {
        const char *line, *message;
    } cases[] = {
        {RUN " --top 3", "--top: found no --top-keys, expected it, too\n"},
        {RUN " --top-keys T.npy", "--top-keys: found no --top-weights, expected it, too\n"},
        {RUN " --top-weights T.npy", "--top-weights: found no --top-keys, expected it, too\n"},
        {RUN " --segments S.npy", "--segments: found no --segment-bounds, expected it, too\n"},
        {RUN " --segment-bounds 0,1", "--segment-bounds: found no --segments, expected it, too\n"},
        {RUN " --diagonals S.npy", "--diagonals: found no --diagonal-offsets, expected it, too\n"},
        {RUN " --diagonal-offsets 0", "--diagonal-offsets: found no --diagonals, expected it, t"},
        {RUN " --q-offset 1", "--q-offset: found none of --causal, --window, --alibi, --distance, "
                              "--diagonals, expected one of them, too\n"},
        {"attend --beside 2", "--beside: found no --html, expected it, too\n"},
        {"attend --word it --html a", "--word: found no --explain, expected it, too\n"},
        {"attend --html a --layer 1", "--html: found also --layer, expected one of the two\n"},
        {"attend --html a --head all", "--html: found also --head, expected one of the two\n"},
        {"attend --html a --no-color", "--html: found also --no-color, expected one of the two"},
        {"attend --html a --width 60", "--html: found also --width, expected one of the two\n"},
        {"attend --html a --explain", "--explain: found also --html, expected one of the two\n"},
        {"attend --png a --no-color", "--png: found also --no-color, expected one of the two\n"},
        {"attend --svg a --width 60", "--svg: found also --width, expected one of the two\n"},
        {"attend --list --layer 1", "--list: found also --layer, expected one of the two\n"},
        {"attend --list --sentence 1", "--list: found also --sentence, expected one of the two\n"},
        {"attend --list --svg a", "--list: found also --svg, expected one of the two\n"},
        {"attend --list --threads 1", "--list: found also --threads, expected one of the two\n"},
        {"attend one two", "found \"two\" after a text, expected no more texts without --html"},
        {"attend one two three --html a", "found \"three\" after two texts, expected no more"},
        {"attend one two --explain", "found \"two\" after a text, expected no more texts"},
        {"study --list scale", "--list: found also TEXT, expected one of the two\n"},
        {"study --list --seed 2", "--list: found also --seed, expected one of the two\n"},
        {"study --list --json a", "--list: found also --json, expected one of the two\n"},
        {"bench --weak", "--weak is for rapt bench scaling alone\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}
