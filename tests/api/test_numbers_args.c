/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of a run that its plan has no room for are refused before anything is written. */
#include "tests/support/helpers.h"

static void expect_refused(const rapt_attention_args *args, const rapt_attention_data *data,
                           const char *argument, const char *found, const char *expected) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    const size_t size = rapt_plan_slices_workspace_size(plan, 2);
    void *workspace = allocate(size);
    memset(workspace, 0, size);
    for (int slices = 0; slices < 2; slices++) {
        cr_expect_eq(slices ? rapt_plan_run_slice(plan, data, 1, 2, workspace, size)
                            : rapt_plan_run(plan, data, NULL, 0),
                     RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        cr_expect(mentions(message, argument) && mentions(message, found) &&
                      mentions(message, "expected") && mentions(message, expected),
                  "%s", message);
        cr_expect(outputs_untouched(args));
    }
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(((char *)workspace)[i], 0);
    free(workspace);
    rapt_plan_destroy(plan);
}

#define REFUSED(member, found, expected, ...)                                                      \
    do {                                                                                           \
        data = rapt_attention_data_of(&args);                                                      \
        const int64_t numbers[] = {__VA_ARGS__};                                                   \
        data.member = numbers;                                                                     \
        expect_refused(&args, &data, #member, found, expected);                                    \
    } while (0)

Test(numbers_args, bad_numbers) {
    static const int64_t limits[] = {30, 50}, zeros[] = {0, 0}, cu_k[] = {0, 20, 50};
    const struct form form = {2, 2, 1, 3, 50, 16, 16, .mask = RAPT_F32, .lse = true};
    const struct form ragged = {1, 2, 1, 3, 50, 16, 16, .lse = true};
    rapt_attention_args args = new_problem(&form, 1);
    rapt_attention_data data;
    REFUSED(kv_len, "51", "50", 0, 51);
    REFUSED(kv_len, "-1", "50", -1, 0);
    REFUSED(kv_len, "9223372036854775807", "50", 50, INT64_MAX);
    REFUSED(kv_start, "-1", "1152921504606846976", 3, -1);
    REFUSED(q_offset, "1152921504606846977", "1152921504606846976", 0, (INT64_C(1) << 60) + 1);
    REFUSED(q_offset, "-9223372036854775808", "1152921504606846976", INT64_MIN, 0);
    REFUSED(mask_start, "found", "NULL", 0, 0);
    data = rapt_attention_data_of(&args);
    data.block_table = (const int32_t[]){0, 0};
    expect_refused(&args, &data, "block_table", "found", "NULL");
    args.kv_len = limits;
    REFUSED(kv_len, "31", "30", 31, 50);
    args.mask_start = zeros;
    REFUSED(mask_start, "-1", "1152921504606846976", 3, -1);
    free_problem(&args);

    args = new_problem(&ragged, 1);
    args.sequences = 2;
    args.cu_q = (const int64_t[]){0, 1, 3};
    args.cu_k = cu_k;
    REFUSED(kv_len, "cu_k", "NULL", 20, 30);
    free_problem(&args);
}

Test(numbers_args, bad_tables) {
    static const int32_t planned[] = {0, 1, 1, 2, -9, 0}, table[] = {2, 1, -7, 0, 3, -1};
    static const int64_t limits[] = {12, 4}, lengths[] = {8, 5}, fewer[] = {8, 4}, many[] = {9, 0};
    const struct form form = {2, 2, 1, 1, 4, 8, 8, .lse = true};
    rapt_attention_args args = new_problem(&form, 1);
    free(args.key.data);
    free(args.value.data);
    args.key = random_tensor(RAPT_F32, 3, 1, 4, 8, 2);
    args.value = random_tensor(RAPT_F32, 3, 1, 4, 8, 3);
    args.block_table = planned;
    args.block_table_stride = 3;
    args.kv_len = limits;
    rapt_attention_data data = rapt_attention_data_of(&args);
    data.kv_len = lengths; /* in the second page, which the plan has no room for */
    expect_refused(&args, &data, "kv_len", "5", "4");
    data.kv_len = many;
    data.block_table = table;
    expect_refused(&args, &data, "block_table", "-7", "2");
    data.kv_len = NULL; /* the plan's */
    expect_refused(&args, &data, "block_table", "-7", "2");
    data.kv_len = fewer;
    args.block_table = NULL;
    data.block_table = NULL;
    expect_refused(&args, &data, "block_table", "NULL", "table");
    free_problem(&args);
}
