/* SPDX-License-Identifier: Apache-2.0 */
/* Bad sequences, pages, scales and storage types: each is refused before anything is written. */
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define PAGES(found, ...)                                                                          \
    {                                                                                              \
        "block_table", found, AT(block_table), POINTER, 0, 0, (const int32_t[]) {                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define NONE(argument, found, member)                                                              \
    { argument, found, AT(member), POINTER, 0, 0, NULL }
#define SOME(argument, found, member, ...)                                                         \
    {                                                                                              \
        argument, found, AT(member), POINTER, 0, 0, (const int64_t[]) {                            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct bad ragged[] = {
    ANY("sequences", "-1", sequences, I64, -1),
    ANY("sequences", "2147483648", sequences, I64, INT64_C(1) << 31),
    ANY("sequences", INT64_MAX_TEXT, sequences, I64, INT64_MAX),
    ANY("sequences", INT64_MIN_TEXT, sequences, I64, INT64_MIN),

    NUMBERS(cu_q, "1", 1, 4, 4, 10),
    NUMBERS(cu_q, "-1", -1, 4, 4, 10),
    NUMBERS(cu_q, "-4", 0, -4, 4, 10),
    NUMBERS(cu_q, "3", 0, 4, 3, 10),
    NUMBERS(cu_q, "11", 0, 4, 4, 11),
    NUMBERS(cu_q, INT64_MAX_TEXT, 0, 4, INT64_MAX, 10),
    NUMBERS(cu_q, INT64_MIN_TEXT, 0, 4, 4, INT64_MIN),
    NUMBERS(cu_k, "2", 2, 5, 9, 12),
    NUMBERS(cu_k, "-1", -1, 5, 9, 12),
    NUMBERS(cu_k, "4", 0, 5, 4, 12),
    NUMBERS(cu_k, "13", 0, 5, 9, 13),
    NUMBERS(cu_k, "8", 0, 5, 9, 8),
    NUMBERS(cu_k, INT64_MAX_TEXT, 0, INT64_MAX, 9, 12),
    NUMBERS(cu_k, INT64_MIN_TEXT, INT64_MIN, 5, 9, 12),

    /* Packed tensors have one batch; three sequences that aren't packed have three. */
    SHAPE(query, 0, 3),
    SHAPE(key, 0, 3),
    SHAPE(value, 0, 3),
    SHAPE(out, 0, 3),
    SHAPE(lse, 0, 3),
    SHAPE(max, 0, 3),
    SHAPE(weights, 0, 3),
    SHAPE(mask, 0, 3),
    SHAPE(alibi, 0, 2),
    SHAPE(sink, 0, 4),
    NONE("query", "3", cu_q),
    NONE("key", "3", cu_k),

    SOME("kv_len", "cu_k", kv_len, 5, 4, 3),
    SOME("cu_k", "block_table", block_table, 0, 0, 0),
    SHAPE(out, 2, 9),
    SHAPE(lse, 2, 9),
    SHAPE(max, 2, 11),
    SHAPE(mask, 2, 9),
    SHAPE(mask, 3, 4),
    SHAPE(mask, 3, 0),
    SHAPE(mask, 3, -1),
    SHAPE(mask, 3, 2147483648),
    SHAPE(weights, 2, 9),
    SHAPE(weights, 3, 4),
    SHAPE(weights, 3, 0),
    SHAPE(weights, 3, -5),
    SHAPE(weights, 3, 2147483648),
    SHAPE(alibi, 1, 2),
    SHAPE(alibi, 2, 10),
    SHAPE(alibi, 3, 2),
    SHAPE(sink, 1, 1),
    SHAPE(sink, 3, 7),
    NUMBERS(q_offset, "1152921504606846977", 0, 0, POSITION_MAX + 1),
    NUMBERS(q_offset, INT64_MIN_TEXT, 0, INT64_MIN, 0),
    NUMBERS(mask_start, "-1", 0, 0, -1),
    NUMBERS(mask_start, "1152921504606846977", POSITION_MAX + 1, 0, 0),
};

static const struct bad paged[] = {
    NONE("kv_len", "NULL", kv_len),
    NONE("block_table", "NULL", block_table),
    NUMBERS(kv_len, "13", 13, 8),
    NUMBERS(kv_len, "-1", 12, -1),
    NUMBERS(kv_len, INT64_MAX_TEXT, INT64_MAX, 8),
    NUMBERS(kv_len, INT64_MIN_TEXT, 12, INT64_MIN),
    SOME("block_table", "-7", kv_len, 12, 9),        /* garbage that is of interest now */
    ANY("kv_len", "12", block_table_stride, I64, 0), /* no room */
    ANY("block_table_stride", "-3", block_table_stride, I64, -3),
    ANY("block_table_stride", "2147483648", block_table_stride, I64, INT64_C(1) << 31),
    ANY("block_table_stride", INT64_MAX_TEXT, block_table_stride, I64, INT64_MAX),
    ANY("block_table_stride", INT64_MIN_TEXT, block_table_stride, I64, INT64_MIN),
    ANY("kv_len", "12", block_table_stride, I64, 2), /* room for 8 keys */
    PAGES("5", 0, 5, 1, 4, 3, 0),
    PAGES("-1", 0, 3, 1, -1, 3, 0),
    PAGES("2147483647", 0, 3, 1, 4, INT32_MAX, 0),
    PAGES("-2147483648", INT32_MIN, 3, 1, 4, 3, 0),
    SOME("cu_k", "block_table", cu_k, 0, 4, 12),
    ANY("query", "2", sequences, I64, 3), /* has two batches */
    SHAPE(value, 0, 4),
    SHAPE(value, 2, 5),
    SHAPE(mask, 2, 2),
    SHAPE(mask, 3, 11),
    SHAPE(weights, 3, 11),
    SHAPE(weights, 0, 5),
    NUMBERS(mask_start, "-1", -1, 0),
    NUMBERS(mask_start, INT64_MIN_TEXT, 0, INT64_MIN),
    DTYPE_(mask, RAPT_I8, "int8"),
};

static const struct bad quantized[] = {
    DTYPE_(query, RAPT_I8, "int8"), DTYPE_(query, RAPT_Q8_0, "q8_0"), DTYPE_(out, RAPT_I8, "int8"),
    DTYPE_(out, RAPT_Q8_0, "q8_0"), DTYPE_(mask, RAPT_I8, "int8"), DTYPE_(mask, RAPT_Q8_0, "q8_0"),
    DTYPE_(lse, RAPT_I8, "int8"), DTYPE_(max, RAPT_Q8_0, "q8_0"),
    DTYPE_(weights, RAPT_BF16, "bf16"), DTYPE_(alibi, RAPT_F16, "f16"),
    DTYPE_(sink, RAPT_I8, "int8"),

    /* Scales belong to int8, are f32, and one for each row of it. */
    DTYPE_(key_scale, RAPT_NONE, "none"), DTYPE_(key_scale, RAPT_F16, "f16"),
    DTYPE_(key_scale, RAPT_I8, "int8"), DTYPE_(key_scale, RAPT_BOOL, "bool"),
    DTYPE_(key_scale, 55, "55"), SHAPE(key_scale, 0, 1), SHAPE(key_scale, 1, 4),
    SHAPE(key_scale, 2, 1), SHAPE(key_scale, 2, 6), SHAPE(key_scale, 3, 32), SHAPE(key_scale, 3, 0),
    STRIDE(key_scale, 0, INT64_MAX, INT64_MAX_TEXT),
    STRIDE(key_scale, 2, INT64_MIN, INT64_MIN_TEXT), DATA(key_scale, NULL, "NULL"),
    MOVED(key_scale, 2), ANY("key_scale", "f32", key.dtype, DTYPE, RAPT_F32),
    ANY("key_scale", "q8_0", key.dtype, DTYPE, RAPT_Q8_0),
    ANY("value_scale", "q8_0", value_scale.dtype, DTYPE, RAPT_F32),
    SOME("value_scale", "q8_0", value_scale.data, 0),
    ANY("value_scale", "none", value.dtype, DTYPE, RAPT_I8),

    /* Blocks of 32. */
    SHAPE(value, 3, 63), SHAPE(value, 3, 33), SHAPE(value, 3, 1), STRIDE(value, 0, 1, "1"),
    STRIDE(value, 1, 63, "63"), STRIDE(value, 2, 65, "65"), STRIDE(value, 2, -31, "-31"),
    STRIDE(value, 3, 0, "0"), STRIDE(value, 3, 2, "2"), STRIDE(value, 3, 32, "32"),
    STRIDE(value, 0, INT64_MIN, INT64_MIN_TEXT), DATA(value, NULL, "NULL"), DATA(key, NULL, "NULL"),
    DATA(alibi, NULL, "NULL"), DATA(sink, NULL, "NULL"), DATA(max, NULL, "NULL"), MOVED(alibi, 1),
    MOVED(sink, 2), MOVED(max, 3),

    NUMBERS(mask_start, "-1", 0, -1), NUMBERS(mask_start, INT64_MAX_TEXT, INT64_MAX, 0),
    SHAPE(mask, 0, 3), SHAPE(mask, 1, 2), NONE("mask", "3", mask_start), /* columns, of 5 */
};

Test(check_sequences, ragged) {
    expect_refusals(ragged_problem(), ragged, COUNT(ragged));
}

Test(check_sequences, paged) {
    expect_refusals(paged_problem(), paged, COUNT(paged));
}

Test(check_sequences, quantized) {
    expect_refusals(quantized_problem(), quantized, COUNT(quantized));
}

Test(check_sequences, start_of_no_mask) {
    rapt_attention_args good = quantized_problem(), args = good;
    memset(&args.mask, 0, sizeof args.mask);
    expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, "mask_start", "mask");
    args.mask_start = NULL;
    expect_ok(rapt_attention(&args));
    free_problem(&good);
}

/* Negative steps of whole blocks are as good as others. */
Test(check_sequences, blocks_from_behind) {
    rapt_attention_args args = quantized_problem(), reversed = quantized_problem();
    unsigned char *rows = reversed.value.data;
    const unsigned char *from = args.value.data;
    for (int i = 0; i < 2 * 2 * 5; i++)
        memcpy(rows + i * 68, from + (i / 5 * 5 + 4 - i % 5) * 68, 68);
    reversed.value.data = rows + 4 * 68;
    reversed.value.stride[2] *= -1;
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&reversed));
    cr_expect(same_outputs(&args, &reversed));
    reversed.value.data = rows;
    free_problem(&args);
    free_problem(&reversed);
}

/* What no length reaches isn't looked at: pages beyond a length, all of them at a length of 0. */
Test(check_sequences, garbage_beyond_a_length) {
    const int32_t garbage[] = {0, 3, 1, INT32_MIN, INT32_MAX, -7}, zeros[] = {0, 3, 1, 0, 0, 0};
    const int64_t lengths[] = {12, 0};
    rapt_attention_args args = paged_problem(), expected = paged_problem();
    args.kv_len = expected.kv_len = lengths;
    args.block_table = garbage;
    expected.block_table = zeros;
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&expected));
    cr_expect(same_outputs(&args, &expected));
    free_problem(&args);
    free_problem(&expected);
}

/* Columns beyond the longest sequence are welcome, in a mask and in weights, which are 0 there. */
Test(check_sequences, more_columns_than_keys) {
    rapt_attention_args args = ragged_problem();
    free(args.mask.data);
    free(args.weights.data);
    args.mask = random_tensor(RAPT_F32, 1, 4, 10, 8, 4);
    args.weights = new_tensor(RAPT_F32, 1, 4, 10, 9);
    expect_ok(rapt_attention(&args));
    const float *weights = args.weights.data;
    for (int i = 0; i < 4 * 10 * 9; i++) {
        const int keys = i / 9 % 10 < 4 ? 5 : 3;
        cr_expect((weights[i] == 0) == (i % 9 >= keys), "row %d, column %d", i / 9, i % 9);
    }
    free_problem(&args);
}
