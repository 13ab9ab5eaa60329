/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rapt run on int8 and q8_0 keys and values. It gives the results of a run in float32 on the
 * numbers that they stand for, and the same bits in every layout.
 */
#include "tests/support/command.h"
#include "oracle/storage.h"

TestSuite(run_storage, .init = enter, .fini = leave, .timeout = 120);

enum { BATCH = 2, HEADS = 2, KEYS = 5, DIM = 64, ROWS = BATCH * HEADS * KEYS };
enum { BLOCK = 32, BLOCK_BYTES = 34, ROW_BYTES = DIM / BLOCK * BLOCK_BYTES };

/* The keys or the values, of the shape (2, 2, 5, 64). */
struct stored {
    int8_t numbers[ROWS][DIM];
    float scales[ROWS];
    unsigned char blocks[ROWS][ROW_BYTES];
    float of_int8[ROWS][DIM], of_blocks[ROWS][DIM]; /* what they stand for */
};

static struct stored make_stored(int seed) {
    struct stored s;
    for (int row = 0; row < ROWS; row++) {
        s.scales[row] = .01f + .02f * fabsf(sinf((float)(row * seed)));
        for (int c = 0; c < DIM; c++) {
            unsigned char *block = &s.blocks[row][c / BLOCK * BLOCK_BYTES];
            if (c % BLOCK == 0)
                storage_write(RAPT_F16, block, (c ? -.7f : 1) * s.scales[row]);
            s.numbers[row][c] = (int8_t)(seed * 41 + row * 89 + c * 57 + c * c * 3);
            memcpy(&block[2 + c % BLOCK], &s.numbers[row][c], 1);
            s.of_int8[row][c] = s.scales[row] * (float)s.numbers[row][c];
            s.of_blocks[row][c] = storage_read(RAPT_F16, block) * (float)s.numbers[row][c];
        }
    }
    return s;
}

/* Saves all forms of it. The files of pages hold the second sequence before the first. */
static void save_stored(const char *name, const struct stored *s) {
    static int8_t fortran[sizeof s->numbers];
    float scales[ROWS], paged_scales[ROWS];
    int8_t bshd[ROWS][DIM], pages[ROWS][DIM];
    char path[32];
    for (int row = 0; row < ROWS; row++) {
        const int b = row / KEYS / HEADS, h = row / KEYS % HEADS, j = row % KEYS;
        const int to = (b * KEYS + j) * HEADS + h, page = (row + ROWS / 2) % ROWS;
        scales[to] = paged_scales[page] = s->scales[row];
        memcpy(bshd[to], s->numbers[row], DIM);
        memcpy(pages[page], s->numbers[row], DIM);
        for (int c = 0; c < DIM; c++)
            fortran[((c * KEYS + j) * HEADS + h) * BATCH + b] = s->numbers[row][c];
    }
#define SAVE_AS(suffix, descr, shape, is_fortran, data)                                            \
    (snprintf(path, sizeof path, "%s-%s.npy", name, suffix),                                       \
     save(path, descr, shape, is_fortran, data, sizeof data))
    SAVE_AS("i8", "|i1", "(2, 2, 5, 64)", false, s->numbers);
    SAVE_AS("i8-scale", "<f4", "(2, 2, 5)", false, s->scales);
    SAVE_AS("i8-bshd", "|i1", "(2, 5, 2, 64)", false, bshd);
    SAVE_AS("i8-bshd-scale", "<f4", "(2, 5, 2)", false, scales);
    SAVE_AS("i8-tokens", "|i1", "(10, 2, 64)", false, bshd);
    SAVE_AS("i8-tokens-scale", "<f4", "(10, 2)", false, scales);
    SAVE_AS("i8-fortran", "|i1", "(2, 2, 5, 64)", true, fortran);
    SAVE_AS("i8-pages", "|i1", "(2, 2, 5, 64)", false, pages);
    SAVE_AS("i8-pages-scale", "<f4", "(2, 2, 5)", false, paged_scales);
    SAVE_AS("i8-f32", "<f4", "(2, 2, 5, 64)", false, s->of_int8);
    SAVE_AS("q8", "|u1", "(2, 2, 5, 68)", false, s->blocks);
    SAVE_AS("q8-f32", "<f4", "(2, 2, 5, 64)", false, s->of_blocks);
#undef SAVE_AS
}

