/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run of files without elements: files without elements, or rows without keys. */
#include "tests/support/command.h"

TestSuite(run_empty, .init = enter, .fini = leave);

static void save_empty(const char *path, const char *descr, const char *shape) {
    save(path, descr, shape, false, "", 0);
}

static void expect_run(const char *line) {
    cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
}

static void expect_empty(const char *path, const char *shape) {
    load(path, shape, NULL, 0);
}

#define ALL                                                                                        \
    "--lse L.npy --max M.npy --weights W.npy --entropy E.npy --received R.npy --top-weights T.npy" \
    " --top-keys I.npy --top 2"

Test(run_empty, batches_heads_and_queries) {
    static const struct {
        const char *q, *k, *out, *lse, *weights, *received, *top;
    } shapes[] = {
        {"(0, 4, 3, 2)", "(0, 2, 5, 2)", "(0, 4, 3, 2)", "(0, 4, 3)", "(0, 4, 3, 5)", "(0, 4, 5)",
         "(0, 4, 3, 2)"},
        {"(3, 0, 3, 2)", "(3, 0, 5, 2)", "(3, 0, 3, 2)", "(3, 0, 3)", "(3, 0, 3, 5)", "(3, 0, 5)",
         "(3, 0, 3, 2)"},
        {"(1, 4, 0, 2)", "(1, 2, 0, 2)", "(1, 4, 0, 2)", "(1, 4, 0)", "(1, 4, 0, 0)", "(1, 4, 0)",
         "(1, 4, 0, 2)"},
        {"(0, 2)", "(0, 2)", "(0, 2)", "(0,)", "(0, 0)", "(0,)", "(0, 2)"},
    };
    static const char *const layouts[] = {"", " --threads 2 --causal"};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) {
            char line[400];
            save_empty("Q.npy", "<f4", shapes[i].q);
            save_empty("K.npy", "<f4", shapes[i].k);
            save_empty("V.npy", "<f4", shapes[i].k);
            snprintf(line, sizeof line, RUN " " ALL "%s", layouts[k]);
            expect_run(line);
            expect_empty("O.npy", shapes[i].out);
            expect_empty("L.npy", shapes[i].lse);
            expect_empty("M.npy", shapes[i].lse);
            expect_empty("W.npy", shapes[i].weights);
            expect_empty("R.npy", shapes[i].received);
            expect_empty("T.npy", shapes[i].top);
            load_as("I.npy", "<i4", shapes[i].top, NULL, 0);
        }
}

Test(run_empty, keys) {
    float out[2], lse[2], entropy[2], top[4];
    int32_t keys[4];
    save_empty("K.npy", "<f4", "(0, 1)");
    save_empty("V.npy", "<f4", "(0, 1)");
    expect_run(RUN " " ALL);
    load("O.npy", "(2, 1)", out, 2);
    load("L.npy", "(2,)", lse, 2);
    load("E.npy", "(2,)", entropy, 2);
    load("T.npy", "(2, 2)", top, 4);
    load_as("I.npy", "<i4", "(2, 2)", keys, sizeof keys);
    expect_empty("W.npy", "(2, 0)");
    expect_empty("R.npy", "(0,)");
    for (int i = 0; i < 2; i++)
        cr_expect(out[i] == 0 && lse[i] == -INFINITY && entropy[i] == 0);
    for (int i = 0; i < 4; i++)
        cr_expect(top[i] == 0 && keys[i] == -1);
}

/* What no query asks for has received nothing. */
Test(run_empty, queries) {
    float received[3] = {1, 1, 1};
    save_empty("Q.npy", "<f4", "(0, 1)");
    expect_run(RUN " " ALL);
    expect_empty("O.npy", "(0, 1)");
    load("R.npy", "(3,)", received, 3);
    cr_expect(received[0] == 0 && received[1] == 0 && received[2] == 0);
}

/* Packed sequences without tokens, and no sequences at all. */
Test(run_empty, ragged) {
    static const char *const received[] = {"(2, 1, 0)", "(0, 1, 0)"};
    for (int i = 0; i < 2; i++) {
        save_empty("Q.npy", "<f4", "(0, 1, 1)");
        save_empty("K.npy", "<f4", "(0, 1, 1)");
        save_empty("V.npy", "<f4", "(0, 1, 1)");
        if (i == 0)
            SAVE_I64("N.npy", "(3,)", 0, 0, 0);
        else
            SAVE_I64("N.npy", "(1,)", 0);
        expect_run(RUN " " ALL " --cu-q N.npy --cu-k N.npy --causal --q-offset end");
        expect_empty("O.npy", "(0, 1, 1)");
        expect_empty("L.npy", "(1, 0)");
        expect_empty("W.npy", "(1, 0, 0)");
        expect_empty("R.npy", received[i]);
    }
    save_empty("N.npy", "<i8", "(0,)");
    cr_expect_eq(rapt(RUN " "
                          "--cu-q N.npy --cu-k N.npy"),
                 2);
    cr_expect_str_eq(err_text,
                     "rapt run: --cu-q: N.npy: shape (0,), expected one dimension of 1 or "
                     "more, a number more than sequences\n");
}

Test(run_empty, pages_and_scales) {
    float out[2];
    save_empty("K.npy", "|i1", "(0, 1, 4, 1)");
    save_empty("V.npy", "|i1", "(0, 1, 4, 1)");
    save_empty("S.npy", "<f4", "(0, 1, 4)");
    save_empty("B.npy", "<i4", "(1, 0)");
    SAVE_I64("N.npy", "(1,)", 0);
    expect_run(RUN " "
                   "--k-scale S.npy --v-scale S.npy --block-table B.npy --kv-len N.npy");
    load("O.npy", "(2, 1)", out, 2);
    cr_expect(out[0] == 0 && out[1] == 0);
}

/* A mask without columns, and one for no rows. */
Test(run_empty, masks) {
    float out[2];
    save_empty("M.npy", "<f4", "(2, 0)");
    SAVE_I64("N.npy", "(1,)", 1);
    expect_run(RUN " "
                   "--mask M.npy --mask-start N.npy");
    load("O.npy", "(2, 1)", out, 2);
    cr_expect(out[0] == 8 && out[1] == 8); /* the key before its start alone */
    cr_expect_eq(rapt(RUN " "
                          "--mask M.npy"),
                 2);
    cr_expect(strstr(err_text, "mask: shape[3] (channels) is 0, expected 3 or 1"), "%s", err_text);
}

/* Channels there have to be. */
Test(run_empty, no_channels) {
    save_empty("Q.npy", "<f4", "(2, 0)");
    save_empty("K.npy", "<f4", "(3, 0)");
    cr_expect_eq(rapt(RUN " "), 2);
    cr_expect(strstr(err_text, "query: shape[3] (channels) is 0, expected 1 to"), "%s", err_text);
    cr_expect(access("O.npy", F_OK) != 0);
}
