/* SPDX-License-Identifier: Apache-2.0 */
/* Bad arguments: each is refused with a message that says which, what was found and expected. */
#include <limits.h>
#include <stddef.h>

#include "helpers.h"

static const struct form form = {
    2, 4, 2, 3, 5, 6, 7, .mask = RAPT_F32, .lse = true, .weights = true};

enum kind { I64, INT, SIZE, FLOAT, DTYPE, POINTER, SHIFT };

/* One member of the arguments and what it is set to; SHIFT moves a pointer by bytes. */
struct bad {
    const char *argument, *found;
    size_t at;
    enum kind kind;
    int64_t number;
    double real;
    const void *pointer;
};

#define AT(member) offsetof(rapt_attention_args, member)
#define SHAPE(tensor, i, value)                                                                    \
    { #tensor, #value, AT(tensor.shape[i]), I64, value, 0, NULL }
#define STRIDE(tensor, i, value, found)                                                            \
    { #tensor, found, AT(tensor.stride[i]), I64, value, 0, NULL }
#define DTYPE_(tensor, value, found)                                                               \
    { #tensor, found, AT(tensor.dtype), DTYPE, value, 0, NULL }
#define DATA(tensor, value, found)                                                                 \
    { #tensor, found, AT(tensor.data), POINTER, 0, 0, value }
#define MOVED(tensor, bytes)                                                                       \
    { #tensor, "address", AT(tensor.data), SHIFT, bytes, 0, NULL }
#define REAL(member, value, found)                                                                 \
    { #member, found, AT(member), FLOAT, 0, value, NULL }
#define WINDOW(member, value, found)                                                               \
    { #member, found, AT(member), I64, value, 0, NULL }
#define NUMBERS(member, found, a, b)                                                               \
    {                                                                                              \
#        member, found, AT(member), POINTER, 0, 0, (const int64_t[]) {                             \
            a, b                                                                                   \
        }                                                                                          \
    }
#define ANY(argument, found, member, kind, value)                                                  \
    { argument, found, AT(member), kind, value, 0, NULL }

#define INT64_MAX_TEXT "9223372036854775807"
#define INT64_MIN_TEXT "-9223372036854775808"
#define POSITION_MAX (INT64_C(1) << 60)

/* Every dimension of every required tensor, with what no dimension may be. */
#define IMPOSSIBLE_DIMENSION(tensor, i)                                                            \
    SHAPE(tensor, i, 0), SHAPE(tensor, i, -1), SHAPE(tensor, i, 2147483648),                       \
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
    NUMBERS(q_offset, "1152921504606846977", POSITION_MAX + 1, 0),
    NUMBERS(q_offset, "-1152921504606846977", 0, -POSITION_MAX - 1),
    NUMBERS(q_offset, INT64_MAX_TEXT, 0, INT64_MAX),
    NUMBERS(q_offset, INT64_MIN_TEXT, INT64_MIN, 0),
    ANY("threads", "-1", threads, INT, -1),
    ANY("threads", "-2147483648", threads, INT, INT_MIN),
    {"isa", "sse9", AT(isa), POINTER, 0, 0, "sse9"},
    {"isa", "", AT(isa), POINTER, 0, 0, ""},
};

static rapt_attention_args spoilt(const rapt_attention_args *good, const struct bad *bad) {
    rapt_attention_args args = *good;
    char *at = (char *)&args + bad->at;
    const int whole = (int)bad->number;
    const size_t size = (size_t)bad->number;
    const float real = (float)bad->real;
    switch (bad->kind) {
    case I64:
        memcpy(at, &bad->number, sizeof bad->number);
        break;
    case INT:
    case DTYPE:
        memcpy(at, &whole, sizeof whole);
        break;
    case SIZE:
        memcpy(at, &size, sizeof size);
        break;
    case FLOAT:
        memcpy(at, &real, sizeof real);
        break;
    case POINTER:
        memcpy(at, &bad->pointer, sizeof bad->pointer);
        break;
    case SHIFT: {
        char *pointer;
        memcpy(&pointer, at, sizeof pointer);
        pointer += bad->number;
        memcpy(at, &pointer, sizeof pointer);
    }
    }
    return args;
}

/* Neither the one-shot call nor a plan takes it, the message is clear and nothing is written. */
static void expect_refusal(const rapt_attention_args *good, const rapt_attention_args *args,
                           rapt_status expected, const char *argument, const char *found) {
    cr_expect_eq(rapt_attention(args), expected, "%s %s: status or message: %s", argument, found,
                 rapt_last_error());
    char message[512];
    strcpy(message, rapt_last_error());
    cr_expect(mentions(message, argument), "%s %s: %s", argument, found, message);
    cr_expect(*found ? mentions(message, found) : strstr(message, "\"\"") != NULL, "%s %s: %s",
              argument, found, message);
    cr_expect(mentions(message, "expected"), "%s %s: %s", argument, found, message);
    cr_expect_null(strchr(message, '\n'));

    rapt_plan *plan = (rapt_plan *)(uintptr_t)&message;
    rapt_status status = rapt_plan_create(args, &plan);
    if (status == RAPT_OK) {
        status = rapt_plan_run(plan, NULL, NULL, 0);
        rapt_plan_destroy(plan);
    } else {
        cr_expect_null(plan, "%s %s", argument, found);
    }
    cr_expect_eq(status, expected);
    cr_expect_str_eq(rapt_last_error(), message);
    cr_assert(outputs_untouched(good), "%s %s: an output was written", argument, found);
}

Test(check, the_problem_to_be_spoilt_is_good) {
    rapt_attention_args args = new_problem(&form, 1);
    expect_ok(rapt_attention(&args));
    cr_expect_not(outputs_untouched(&args));
    free_problem(&args);
}

Test(check, every_bad_argument) {
    rapt_attention_args good = new_problem(&form, 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const rapt_attention_args args = spoilt(&good, &table[i]);
        const bool isa = strcmp(table[i].argument, "isa") == 0;
        expect_refusal(&good, &args, isa ? RAPT_ISA_UNAVAILABLE : RAPT_INVALID_ARGUMENT,
                       table[i].argument, table[i].found);
    }
    free_problem(&good);
}

Test(check, no_arguments) {
    rapt_plan *plan = (rapt_plan *)(uintptr_t)&form;
    cr_expect_eq(rapt_attention(NULL), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "args") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_create(NULL, &plan), RAPT_INVALID_ARGUMENT);
    cr_expect_null(plan);
}

Test(check, pointers_near_the_ends_of_memory) {
    rapt_attention_args good = new_problem(&form, 1);
    static const size_t tensors[] = {AT(query), AT(key), AT(value),  AT(mask),
                                     AT(out),   AT(lse), AT(weights)};
    static const char *const names[] = {"query", "key", "value", "mask", "out", "lse", "weights"};
    for (int i = 0; i < 7; i++) {
        rapt_attention_args args = good;
        rapt_tensor *t = (rapt_tensor *)(void *)((char *)&args + tensors[i]);
        t->data = (void *)(UINTPTR_MAX - 7);
        expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, names[i], "address");
        t->data = (void *)(uintptr_t)4;
        for (int k = 0; k < 4; k++)
            t->stride[k] = -t->stride[k];
        expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, names[i], "address");
    }
    free_problem(&good);
}

/* Each output laid over each other tensor: at its start, at its last byte, ending in its first. */
Test(check, outputs_over_other_tensors) {
    enum { APART = 4096 };
    rapt_attention_args good = new_problem(&form, 1), apart = good;
    static const size_t tensors[] = {AT(query), AT(key), AT(value),  AT(mask),
                                     AT(out),   AT(lse), AT(weights)};
    static const char *const names[] = {"query", "key", "value", "mask", "out", "lse", "weights"};
    char *memory = allocate(8 * APART);
    memset(memory, 0, 8 * APART);
    for (int i = 0; i < 7; i++)
        ((rapt_tensor *)(void *)((char *)&apart + tensors[i]))->data = memory + (i + 1) * APART;
    for (int output = 4; output < 7; output++) {
        for (int other = 0; other < 7; other++) {
            for (int place = 0; place < 3 && output != other; place++) {
                rapt_attention_args args = apart;
                rapt_tensor *a = (rapt_tensor *)(void *)((char *)&args + tensors[output]);
                const rapt_tensor *b = (rapt_tensor *)(void *)((char *)&args + tensors[other]);
                const uintptr_t at = (uintptr_t)b->data;
                a->data = (void *)(place == 0   ? at
                                   : place == 1 ? at + bytes_of(b) - sizeof(float)
                                                : at - bytes_of(a) + sizeof(float));
                expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, names[output], "overlaps");
                cr_expect(mentions(rapt_last_error(), names[other]), "%s", rapt_last_error());
            }
        }
    }
    for (int i = 0; i < 8 * APART; i++)
        cr_assert_eq(memory[i], 0);
    free(memory);
    free_problem(&good);
}

Test(check, replaced_pointers_are_checked) {
    rapt_attention_args good = new_problem(&form, 1);
    rapt_plan *plan;
    expect_ok(rapt_plan_create(&good, &plan));
    const rapt_attention_data own = rapt_attention_data_of(&good);
    const void *bad[] = {NULL, (const char *)good.query.data + 1};
    static const size_t members[] = {
        offsetof(rapt_attention_data, query),   offsetof(rapt_attention_data, key),
        offsetof(rapt_attention_data, value),   offsetof(rapt_attention_data, mask),
        offsetof(rapt_attention_data, out),     offsetof(rapt_attention_data, lse),
        offsetof(rapt_attention_data, weights),
    };
    static const char *const names[] = {"query", "key", "value", "mask", "out", "lse", "weights"};
    for (int i = 0; i < 7; i++) {
        for (int k = 0; k < 2; k++) {
            rapt_attention_data data = own;
            memcpy((char *)&data + members[i], &bad[k], sizeof bad[k]);
            cr_expect_eq(rapt_plan_run(plan, &data, NULL, 0), RAPT_INVALID_ARGUMENT);
            cr_expect(mentions(rapt_last_error(), names[i]), "%s", rapt_last_error());
            cr_expect(outputs_untouched(&good));
        }
    }
    rapt_attention_data data = own;
    data.out = good.key.data;
    cr_expect_eq(rapt_plan_run(plan, &data, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "overlaps"), "%s", rapt_last_error());
    rapt_plan_destroy(plan);
    free_problem(&good);
}
