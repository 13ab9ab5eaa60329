/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rapt run on sequences of different lengths: end to end, padded or in pages. All of them give the
 * bits of a run for each sequence alone.
 */
#include "tests/support/command.h"

TestSuite(run_sequences, .init = enter, .fini = leave, .timeout = 300);

enum {
    SEQUENCES = 5,
    Q_HEADS = 4,
    KV_HEADS = 2,
    DIM = 8,
    VALUE_DIM = 6,
    QUERIES = 12, /* of all sequences */
    KEYS = 24,
    LONGEST = 9, /* keys of a sequence */
    PAGE = 4,
    PAGES = 11,
    COLUMNS = 3,
    MOST = 4096, /* numbers in a file */
};

/* Some have no queries, some no keys. */
static const int64_t cu_q[SEQUENCES + 1] = {0, 3, 3, 4, 9, 12};
static const int64_t cu_k[SEQUENCES + 1] = {0, 9, 11, 11, 16, 24};
static const int64_t kv_len[SEQUENCES] = {9, 2, 0, 5, 8};
/* No page is in order, and those beyond a length aren't there. */
static const int64_t block_table[SEQUENCES][COLUMNS] = {
    {7, 0, 10}, {3, -1, 99}, {-7, 99, 99}, {5, 2, 99}, {9, 1, 99}};

static float number(int seed, int64_t row, int64_t head, int64_t column) {
    return 2 * sinf((float)(seed * 1000 + row * 97 + head * 31 + column * 7));
}

/* How the arrays of a file are ordered. */
enum order { TOKENS_FIRST, HEADS_FIRST };

/* Saves (tokens, heads, channels) or (heads, tokens, channels): tokens from `first` on. */
static void save_tokens(const char *path, int seed, enum order order, int64_t first, int64_t tokens,
                        int64_t heads, int64_t channels) {
    float data[MOST];
    char shape[64];
    const int64_t outer = order == TOKENS_FIRST ? tokens : heads;
    const int64_t inner = order == TOKENS_FIRST ? heads : tokens;
    int64_t count = 0;
    cr_assert(outer * inner * channels <= MOST);
    for (int64_t i = 0; i < outer; i++)
        for (int64_t k = 0; k < inner; k++)
            for (int64_t c = 0; c < channels; c++)
                data[count++] = number(seed, first + (order == TOKENS_FIRST ? i : k),
                                       order == TOKENS_FIRST ? k : i, c);
    snprintf(shape, sizeof shape, "(%d, %d, %d)", (int)outer, (int)inner, (int)channels);
    save(path, "<f4", shape, false, data, (size_t)count * sizeof *data);
}

/* Saves (groups, rows, heads, channels) or (groups, heads, rows, channels): NaN, but for keys. */
static void save_groups(const char *path, int seed, enum order order, int groups, int rows,
                        int channels, bool paged) {
    float data[MOST];
    char shape[64];
    cr_assert(groups * rows * KV_HEADS * channels <= MOST);
    for (int i = 0; i < groups * rows * KV_HEADS * channels; i++)
        data[i] = NAN;
    for (int b = 0; b < SEQUENCES; b++) {
        for (int64_t j = 0; j < kv_len[b]; j++) {
            const int64_t group = paged ? block_table[b][j / PAGE] : b, row = paged ? j % PAGE : j;
            for (int64_t h = 0; h < KV_HEADS; h++) {
                const int64_t at = order == TOKENS_FIRST ? (group * rows + row) * KV_HEADS + h
                                                         : (group * KV_HEADS + h) * rows + row;
                for (int64_t c = 0; c < channels; c++)
                    data[at * channels + c] = number(seed, cu_k[b] + j, h, c);
            }
        }
    }
    snprintf(shape, sizeof shape, "(%d, %d, %d, %d)", groups,
             order == TOKENS_FIRST ? rows : KV_HEADS, order == TOKENS_FIRST ? KV_HEADS : rows,
             channels);
    save(path, "<f4", shape, false, data, (size_t)(groups * rows * KV_HEADS * channels) * 4);
}