static void save_all(void) {
    float query[BATCH * 2 * HEADS * 3 * DIM];
    for (size_t i = 0; i < sizeof query / sizeof *query; i++)
        query[i] = sinf((float)(i * i));
    save("Q.npy", "<f4", "(2, 4, 3, 64)", false, query, sizeof query);
    const struct stored key = make_stored(1), value = make_stored(2);
    save_stored("K", &key);
    save_stored("V", &value);
    SAVE_I64("c.npy", "(3,)", 0, 5, 10);
    SAVE_I64("n.npy", "(2,)", 5, 5);
    SAVE_I64("t.npy", "(2, 1)", 1, 0);
}

enum { OUT = BATCH * 2 * HEADS * 3 * DIM };

static void run(const char *options, const char *shape, float out[OUT]) {
    char line[512];
    snprintf(line, sizeof line, "run --q Q.npy --out O.npy %s", options);
    cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
    load("O.npy", shape, out, OUT);
}

#define INT8 "--k K-i8.npy --v V-i8.npy --k-scale K-i8-scale.npy --v-scale V-i8-scale.npy"

/* Scales of int8 multiply sums, so that its results are those in float32 but for their rounding. */
Test(run_storage, int8_is_close_to_what_it_stands_for) {
    static const struct {
        const char *stored, *f32;
    } cases[] = {
        {INT8, "--k K-i8-f32.npy --v V-i8-f32.npy"},
        {"--k K-i8.npy --v V-q8-f32.npy --k-scale K-i8-scale.npy --causal",
         "--k K-i8-f32.npy --v V-q8-f32.npy --causal"},
        {"--k K-q8-f32.npy --v V-i8.npy --v-scale V-i8-scale.npy",
         "--k K-q8-f32.npy --v V-i8-f32.npy"},
    };
    float found[OUT], expected[OUT];
    save_all();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float largest = 0;
        run(cases[i].stored, "(2, 4, 3, 64)", found);
        run(cases[i].f32, "(2, 4, 3, 64)", expected);
        for (int k = 0; k < OUT; k++)
            largest = fmaxf(largest, fabsf(expected[k]));
        for (int k = 0; k < OUT; k++)
            cr_assert_float_eq(found[k], expected[k], 1e-5f * largest, "%s", cases[i].stored);
    }
}

Test(run_storage, numbers_of_8_bits_are_the_same_however_they_come) {
    static const char as_q[] = "(2, 4, 3, 64)";
    static const struct {
        const char *stored, *same;
    } cases[] = {
        {"--k K-i8-fortran.npy --v V-i8.npy --k-scale K-i8-scale.npy --v-scale V-i8-scale.npy",
         INT8},
        {"--k K-i8-tokens.npy --v V-i8-tokens.npy --k-scale K-i8-tokens-scale.npy "
         "--v-scale V-i8-tokens-scale.npy --cu-k c.npy",
         INT8},
        {"--k K-i8-pages.npy --v V-i8-pages.npy --k-scale K-i8-pages-scale.npy "
         "--v-scale V-i8-pages-scale.npy --block-table t.npy --kv-len n.npy --causal",
         INT8 " --causal"},
        {"--k K-q8.npy --v V-q8.npy --q8-0", "--k K-q8-f32.npy --v V-q8-f32.npy"},
        {"--k K-q8.npy --v V-i8.npy --v-scale V-i8-scale.npy --q8-0 --window 1,2 --isa scalar",
         "--k K-q8-f32.npy --v V-i8.npy --v-scale V-i8-scale.npy --window 1,2"},
        {"--k K-i8-f32.npy --v V-q8.npy --q8-0 --softcap 2",
         "--k K-i8-f32.npy --v V-q8-f32.npy --softcap 2"},
    };
    float found[OUT], expected[OUT];
    save_all();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run(cases[i].stored, as_q, found);
        run(cases[i].same, as_q, expected);
        cr_expect(memcmp(found, expected, sizeof found) == 0, "%s", cases[i].stored);
    }
}

Test(run_storage, numbers_of_8_bits_in_every_layout) {
    float query[OUT], found[OUT], expected[OUT];
    save_all();
    for (int i = 0; i < OUT; i++)
        query[i] = sinf((float)i);
    save("Q.npy", "<f4", "(2, 3, 4, 64)", false, query, sizeof query);
    run("--layout bshd --k K-i8-bshd.npy --v V-i8-bshd.npy --k-scale K-i8-bshd-scale.npy "
        "--v-scale V-i8-bshd-scale.npy",
        "(2, 3, 4, 64)", found);
    for (int i = 0; i < OUT; i++) {
        const int c = i % DIM, h = i / DIM % 4, s = i / DIM / 4 % 3, b = i / DIM / 12;
        expected[((b * 4 + h) * 3 + s) * DIM + c] = query[i];
    }
    save("Q.npy", "<f4", "(2, 4, 3, 64)", false, expected, sizeof expected);
    run(INT8, "(2, 4, 3, 64)", expected);
    for (int i = 0; i < OUT; i++) {
        const int c = i % DIM, h = i / DIM % 4, s = i / DIM / 4 % 3, b = i / DIM / 12;
        cr_expect(found[i] == expected[((b * 4 + h) * 3 + s) * DIM + c], "[%d]", i);
    }
}

