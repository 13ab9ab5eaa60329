/* SPDX-License-Identifier: Apache-2.0 */
/* What `rapt bench` measures by its options: suites, threads, weak scaling. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "bench/select.h"
#include "bench/topology.h"

Test(select, suites_are_kinds_of_cases, .init = cr_redirect_stderr) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    size_t sum = 0;
    for (int suite = SUITE_QUICK; suite <= SUITE_ALL; suite++) {
        struct selection s = {0};
        cr_assert(select_make(&(struct request){.suite = suite}, &s));
        cr_expect_gt(s.case_count, 0);
        for (size_t i = 0; i < s.case_count; i++)
            cr_expect(suite == SUITE_ALL ||
                          (suite == SUITE_QUICK ? s.cases[i].use == BENCH_QUICK
                                                : (int)s.cases[i].suite == suite - SUITE_PREFILL),
                      "%s", s.cases[i].name);
        if (suite == SUITE_ALL)
            cr_expect_eq(s.case_count, sum);
        else if (suite != SUITE_QUICK)
            sum += s.case_count;
        select_free(&s);
    }
    cr_expect_leq(sum, count); /* fewer where memory is too short for some */
}

Test(select, scaling_goes_from_one_thread_to_all) {
    struct selection s = {0};
    const int cpus = topology_cpus_usable(), cores = topology_cores_usable();
    bool at_cores = false;
    cr_expect(cores >= 1 && cores <= cpus && cpus <= topology_cpus_online());
    cr_assert(select_make(&(struct request){.view = VIEW_SCALING, .suite = SUITE_NONE}, &s));
    cr_expect_eq(s.isa_count, 1);
    cr_expect_eq(s.threads.value[0], 1);
    cr_expect_eq(s.threads.value[s.threads.count - 1], cpus);
    for (int t = 0; t < s.threads.count; t++) {
        cr_expect(t == 0 || s.threads.value[t] > s.threads.value[t - 1]);
        at_cores |= s.threads.value[t] == cores;
    }
    cr_expect(at_cores);
    select_free(&s);
    s = (struct selection){0};
    cr_assert(select_make(&(struct request){.view = VIEW_ISA, .suite = SUITE_NONE}, &s));
    cr_expect_geq(s.isa_count, 1);
    cr_expect(s.threads.count == 1 && s.threads.value[0] == cpus);
    select_free(&s);
}

Test(select, weak_scaling_gives_each_thread_as_much, .init = cr_redirect_stderr) {
    const struct request request = {.view = VIEW_SCALING,
                                    .suite = SUITE_NONE,
                                    .weak = true,
                                    .cases = "mixed-ragged,bert-base-b8-128,whisper-cross",
                                    .threads = {.value = {3, 1, 5, 3}, .count = 4}};
    const int64_t threads[] = {1, 3, 5};
    struct selection s = {0};
    cr_assert(select_make(&request, &s));
    cr_assert_eq(s.case_count, 2); /* the ragged batch is left out */
    cr_assert_eq(s.threads.count, 3);
    cr_expect_eq(select_case_total(&s), 6);
    for (int t = 0; t < 3; t++) {
        const struct bench_case *cases = select_cases_of(&s, t);
        cr_expect_eq(s.threads.value[t], threads[t]);
        cr_expect_str_eq(cases[0].name, "bert-base-b8-128-weak");
        cr_expect_eq(cases[0].shape.batch, 8 * threads[t]);
        cr_expect_str_eq(cases[1].name, "whisper-cross-weak");
        cr_expect_eq(cases[1].shape.batch, threads[t]);
    }
    select_free(&s);
    s = (struct selection){0};
    const struct request ragged = {
        .view = VIEW_SCALING, .suite = SUITE_NONE, .weak = true, .cases = "mixed-ragged"};
    cr_expect_not(select_make(&ragged, &s));
    select_free(&s);
}