/* What a run gives: OUT, LSE, MAX and the weights in the files' order. */
struct results {
    float out[QUERIES][Q_HEADS][VALUE_DIM];
    float lse[Q_HEADS][QUERIES], max[Q_HEADS][QUERIES];
    float weights[Q_HEADS][QUERIES][LONGEST];
};

#define OUTPUTS " --out O.npy --lse L.npy --max M.npy --weights W.npy "

/* Runs it, and reads what it gives for the queries of all sequences. */
static void run_all(const char *line, struct results *r) {
    memset(r, 0, sizeof *r);
    cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
    load("O.npy", "(12, 4, 6)", &r->out[0][0][0], sizeof r->out / 4);
    load("L.npy", "(4, 12)", &r->lse[0][0], sizeof r->lse / 4);
    load("M.npy", "(4, 12)", &r->max[0][0], sizeof r->max / 4);
    load("W.npy", "(4, 12, 9)", &r->weights[0][0][0], sizeof r->weights / 4);
}

/* The mask, slopes and offsets of so many sequences from one on. */
static void save_extras(int64_t b, int64_t sequences) {
    float mask[MOST], slopes[SEQUENCES * Q_HEADS];
    int64_t offsets[SEQUENCES], first = cu_q[b], rows = cu_q[b + sequences] - first;
    const int64_t columns = sequences > 1 ? LONGEST : kv_len[b] ? kv_len[b] : 1;
    char shape[64];
    for (int64_t i = 0; i < rows * columns; i++)
        mask[i] = number(4, first + i / columns, 0, i % columns);
    snprintf(shape, sizeof shape, "(%d, %d)", (int)rows, (int)columns);
    save("mask.npy", "<f4", shape, false, mask, (size_t)(rows * columns) * 4);
    for (int64_t i = 0; i < sequences * Q_HEADS; i++)
        slopes[i] = fabsf(number(5, b + i / Q_HEADS, i % Q_HEADS, 0));
    snprintf(shape, sizeof shape, "(%d, %d)", (int)sequences, Q_HEADS);
    save("slopes.npy", "<f4", shape, false, slopes, (size_t)sequences * Q_HEADS * 4);
    for (int64_t i = 0; i < sequences; i++)
        offsets[i] = (b + i) * 2 - 1;
    snprintf(shape, sizeof shape, "(%d,)", (int)sequences);
    save("offsets.npy", "<i8", shape, false, offsets, (size_t)sequences * 8);
}

/* The results, put together from a run for each sequence alone. */
static void run_each(const char *options, struct results *r) {
    /* Where a sequence has no key there is no weight, and no score that isn't masked. */
    const float none = strstr(options, "masked") ? -INFINITY : 0;
    memset(r, 0, sizeof *r);
    for (int i = 0; i < Q_HEADS * QUERIES * LONGEST; i++)
        (&r->weights[0][0][0])[i] = none;
    for (int64_t b = 0; b < SEQUENCES; b++) {
        const int64_t queries = cu_q[b + 1] - cu_q[b], keys = kv_len[b] ? kv_len[b] : 1;
        if (queries == 0)
            continue;
        float out[MOST], lse[MOST], max[MOST], weights[MOST];
        char line[512], shape[64];
        save_tokens("Q1.npy", 1, TOKENS_FIRST, cu_q[b], queries, Q_HEADS, DIM);
        save_tokens("K1.npy", 2, TOKENS_FIRST, cu_k[b], keys, KV_HEADS, DIM);
        save_tokens("V1.npy", 3, TOKENS_FIRST, cu_k[b], keys, KV_HEADS, VALUE_DIM);
        SAVE_I64("n1.npy", "(1,)", kv_len[b]);
        save_extras(b, 1);
        snprintf(line, sizeof line,
                 "run --q Q1.npy --k K1.npy --v V1.npy --kv-len n1.npy --layout bshd" OUTPUTS "%s",
                 options);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        snprintf(shape, sizeof shape, "(%d, %d, %d)", (int)queries, Q_HEADS, VALUE_DIM);
        load("O.npy", shape, out, (size_t)queries * Q_HEADS * VALUE_DIM);
        snprintf(shape, sizeof shape, "(%d, %d)", Q_HEADS, (int)queries);
        load("L.npy", shape, lse, (size_t)queries * Q_HEADS);
        load("M.npy", shape, max, (size_t)queries * Q_HEADS);
        snprintf(shape, sizeof shape, "(%d, %d, %d)", Q_HEADS, (int)queries, (int)keys);
        load("W.npy", shape, weights, (size_t)(queries * Q_HEADS * keys));
        memcpy(r->out[cu_q[b]], out, (size_t)queries * sizeof r->out[0]);
        for (int64_t i = 0; i < Q_HEADS * queries; i++) {
            const int64_t h = i / queries, row = cu_q[b] + i % queries;
            r->lse[h][row] = lse[i];
            r->max[h][row] = max[i];
            memcpy(r->weights[h][row], &weights[i * keys], (size_t)kv_len[b] * 4);
        }
    }
}