#define KV8 "run --q Q.npy --k K-i8.npy --v V-i8.npy --out O.npy"

Test(run_storage, refuses_bad_numbers_of_8_bits) {
    const unsigned char bytes[2 * 2 * 5 * 67] = {0};
    save_all();
    save("odd.npy", "|u1", "(2, 2, 5, 67)", false, bytes, sizeof bytes);
    save("one.npy", "|u1", "(2, 2, 5, 34)", false, bytes, 680);
    save("turned.npy", "|u1", "(2, 2, 5, 34)", true, bytes, 680);
    save("short.npy", "|i1", "(2, 2, 5, 64)", false, bytes, 1279);
    save("query.npy", "|i1", "(2, 4, 3, 2)", false, bytes, 48);
    save("double.npy", "<f8", "(2, 2, 5)", false, bytes, 160);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {KV8, "rapt run: --k: K-i8.npy: found int8 but no --k-scale, expected it, too\n"},
        {KV8 " --k-scale K-i8-scale.npy",
         "--v: V-i8.npy: found int8 but no --v-scale, expected it, too\n"},
        {KV8 " --k-scale K-i8-bshd-scale.npy --v-scale V-i8-scale.npy",
         "--k-scale: K-i8-bshd-scale.npy: shape (2, 5, 2), expected (2, 2, 5), one per position "
         "and head of --k\n"},
        {KV8 " --k-scale K-i8-scale.npy --v-scale V-i8-f32.npy",
         "--v-scale: V-i8-f32.npy: shape (2, 2, 5, 64), expected (2, 2, 5), one per position"},
        {KV8 " --k-scale double.npy --v-scale V-i8-scale.npy",
         "--k-scale: double.npy: dtype '<f8', expected '<f4' (float32)\n"},
        {KV8 " --k-scale none.npy --v-scale V-i8-scale.npy", "--k-scale: none.npy: No such file"},
        {KV8 " --k-scale=", "--k-scale: found \"\", expected FILE.npy\n"},
        {"run --q Q.npy --k K-i8-f32.npy --v V-i8-f32.npy --out O.npy --k-scale K-i8-scale.npy",
         "--k-scale: found \"K-i8-scale.npy\", expected --k to be int8\n"},
        {"run --q Q.npy --k K-q8.npy --v V-q8.npy --out O.npy --q8-0 --v-scale V-i8-scale.npy",
         "--v-scale: found \"V-i8-scale.npy\", expected --v to be int8\n"},
        {"run --q Q.npy --k K-q8.npy --v V-q8.npy --out O.npy",
         "--k: K-q8.npy: dtype '|u1', expected '<f4' (float32) or '<f2' (float16) or '|i1' (int8); "
         "--q8-0 reads uint8 as q8_0\n"},
        {"run --q K-q8.npy --k K-q8.npy --v V-q8.npy --out O.npy --q8-0",
         "--q: K-q8.npy: dtype '|u1', expected '<f4' (float32) or '<f2' (float16)\n"},
        {"run --q query.npy --k K-i8.npy --v V-i8.npy --out O.npy",
         "--q: query.npy: dtype '|i1', expected '<f4' (float32) or '<f2' (float16)\n"},
        {"run --q Q.npy --k odd.npy --v V-q8.npy --out O.npy --q8-0",
         "--k: odd.npy: shape (2, 2, 5, 67), expected a last dimension of dim / 32 * 34 bytes\n"},
        {"run --q Q.npy --k turned.npy --v V-q8.npy --out O.npy --q8-0",
         "--k: turned.npy: Fortran order, expected C order for q8_0\n"},
        {"run --q Q.npy --k one.npy --v V-q8.npy --out O.npy --q8-0", "key: shape[3] (channels)"},
        {"run --q Q.npy --k short.npy --v V-i8.npy --out O.npy",
         "--k: short.npy: 1279 bytes of data, expected 1280 for shape (2, 2, 5, 64)\n"},
        {KV8 " --mask K-q8.npy --q8-0", "--k: K-i8.npy: found int8 but no --k-scale"},
        {KV8 " --k-scale K-i8-scale.npy --v-scale V-i8-scale.npy --mask K-i8.npy",
         "--mask: K-i8.npy: dtype '|i1', expected '<f4' (float32) or '<f2' (float16) or '|b1'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}
