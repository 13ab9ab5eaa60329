/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's floating-point environment: it changes no bit, and it is found as it was left. */
#include <fenv.h>

#include "tests/support/helpers.h"

static const struct form form = {
    2, 4, 2, 90, 140, 40, 24, .softcap = 4, .lse = true, .weights = true};

/* Subnormals in all that is read, so that flushing them would show. */
static rapt_attention_args new_tiny_problem(void) {
    rapt_attention_args args = new_problem(&form, 1);
    rapt_tensor *inputs[] = {&args.query, &args.key, &args.value};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < elements(inputs[i]); k += i == 2 ? 1 : 3)
            ((float *)inputs[i]->data)[k] *= 0x1p-130f;
    args.threads = 2;
    return args;
}

#if defined(__x86_64__) || defined(__i386__)
#    define HAVE_MXCSR 1
static unsigned control_word(void) {
    return __builtin_ia32_stmxcsr();
}
static void flush_subnormals(void) {
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040); /* FTZ and DAZ */
}
#else
static unsigned control_word(void) {
    return 0;
}
#endif

/* Plans and runs (or runs only) with an environment of the caller's, and compares. */
static void expect_same_under(void (*change)(void), bool plan_too) {
    rapt_attention_args plain = new_tiny_problem(), changed = new_tiny_problem();
    expect_ok(rapt_attention(&plain));
    static const int64_t lengths[] = {21, 17}; /* of a first run, which finds its threads anew */
    rapt_attention_data data = rapt_attention_data_of(&changed);
    data.kv_len = lengths;

    fenv_t before;
    rapt_plan *plan = NULL;
    rapt_status status = RAPT_OK;
    fegetenv(&before);
    if (!plan_too)
        status = rapt_plan_create(&changed, &plan);
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_UNDERFLOW);
    change();
    const int rounding = fegetround(), flags = fetestexcept(FE_ALL_EXCEPT), traps = fegetexcept();
    const unsigned word = control_word();
    if (plan_too)
        status = rapt_plan_create(&changed, &plan);
    if (status == RAPT_OK)
        status = rapt_plan_run(plan, &data, NULL, 0);
    if (status == RAPT_OK)
        status = rapt_plan_run(plan, NULL, NULL, 0);
    const int rounding_after = fegetround(), flags_after = fetestexcept(FE_ALL_EXCEPT);
    const int traps_after = fegetexcept();
    const unsigned word_after = control_word();
    fesetenv(&before);

    expect_ok(status);
    cr_expect_eq(rounding_after, rounding);
    cr_expect_eq(flags_after, flags, "flags were %#x, are %#x", (unsigned)flags,
                 (unsigned)flags_after);
    cr_expect_eq(traps_after, traps);
    cr_expect_eq(word_after, word, "control word was %#x, is %#x", word, word_after);
    cr_expect(same_outputs(&plain, &changed));
    rapt_plan_destroy(plan);
    free_problem(&plain);
    free_problem(&changed);
}

static void change_nothing(void) {}
static void round_up(void) {
    fesetround(FE_UPWARD);
}
static void round_down(void) {
    fesetround(FE_DOWNWARD);
}
static void round_to_zero(void) {
    fesetround(FE_TOWARDZERO);
}
static void trap_all(void) {
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_ALL_EXCEPT);
}

Test(fenv, data_are_sensitive_to_flushing) {
    rapt_attention_args args = new_tiny_problem();
    expect_ok(rapt_attention(&args));
    int subnormal = 0;
    for (size_t i = 0; i < elements(&args.out); i++)
        subnormal += fpclassify(((float *)args.out.data)[i]) == FP_SUBNORMAL;
    cr_expect_gt(subnormal, (int)elements(&args.out) / 2);
    free_problem(&args);
}

Test(fenv, flags_while_running) {
    expect_same_under(change_nothing, false);
}
Test(fenv, flags_while_planning) {
    expect_same_under(change_nothing, true);
}

Test(fenv, rounding_while_running) {
    expect_same_under(round_up, false);
    expect_same_under(round_down, false);
    expect_same_under(round_to_zero, false);
}
Test(fenv, rounding_while_planning) {
    expect_same_under(round_up, true);
    expect_same_under(round_down, true);
    expect_same_under(round_to_zero, true);
}

#ifdef HAVE_MXCSR
Test(fenv, flushing_while_running) {
    expect_same_under(flush_subnormals, false);
}
Test(fenv, flushing_while_planning) {
    expect_same_under(flush_subnormals, true);
}
#endif

Test(fenv, traps_while_running) {
    expect_same_under(trap_all, false);
}
Test(fenv, traps_while_planning) {
    expect_same_under(trap_all, true);
}
