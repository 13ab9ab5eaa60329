/* SPDX-License-Identifier: Apache-2.0 */
/* How rows are divided into panels, and keys into blocks and chunks. */
#include "tests/support/plans.h"

/* What must hold of one panel, given where the one before it ended. */
static void expect_panel(const struct rapt_plan *plan, int64_t b, int64_t panel, int64_t first) {
    const struct rapt_range rows = rapt_panel_rows(plan, b, panel);
    const struct rapt_range widest = rapt_panel_rows(plan, b, 0);
    const int64_t lanes = plan->kernels->lanes, count = rows.last - rows.first;
    cr_assert_eq(rows.first, first);
    cr_assert_eq(rows.first % lanes, 0);
    cr_assert(count >= 1 && count <= plan->kernels->panel_rows, "%lld rows", (long long)count);
    cr_assert(count % lanes == 0 || panel == rapt_panels(plan, b) - 1);
    /* All panels are about as wide: no two differ by more than one vector. */
    cr_assert_geq((count + lanes - 1) / lanes,
                  (widest.last - widest.first + lanes - 1) / lanes - 1);
}

/* The panels of a sequence take each of its rows once, and there are no more than needed. */
static void expect_panels(const struct rapt_plan *plan, int64_t b, int64_t rows) {
    const int64_t panels = rapt_panels(plan, b), width = plan->kernels->panel_rows;
    cr_assert_eq(panels, (rows + width - 1) / width);
    int64_t row = 0;
    for (int64_t panel = 0; panel < panels; panel++) {
        expect_panel(plan, b, panel, row);
        row = rapt_panel_rows(plan, b, panel).last;
    }
    cr_assert_eq(row, rows);
}

Test(plan, panels_partition_the_rows) {
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t group = 1; group <= 9; group += 4) {
            for (int64_t q_len = 1; q_len <= 300; q_len++) {
                const struct rapt_problem p = new_shape(1, 1, group, q_len, 10, 8, 8);
                const struct rapt_plan plan = sized_plan(&p, &variants[v], 1);
                expect_panels(&plan, 0, q_len * group);
            }
        }
    }
}

Test(plan, panels_partition_the_rows_of_each_sequence) {
    enum { SEQUENCES = 12 };
    static const int64_t lengths[SEQUENCES] = {0, 1, 0, 0, 7, 300, 2, 64, 65, 3, 1000, 0};
    int64_t cu[SEQUENCES + 1] = {0};
    for (int b = 0; b < SEQUENCES; b++)
        cu[b + 1] = cu[b] + lengths[b];
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t group = 1; group <= 6; group++) {
            const struct rapt_problem p = new_ragged(SEQUENCES, 2, group, cu, NULL, 16);
            const struct rapt_plan plan = sized_plan(&p, &variants[v], 2);
            for (int b = 0; b < SEQUENCES; b++)
                expect_panels(&plan, b, lengths[b] * group);
        }
    }
}

Test(plan, panels_partition_huge_numbers_of_rows) {
    const int64_t lengths[] = {131072, 1000003, INT32_MAX - 1, INT32_MAX};
    const int64_t groups[] = {1, 7, 64, 1000003, INT32_MAX};
    uint64_t seed = 1;
    for (int i = 0; i < VARIANTS * 4 * 5; i++) {
        const struct rapt_problem p = new_shape(1, 1, groups[i % 5], lengths[i / 5 % 4], 10, 1, 1);
        const struct rapt_kernels *kernels = &variants[i / 20];
        const struct rapt_plan plan = {
            .problem = p, .kernels = kernels, .panel_rows = kernels->panel_rows};
        const int64_t panels = rapt_panels(&plan, 0);
        expect_panel(&plan, 0, 0, 0);
        cr_assert_eq(rapt_panel_rows(&plan, 0, panels - 1).last,
                     groups[i % 5] * lengths[i / 5 % 4]);
        for (int k = 0; k < 200; k++) {
            const uint64_t random = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
            const int64_t panel = 1 + (int64_t)(random % (uint64_t)(panels - 1));
            expect_panel(&plan, 0, panel, rapt_panel_rows(&plan, 0, panel - 1).last);
        }
    }
}

