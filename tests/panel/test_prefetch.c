/* SPDX-License-Identifier: Apache-2.0 */
/* The prefetch of what comes: every row of keys and values once, and nothing else. */
#include "tests/support/plans.h"
#include "src/panel/worker.h"
#include "src/plan/bind.h"

enum { KEYS = 2100, DIM = 64 };

/* Tensors without memory: only addresses are looked at. */
#define AT_MEGABYTE(n) ((void *)((uintptr_t)(n) << 20))
static const rapt_attention_data memory = {
    .key = AT_MEGABYTE(1),
    .value = AT_MEGABYTE(64),
    .query = AT_MEGABYTE(128),
    .out = AT_MEGABYTE(256),
};

static struct rapt_plan bound_plan(const struct rapt_problem *p) {
    const struct rapt_plan plan = sized_plan(p, &variants[3], 1);
    struct rapt_plan bound;
    rapt_bind(&plan, &memory, &bound);
    return bound;
}

/* How often each row of two heads is prefetched. */
struct counts {
    int keys[2 * KEYS], values[2 * KEYS], queries[2 * KEYS], outs[2 * KEYS];
};

static void count_rows(const struct rapt_prefetch *prefetch, const void *base, int *times) {
    const int64_t row = DIM * sizeof(float),
                  at = (const char *)prefetch->first - (const char *)base;
    if (prefetch->bytes == 0 || at < 0 || at >= 32 << 20)
        return;
    cr_assert(at % row == 0 && prefetch->bytes % row == 0 &&
              at + prefetch->bytes <= 2 * KEYS * row);
    for (int64_t r = 0; r < prefetch->bytes / row; r++)
        times[at / row + r]++;
}

/* Goes through all blocks of a task as its worker does. */
static void run_task(struct worker *w, struct counts *counts) {
    const struct rapt_plan *plan = w->plan;
    memset(counts, 0, sizeof *counts);
    for (int64_t c = 0; c < KEYS; c += plan->chunk) {
        for (int64_t i = 0; i < w->task->panels; i++) {
            for (int64_t k = c; k < rapt_min(c + plan->chunk, KEYS); k += plan->key_block) {
                const struct rapt_range keys = {k, rapt_min(k + plan->key_block, KEYS)};
                struct rapt_block block = {0};
                w->panel[i].begun = true;
                rapt_choose_prefetch(w, &w->panel[i], keys, &block);
                for (int n = 0; n < RAPT_PREFETCH_MOST; n++) {
                    count_rows(&block.panel.prefetch[n], memory.key, counts->keys);
                    count_rows(&block.panel.prefetch[n], memory.value, counts->values);
                    count_rows(&block.panel.prefetch[n], memory.query, counts->queries);
                    count_rows(&block.panel.prefetch[n], memory.out, counts->outs);
                }
            }
        }
    }
}

static void set_panels(struct worker *w, int64_t panels) {
    for (int64_t i = 0; i < panels; i++) {
        w->panel[i].rows = (struct rapt_range){i * 48, i * 48 + 48};
        w->panel[i].keys = (struct rapt_range){0, KEYS};
    }
}

Test(prefetch, every_row_that_comes) {
    static struct counts counts;
    const struct rapt_problem p = new_shape(1, 1, 1, 48 * 8, KEYS, DIM, DIM);
    struct rapt_plan plan = bound_plan(&p);
    const int64_t block = plan.key_block, chunk = plan.chunk;
    cr_assert(block < chunk && 2 * chunk < KEYS);
    for (int i = 2; i <= 2 * RAPT_PANELS_MAX + 1; i++) {
        const int panels = i / 2;
        const struct rapt_task task = {.panels = panels, .split = -1, .chunks = {0, 3}};
        struct worker w = {.plan = &plan, .task = &task, .keys = {0, KEYS}};
        plan.stage_key = plan.stage_value = i % 2;
        set_panels(&w, panels);
        run_task(&w, &counts);
        for (int64_t key = 0; key < KEYS; key++) {
            /* Copied before they are prefetched: the first block, and if panels share it the first
             * chunk. Else the first panel's last block of that prefetches what shares of the others
             * do, too. */
            const bool copied = plan.stage_key && key < (panels > 1 ? chunk : block);
            const bool twice = !plan.stage_key && panels > 1 && key >= chunk && key < chunk + block;
            cr_assert_eq(counts.keys[key],
                         key < block || copied ? 0
                         : twice               ? 2
                                               : 1,
                         "%d panels, key %lld: %d", panels, (long long)key, counts.keys[key]);
            cr_assert_eq(counts.values[key], !copied, "%d panels, value %lld: %d", panels,
                         (long long)key, counts.values[key]);
        }
    }
}

