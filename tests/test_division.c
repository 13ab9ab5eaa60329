/* SPDX-License-Identifier: Apache-2.0 */
/* The division of a problem changes no bit of its results. */
#include "helpers.h"
#include "plan.h"

/* Runs with another division of the same work: fewer panels per task, more pieces of keys. */
static void run_divided(const rapt_attention_args *args, int64_t panels, int64_t split_cost) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    if (panels && panels < plan->panels_per_task)
        plan->panels_per_task = panels;
    if (split_cost && args->weights.dtype == RAPT_NONE)
        plan->split_cost = split_cost;
    /* Each chunk of each panel could be a task. */
    const struct rapt_problem *p = &plan->problem;
    const int64_t most = p->batch * p->kv_heads * rapt_panels(plan, 0) *
                         ((p->kv_most + plan->chunk - 1) / plan->chunk);
    free(plan->tasks);
    free(plan->splits);
    plan->tasks = allocate((size_t)most * sizeof *plan->tasks);
    plan->splits = allocate((size_t)most * sizeof *plan->splits);
    rapt_plan_tasks(plan);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    rapt_plan_destroy(plan);
}

Test(division, division_changes_no_bit) {
    const struct form forms[] = {
        {1, 4, 2, 330, 1100, 48, 64, .lse = true, .weights = true},
        {2, 2, 1, 250, 700, 72, 40, .causal = true, .window_left = 300, .lse = true},
        {1, 2, 2, 400, 500, 64, 64, .mask = RAPT_BOOL, .softcap = 5, .weights = true},
    };
    for (int f = 0; f < 3; f++) {
        rapt_attention_args whole = new_problem(&forms[f], 1), divided = new_problem(&forms[f], 1);
        whole.threads = 1;
        expect_ok(rapt_attention(&whole));
        for (int threads = 1; threads <= 5; threads++) {
            for (int cut = 0; cut < 4; cut++) {
                divided.threads = threads;
                reset_outputs(&divided);
                run_divided(&divided, cut & 1, cut & 2 ? 1000 : 0);
                cr_expect(same_outputs(&whole, &divided), "form %d, %d threads, cut %d", f, threads,
                          cut);
            }
        }
        free_problem(&whole);
        free_problem(&divided);
    }
}

/* A batch gives the bits of its items one by one, and so do its heads and query rows, which begin
 * their blocks and chunks of keys where the panel's others do. */
Test(division, company_changes_no_bit) {
    const struct form form = {2,
                              4,
                              2,
                              75,
                              600,
                              200,
                              250,
                              .causal = true,
                              .window_left = 290,
                              .mask = RAPT_F32,
                              .lse = true,
                              .weights = true};
    rapt_attention_args whole = new_problem(&form, 1), parts = new_problem(&form, 1);
    const int64_t offsets[] = {20, 500};
    whole.q_offset = offsets;
    expect_ok(rapt_attention(&whole));
    for (int64_t b = 0; b < 2; b++) {
        for (int64_t h = 0; h < 4; h++) {
            for (int64_t s = 0; s < 75; s += s < 40 ? 1 : 35) {
                rapt_attention_args one = parts;
                const int64_t offset = offsets[b] + s, count = s < 40 ? 1 : 35;
                rapt_tensor *by_query[] = {&one.query, &one.mask, &one.out, &one.lse, &one.weights};
                rapt_tensor *by_key[] = {&one.key, &one.value};
                one.q_offset = &offset;
                for (int i = 0; i < 5; i++) {
                    rapt_tensor *t = by_query[i];
                    t->data =
                        (float *)t->data + b * t->stride[0] + h * t->stride[1] + s * t->stride[2];
                    t->shape[0] = t->shape[1] = 1;
                    t->shape[2] = count;
                }
                for (int i = 0; i < 2; i++) {
                    rapt_tensor *t = by_key[i];
                    t->data = (float *)t->data + b * t->stride[0] + h / 2 * t->stride[1];
                    t->shape[0] = t->shape[1] = 1;
                }
                expect_ok(rapt_attention(&one));
            }
        }
    }
    cr_expect(same_outputs(&whole, &parts));
    free_problem(&whole);
    free_problem(&parts);
}
