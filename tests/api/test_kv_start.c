/* SPDX-License-Identifier: Apache-2.0 */
/* Keys before kv_start don't exist: the bits are those of a mask that hides them. */
#include "tests/support/helpers.h"

enum { BATCH = 3, STARTS = 7 };

/* With a mask that hides the keys before each sequence's start. */
static void hide(const rapt_attention_args *args, const int64_t *start, rapt_tensor *mask) {
    const int64_t queries = args->query.shape[2], keys = args->key.shape[2];
    *mask = new_tensor(RAPT_BOOL, BATCH, 1, queries, keys);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t i = 0; i < queries; i++)
            for (int64_t j = 0; j < keys; j++)
                ((unsigned char *)mask->data)[(b * queries + i) * keys + j] = j >= start[b];
}

Test(kv_start, has_the_bits_of_a_mask) {
    const struct form forms[] = {
        {BATCH, 4, 2, 70, 700, 40, 33, .lse = true, .weights = true},
        {BATCH, 2, 2, 130, 600, 64, 64, .causal = true, .lse = true, .observed = true},
        {BATCH, 4, 1, 1, 2500, 64, 48, .lse = true, .observed = true},
        {BATCH, 4, 1, 2, 900, 128, 20, .window_left = 200, .lse = true, .weights = true},
        {BATCH, 1, 1, 33, 100, 16, 16, .window_right = 3, .softcap = 2, .lse = true},
    };
    const int64_t all[STARTS] = {0, 1, 5, 95, 96, 333, 2501};
    for (int f = 0; f < 5; f++) {
        rapt_attention_args args = new_problem(&forms[f], 1), masked = new_problem(&forms[f], 1);
        for (int s = 0; s < STARTS; s++) {
            const int64_t start[BATCH] = {all[s], all[(s + 3) % STARTS], all[STARTS - 1 - s]};
            args.kv_start = start;
            hide(&args, start, &masked.mask);
            for (int threads = 1; threads <= 3; threads += 2) {
                args.threads = masked.threads = threads;
                reset_outputs(&args);
                reset_outputs(&masked);
                expect_ok(rapt_attention(&args));
                expect_ok(rapt_attention(&masked));
                cr_expect(same_outputs(&args, &masked), "form %d, start %d, %d threads", f, s,
                          threads);
            }
            free(masked.mask.data);
            masked.mask = (rapt_tensor){.dtype = RAPT_NONE};
        }
        free_problem(&args);
        free_problem(&masked);
    }
}

/* The plan copies the numbers. */
Test(kv_start, need_not_outlive_the_plan) {
    const struct form form = {BATCH, 2, 1, 5, 60, 16, 16, .lse = true};
    rapt_attention_args args = new_problem(&form, 1), planned = new_problem(&form, 1);
    int64_t start[BATCH] = {7, 0, 59};
    rapt_plan *plan;
    args.kv_start = planned.kv_start = start;
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_plan_create(&planned, &plan));
    for (int b = 0; b < BATCH; b++)
        start[b] = 60;
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    cr_expect(same_outputs(&args, &planned));
    rapt_plan_destroy(plan);
    free_problem(&args);
    free_problem(&planned);
}