/* The heads of a group lie one after the other, a panel's rows are the same queries of each. */
Test(prefetch, queries_and_outputs) {
    enum { PANELS = 5, ROWS = PANELS * 48 };
    static struct counts counts;
    for (int i = 0; i < 6; i++) {
        const int only = i % 2, group = i / 2 + 1;
        const struct rapt_problem p = new_shape(1, 2, group, ROWS / group, KEYS, DIM, DIM);
        struct rapt_plan plan = bound_plan(&p);
        if (only)
            plan.chunk = (KEYS / plan.key_block + 1) * plan.key_block;
        const struct rapt_task task = {
            .panels = PANELS, .split = -1, .kv_head = 1, .chunks = {0, KEYS / plan.chunk + 1}};
        struct worker w = {.plan = &plan, .task = &task, .keys = {0, KEYS}};
        set_panels(&w, PANELS);
        run_task(&w, &counts);
        /* The first panel has no place for outputs where it goes through a chunk that is the only
         * one. It prefetches the queries of the second panel, and nobody those of the first. */
        for (int r = 0; r < 2 * ROWS; r++) {
            const bool here = r >= ROWS, begins = !here || r % (ROWS / group) < 48 / group;
            if (!only || !begins)
                cr_assert_eq(counts.outs[r], here, "out %d of %d: %d", r, ROWS, counts.outs[r]);
            cr_assert(!(only && begins) || counts.outs[r] <= here);
            cr_assert_eq(counts.queries[r], !begins, "query %d: %d", r, counts.queries[r]);
        }
    }
}

/* Rows that don't lie together are left to the hardware, and of pages the first is prefetched. */
Test(prefetch, knows_how_rows_lie) {
    struct rapt_problem p = new_shape(1, 1, 1, 48, KEYS, DIM, DIM);
    p.key.stride[2] = 2 * DIM;
    p.value.stride[3] = 2;
    struct rapt_plan plan = bound_plan(&p);
    const struct rapt_task task = {.panels = 1, .split = -1, .chunks = {0, 3}};
    struct worker w = {.plan = &plan, .task = &task, .keys = {0, KEYS}};
    struct rapt_block block = {0};
    rapt_choose_prefetch(&w, &w.panel[0], (struct rapt_range){0, plan.key_block}, &block);
    cr_expect(block.panel.prefetch[0].bytes == 0 && block.panel.prefetch[1].bytes == 0);

    int32_t table[KEYS / 20];
    for (int i = 0; i < KEYS / 20; i++)
        table[i] = KEYS / 20 - 1 - i;
    p = new_shape(1, 1, 1, 48, KEYS, DIM, DIM);
    p.page_size = 20;
    p.block_table = table;
    p.block_table_stride = KEYS / 20;
    p.key.stride[0] = p.value.stride[0] = 20 * DIM;
    plan = bound_plan(&p);
    const int64_t first = plan.key_block, page = first / 20;
    rapt_choose_prefetch(&w, &w.panel[0], (struct rapt_range){0, first}, &block);
    cr_expect_eq(block.panel.prefetch[0].first,
                 (const char *)memory.key +
                     ((table[page] * 20 + first % 20) * DIM) * (int64_t)sizeof(float));
    cr_expect_eq(block.panel.prefetch[0].bytes, (20 - first % 20) * DIM * (int64_t)sizeof(float));
}

static const struct rapt_scratch none; /* nothing is copied */

/* For few queries the kernel prefetches rows in halves of a block, and at its end for the next
 * keys' first half. */
Test(prefetch, a_few_queries_are_told_what_comes) {
    const int64_t dims[] = {DIM, 128, 160}, lasts[] = {0, 20, 1000};
    for (int i = 0; i < 9; i++) {
        const int64_t dim = dims[i / 3], row = dim * (int64_t)sizeof(float);
        const struct rapt_problem p = new_shape(1, 1, 1, 1, KEYS, dim, dim);
        struct rapt_plan plan = bound_plan(&p);
        const struct rapt_task task = {.panels = 1, .split = -1, .chunks = {0, 1}};
        struct worker w = {.plan = &plan, .task = &task, .scratch = &none, .is_few = true};
        w.stored_first = -1;
        w.key_step = w.key_bytes = w.value_step = w.value_bytes = row;
        w.panel[0].whole = (struct rapt_range){0, KEYS};
        const int64_t block = plan.key_block, last = rapt_min(block + lasts[i % 3], 2 * block);
        const struct rapt_block made = rapt_make_few_block(&w, (struct rapt_range){0, block},
                                                           (struct rapt_range){block, last});
        cr_expect(made.few.stretch == block / 2 && made.few.stretch % RAPT_GROUP_ROWS == 0);
        cr_expect_eq(made.few.keys.groups, block / RAPT_GROUP_ROWS);
        cr_assert_eq(made.few.next_keys.groups, rapt_divide_up(last - block, RAPT_GROUP_ROWS));
        for (int g = 0; g < made.few.next_keys.groups; g++)
            cr_expect_eq(made.few.next_keys.group[g],
                         (const char *)memory.key + (block + g * RAPT_GROUP_ROWS) * row);
    }
}
