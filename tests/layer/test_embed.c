/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of tables, summed. */
#include "simd/dispatch.h"
#include "tests/support/helpers.h"

enum { B = 2, S = 7, CHANNELS = 300, WORDS = 11 };

static const int64_t words[B * S] = {3, 10, 0, 0, 7, 1, 2, 9, 8, 7, 6, 5, 4, 3};
static const int64_t types[B * S] = {0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1};

/* f32 words, bf16 positions, f16 types */
struct tables {
    rapt_tensor table[3];
    const int64_t *ids[3];
};

static rapt_tensor half_table(rapt_dtype dtype, int64_t rows, uint64_t seed) {
    rapt_tensor floats = random_tensor(RAPT_F32, 1, 1, rows, CHANNELS, seed);
    rapt_tensor t = new_tensor(dtype, 1, 1, rows, CHANNELS);
    rapt_kernels_best()->narrow(t.data, floats.data, dtype, rows * CHANNELS);
    free(floats.data);
    return t;
}

static struct tables new_tables(void) {
    return (struct tables){{random_tensor(RAPT_F32, 1, 1, WORDS, CHANNELS, 1),
                            half_table(RAPT_BF16, S + 2, 2), half_table(RAPT_F16, 2, 3)},
                           {words, NULL, types}};
}

static void free_tables(struct tables *t) {
    for (int i = 0; i < 3; i++)
        free(t->table[i].data);
}

static float number(const rapt_tensor *t, int64_t row, int64_t c) {
    float x;
    const int64_t at = (row * CHANNELS + c) * rapt_dtype_size(t->dtype);
    rapt_kernels_best()->widen(&x, (const char *)t->data + at, t->dtype, 1, 1);
    return x;
}

Test(embed, sums_rows_in_order) {
    struct tables t = new_tables();
    rapt_tensor out = new_tensor(RAPT_F32, B, 1, S, CHANNELS);
    expect_ok(rapt_embed(3, t.table, t.ids, &out));
    for (int64_t i = 0; i < B * S; i++)
        for (int64_t c = 0; c < CHANNELS; c++) {
            const float sum = number(&t.table[0], words[i], c) + number(&t.table[1], i % S, c) +
                              number(&t.table[2], types[i], c);
            cr_assert_eq(((float *)out.data)[i * CHANNELS + c], sum);
        }
    free(out.data);
    free_tables(&t);
}

/* Results of a type, and channels that aren't dense on either side. */
Test(embed, tables_and_out_are_views) {
    struct tables t = new_tables();
    rapt_tensor turned = new_tensor(RAPT_F32, 1, 1, CHANNELS, WORDS);
    for (int64_t w = 0; w < WORDS; w++)
        for (int64_t c = 0; c < CHANNELS; c++)
            ((float *)turned.data)[c * WORDS + w] = number(&t.table[0], w, c);
    const rapt_tensor view = {turned.data, RAPT_F32, {1, 1, WORDS, CHANNELS}, {0, 0, 1, WORDS}};
    rapt_tensor out = new_tensor(RAPT_BF16, B, 1, CHANNELS, S);
    const rapt_tensor across = {out.data, RAPT_BF16, {B, 1, S, CHANNELS}, {S * CHANNELS, 0, 1, S}};
    expect_ok(rapt_embed(1, &view, t.ids, &across));
    for (int64_t i = 0; i < B * S; i++)
        for (int64_t c = 0; c < CHANNELS; c++) {
            uint16_t expected;
            const float x = number(&t.table[0], words[i], c);
            rapt_kernels_best()->narrow(&expected, &x, RAPT_BF16, 1);
            cr_assert_eq(((uint16_t *)out.data)[(i / S * CHANNELS + c) * S + i % S], expected);
        }
    free(out.data);
    free(turned.data);
    free_tables(&t);
}

#define REFUSES(argument, found, n, ...)                                                           \
    do {                                                                                           \
        struct tables t = good;                                                                    \
        rapt_tensor to = out;                                                                      \
        __VA_ARGS__;                                                                               \
        cr_expect_eq(rapt_embed(n, t.table, t.ids, &to), RAPT_INVALID_ARGUMENT, argument);         \
        cr_expect(mentions(rapt_last_error(), argument) && mentions(rapt_last_error(), found),     \
                  "expected %s, %s: %s", argument, found, rapt_last_error());                      \
        cr_expect(untouched(&out));                                                                \
    } while (0)

Test(embed, arguments_are_checked) {
    struct tables good = new_tables();
    const int64_t beyond[B * S] = {[5] = WORDS}, below[B * S] = {[13] = -1};
    rapt_tensor out = new_tensor(RAPT_F32, B, 1, S, CHANNELS);
    REFUSES("count", "0", 0, (void)t);
    REFUSES("ids[0][5]", "11", 3, t.ids[0] = beyond);
    REFUSES("ids[2][13]", "-1", 3, t.ids[2] = below);
    REFUSES("tables[1]", "6", 3, t.table[1].shape[2] = 6);
    REFUSES("tables", "299", 3, t.table[2].shape[3] = 299);
    REFUSES("tables", "int8", 3, t.table[0].dtype = RAPT_I8);
    REFUSES("tables", "NULL", 3, t.table[0].data = NULL);
    REFUSES("tables", "2", 3, t.table[0].shape[0] = 2);
    REFUSES("out", "NULL", 3, to.data = NULL);
    REFUSES("out", "none", 3, to.dtype = RAPT_NONE);
    REFUSES("out", "2", 3, to.shape[0] = 1; to.shape[1] = 2);
    REFUSES("out", "strides", 3, to.stride[2] = 1);
    REFUSES("out", "tables[0]", 3, to.data = t.table[0].data);
    cr_expect_eq(rapt_embed(3, NULL, good.ids, &out), RAPT_INVALID_ARGUMENT);
    cr_expect_eq(rapt_embed(3, good.table, NULL, &out), RAPT_INVALID_ARGUMENT);
    cr_expect_eq(rapt_embed(3, good.table, good.ids, NULL), RAPT_INVALID_ARGUMENT);
    free(out.data);
    free_tables(&good);
}