/* A sequence of as few rows as the variant is faster for. Not if scores before the masks are
 * wanted, or if rows of weights, keys or values are scattered. */
Test(plan, few_rows) {
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t group = 1; group <= 5; group += 2) {
            for (int64_t q_len = 1; q_len <= 20; q_len++) {
                const struct rapt_problem p = new_shape(2, 3, group, q_len, 10, 8, 8);
                const bool few = q_len * group <= variants[v].few_most;
                const struct rapt_plan plan = sized_plan(&p, &variants[v], 1);
                cr_assert_eq(rapt_is_few(&plan, 1), few);
                cr_assert_eq(plan.has_few, few);
                cr_assert(!few || rapt_panels(&plan, 1) == 1);
                struct rapt_problem weighed = p, others[] = {p, p, p, p};
                weighed.weights = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 3 * group, q_len, 10);
                weighed.top_count = 2;
                weighed.entropy.dtype = RAPT_F32;
                cr_assert_eq(sized_plan(&weighed, &variants[v], 1).has_few, few);
                others[0] = others[3] = weighed;
                others[0].weights.stride[3] = 2;
                others[1].key.stride[3] = 2;
                others[2].value.stride[3] = -1;
                others[3].weights_kind = RAPT_WEIGHTS_SCALED;
                for (int i = 0; i < 4; i++) {
                    const struct rapt_plan other = sized_plan(&others[i], &variants[v], 1);
                    cr_assert(!rapt_is_few(&other, 1) && !other.has_few);
                }
            }
        }
    }
}

/* Each sequence of a batch for itself; one without queries has no panel to be few. */
Test(plan, few_rows_among_many) {
    const int64_t mixed[] = {0, 0, 1, 200, 202, 202}, long_ones[] = {0, 0, 90, 200, 290, 390};
    for (int v = 0; v < VARIANTS; v++) {
        const struct rapt_problem p = new_ragged(5, 2, 1, mixed, NULL, 16);
        const struct rapt_plan plan = sized_plan(&p, &variants[v], 2);
        cr_expect(plan.has_few);
        cr_expect(rapt_is_few(&plan, 1) && !rapt_is_few(&plan, 2));
        cr_expect_eq(rapt_is_few(&plan, 3), variants[v].few_most >= 2);
        const struct rapt_problem q = new_ragged(5, 2, 1, long_ones, NULL, 16);
        cr_expect_not(sized_plan(&q, &variants[v], 2).has_few);
    }
}

Test(plan, blocks_and_chunks_depend_on_the_head_sizes_alone) {
    const int64_t dims[] = {1, 32, 64, 65, 80, 128, 129, 256, 1000, INT32_MAX};
    const int64_t cu[] = {0, 3, 3, 70, 171, 200, 321};
    for (int i = 0; i < 10 * 10; i++) {
        const int64_t head_dim = dims[i / 10], value_dim = dims[i % 10];
        const int block = rapt_key_block(head_dim, value_dim);
        const int64_t chunk = rapt_chunk(head_dim, value_dim);
        cr_assert(block > 0 && chunk >= block && chunk % block == 0);
        cr_assert_eq(block % 16, 0, "scores of a few rows are whole vectors");
        cr_assert(block == rapt_key_block(value_dim, head_dim) &&
                  chunk == rapt_chunk(value_dim, head_dim));
        for (int k = 0; k < VARIANTS * 8; k++) {
            struct rapt_problem p = new_shape(1 + k % 2, 1 + k % 3, 1 + k % 5, 1 + k * 37,
                                              1 + k * 101, head_dim, value_dim);
            p.causal = k & 1;
            p.softcap = k & 2 ? 30 : 0;
            p.mask.dtype = k & 4 ? RAPT_F32 : RAPT_NONE;
            p.key.stride[3] = 1 + k % 4;
            p.value.dtype = k & 2 ? RAPT_BF16 : RAPT_F32;
            p.page_size = k & 4 ? 16 : 0;
            if (k & 1) {
                p.batch = 6;
                p.cu_q = p.cu_k = cu;
            }
            const struct rapt_plan plan = sized_plan(&p, &variants[k / 8], 1 + k % 7);
            cr_assert(plan.key_block == block && plan.chunk == chunk);
        }
    }
}