/* How the keys of all sequences are given. */
static const char *const key_forms[] = {
    "--k K.npy --v V.npy --cu-k cu-k.npy",
    "--k K-padded.npy --v V-padded.npy --kv-len n.npy --layout bshd",
    "--k K-heads.npy --v V-heads.npy --kv-len n.npy",
    "--k K-pages.npy --v V-pages.npy --kv-len n.npy --block-table t.npy --layout bshd",
    "--k K-pages-heads.npy --v V-pages-heads.npy --kv-len n4.npy --block-table t4.npy",
    "--k K-pages-heads.npy --v V-pages-heads.npy --kv-len n.npy --block-table tf.npy --threads 1",
};

static void save_all(void) {
    int32_t narrow[SEQUENCES * COLUMNS], lengths[SEQUENCES];
    int64_t columns_first[COLUMNS][SEQUENCES];
    save_tokens("Q.npy", 1, TOKENS_FIRST, 0, QUERIES, Q_HEADS, DIM);
    save_tokens("K.npy", 2, TOKENS_FIRST, 0, KEYS, KV_HEADS, DIM);
    save_tokens("V.npy", 3, TOKENS_FIRST, 0, KEYS, KV_HEADS, VALUE_DIM);
    save_groups("K-padded.npy", 2, TOKENS_FIRST, SEQUENCES, LONGEST, DIM, false);
    save_groups("V-padded.npy", 3, TOKENS_FIRST, SEQUENCES, LONGEST, VALUE_DIM, false);
    save_groups("K-heads.npy", 2, HEADS_FIRST, SEQUENCES, LONGEST, DIM, false);
    save_groups("V-heads.npy", 3, HEADS_FIRST, SEQUENCES, LONGEST, VALUE_DIM, false);
    save_groups("K-pages.npy", 2, TOKENS_FIRST, PAGES, PAGE, DIM, true);
    save_groups("V-pages.npy", 3, TOKENS_FIRST, PAGES, PAGE, VALUE_DIM, true);
    save_groups("K-pages-heads.npy", 2, HEADS_FIRST, PAGES, PAGE, DIM, true);
    save_groups("V-pages-heads.npy", 3, HEADS_FIRST, PAGES, PAGE, VALUE_DIM, true);
    for (int i = 0; i < SEQUENCES * COLUMNS; i++) {
        narrow[i] = (int32_t)block_table[i / COLUMNS][i % COLUMNS];
        columns_first[i % COLUMNS][i / COLUMNS] = narrow[i];
    }
    for (int b = 0; b < SEQUENCES; b++)
        lengths[b] = (int32_t)kv_len[b];
    save("cu-q.npy", "<i8", "(6,)", false, cu_q, sizeof cu_q);
    save("cu-k.npy", "<i8", "(6,)", false, cu_k, sizeof cu_k);
    save("n.npy", "<i8", "(5,)", false, kv_len, sizeof kv_len);
    save("n4.npy", "<i4", "(5,)", false, lengths, sizeof lengths);
    save("t.npy", "<i8", "(5, 3)", false, block_table, sizeof block_table);
    save("t4.npy", "<i4", "(5, 3)", false, narrow, sizeof narrow);
    save("tf.npy", "<i8", "(5, 3)", true, columns_first, sizeof columns_first);
}

