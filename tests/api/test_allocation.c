/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is given its workspace allocates nothing, whatever the problem. */
#include "tests/support/allocations.h"
#include "src/plan/plan.h"
#include "tests/support/sequences.h"

/* Runs a plan in every way that brings a workspace. */
static void expect_no_allocation(const rapt_attention_args *args) {
    int before = allocations;
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    cr_expect_gt(allocations, before, "the count of allocations doesn't work");
    const size_t size = rapt_plan_workspace_size(plan);
    const size_t slices_size = rapt_plan_slices_workspace_size(plan, 3);
    void *memory = allocate(size), *shared = allocate(slices_size);
    memset(shared, 0, slices_size);
    const rapt_attention_data data = rapt_attention_data_of(args);
    before = allocations;
    expect_ok(rapt_plan_run(plan, NULL, memory, size));
    expect_ok(rapt_plan_run(plan, &data, memory, size));
    for (int slice = 0; slice < 6; slice++)
        expect_ok(rapt_plan_run_slice(plan, &data, slice % 3, 3, shared, slices_size));
    cr_expect_eq(allocations, before, "%d allocations", allocations - before);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    cr_expect_eq(allocations, before + 1);
    free(memory);
    free(shared);
    rapt_plan_destroy(plan);
}

Test(allocation, none_while_running) {
    const struct form forms[] = {
        {1, 1, 1, 1, 1, 1, 1, .lse = true},
        {1, 6, 2, 67, 200, 33, 20, .causal = true, .lse = true},
        {1, 4, 2, 130, 300, 64, 64, .mask = RAPT_F32, .window_left = 20, .weights = true},
        {1, 8, 2, 1, 9000, 64, 64, .lse = true},
    };
    for (int i = 0; i < 4; i++) {
        rapt_attention_args args = new_problem(&forms[i], 1);
        expect_no_allocation(&args);
        free_problem(&args);
    }
}

Test(allocation, none_for_sequences) {
    rapt_attention_args problems[] = {ragged_problem(), paged_problem(), quantized_problem()};
    for (int i = 0; i < 3; i++) {
        expect_no_allocation(&problems[i]);
        free_problem(&problems[i]);
    }
}

/* One query and thousands of keys, in pages that many share, which threads divide. */
Test(allocation, none_for_split_keys) {
    enum { PAGE = 50, PAGES = 200 };
    const int64_t length = PAGE * PAGES;
    int32_t table[PAGES];
    for (int i = 0; i < PAGES; i++)
        table[i] = i % 7;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = random_tensor(RAPT_F32, 1, 8, 1, 64, 1);
    args.key = random_tensor(RAPT_F32, 7, 2, PAGE, 64, 2);
    args.value = random_tensor(RAPT_F32, 7, 2, PAGE, 64, 3);
    args.out = new_tensor(RAPT_F32, 1, 8, 1, 64);
    args.block_table = table;
    args.block_table_stride = PAGES;
    args.kv_len = &length;
    args.threads = 4;
    rapt_plan *plan;
    expect_ok(rapt_plan_create(&args, &plan));
#ifdef _OPENMP
    cr_expect(plan->split_count == 2 && plan->joins);
#endif
    rapt_plan_destroy(plan);
    expect_no_allocation(&args);
    free_problem(&args);
}
