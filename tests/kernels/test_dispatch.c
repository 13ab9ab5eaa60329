/* SPDX-License-Identifier: Apache-2.0 */
/* Which variants there are, and which of them a call gets. */
#include "simd/cpu.h"
#include "simd/dispatch.h"
#include "tests/support/helpers.h"

#include <errno.h>
#include <signal.h>

static const char *const known_names[] = {
#define RAPT_VARIANT(name, ...) #name,
#include "simd/isa.def"
#undef RAPT_VARIANT
};
enum { KNOWN = sizeof known_names / sizeof *known_names };

static void forget_environment(void) {
    unsetenv("RAPT_ISA");
}

TestSuite(dispatch, .init = forget_environment);

static int rank_of(const char *name) {
    for (int i = 0; i < KNOWN; i++)
        if (strcmp(name, known_names[i]) == 0)
            return i;
    return -1;
}

static const rapt_isa *entry(const char *name) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static const rapt_isa *best(void) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++)
        if (list[i].available)
            return &list[i];
    return NULL;
}

/* A refusal says what was found and lists the names that would do, and no others. */
static void expect_refusal(const char *name, const char *argument, const char *found) {
    const rapt_isa *isa = best();
    cr_assert_eq(rapt_isa_choose(name, &isa), RAPT_ISA_UNAVAILABLE);
    cr_expect_null(isa);
    const char *message = rapt_last_error(), *expected = strstr(message, "expected one of: ");
    cr_expect(mentions(message, argument), "%s", message);
    cr_expect(strstr(message, found), "%s", message);
    cr_assert_not_null(expected, "%s", message);
    for (int i = 0; i < KNOWN; i++) {
        const rapt_isa *known = entry(known_names[i]);
        cr_expect_eq(mentions(expected, known_names[i]), known && known->available, "%s", message);
    }
}

Test(dispatch, list_is_best_first_and_unique) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    cr_assert_geq(count, 1u);
    int last = -1;
    for (size_t i = 0; i < count; i++) {
        const int rank = rank_of(list[i].name);
        cr_expect_gt(rank, last, "%s stands in the wrong place", list[i].name);
        last = rank;
        cr_expect_gt(list[i].lanes, 0);
        cr_expect_eq(list[i].panel_rows % list[i].lanes, 0);
        cr_expect_leq(list[i].panel_rows, RAPT_PANEL_ROWS_MAX);
        cr_expect_gt(list[i].tile_rows, 0);
        cr_expect_not_null(list[i].needs);
    }
}

Test(dispatch, list_is_constant) {
    const rapt_isa *first, *second;
    cr_assert_eq(rapt_isa_list(&first), rapt_isa_list(&second));
    cr_assert_eq(first, second);
    cr_assert_eq(rapt_isa_list(NULL), rapt_isa_list(&first));
}

Test(dispatch, scalar_is_always_there) {
    const rapt_isa *scalar = entry("scalar");
    cr_assert_not_null(scalar);
    cr_expect(scalar->available);
    cr_expect_str_eq(scalar->needs, "");
    cr_expect_eq(scalar->lanes, 1);
}

Test(dispatch, availability_follows_the_features) {
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    const uint32_t features = rapt_cpu_detect();
    char names[256];
    cr_expect_str_eq(rapt_cpu_features(), rapt_cpu_names(features, names, sizeof names));
    for (int i = 0; i < count; i++) {
        const rapt_isa *isa = entry(variants[i].kernels->name);
        cr_assert_not_null(isa);
        cr_expect_eq(isa->available, (variants[i].needs & features) == variants[i].needs);
        cr_expect_eq(isa->lanes, variants[i].kernels->lanes);
        cr_expect_eq(isa->panel_rows, variants[i].kernels->panel_rows);
        for (int bit = 0; bit < 32; bit++) {
            const uint32_t feature = variants[i].needs & UINT32_C(1) << bit;
            if (feature)
                cr_expect(strstr(isa->needs, rapt_cpu_names(feature, names, sizeof names)));
        }
    }
}

Test(dispatch, feature_names_fit_any_buffer) {
    char text[64], whole[256];
    rapt_cpu_names(UINT32_MAX, whole, sizeof whole);
    for (size_t size = 0; size <= sizeof text; size++) {
        memset(text, CANARY, sizeof text);
        rapt_cpu_names(UINT32_MAX, text, size);
        for (size_t i = size; i < sizeof text; i++)
            cr_assert_eq((unsigned char)text[i], CANARY);
        if (size > 0)
            cr_assert_eq(strncmp(text, whole, strlen(text)), 0);
    }
}

Test(dispatch, kernels_are_found_by_name) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        const struct rapt_kernels *kernels = rapt_kernels_find(list[i].name, NULL);
        cr_assert_eq(kernels != NULL, list[i].available, "%s", list[i].name);
        if (kernels)
            cr_expect_str_eq(kernels->name, list[i].name);
    }
    cr_expect_null(rapt_kernels_find("nonsense", NULL));
    cr_expect_str_eq(rapt_kernels_best()->name, best()->name);
}

Test(dispatch, the_best_is_taken_unless_told) {
    const rapt_isa *isa;
    expect_ok(rapt_isa_choose(NULL, &isa));
    cr_expect_eq(isa, best());
    setenv("RAPT_ISA", "", 1);
    expect_ok(rapt_isa_choose(NULL, &isa));
    cr_expect_eq(isa, best());
}

