/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbouring tokens taken together, and the pieces of words. */
#include "tests/support/heads_views.h"

#include "cli/attend/groups.h"
#include "cli/attend/words.h"

Test(groups, of_a_size_take_all_tokens) {
    for (int tokens = 1; tokens < 20; tokens++) {
        for (int size = 1; size < 25; size++) {
            struct groups groups = groups_of(tokens, size);
            cr_expect_eq(groups.count, (tokens + size - 1) / size);
            for (int i = 0; i < groups.count; i++)
                cr_expect_eq(groups.start[i], i * size);
            cr_expect_eq(groups.start[groups.count], tokens);
            groups_free(&groups);
        }
    }
}

/* Two heads of three tokens, of which the last two are a word. */
Test(groups, sum_over_keys_and_take_the_mean_over_queries) {
    const float weights[] = {0.5f, 0.25f, 0.25f, 0.25f, 0.5f, 0.25f, 0.75f, 0.125f, 0.125f,
                             1,    0,     0,     0,     1,    0,     0,     0,      1};
    const float expected[] = {0.5f, 0.5f, 0.5f, 0.5f, 1, 0, 0, 1};
    int starts[] = {0, 1, 3};
    struct groups groups = {2, starts}, single = groups_of(3, 1);
    float *merged = groups_merge(weights, 2, &groups, &groups);
    cr_assert_not_null(merged);
    cr_expect_eq(memcmp(merged, expected, sizeof expected), 0);
    free(merged);
    merged = groups_merge(weights, 2, &single, &groups); /* keys alone */
    const float keys[] = {0.5f, 0.5f, 0.25f, 0.75f, 0.75f, 0.25f, 1, 0, 0, 1, 0, 1};
    cr_expect_eq(memcmp(merged, keys, sizeof keys), 0);
    free(merged);
    groups_free(&single);
}

Test(groups, of_word_pieces_have_rows_that_sum_to_1) {
    struct made_view *made = make_view(false, 24, 2, 3, 80);
    struct words words;
    cr_assert(words_read(&words, &made->view, true));
    cr_expect_eq(made->view.sentence->token_count, 21); /* 3 pieces have joined */
    cr_expect_str_eq(made->view.sentence->tokens[2], "attentions");
    cr_expect_lt(attend_sum_deviation(made->view.weights, 2 * 3 * 21, 21), 1e-6);
    /* The fourth head, "the" to "attention ##s", and back. */
    const float *before = made->weights + 3 * 24 * 24, *after = words.weights + 3 * 21 * 21;
    cr_expect_float_eq(after[21 + 2], before[24 + 2] + before[24 + 3], 1e-7);
    cr_expect_float_eq(after[2 * 21 + 1], (before[2 * 24 + 1] + before[3 * 24 + 1]) / 2, 1e-7);
    words_free(&words);
    free_view(made);
}
