/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for before it is read: every row of keys and values once, and nothing else. */
#include "plans.h"
#include "worker.h"

enum { KEYS = 2100, DIM = 64 };

/* A tensor without memory: only addresses are looked at. */
static const char *const memory = (const char *)(1 << 20);

/* How often each row is asked for while a task goes through all of its blocks. */
static void count_rows(const struct rapt_plan *plan, int panels, int times[KEYS]) {
    const struct rapt_task task = {.panels = panels, .split = -1, .chunks = {0, 3}};
    const rapt_attention_data data = {.key = memory, .value = memory};
    struct worker w = {.plan = plan, .data = &data, .task = &task, .keys = {0, KEYS}};
    memset(times, 0, KEYS * sizeof *times);
    for (int64_t k = 0; k < KEYS; k += plan->key_block) {
        for (int i = 0; i < panels; i++) {
            const struct rapt_range keys = {k, rapt_min(k + plan->key_block, KEYS)};
            struct rapt_block block = {0};
            rapt_look_ahead(&w, &w.panel[i], keys, &block);
            cr_assert_eq(block.next_keys.bytes, block.next_values.bytes);
            cr_assert_eq(block.next_keys.first, block.next_values.first);
            if (block.next_keys.bytes == 0)
                continue;
            const int64_t row = DIM * sizeof(float);
            const int64_t at = (const char *)block.next_keys.first - memory;
            cr_assert(at % row == 0 && block.next_keys.bytes % row == 0);
            cr_assert(at >= 0 && at + block.next_keys.bytes <= KEYS * row);
            for (int64_t r = 0; r < block.next_keys.bytes / row; r++)
                times[at / row + r]++;
        }
    }
}

Test(ahead, asks_for_every_row_that_comes) {
    static int times[KEYS];
    const struct rapt_problem p = new_shape(1, 1, 1, 48 * 8, KEYS, DIM, DIM);
    const struct rapt_plan plan = sized_plan(&p, &variants[3], 1);
    const int64_t block = plan.key_block, chunk = plan.chunk;
    cr_assert(block < chunk && 2 * chunk < KEYS);
    for (int panels = 1; panels <= RAPT_PANELS_MAX; panels++) {
        count_rows(&plan, panels, times);
        for (int64_t key = 0; key < KEYS; key++) {
            /* The first panel goes through the first chunk a block ahead, and so has no share of
             * the second but what its last block brings. */
            const int64_t at = key % block, share = block / panels;
            const bool second = panels > 1 && key >= chunk && key < 2 * chunk;
            if (key < block)
                cr_assert_eq(times[key], 0);
            else if (second && key < chunk + block)
                cr_assert_eq(times[key], at < share ? 1 : 2);
            else
                cr_assert_eq(times[key], second && at < share ? 0 : 1, "%d panels, key %lld: %d",
                             panels, (long long)key, times[key]);
        }
    }
}

/* Rows that don't lie together are left to the hardware, and of pages the first is asked for. */
Test(ahead, knows_how_rows_lie) {
    struct rapt_problem p = new_shape(1, 1, 1, 48, KEYS, DIM, DIM);
    p.key.stride[2] = 2 * DIM;
    p.value.stride[3] = 2;
    struct rapt_plan plan = sized_plan(&p, &variants[3], 1);
    const struct rapt_task task = {.panels = 1, .split = -1, .chunks = {0, 3}};
    const rapt_attention_data data = {.key = memory, .value = memory};
    struct worker w = {.plan = &plan, .data = &data, .task = &task, .keys = {0, KEYS}};
    struct rapt_block block = {0};
    rapt_look_ahead(&w, &w.panel[0], (struct rapt_range){0, plan.key_block}, &block);
    cr_expect(block.next_keys.bytes == 0 && block.next_values.bytes == 0);

    int32_t table[KEYS / 20];
    for (int i = 0; i < KEYS / 20; i++)
        table[i] = KEYS / 20 - 1 - i;
    p = new_shape(1, 1, 1, 48, KEYS, DIM, DIM);
    p.page_size = 20;
    p.block_table = table;
    p.block_table_stride = KEYS / 20;
    p.key.stride[0] = p.value.stride[0] = 20 * DIM;
    plan = sized_plan(&p, &variants[3], 1);
    const int64_t first = plan.key_block, page = first / 20;
    rapt_look_ahead(&w, &w.panel[0], (struct rapt_range){0, first}, &block);
    cr_expect_eq(block.next_keys.first,
                 memory + ((table[page] * 20 + first % 20) * DIM) * (int64_t)sizeof(float));
    cr_expect_eq(block.next_keys.bytes, (20 - first % 20) * DIM * (int64_t)sizeof(float));
}