Test(run_sequences, every_form_of_a_batch_gives_the_bits_of_each_alone) {
    static const char *const options[] = {
        "",
        "--causal --q-offset end --isa scalar",
        "--window 2,1 --q-offset offsets.npy --weights-kind masked",
        "--mask mask.npy --alibi slopes.npy --q-offset 3 --softcap 1.5",
        "--mask mask.npy --mask-start 2 --causal --q-offset end",
    };
    save_all();
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct results alone, found;
        run_each(options[i], &alone);
        save_extras(0, SEQUENCES);
        for (size_t k = 0; k < sizeof key_forms / sizeof *key_forms; k++) {
            char line[512];
            snprintf(line, sizeof line, "run --q Q.npy --cu-q cu-q.npy %s" OUTPUTS "%s",
                     key_forms[k], options[i]);
            run_all(line, &found);
            cr_expect(memcmp(found.out, alone.out, sizeof found.out) == 0, "%s: out", line);
            cr_expect(memcmp(found.lse, alone.lse, sizeof found.lse) == 0, "%s: lse", line);
            cr_expect(memcmp(found.max, alone.max, sizeof found.max) == 0, "%s: max", line);
            cr_expect(memcmp(found.weights, alone.weights, sizeof found.weights) == 0,
                      "%s: weights", line);
        }
    }
}

/* Queries of one length beside keys of many. */
Test(run_sequences, ragged_keys_serve_padded_queries) {
    enum { EACH = 3, OUT = SEQUENCES * Q_HEADS * EACH * VALUE_DIM };
    float queries[SEQUENCES * Q_HEADS * EACH * DIM], ragged[OUT], padded[OUT];
    for (int i = 0; i < SEQUENCES * Q_HEADS * EACH * DIM; i++)
        queries[i] = number(6, i, 0, 0);
    save_all();
    save("Q4.npy", "<f4", "(5, 4, 3, 8)", false, queries, sizeof queries);
    static const char *const options[] = {"",
                                          "--causal --q-offset end --mask-start 1 --mask m.npy"};
    const unsigned char mask[EACH * LONGEST] = {1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1};
    save("m.npy", "|b1", "(3, 9)", false, mask, sizeof mask);
    for (int i = 0; i < 2; i++) {
        char line[512];
        snprintf(line, sizeof line,
                 "run --q Q4.npy --k K-heads.npy --v V-heads.npy --kv-len n.npy --out O.npy %s",
                 options[i]);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        load("O.npy", "(5, 4, 3, 6)", padded, OUT);
        snprintf(line, sizeof line,
                 "run --q Q4.npy --k K.npy --v V.npy --cu-k cu-k.npy --out O.npy %s", options[i]);
        cr_assert(rapt(line) == 0, "rapt %s: %s", line, err_text);
        load("O.npy", "(5, 4, 3, 6)", ragged, OUT);
        cr_expect(memcmp(ragged, padded, sizeof ragged) == 0, "%s", line);
    }
}

/* Two sequences of a shared first page, one key and one page each. */
Test(run_sequences, pages_may_be_shared) {
    float weights[2 * 3];
    SAVE_F32("Q.npy", "(2, 1, 1)", 1, 1);
    SAVE_F32("K.npy", "(3, 1, 2, 1)", logf(5), NAN, 0, logf(3), logf(12), NAN);
    SAVE_F32("V.npy", "(3, 1, 2, 1)", 1, 1, 1, 1, 1, 1);
    SAVE_I64("c.npy", "(3,)", 0, 1, 2);
    SAVE_I64("n.npy", "(2,)", 3, 3);
    SAVE_I64("t.npy", "(2, 2)", 1, 2, 1, 0);
    cr_assert(rapt(RUN " --cu-q c.npy --kv-len n.npy --block-table t.npy --weights W.npy") == 0,
              "%s", err_text);
    load("W.npy", "(1, 2, 3)", weights, 6);
    const float expected[6] = {1 / 16.f, 3 / 16.f, 12 / 16.f, 1 / 9.f, 3 / 9.f, 5 / 9.f};
    for (int i = 0; i < 6; i++)
        cr_expect(fabsf(weights[i] - expected[i]) < 1e-6f, "[%d] is %.9g", i, weights[i]);
}