/* For they have bits of their own. */
Test(dispatch, what_is_taken_by_name_is_never_the_best) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(list[i].by_name, strcmp(list[i].name, "amx") == 0, "%s", list[i].name);
        cr_expect(!list[i].by_name || (best() != &list[i] && !best()->by_name));
    }
}

Test(dispatch, the_environment_chooses) {
    const rapt_isa *list, *isa;
    const size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        setenv("RAPT_ISA", list[i].name, 1);
        if (list[i].available) {
            expect_ok(rapt_isa_choose(NULL, &isa));
            cr_expect_eq(isa, &list[i]);
        } else {
            expect_refusal(NULL, "RAPT_ISA", list[i].name);
        }
    }
    setenv("RAPT_ISA", "mmx", 1);
    expect_refusal(NULL, "RAPT_ISA", "\"mmx\"");
}

Test(dispatch, the_argument_goes_before_the_environment) {
    const rapt_isa *isa;
    setenv("RAPT_ISA", "mmx", 1);
    expect_ok(rapt_isa_choose("scalar", &isa));
    cr_expect_eq(isa, entry("scalar"));
    setenv("RAPT_ISA", "scalar", 1);
    expect_ok(rapt_isa_choose(best()->name, &isa));
    cr_expect_eq(isa, best());
    expect_refusal("mmx", "isa", "\"mmx\"");
}

Test(dispatch, unknown_and_unavailable_names_are_refused) {
    for (int i = 0; i < KNOWN; i++) {
        const rapt_isa *isa = entry(known_names[i]);
        if (!isa || !isa->available)
            expect_refusal(known_names[i], "isa", known_names[i]);
    }
    expect_refusal("", "isa", "\"\"");
    expect_refusal("AVX2", "isa", "\"AVX2\"");
    expect_refusal("scalar ", "isa", "\"scalar \"");
    char endless[4096];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    expect_refusal(endless, "isa", "\"xxxxxxxx");
}

Test(dispatch, choosing_needs_a_place_for_the_result) {
    cr_expect_eq(rapt_isa_choose("scalar", NULL), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "NULL"), "%s", rapt_last_error());
}

/* Its registers don't fit a thread's signal stack: an error, and no longer one without that stack.
 */
Test(dispatch, linux_may_refuse_amx) {
    static char stack[5000];
    const stack_t small = {.ss_sp = stack, .ss_size = sizeof stack},
                  none = {.ss_flags = SS_DISABLE};
    const rapt_isa *amx = entry("amx");
    const struct form form = {1, 1, 1, 5, 7, 3, 2, .lse = true};
    rapt_plan *plan;
    if (!amx || !amx->available || sigaltstack(&small, NULL) != 0)
        cr_skip_test("this machine has no AMX, or wants larger stacks without it");
    rapt_attention_args args = new_problem(&form, 1);
    args.isa = "amx";
    cr_expect_eq(rapt_plan_create(&args, &plan), RAPT_ISA_UNAVAILABLE);
    cr_expect_null(plan);
    cr_expect(mentions(rapt_last_error(), "amx"), "%s", rapt_last_error());
    cr_assert_eq(sigaltstack(&none, NULL), 0);
    expect_ok(rapt_plan_create(&args, &plan));
    rapt_plan_destroy(plan);
    free_problem(&args);
}

Test(dispatch, every_available_name_can_be_planned) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    const struct form form = {1, 1, 1, 5, 7, 3, 2, .lse = true};
    rapt_attention_args args = new_problem(&form, 1);
    for (size_t i = 0; i < count; i++) {
        for (int by_argument = 0; by_argument < 2; by_argument++) {
            rapt_plan *plan;
            args.isa = by_argument ? list[i].name : NULL;
            setenv("RAPT_ISA", by_argument ? "mmx" : list[i].name, 1);
            if (!list[i].available) {
                cr_expect_eq(rapt_plan_create(&args, &plan), RAPT_ISA_UNAVAILABLE);
                cr_expect_null(plan);
                continue;
            }
            expect_ok(rapt_plan_create(&args, &plan));
            cr_expect_str_eq(rapt_plan_isa(plan), list[i].name);
            /* What was chosen stays, whatever the environment says when the plan runs. */
            setenv("RAPT_ISA", "mmx", 1);
            expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
            rapt_plan_destroy(plan);
        }
    }
    free_problem(&args);
}

/* The linker sends syscall() here: AMX's registers are asked for by one. */
static int reason; /* 0: it is granted */
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    (void)number;
    errno = reason;
    return reason ? -1 : 0;
}

Test(dispatch, why_amx_is_refused_is_said) {
    cr_expect_null(rapt_cpu_refusal(0));
    cr_expect_null(rapt_cpu_refusal(~(uint32_t)RAPT_CPU_AMX));
#if defined(__x86_64__) && defined(__linux__)
    const struct {
        int reason;
        const char *text;
    } rows[] = {{ENOSPC, "sigaltstack"},    {EINVAL, "5.16"},  {ENOSYS, "5.16"},
                {EOPNOTSUPP, "hypervisor"}, {EPERM, "filter"}, {EIO, "no reason"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        reason = rows[i].reason;
        const char *text = rapt_cpu_refusal(RAPT_CPU_AMX | RAPT_CPU_FMA);
        cr_expect(text && strstr(text, rows[i].text), "%d: %s", reason, text ? text : "none");
    }
    reason = 0;
    cr_expect_null(rapt_cpu_refusal(RAPT_CPU_AMX));
#else
    cr_expect_not_null(rapt_cpu_refusal(RAPT_CPU_AMX));
#endif
}
