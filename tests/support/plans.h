/* SPDX-License-Identifier: Apache-2.0 */
/* Plans without a run: made-up variants and problems of any size. */
#ifndef RAPT_TESTS_SUPPORT_PLANS_H
#define RAPT_TESTS_SUPPORT_PLANS_H

#include "tests/support/helpers.h"
#include "src/plan/plan.h"

/* Variants as they are and as they could be; planning looks at nothing but these sizes. */
static const struct rapt_kernels variants[] = {
    {.name = "one", .lanes = 1, .panel_rows = 4, .few_rows = 1, .few_most = 1},
    {.name = "four", .lanes = 4, .panel_rows = 16, .few_rows = 4, .few_most = 4},
    {.name = "eight", .lanes = 8, .panel_rows = 24, .few_rows = 4, .few_most = 7},
    {.name = "big", .lanes = 16, .panel_rows = 48, .few_rows = 8, .few_most = 16},
    {.name = "wide", .lanes = 16, .panel_rows = 64, .few_rows = 16, .few_most = 16},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static inline struct rapt_problem new_shape(int64_t batch, int64_t kv_heads, int64_t group,
                                            int64_t q_len, int64_t kv_len, int64_t head_dim,
                                            int64_t value_dim) {
    struct rapt_problem p = {
        .batch = batch,
        .q_heads = kv_heads * group,
        .kv_heads = kv_heads,
        .group = group,
        .kv_most = kv_len,
        .head_dim = head_dim,
        .value_dim = value_dim,
        .scale = 1,
        .window_left = -1,
        .window_right = -1,
    };
    p.query = rapt_tensor_bhsd(NULL, RAPT_F32, batch, kv_heads * group, q_len, head_dim);
    p.key = rapt_tensor_bhsd(NULL, RAPT_F32, batch, kv_heads, kv_len, head_dim);
    p.value = rapt_tensor_bhsd(NULL, RAPT_F32, batch, kv_heads, kv_len, value_dim);
    p.out = rapt_tensor_bhsd(NULL, RAPT_F32, batch, kv_heads * group, q_len, value_dim);
    return p;
}

/* Sequences of queries end to end; and of keys, if there are any numbers. */
static inline struct rapt_problem new_ragged(int64_t batch, int64_t kv_heads, int64_t group,
                                             const int64_t *cu_q, const int64_t *cu_k,
                                             int64_t dim) {
    struct rapt_problem p =
        new_shape(1, kv_heads, group, cu_q[batch], cu_k ? cu_k[batch] : 100, dim, dim);
    p.batch = batch;
    p.cu_q = cu_q;
    p.cu_k = cu_k;
    return p;
}

static inline struct rapt_plan sized_plan(const struct rapt_problem *p,
                                          const struct rapt_kernels *kernels, int threads) {
    struct rapt_plan plan = {.problem = *p, .kernels = kernels};
    expect_ok(rapt_plan_sizes(&plan, threads));
    return plan;
}

/* The same with its tasks and splits, which are to be freed. */
static inline struct rapt_plan divided_plan(const struct rapt_problem *p,
                                            const struct rapt_kernels *kernels, int threads) {
    struct rapt_plan plan = sized_plan(p, kernels, threads);
    const int64_t tasks = plan.task_count, splits = plan.split_count, parts = plan.part_count;
    plan.tasks = allocate(((size_t)tasks + 1) * sizeof *plan.tasks);
    plan.splits = allocate(((size_t)splits + 1) * sizeof *plan.splits);
    rapt_plan_tasks(&plan);
    cr_assert(plan.task_count == tasks && plan.split_count == splits && plan.part_count == parts);
    return plan;
}

#endif
