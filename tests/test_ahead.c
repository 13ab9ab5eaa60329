/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for before it is read: every row of keys and values once, and nothing else. */
#include "plans.h"
#include "worker.h"

enum { KEYS = 2100, DIM = 64 };

/* A tensor without memory: only addresses are looked at. */
static const char *const memory = (const char *)(1 << 20);
static const char *const query_memory = (const char *)(1 << 28);
static const char *const output_memory = (const char *)(1 << 29);

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
            cr_assert_eq(block.soon[0].bytes, block.soon[1].bytes);
            cr_assert_eq(block.soon[0].first, block.soon[1].first);
            if (block.soon[0].bytes == 0)
                continue;
            const int64_t row = DIM * sizeof(float);
            const int64_t at = (const char *)block.soon[0].first - memory;
            cr_assert(at % row == 0 && block.soon[0].bytes % row == 0);
            cr_assert(at >= 0 && at + block.soon[0].bytes <= KEYS * row);
            for (int64_t r = 0; r < block.soon[0].bytes / row; r++)
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

/* How often each row of the output, and of the queries, is asked for once no keys come. */
static void count_lanes(const struct rapt_plan *plan, struct worker *w, int *outs, int *queries) {
    const int64_t row = DIM * sizeof(float);
    for (int64_t k = 0; k < KEYS; k += plan->key_block) {
        for (int64_t i = 0; i < w->task->panels; i++) {
            const struct rapt_range keys = {k, rapt_min(k + plan->key_block, KEYS)};
            struct rapt_block block = {0};
            w->panel[i].begun = keys.first >= plan->chunk;
            rapt_look_ahead(w, &w->panel[i], keys, &block);
            const char *out = block.soon[1].first, *query = block.soon[0].first;
            for (int64_t r = 0; out >= output_memory && r < block.soon[1].bytes / row; r++)
                outs[(out - output_memory) / row + r]++;
            for (int64_t r = 0; query >= query_memory && r < block.soon[0].bytes / row; r++)
                queries[(query - query_memory) / row + r]++;
        }
    }
}

Test(ahead, asks_for_queries_and_outputs_where_no_keys_come) {
    enum { PANELS = 5, ROWS = PANELS * 48 };
    const struct rapt_problem p = new_shape(1, 2, 1, ROWS, KEYS, DIM, DIM);
    struct rapt_plan plan = sized_plan(&p, &variants[3], 1);
    const int64_t chunks[] = {plan.chunk, (KEYS / plan.key_block + 1) * plan.key_block};
    for (int one = 0; one < 2; one++) {
        plan.chunk = chunks[one];
        const struct rapt_task task = {
            .panels = PANELS, .split = -1, .kv_head = 1, .chunks = {0, KEYS / plan.chunk + 1}};
        const rapt_attention_data data = {.query = query_memory,
                                          .key = memory,
                                          .value = memory,
                                          .out = (void *)(uintptr_t)output_memory};
        struct worker w = {.plan = &plan, .data = &data, .task = &task, .keys = {0, KEYS}};
        int outs[2 * ROWS] = {0}, queries[2 * ROWS] = {0};
        for (int64_t i = 0; i < PANELS; i++) {
            w.panel[i].rows = (struct rapt_range){i * 48, i * 48 + 48};
            w.panel[i].keys = (struct rapt_range){0, KEYS};
        }
        count_lanes(&plan, &w, outs, queries);
        /* The first panel goes through a chunk that is the only one a block ahead. The queries of
         * the second panel are its to ask for, and those of the first nobody's. */
        for (int r = 0; r < 2 * ROWS; r++) {
            const bool here = r >= ROWS, only = one == 1, begins = r < ROWS + 48;
            if (!only || !begins)
                cr_assert_eq(outs[r], here, "out %d of %d: %d", r, ROWS, outs[r]);
            cr_assert(!(only && begins) || outs[r] <= here);
            if (r < ROWS + 48 || !only)
                cr_assert_eq(queries[r], 0, "query %d: %d", r, queries[r]);
            else if (r >= ROWS + 96)
                cr_assert_eq(queries[r], 1, "query %d: %d", r, queries[r]);
        }
        struct rapt_block block = {0};
        plan.problem.group = 2; /* whose rows don't lie together */
        rapt_look_ahead(&w, &w.panel[1], (struct rapt_range){KEYS - 12, KEYS}, &block);
        cr_expect(block.soon[0].bytes == 0 && block.soon[1].bytes == 0);
        plan.problem.group = 1;
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
    cr_expect(block.soon[0].bytes == 0 && block.soon[1].bytes == 0);

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
    cr_expect_eq(block.soon[0].first,
                 memory + ((table[page] * 20 + first % 20) * DIM) * (int64_t)sizeof(float));
    cr_expect_eq(block.soon[0].bytes, (20 - first % 20) * DIM * (int64_t)sizeof(float));
}
