/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run: what tells of the weights, in files of their own. */
#include "tests/support/command.h"

TestSuite(run_observe, .init = enter, .fini = leave, .timeout = 120);

/* Compares a file with numbers. */
static void expect_file(const char *path, const char *shape, const float *expected, size_t count) {
    float found[16];
    load(path, shape, found, count);
    for (size_t i = 0; i < count; i++)
        cr_expect(fabsf(found[i] - expected[i]) <= 1e-5f, "%s: [%zu] is %.9g, expected %.9g", path,
                  i, found[i], expected[i]);
}

static void expect_keys(const char *path, const char *shape, const int32_t *expected,
                        size_t count) {
    int32_t found[16];
    load_as(path, "<i4", shape, found, count * sizeof *found);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(found[i], expected[i], "%s: [%zu] is %d", path, i, (int)found[i]);
}

/* Both queries give their three keys 1/8, 2/8 and 5/8. */
Test(run_observe, known_values) {
    const float h = 2.75f * logf(2) - .625f * logf(5); /* nats */
    cr_assert(rapt(RUN " --scale 1 --entropy E.npy --distance D.npy --received R.npy --top 2 "
                       "--top-keys T.npy --top-weights W.npy --segments S.npy "
                       "--segment-bounds 0,2,2,9 --diagonals G.npy --diagonal-offsets 0,-1") == 0,
              "%s", err_text);
    expect_file("E.npy", "(2,)", (float[]){h, h}, 2);
    expect_file("D.npy", "(2,)", (float[]){1.5f, .75f}, 2);
    expect_file("R.npy", "(3,)", (float[]){.25f, .5f, 1.25f}, 3);
    expect_file("G.npy", "(2, 2)", (float[]){.125f, 0, .25f, .125f}, 4);
    expect_keys("T.npy", "(2, 2)", (int32_t[]){2, 1, 2, 1}, 4);
    expect_file("W.npy", "(2, 2)", (float[]){.625f, .25f, .625f, .25f}, 4);
    expect_file("S.npy", "(2, 3)", (float[]){.375f, 0, .625f, .375f, 0, .625f}, 6);
}

Test(run_observe, fewer_keys_than_asked_for) {
    cr_assert(rapt(RUN " --scale 1 --causal --top-keys T.npy --top-weights W.npy --top=2 "
                       "--received R.npy") == 0,
              "%s", err_text);
    expect_keys("T.npy", "(2, 2)", (int32_t[]){0, -1, 1, 0}, 4);
    expect_file("W.npy", "(2, 2)", (float[]){1, 0, 2 / 3.0f, 1 / 3.0f}, 4);
    expect_file("R.npy", "(3,)", (float[]){4 / 3.0f, 2 / 3.0f, 0}, 3);
}

Test(run_observe, a_row_per_sequence) {
    SAVE_F32("Q.npy", "(2, 1, 1)", 1, 1);
    SAVE_F32("K.npy", "(2, 1, 3, 1)", 0, logf(2), logf(5), logf(3), 0, 7);
    SAVE_F32("V.npy", "(2, 1, 3, 1)", 0, 0, 0, 0, 0, 0);
    SAVE_I64("C.npy", "(3,)", 0, 1, 2);
    SAVE_I64("L.npy", "(2,)", 3, 2);
    cr_assert(rapt(RUN " --scale 1 --cu-q C.npy --kv-len L.npy --received R.npy --entropy E.npy") ==
                  0,
              "%s", err_text);
    expect_file("R.npy", "(2, 1, 3)", (float[]){.125f, .25f, .625f, .75f, .25f, 0}, 6);
    expect_file("E.npy", "(1, 2)",
                (float[]){2.75f * logf(2) - .625f * logf(5), 2 * logf(2) - .75f * logf(3)}, 2);
}

Test(run_observe, refusals) {
    expect_fault(RUN " --top-keys T.npy", "--top-keys: found no --top-weights");
    expect_fault(RUN " --top-weights T.npy", "--top-weights: found no --top-keys");
    expect_fault(RUN " --segments T.npy", "--segments: found no --segment-bounds");
    expect_fault(RUN " --diagonals T.npy", "--diagonals: found no --diagonal-offsets");
    expect_fault(RUN " --diagonal-offsets 0", "--diagonal-offsets: found no --diagonals");
    expect_fault(RUN " --segment-bounds 1,2", "--segment-bounds: found no --segments");
    expect_fault(RUN " --segments S.npy --segment-bounds 1", "--segment-bounds: found 1 number");
    expect_fault(RUN " --segments S.npy --segment-bounds 2,1", "segment_bounds[1]: found 1");
    expect_fault(RUN " --top 0 --top-keys T.npy --top-weights W.npy", "--top: found \"0\"");
    expect_fault(RUN " --entropy O.npy", "O.npy");
}
