/* SPDX-License-Identifier: Apache-2.0 */
/* Bad arguments: each is refused with a message that says which, what was found and expected. */
#include "tests/support/refusals.h"

static const struct form form = {
    2, 4, 2, 3, 5, 6, 7, .mask = RAPT_F32, .lse = true, .weights = true};

/* A dimension of 0 where others are more. */
#define NO_DIMENSION(tensor, i, of)                                                                \
    { of, "0", AT(tensor.shape[i]), I64, 0, 0, NULL }
#define NO_DIMENSIONS(tensor)                                                                      \
    NO_DIMENSION(tensor, 0, #tensor), NO_DIMENSION(tensor, 1, #tensor),                            \
        NO_DIMENSION(tensor, 2, #tensor), NO_DIMENSION(tensor, 3, #tensor)

/* Every dimension of every required tensor, with what no dimension may be. */
#define IMPOSSIBLE_DIMENSION(tensor, i)                                                            \
    SHAPE(tensor, i, -1), SHAPE(tensor, i, 2147483648),                                            \
        {#tensor, INT64_MAX_TEXT, AT(tensor.shape[i]), I64, INT64_MAX, 0, NULL},                   \
        {#tensor, INT64_MIN_TEXT, AT(tensor.shape[i]), I64, INT64_MIN, 0, NULL}, {                 \
#        tensor, "4611686018427387904", AT(tensor.shape[i]), I64, INT64_C(1) << 62, 0, NULL        \
    }
#define IMPOSSIBLE_DIMENSIONS(tensor)                                                              \
    IMPOSSIBLE_DIMENSION(tensor, 0), IMPOSSIBLE_DIMENSION(tensor, 1),                              \
        IMPOSSIBLE_DIMENSION(tensor, 2), IMPOSSIBLE_DIMENSION(tensor, 3)

#define ENDLESS_STRIDE(tensor, i)                                                                  \
    STRIDE(tensor, i, INT64_MAX, INT64_MAX_TEXT), STRIDE(tensor, i, INT64_MIN, INT64_MIN_TEXT),    \
        STRIDE(tensor, i, INT64_C(1) << 61, "2305843009213693952"),                                \
        STRIDE(tensor, i, -(INT64_C(1) << 61), "-2305843009213693952")
#define ENDLESS_STRIDES(tensor)                                                                    \
    ENDLESS_STRIDE(tensor, 0), ENDLESS_STRIDE(tensor, 1), ENDLESS_STRIDE(tensor, 2)

static const struct bad table[] = {
    ANY("args", "0", size, SIZE, 0),
    ANY("args", "1", size, SIZE, 1),
    ANY("args", "18446744073709551615", size, SIZE, -1),

    /* Who is told to have another one first. */
    NO_DIMENSION(query, 0, "key"),
    NO_DIMENSION(query, 1, "out"),
    NO_DIMENSION(query, 2, "out"),
    NO_DIMENSION(query, 3, "query"),
    NO_DIMENSION(key, 0, "key"),
    NO_DIMENSION(key, 1, "key"),
    NO_DIMENSION(key, 2, "value"),
    NO_DIMENSION(key, 3, "key"),
    NO_DIMENSIONS(value),
    NO_DIMENSIONS(out),
    NO_DIMENSIONS(mask),
    NO_DIMENSIONS(lse),
    NO_DIMENSIONS(weights),

    IMPOSSIBLE_DIMENSIONS(query),
    IMPOSSIBLE_DIMENSIONS(key),
    IMPOSSIBLE_DIMENSIONS(value),
    IMPOSSIBLE_DIMENSIONS(out),
    IMPOSSIBLE_DIMENSIONS(mask),
    IMPOSSIBLE_DIMENSIONS(lse),
    IMPOSSIBLE_DIMENSIONS(weights),

    SHAPE(key, 0, 1),
    SHAPE(key, 0, 3),
    SHAPE(key, 1, 3),
    SHAPE(key, 1, 8),
    SHAPE(key, 3, 5),
    SHAPE(value, 0, 1),
    SHAPE(value, 1, 4),
    SHAPE(value, 1, 1),
    SHAPE(value, 2, 4),
    SHAPE(out, 0, 1),
    SHAPE(out, 1, 2),
    SHAPE(out, 2, 1),
    SHAPE(out, 3, 6),
    SHAPE(mask, 0, 3),
    SHAPE(mask, 1, 2),
    SHAPE(mask, 2, 2),
    SHAPE(mask, 3, 4),
    SHAPE(lse, 0, 1),
    SHAPE(lse, 1, 2),
    SHAPE(lse, 2, 4),
    SHAPE(lse, 3, 7),
    SHAPE(weights, 0, 1),
    SHAPE(weights, 1, 1),
    SHAPE(weights, 2, 1),
    SHAPE(weights, 3, 1),

    ENDLESS_STRIDES(query),
    ENDLESS_STRIDE(query, 3),
    ENDLESS_STRIDES(key),
    ENDLESS_STRIDE(key, 3),
    ENDLESS_STRIDES(value),
    ENDLESS_STRIDE(value, 3),
    ENDLESS_STRIDES(out),
    ENDLESS_STRIDE(out, 3),
    ENDLESS_STRIDES(mask),
    ENDLESS_STRIDE(mask, 3),
    ENDLESS_STRIDES(lse),
    ENDLESS_STRIDES(weights),
    ENDLESS_STRIDE(weights, 3),

    /* Outputs whose elements share memory: broadcast, and rows that reach into the next. */
    STRIDE(out, 0, 0, "0"),
    STRIDE(out, 1, 0, "0"),
    STRIDE(out, 2, 0, "0"),
    STRIDE(out, 3, 0, "0"),
    STRIDE(out, 2, 6, "6"),
    STRIDE(out, 2, -6, "-6"),
    STRIDE(out, 1, 20, "20"),
    STRIDE(out, 0, 83, "83"),
    STRIDE(out, 3, 7, "7"),
    STRIDE(lse, 0, 0, "0"),
    STRIDE(lse, 1, 2, "2"),
    STRIDE(lse, 2, 0, "0"),
    STRIDE(weights, 0, 59, "59"),
    STRIDE(weights, 1, 14, "14"),
    STRIDE(weights, 2, -4, "-4"),
    STRIDE(weights, 3, 0, "0"),

    DTYPE_(query, RAPT_NONE, "none"),
    DTYPE_(query, RAPT_BOOL, "bool"),
    DTYPE_(query, 77, "77"),
    DTYPE_(query, -1, "-1"),
    DTYPE_(key, RAPT_BOOL, "bool"),
    DTYPE_(key, 9, "9"),
    DTYPE_(value, RAPT_NONE, "none"),
    DTYPE_(value, RAPT_BOOL, "bool"),
    DTYPE_(out, RAPT_NONE, "none"),
    DTYPE_(out, RAPT_BOOL, "bool"),
    DTYPE_(mask, 9, "9"),
    DTYPE_(mask, INT_MIN, "-2147483648"),
    DTYPE_(lse, RAPT_BOOL, "bool"),
    DTYPE_(lse, RAPT_F16, "f16"),
    DTYPE_(weights, RAPT_BOOL, "bool"),
    DTYPE_(weights, 100, "100"),
    /* Absent, and yet with data. */
    DTYPE_(mask, RAPT_NONE, "none"),
    DTYPE_(lse, RAPT_NONE, "none"),
    DTYPE_(weights, RAPT_NONE, "none"),

    DATA(query, NULL, "NULL"),
    DATA(key, NULL, "NULL"),
    DATA(value, NULL, "NULL"),
    DATA(out, NULL, "NULL"),
    DATA(mask, NULL, "NULL"),
    DATA(lse, NULL, "NULL"),
    DATA(weights, NULL, "NULL"),
    MOVED(query, 1),
    MOVED(key, 2),
    MOVED(value, 3),
    MOVED(mask, 1),
    MOVED(out, 2),
    MOVED(lse, 1),
    MOVED(weights, 3),

    REAL(scale, -1, "-1"),
    REAL(scale, NAN, "nan"),
    REAL(scale, INFINITY, "inf"),
    REAL(scale, -INFINITY, "-inf"),
    REAL(scale, -0x1p-149, "-1.4013e-45"),
    REAL(softcap, -2, "-2"),
    REAL(softcap, NAN, "nan"),
    REAL(softcap, INFINITY, "inf"),
    REAL(softcap, -INFINITY, "-inf"),

    WINDOW(window_left, -2, "-2"),
    WINDOW(window_left, INT64_MIN, INT64_MIN_TEXT),
    WINDOW(window_right, -2, "-2"),
    WINDOW(window_right, INT64_MIN, INT64_MIN_TEXT),
    NUMBERS(kv_len, "-1", 5, -1),
    NUMBERS(kv_len, "6", 6, 5),
    NUMBERS(kv_len, INT64_MAX_TEXT, 0, INT64_MAX),
    NUMBERS(kv_len, INT64_MIN_TEXT, INT64_MIN, 0),
    NUMBERS(kv_start, "-1", 0, -1),
    NUMBERS(kv_start, "1152921504606846977", POSITION_MAX + 1, 0),
    NUMBERS(q_offset, "1152921504606846977", POSITION_MAX + 1, 0),
    NUMBERS(q_offset, "-1152921504606846977", 0, -POSITION_MAX - 1),
    NUMBERS(q_offset, INT64_MAX_TEXT, 0, INT64_MAX),
    NUMBERS(q_offset, INT64_MIN_TEXT, INT64_MIN, 0),
    ANY("weights_kind", "4", weights_kind, INT, 4),
    ANY("weights_kind", "-1", weights_kind, INT, -1),
    ANY("weights_kind", "-2147483648", weights_kind, INT, INT_MIN),
    ANY("threads", "-1", threads, INT, -1),
    ANY("threads", "-2147483648", threads, INT, INT_MIN),
    {"isa", "sse9", AT(isa), POINTER, 0, 0, "sse9"},
    {"isa", "", AT(isa), POINTER, 0, 0, ""},
};

Test(check, every_bad_argument) {
    expect_refusals(new_problem(&form, 1), table, sizeof table / sizeof *table);
}

Test(check, no_arguments) {
    rapt_plan *plan = (rapt_plan *)(uintptr_t)&form;
    cr_expect_eq(rapt_attention(NULL), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "args") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_create(NULL, &plan), RAPT_INVALID_ARGUMENT);
    cr_expect_null(plan);
}