#define RAGGED "run --q Q.npy --k K.npy --v V.npy --out O.npy --cu-q cu-q.npy"
#define PAGED                                                                                      \
    "run --q Q.npy --k K-pages.npy --v V-pages.npy --layout bshd --out O.npy --cu-q cu-q.npy"

Test(run_sequences, refuses_bad_batches) {
    save_all();
    save_extras(0, SEQUENCES);
    SAVE_I64("one.npy", "(1,)", 0);
    SAVE_I64("square.npy", "(2, 3)", 0, 3, 3, 4, 9, 12);
    SAVE_I64("back.npy", "(6,)", 0, 3, 2, 4, 9, 12);
    SAVE_I64("late.npy", "(6,)", 1, 3, 3, 4, 9, 12);
    SAVE_I64("short.npy", "(6,)", 0, 3, 3, 4, 9, 11);
    SAVE_I64("far.npy", "(6,)", 0, 3, 3, INT64_MIN, INT64_MAX, 12);
    SAVE_I64("k-back.npy", "(6,)", 0, 3, 2, 4, 9, 24);
    SAVE_I64("k-far.npy", "(6,)", 0, 3, 3, INT64_MAX, INT64_MIN, 24);
    SAVE_I64("four.npy", "(4,)", 0, 3, 3, 12);
    SAVE_F32("floats.npy", "(6,)", 0, 3, 3, 4, 9, 12);
    SAVE_F32("floats4.npy", "(2, 3, 4, 1)", [23] = 0);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {RAGGED " --cu-k none.npy", "rapt run: --cu-k: none.npy: No such file"},
        {RAGGED " --cu-k floats.npy",
         "--cu-k: floats.npy: dtype '<f4', expected '<i8' (int64) or '<i4' (int32)\n"},
        {RAGGED " --cu-k four.npy", "shape (4,), expected (6,), one more than sequences\n"},
        {RAGGED " --cu-k square.npy", "--cu-k: square.npy: shape (2, 3), expected (6,), one more"},
        {RAGGED " --cu-k k-back.npy", "cu_k[2]"},
        {RAGGED " --cu-k cu-q.npy",
         "--cu-k: cu-q.npy: ends with 12, expected 24, the tokens of --k\n"},
        {RAGGED " --cu-k k-far.npy --causal --q-offset end --lse L.npy --weights W.npy", "cu_k[3]"},
        {RAGGED " --cu-k cu-k.npy --mask mask.npy --mask-start end", "mask_start[2]: found -1"},
        {RUN " --cu-q one.npy", "--cu-q: one.npy: ends with 0, expected 12, the tokens"},
        {RUN " --cu-q square.npy", "--cu-q: square.npy: shape (2, 3), expected one dimension of"},
        {RUN " --cu-q back.npy --cu-k cu-k.npy", "cu_q[2]"},
        {RUN " --cu-q late.npy --cu-k cu-k.npy", "cu_q[0]"},
        {RUN " --cu-q short.npy --cu-k cu-k.npy",
         "--cu-q: short.npy: ends with 11, expected 12, the tokens of --q\n"},
        {RUN " --cu-q far.npy --cu-k cu-k.npy --causal --q-offset end", "cu_q[3]"},
        {RUN " --cu-q=", "--cu-q: found \"\", expected FILE.npy\n"},
        {RAGGED " --cu-k cu-k.npy --kv-len n.npy",
         "rapt run: --cu-k: found also --kv-len, expected one of the two\n"},
        {RAGGED " --cu-k cu-k.npy --block-table t.npy --kv-len n.npy",
         "--cu-k: found also --block-table, expected one of the two\n"},
        {RAGGED " --causal --q-offset cu-q.npy --cu-k cu-k.npy",
         "--q-offset: cu-q.npy: shape (6,), expected (5,), one per sequence\n"},
        {RAGGED " --cu-k cu-k.npy --alibi floats.npy",
         "--alibi: floats.npy: shape (6,), expected (4,) or (5, 4), one per query head\n"},
        {"run --q floats4.npy --k K.npy --v V.npy --out O.npy --cu-q cu-q.npy --cu-k cu-k.npy",
         "--q: floats4.npy: shape (2, 3, 4, 1), expected 3 dimensions\n"},
        {"run --q Q.npy --k floats4.npy --v V.npy --out O.npy --cu-q cu-q.npy --cu-k cu-k.npy",
         "--k: floats4.npy: shape (2, 3, 4, 1), expected 3 dimensions\n"},
        {RAGGED " --cu-k cu-k.npy --layout bshd", "--layout: found also --cu-q and --cu-k, whose"},
        {RUN " --cu-k cu-k.npy", "--cu-k: cu-k.npy: shape (6,), expected (2,), one more than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}

Test(run_sequences, refuses_bad_pages) {
    save_all();
    SAVE_I64("huge.npy", "(5, 1)", 7, 3, (int64_t)1 << 31, 5, 9);
    SAVE_I64("narrow.npy", "(5, 2)", 7, 0, 3, 1, 2, 2, 2, 2, 2, 2);
    SAVE_I64("outside.npy", "(5, 3)", 7, 0, 10, 3, 0, 0, 0, 0, 0, 5, 11, 0, 9, 1, 0);
    SAVE_I64("below.npy", "(5, 3)", 7, 0, 10, 3, 0, 0, 0, 0, 0, 5, 2, 0, -1, 1, 0);
    SAVE_I64("four.npy", "(4, 3)", 7, 0, 10, 3, 0, 0, 0, 0, 0, 5, 2, 0);
    SAVE_I64("list.npy", "(5,)", 7, 3, 1, 5, 9);
    SAVE_I64("less.npy", "(5,)", 9, 2, -1, 5, 8);
    SAVE_I64("many.npy", "(5,)", 9, 2, 0, 5, INT64_MAX);
    SAVE_F32("floats.npy", "(5, 1)", 7, 3, 1, 5, 9);
    static const struct {
        const char *line, *message;
    } cases[] = {
        {PAGED " --block-table t.npy",
         "rapt run: --block-table: found no --kv-len, expected it, too\n"},
        {PAGED " --kv-len n.npy --block-table huge.npy",
         "--block-table: huge.npy: [2, 0] is 2147483648, expected a page's index\n"},
        {PAGED " --kv-len n.npy --block-table narrow.npy", "kv_len[0]"},
        {PAGED " --kv-len n.npy --block-table outside.npy", "block_table"},
        {PAGED " --kv-len n.npy --block-table below.npy", "block_table"},
        {PAGED " --kv-len less.npy --block-table t.npy", "kv_len[2]"},
        {PAGED " --kv-len many.npy --block-table t.npy --causal --q-offset end --weights W.npy",
         "kv_len[4]"},
        {PAGED " --kv-len n.npy --block-table four.npy",
         "--block-table: four.npy: shape (4, 3), expected (5, columns), a row per sequence\n"},
        {PAGED " --kv-len n.npy --block-table list.npy",
         "--block-table: list.npy: shape (5,), expected (5, columns), a row per sequence\n"},
        {PAGED " --kv-len n.npy --block-table floats.npy",
         "dtype '<f4', expected '<i8' (int64) or '<i4' (int32)\n"},
        {PAGED " --kv-len cu-k.npy --block-table t.npy",
         "--kv-len: cu-k.npy: shape (6,), expected (5,), one per sequence\n"},
        {RAGGED " --kv-len n.npy --block-table t.npy",
         "--k: K.npy: shape (24, 2, 8), expected 4 dimensions\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
}
