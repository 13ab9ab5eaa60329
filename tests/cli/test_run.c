/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run: what it computes and writes, from files of every layout and type. */
#include "tests/support/command.h"
#include "oracle/storage.h"

TestSuite(run, .init = enter, .fini = leave, .timeout = 120);

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

Test(run, computes_known_values) {
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

Test(run, scales_and_caps) {
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

Test(run, gives_the_same_bits_for_every_layout) {
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

Test(run, takes_slopes_and_sinks) {
    float lse[2], max[2], weights[6];
    SAVE_F32("S.npy", "(1,)", logf(8)); /* as much as the three keys together */
    expect_rows("--sinks S.npy --lse L.npy --weights W.npy --max M.npy", 10, 10);
    load("L.npy", "(2,)", lse, 2);
    load("M.npy", "(2,)", max, 2);
    load("W.npy", "(2, 3)", weights, 6);
    expect_near(lse, (float[]){logf(16), logf(16)}, 2, "lse");
    expect_near(max, (float[]){logf(5), logf(5)}, 2, "max");
    expect_near(weights, (float[]){1 / 16.f, 2 / 16.f, 5 / 16.f, 1 / 16.f, 2 / 16.f, 5 / 16.f}, 6,
                "weights");
    SAVE_F32("S.npy", "(1, 1)", -INFINITY);
    expect_rows("--sinks S.npy", 20, 20);

    /* Each step of distance halves: 1 2/2 5/4 at position 0, 1/2 2 5/2 at 1, 1/4 2/2 5 at 2. */
    SAVE_F32("A.npy", "(1, 1)", logf(2));
    expect_rows("--alibi A.npy --max M.npy", 54 / 3.25f, 19.2f);
    load("M.npy", "(2,)", max, 2);
    expect_near(max, (float[]){logf(1.25f), logf(2.5f)}, 2, "max");
    SAVE_F32("S.npy", "(1,)", logf(5));
    expect_rows("--alibi A.npy --sinks S.npy --q-offset 1", 9.6f, 138 / 11.25f);
    expect_rows("--alibi A.npy --window 0,0 --max M.npy --q-offset 7", 0, 0);
    load("M.npy", "(2,)", max, 2);
    expect_near(max, (float[]){-INFINITY, -INFINITY}, 2, "max of nothing");
}

/*
 * Two batches of two heads. Both keys have the score 0, and the values are 0 and 12. So the query
 * at the last one's position gets 12 / (1 + exp(-slope) + exp(sink)).
 */
Test(run, takes_slopes_and_sinks_per_head_and_batch) {
    const float slopes[2][2] = {{0, logf(2)}, {logf(4), logf(8)}}, none[2] = {0, 0};
    const float turned[2][2] = {{0, logf(4)}, {logf(2), logf(8)}}, sinks[2] = {0, logf(3)};
    const float per_head[4] = {6, 8, 6, 8}, per_batch[4] = {6, 8, 9.6f, 12 / 1.125f};
    const float both[4] = {4, 12 / 4.5f, 12 / 2.25f, 12 / 4.125f};
    float found[4];
    SAVE_F32("Q.npy", "(2, 2, 1, 1)", 1, 1, 1, 1);
    SAVE_F32("K.npy", "(2, 1, 2, 1)", 0, 0, 0, 0);
    SAVE_F32("V.npy", "(2, 1, 2, 1)", 0, 12, 0, 12);
    save("head.npy", "<f4", "(2,)", false, slopes, sizeof *slopes);
    save("batch.npy", "<f4", "(2, 2)", false, slopes, sizeof slopes);
    save("turned.npy", "<f4", "(2, 2)", true, turned, sizeof turned);
    save("sinks.npy", "<f4", "(2,)", false, sinks, sizeof sinks);
    save("none.npy", "<f4", "(2,)", false, none, sizeof none);
    const struct {
        const char *options;
        const float *expected;
    } cases[] = {
        {"--alibi head.npy", per_head},
        {"--alibi batch.npy", per_batch},
        {"--alibi turned.npy", per_batch},
        {"--alibi batch.npy --sinks sinks.npy", both},
        {"--alibi none.npy --sinks none.npy", (const float[]){4, 4, 4, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        snprintf(line, sizeof line, RUN " --q-offset end %s", cases[i].options);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        load("O.npy", "(2, 2, 1, 1)", found, 4);
        expect_near(found, cases[i].expected, 4, cases[i].options);
    }
}

/* The scores of enter() are 0, log 2 and log 5. */
Test(run, writes_scores_of_every_kind) {
    static const char *const kinds[] = {"scaled", "capped", "masked", "softmax"};
    const float cap = 1.5f, two = cap * tanhf(logf(2) / cap), five = cap * tanhf(logf(5) / cap);
    const float sum = 1 + 2 * expf(two);
    const float expected[4][6] = {
        {0, logf(2), logf(5), 0, logf(2), logf(5)},
        {0, two, five, 0, two, five},
        {0, -INFINITY, -INFINITY, 0, two + logf(2), -INFINITY},
        {1, 0, 0, 1 / sum, 2 * expf(two) / sum, 0},
    };
    SAVE_F32("M.npy", "(3,)", 0, logf(2), 7);
    for (int i = 0; i < 4; i++) {
        char line[256];
        float found[6];
        snprintf(line, sizeof line,
                 RUN " --scale 1 --softcap 1.5 --mask M.npy --causal --weights W.npy "
                     "--weights-kind %s",
                 kinds[i]);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        load("W.npy", "(2, 3)", found, 6);
        expect_near(found, expected[i], 6, kinds[i]);
    }
}

/* A tree of three new tokens after a past of four: the second and third are the first's children.
 */
Test(run, takes_masks_that_start_late) {
    static const unsigned char tree[3][3] = {{1, 0, 0}, {1, 1, 0}, {1, 0, 1}};
    unsigned char whole[3][7];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 7; j++)
            whole[i][j] = j < 4 || tree[i][j - 4];
    float query[6], keys[14], found[6], expected[6];
    for (int i = 0; i < 14; i++) {
        keys[i] = sinf((float)(i * i));
        query[i % 6] = cosf((float)(i * i));
    }
    save("Q.npy", "<f4", "(3, 2)", false, query, sizeof query);
    save("K.npy", "<f4", "(7, 2)", false, keys, sizeof keys);
    save("V.npy", "<f4", "(7, 2)", false, keys, sizeof keys);
    save("tree.npy", "|b1", "(3, 3)", false, tree, sizeof tree);
    save("whole.npy", "|b1", "(3, 7)", false, whole, sizeof whole);
    SAVE_I64("four.npy", "(1,)", 4);
    save("four4.npy", "<i4", "(1,)", false, (int32_t[]){4}, 4);
    cr_assert(rapt(RUN " --mask whole.npy") == 0, "%s", err_text);
    load("O.npy", "(3, 2)", expected, 6);
    static const char *const starts[] = {"4", "end", "four.npy", "four4.npy"};
    for (int i = 0; i < 4; i++) {
        char line[256];
        snprintf(line, sizeof line, RUN " --mask tree.npy --mask-start %s", starts[i]);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        load("O.npy", "(3, 2)", found, 6);
        cr_expect(memcmp(found, expected, sizeof found) == 0, "%s", line);
    }

    /* Later keys than there are columns for aren't attended; a column may lie behind all keys. */
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 7; j++)
            whole[i][j] = j < 2 || (j < 5 && tree[i][j - 2]);
    save("whole.npy", "|b1", "(3, 7)", false, whole, sizeof whole);
    cr_assert(rapt(RUN " --mask whole.npy") == 0, "%s", err_text);
    load("O.npy", "(3, 2)", expected, 6);
    cr_assert(rapt(RUN " --mask tree.npy --mask-start 2") == 0, "%s", err_text);
    load("O.npy", "(3, 2)", found, 6);
    cr_expect(memcmp(found, expected, sizeof found) == 0);
    cr_assert(rapt(RUN) == 0, "%s", err_text);
    load("O.npy", "(3, 2)", expected, 6);
    cr_assert(rapt(RUN " --mask tree.npy --mask-start 7") == 0, "%s", err_text);
    load("O.npy", "(3, 2)", found, 6);
    cr_expect(memcmp(found, expected, sizeof found) == 0);
}

/* A type of 16 bits, and how a file names it. */
struct half {
    const char *name, *descr;
    rapt_dtype dtype;
};

static const struct half halves[] = {{"f16", "<f2", RAPT_F16}, {"bf16", "<u2", RAPT_BF16}};

/* Saves numbers of -2 to 2 as NAME.TYPE.npy, and as float32 in NAME.TYPE.f32.npy. */
static void save_halves(const char *name, const struct half *half, const char *shape, size_t count,
                        float seed) {
    uint16_t bits[256];
    float values[256];
    char path[32];
    cr_assert(count <= 256);
    for (size_t i = 0; i < count; i++) {
        storage_write(half->dtype, &bits[i], 2 * sinf(seed + (float)(i * i)));
        values[i] = storage_read(half->dtype, &bits[i]);
    }
    snprintf(path, sizeof path, "%s.%s.npy", name, half->name);
    save(path, half->descr, shape, false, bits, count * sizeof *bits);
    snprintf(path, sizeof path, "%s.%s.f32.npy", name, half->name);
    save(path, "<f4", shape, false, values, count * sizeof *values);
}

/* A run on files of the types of Q, K, V and M. */
struct typed_run {
    const char *types[4];
    const char *options;
    const char *out_type;    /* "" where it is that of Q */
    const struct half *half; /* the expected type of OUT; NULL for float32 */
};

static void run_typed(const char *const types[4], const char *options, const char *out_type) {
    char line[256];
    snprintf(line, sizeof line,
             "run --q Q.%s.npy --k K.%s.npy --v V.%s.npy --mask M.%s.npy --out O.npy %s%s%s",
             types[0], types[1], types[2], types[3], options, *out_type ? " --out-type " : "",
             out_type);
    cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
}

/* Compares it with the result in float32 of the same numbers in float32, rounded. */
static void expect_rounded(const struct typed_run *r) {
    enum { COUNT = 2 * 4 * 4 * 4 };
    static const char shape[] = "(2, 4, 4, 4)";
    char names[4][16];
    const char *floats[4];
    for (int i = 0; i < 4; i++) {
        snprintf(names[i], sizeof *names, "%.*s.f32", (int)strcspn(r->types[i], "."), r->types[i]);
        floats[i] = names[i];
    }
    const struct half *half = r->half;
    float expected[COUNT];
    unsigned char found[sizeof expected];
    const size_t size = half ? sizeof(uint16_t) : sizeof(float);
    run_typed(floats, r->options, "");
    load("O.npy", shape, expected, COUNT);
    run_typed(r->types, r->options, r->out_type);
    load_as("O.npy", half ? half->descr : "<f4", shape, found, COUNT * size);
    for (int i = 0; i < COUNT; i++) {
        float rounded;
        storage_write(half ? half->dtype : RAPT_F32, &rounded, expected[i]);
        cr_expect(memcmp(&found[(size_t)i * size], &rounded, size) == 0,
                  "Q %s, K %s, V %s, M %s %s %s: [%d] isn't %.9g rounded", r->types[0], r->types[1],
                  r->types[2], r->types[3], r->options, r->out_type, i, expected[i]);
    }
}

Test(run, reads_and_writes_numbers_of_16_bits) {
    const struct half *f16 = &halves[0], *bf16 = &halves[1];
    const struct typed_run cases[] = {
        {{"f16", "f16", "f16", "f16"}, "", "", f16},
        {{"f16", "f16", "f16", "f16"}, "--causal", "f32", NULL},
        {{"f16", "f16", "f16", "f16"}, "--layout bshd", "bf16", bf16},
        {{"bf16", "bf16", "bf16", "bf16"}, "--bf16", "", bf16},
        {{"bf16", "bf16", "bf16", "bf16"}, "--bf16 --isa scalar", "f32", NULL},
        {{"bf16", "bf16", "bf16", "bf16"}, "--bf16 --layout bshd", "f16", f16},
        {{"f16", "bf16", "f16.f32", "bf16.f32"}, "--bf16 --causal", "", f16},
        {{"bf16", "f16.f32", "f16", "f16"}, "--bf16 --window 1,1", "", bf16},
        {{"f16.f32", "f16", "bf16", "bf16"}, "--bf16", "", NULL},
        {{"f16.f32", "f16.f32", "f16.f32", "f16.f32"}, "", "f16", f16},
        {{"bf16.f32", "bf16.f32", "bf16.f32", "f16.f32"}, "", "bf16", bf16},
    };
    for (int i = 0; i < 2; i++) {
        save_halves("Q", &halves[i], "(2, 4, 4, 8)", 256, 1);
        save_halves("K", &halves[i], "(2, 4, 4, 8)", 256, 2);
        save_halves("V", &halves[i], "(2, 4, 4, 4)", 128, 3);
        save_halves("M", &halves[i], "(4, 1, 4)", 16, 4);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_rounded(&cases[i]);
}

/* One key of weight 1: what goes in comes out, with the bits that numbers of 16 bits really have.
 */
Test(run, knows_the_bits_of_16) {
    static const uint16_t f16[8] = {0x3c00, 0xc500, 0x3555, 0x7bff, 0xfbff, 0x0001, 0x03ff, 0x0000};
    static const float as_f32[8] = {1, -5, 0x1.554p-2f, 65504, -65504, 0x1p-24f, 0x1.ff8p-15f, 0};
    static const uint16_t bf16[8] = {0x3f80, 0xc0a0, 0x3eab, 0x4780,
                                     0xc780, 0x3380, 0x3880, 0x0000};
    uint16_t bits[8];
    float found[8];
    save("Q.npy", "<f2", "(1, 1)", false, f16, 2);
    save("K.npy", "<f2", "(1, 1)", false, f16, 2);
    save("V.npy", "<f2", "(1, 8)", false, f16, sizeof f16);
    cr_assert(rapt(RUN) == 0, "%s", err_text);
    load_as("O.npy", "<f2", "(1, 8)", bits, sizeof bits);
    cr_expect_arr_eq(bits, f16, sizeof bits);
    cr_assert(rapt(RUN " --out-type f32") == 0, "%s", err_text);
    load("O.npy", "(1, 8)", found, 8);
    cr_expect_arr_eq(found, as_f32, sizeof found);
    cr_assert(rapt(RUN " --out-type bf16") == 0, "%s", err_text);
    load_as("O.npy", "<u2", "(1, 8)", bits, sizeof bits);
    cr_expect_arr_eq(bits, bf16, sizeof bits);
    save("V.npy", "<u2", "(1, 8)", false, bf16, sizeof bf16);
    cr_assert(rapt(RUN " --bf16 --out-type bf16") == 0, "%s", err_text);
    load_as("O.npy", "<u2", "(1, 8)", bits, sizeof bits);
    cr_expect_arr_eq(bits, bf16, sizeof bits);

    SAVE_F32("V.npy", "(1, 2)", 65520, -1e9f); /* above what f16 holds, once rounded */
    cr_assert(rapt(RUN " --out-type f16") == 0, "%s", err_text);
    load_as("O.npy", "<f2", "(1, 2)", bits, 2 * sizeof *bits);
    cr_expect(bits[0] == 0x7c00 && bits[1] == 0xfc00);
}
