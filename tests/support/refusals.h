/* SPDX-License-Identifier: Apache-2.0 */
/* Bad arguments, one member at a time: the message has to say which, what was found and expected.
 */
#ifndef RAPT_TESTS_SUPPORT_REFUSALS_H
#define RAPT_TESTS_SUPPORT_REFUSALS_H

#include <limits.h>
#include <stddef.h>

#include "tests/support/helpers.h"

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
#define NUMBERS(member, found, ...)                                                                \
    {                                                                                              \
#        member, found, AT(member), POINTER, 0, 0, (const int64_t[]) {                             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define ANY(argument, found, member, kind, value)                                                  \
    { argument, found, AT(member), kind, value, 0, NULL }

#define INT64_MAX_TEXT "9223372036854775807"
#define INT64_MIN_TEXT "-9223372036854775808"
#define POSITION_MAX (INT64_C(1) << 60)

static inline rapt_attention_args spoilt(const rapt_attention_args *good, const struct bad *bad) {
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
static inline void expect_refusal(const rapt_attention_args *good, const rapt_attention_args *args,
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

/* A problem is good until each of these is done to it. */
static inline void expect_refusals(rapt_attention_args good, const struct bad *table,
                                   size_t count) {
    expect_ok(rapt_attention(&good));
    cr_expect_not(outputs_untouched(&good));
    reset_outputs(&good);
    for (size_t i = 0; i < count; i++) {
        const rapt_attention_args args = spoilt(&good, &table[i]);
        const bool isa = strcmp(table[i].argument, "isa") == 0;
        expect_refusal(&good, &args, isa ? RAPT_ISA_UNAVAILABLE : RAPT_INVALID_ARGUMENT,
                       table[i].argument, table[i].found);
    }
    free_problem(&good);
}

#endif