/* Whether results of several chunks are to be joined, wherever a run's queries are. */
Test(plan, joins) {
    for (int64_t dim = 1; dim <= 300; dim += 13) {
        const int64_t chunk = rapt_chunk(dim, dim);
        for (int threads = 1; threads <= 4; threads += 3) {
            const struct rapt_problem one = new_shape(1, 2, 1, 1, chunk, dim, dim);
            cr_expect_not(sized_plan(&one, &variants[3], threads).joins);
            struct rapt_problem two = new_shape(2, 2, 1, 1, chunk + 1, dim, dim);
            cr_expect(sized_plan(&two, &variants[3], threads).joins);
            two.causal = true; /* the one query attends the one key at its position */
            cr_expect(sized_plan(&two, &variants[3], threads).joins);
        }
    }
}

/* Who copies keys and values does it for more queries at a time, and one thread goes through them
 * as seldom as it can. */
Test(plan, tasks_share_keys) {
    struct rapt_problem p = new_shape(1, 32, 1, 48 * 64, 2000, 64, 64);
    cr_expect_eq(sized_plan(&p, &variants[3], 1).panels_per_task, RAPT_PANELS_MAX / 2);
    p.value.stride[2] = (int64_t)32 * 64;
    cr_expect_eq(sized_plan(&p, &variants[3], 1).panels_per_task, RAPT_PANELS_MAX);
    p.value.stride[2] = 0;
    cr_expect_eq(sized_plan(&p, &variants[3], 1).panels_per_task, RAPT_PANELS_MAX / 2);
    p.key.dtype = RAPT_BF16;
    cr_expect_eq(sized_plan(&p, &variants[3], 1).panels_per_task, RAPT_PANELS_MAX);

    for (int panels = 1; panels <= RAPT_PANELS_MAX / 2; panels++) {
        p = new_shape(1, 1, 1, (int64_t)48 * panels, 2000, 64, 64);
        cr_expect_eq(sized_plan(&p, &variants[3], 1).task_count, 1);
        cr_expect_eq(sized_plan(&p, &variants[3], 1).panels_per_task, panels);
    }
}

Test(plan, threads_are_at_most_those_asked_for) {
    for (int threads = 1; threads < 70; threads++) {
        const struct rapt_problem small = new_shape(1, 1, 1, 3, 5, 4, 4);
        cr_expect_eq(sized_plan(&small, &variants[2], threads).threads, 1);
        const struct rapt_problem large = new_shape(2, 8, 4, 4096, 4096, 64, 64);
        const struct rapt_plan plan = sized_plan(&large, &variants[3], threads);
        cr_expect_eq(plan.threads, threads);
        cr_expect_geq(plan.task_count, plan.threads);
        cr_expect(plan.panels_per_task >= 1 && plan.panels_per_task <= RAPT_PANELS_MAX);
        /* One panel: its keys are shared out, unless their weights are asked for. */
        struct rapt_problem one_panel = new_shape(1, 1, 1, 4, 1 << 20, 64, 64);
        cr_expect_eq(sized_plan(&one_panel, &variants[3], threads).threads, threads);
        one_panel.weights.dtype = RAPT_F32;
        cr_expect_eq(sized_plan(&one_panel, &variants[3], threads).threads, 1);
    }
}
