/* SPDX-License-Identifier: Apache-2.0 */
/* How a problem is divided: pure functions, with made-up variants and shapes of any size. */
#include "helpers.h"
#include "plan.h"
#include "run.h"

/* Variants as they are and as they could be; planning looks at nothing but these sizes. */
static const struct rapt_kernels variants[] = {
    {.name = "one", .lanes = 1, .panel_rows = 4, .few_rows = 2},
    {.name = "four", .lanes = 4, .panel_rows = 16, .few_rows = 8},
    {.name = "eight", .lanes = 8, .panel_rows = 24, .few_rows = 8},
    {.name = "big", .lanes = 16, .panel_rows = 48, .few_rows = 8},
    {.name = "wide", .lanes = 16, .panel_rows = 64, .few_rows = 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct rapt_problem new_shape(int64_t batch, int64_t kv_heads, int64_t group, int64_t q_len,
                                     int64_t kv_len, int64_t head_dim, int64_t value_dim) {
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

static struct rapt_plan sized_plan(const struct rapt_problem *p, const struct rapt_kernels *kernels,
                                   int threads) {
    struct rapt_plan plan = {.problem = *p, .kernels = kernels};
    expect_ok(rapt_plan_sizes(&plan, threads));
    return plan;
}

/* Rows of the first sequence. */
static int64_t row_count(const struct rapt_plan *plan) {
    return plan->problem.query.shape[2] * plan->problem.group;
}

/* What must hold of one panel, given where the one before it ended. */
static void expect_panel(const struct rapt_plan *plan, int64_t panel, int64_t first) {
    const struct rapt_range rows = rapt_panel_rows(plan, 0, panel);
    const int64_t lanes = plan->kernels->lanes, count = rows.last - rows.first;
    cr_assert_eq(rows.first, first);
    cr_assert_eq(rows.first % lanes, 0);
    cr_assert(count >= 1 && count <= plan->kernels->panel_rows, "%lld rows", (long long)count);
    cr_assert(count % lanes == 0 || rows.last == row_count(plan));
    /* All panels are about as wide: no two differ by more than one vector. */
    const struct rapt_range widest = rapt_panel_rows(plan, 0, 0);
    const int64_t least = (widest.last - widest.first + lanes - 1) / lanes - 1;
    cr_assert_geq((count + lanes - 1) / lanes, least);
}

Test(plan, panels_partition_the_rows) {
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t group = 1; group <= 9; group += 4) {
            for (int64_t q_len = 1; q_len <= 300; q_len++) {
                const struct rapt_problem p = new_shape(1, 1, group, q_len, 10, 8, 8);
                const struct rapt_plan plan = sized_plan(&p, &variants[v], 1);
                int64_t row = 0;
                for (int64_t panel = 0; panel < rapt_panels(&plan, 0); panel++) {
                    expect_panel(&plan, panel, row);
                    row = rapt_panel_rows(&plan, 0, panel).last;
                }
                cr_assert_eq(row, q_len * group);
            }
        }
    }
}

/* Panels are a function of the shapes: plans of so many rows are made without their sizes. */
Test(plan, panels_partition_huge_numbers_of_rows) {
    const int64_t lengths[] = {131072, 1000003, INT32_MAX - 1, INT32_MAX};
    const int64_t groups[] = {1, 7, 64, 1000003, INT32_MAX};
    uint64_t seed = 1;
    for (int i = 0; i < VARIANTS * 4 * 5; i++) {
        const struct rapt_problem p = new_shape(1, 1, groups[i % 5], lengths[i / 5 % 4], 10, 1, 1);
        const struct rapt_plan plan = {.problem = p, .kernels = &variants[i / 20]};
        const int64_t panels = rapt_panels(&plan, 0);
        expect_panel(&plan, 0, 0);
        cr_assert_eq(rapt_panel_rows(&plan, 0, panels - 1).last, row_count(&plan));
        for (int k = 0; k < 200; k++) {
            const uint64_t random = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
            const int64_t panel = 1 + (int64_t)(random % (uint64_t)(panels - 1));
            expect_panel(&plan, panel, rapt_panel_rows(&plan, 0, panel - 1).last);
        }
    }
}

/* Keys that any row of a panel attends, counted one by one: their union has no hole. */
static struct rapt_range union_of_keys(const struct rapt_plan *plan, int64_t batch, int64_t panel) {
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_range rows = rapt_panel_rows(plan, batch, panel);
    int64_t first = INT64_MAX, last = 0;
    for (int64_t row = rows.first; row < rows.last; row++) {
        const int64_t at = row / p->group + (p->q_offset ? p->q_offset[batch] : 0);
        const int64_t length = p->kv_lens ? p->kv_lens[batch] : p->kv_most;
        for (int64_t key = 0; key < length; key++) {
            if ((p->causal && key > at) || (p->window_left >= 0 && key < at - p->window_left) ||
                (p->window_right >= 0 && key > at + p->window_right))
                continue;
            first = key < first ? key : first;
            last = key + 1 > last ? key + 1 : last;
        }
    }
    return last > first ? (struct rapt_range){first, last} : (struct rapt_range){0, 0};
}

/* The scores that the lanes of a panel compute: those of rows that fill a vector only in part, too.
 */
static int64_t cost_of(const struct rapt_plan *plan, int64_t batch, int64_t panel) {
    const int64_t lanes = plan->kernels->lanes;
    const struct rapt_range rows = rapt_panel_rows(plan, batch, panel);
    const struct rapt_range keys = union_of_keys(plan, batch, panel);
    return (rows.last - rows.first + lanes - 1) / lanes * lanes * (keys.last - keys.first);
}

static struct rapt_plan planned(const struct rapt_problem *p, const struct rapt_kernels *kernels,
                                int threads) {
    struct rapt_plan plan = sized_plan(p, kernels, threads);
    plan.tasks = allocate((size_t)plan.task_count * sizeof *plan.tasks);
    plan.splits = allocate((size_t)(plan.split_count + 1) * sizeof *plan.splits);
    const int64_t tasks = plan.task_count, splits = plan.split_count, parts = plan.part_count;
    rapt_plan_tasks(&plan);
    cr_assert(plan.task_count == tasks && plan.split_count == splits && plan.part_count == parts);
    return plan;
}

static void free_planned(struct rapt_plan *plan) {
    free(plan->tasks);
    free(plan->splits);
}

/* A task's cost, and that its chunks hold all keys; a split task's is its share. */
static void expect_task(const struct rapt_plan *plan, const struct rapt_task *t) {
    const struct rapt_range chunks = t->split < 0 ? t->chunks : plan->splits[t->split].chunks;
    int64_t cost = 0;
    for (int64_t panel = t->panel; panel < t->panel + t->panels; panel++) {
        const struct rapt_range keys = union_of_keys(plan, t->batch, panel);
        cr_assert(keys.first == keys.last || (chunks.first * plan->chunk <= keys.first &&
                                              keys.last <= chunks.last * plan->chunk));
        cost += cost_of(plan, t->batch, panel);
    }
    cost /= t->split < 0 ? 1 : plan->splits[t->split].tasks;
    cr_expect_eq(t->cost, cost, "%s: panels from %lld cost %lld, not %lld; window %lld, %lld",
                 plan->kernels->name, (long long)t->panel, (long long)cost, (long long)t->cost,
                 (long long)plan->problem.window_left, (long long)plan->problem.window_right);
}

/* The tasks of every split take each of its chunks once, and no two splits have a part in common.
 */
static void expect_splits(const struct rapt_plan *plan) {
    unsigned char *parts = allocate((size_t)plan->part_count + 1);
    memset(parts, 0, (size_t)plan->part_count);
    for (int64_t i = 0; i < plan->split_count; i++) {
        const struct rapt_split *split = &plan->splits[i];
        int tasks = 0;
        for (int64_t n = 0; n < plan->task_count; n++) {
            const struct rapt_task *t = &plan->tasks[n];
            if (t->split != i)
                continue;
            const struct rapt_range rows = rapt_panel_rows(plan, t->batch, t->panel);
            cr_assert(t->panels == 1 && t->chunks.first < t->chunks.last);
            cr_assert_leq(rows.last - rows.first, plan->part_width);
            for (int64_t chunk = t->chunks.first; chunk < t->chunks.last; chunk++)
                parts[split->part + chunk - split->chunks.first]++;
            tasks++;
        }
        cr_assert_eq(tasks, split->tasks);
    }
    for (int64_t i = 0; i < plan->part_count; i++)
        cr_assert_eq(parts[i], 1, "part %lld", (long long)i);
    free(parts);
}

/* Every panel of every batch and head belongs to one task or split, heaviest first, at its true
 * cost. */
static int64_t expect_tasks(const struct rapt_problem *p, const struct rapt_kernels *kernels,
                            int threads) {
    struct rapt_plan plan = planned(p, kernels, threads);
    const int64_t panels = rapt_panels(&plan, 0), total = p->batch * p->kv_heads * panels;
    const int64_t splits = plan.split_count;
    int *covered = allocate((size_t)total * sizeof *covered);
    memset(covered, 0, (size_t)total * sizeof *covered);
    for (int64_t i = 0; i < plan.task_count; i++) {
        const struct rapt_task *t = &plan.tasks[i];
        cr_assert(t->batch >= 0 && t->batch < p->batch && t->kv_head >= 0 &&
                  t->kv_head < p->kv_heads && t->panel >= 0 && t->panels >= 1 &&
                  t->panel + t->panels <= panels && t->split < splits);
        expect_task(&plan, t);
        for (int64_t panel = t->panel; panel < t->panel + t->panels; panel++)
            covered[(t->batch * p->kv_heads + t->kv_head) * panels + panel] +=
                t->split < 0 ? 1000 : 1000 / plan.splits[t->split].tasks;
        cr_expect(i == 0 || plan.tasks[i - 1].cost >= t->cost, "a lighter task comes first");
    }
    for (int64_t i = 0; i < total; i++)
        cr_assert(covered[i] > 900 && covered[i] <= 1000, "panel %lld", (long long)i);
    expect_splits(&plan);
    free(covered);
    free_planned(&plan);
    return splits;
}

Test(plan, tasks_cover_every_panel_once) {
    for (int i = 0; i < VARIANTS * 4; i++) {
        const struct rapt_problem many = new_shape(3, 2, 3, 500, 20, 64, 64);
        expect_tasks(&many, &variants[i / 4], 1 << i % 4);
        const struct rapt_problem few = new_shape(2, 5, 1, 1 + i, 20, 8, 4);
        expect_tasks(&few, &variants[i / 4], 1 << i % 4);
    }
}

/* Where there are few panels, their keys are divided, unless weights are asked for. */
Test(plan, keys_are_divided_among_threads) {
    for (int v = 0; v < VARIANTS; v++) {
        for (int threads = 1; threads <= 9; threads += 4) {
            struct rapt_problem p = new_shape(1, 2, 2, 2, 9001, 64, 64);
            const int64_t splits = expect_tasks(&p, &variants[v], threads);
            cr_expect_eq(splits, threads > 1 ? 2 : 0, "%d threads: %lld splits", threads,
                         (long long)splits);
            p.window_left = 4000;
            const int64_t offset = 8500;
            p.q_offset = &offset;
            expect_tasks(&p, &variants[v], threads);
            p.weights.dtype = RAPT_F32;
            cr_expect_eq(expect_tasks(&p, &variants[v], threads), 0);
        }
    }
}

Test(plan, tasks_cost_what_their_panels_attend) {
    const int64_t windows[][2] = {{-1, -1}, {0, 0}, {10, -1}, {-1, 10}, {3, 5}, {100, 0}};
    const int64_t lengths[] = {150, 61};
    for (int v = 0; v < VARIANTS; v++) {
        for (int i = 0; i < 6 * 2; i++) {
            const int64_t offsets[] = {0, 90};
            struct rapt_problem p = new_shape(2, 2, 1 + v % 3, 150, 150, 16, 16);
            p.window_left = windows[i / 2][0];
            p.window_right = windows[i / 2][1];
            p.causal = i % 2;
            expect_tasks(&p, &variants[v], 2);
            p.q_offset = offsets;
            p.kv_lens = lengths;
            expect_tasks(&p, &variants[v], 2);
        }
    }
}

/* Queries before the first key and behind the last, so that a panel's first or last rows have no
 * key while others do. */
Test(plan, tasks_cost_what_their_panels_attend_at_the_ends) {
    const int64_t offsets[] = {-75, 130};
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t left = -1; left <= 12; left += 13) {
            struct rapt_problem p = new_shape(2, 1, 1, 150, 150, 16, 16);
            p.causal = true;
            p.window_left = left;
            p.q_offset = offsets;
            expect_tasks(&p, &variants[v], 2);
        }
    }
}

Test(plan, blocks_and_chunks_depend_on_the_head_sizes_alone) {
    const int64_t dims[] = {1, 32, 64, 65, 80, 128, 129, 256, 1000};
    for (int i = 0; i < 9 * 9; i++) {
        const int64_t head_dim = dims[i / 9], value_dim = dims[i % 9];
        const int block = rapt_key_block(head_dim, value_dim);
        cr_assert_gt(block, 0);
        cr_assert_eq(block, rapt_key_block(value_dim, head_dim));
        for (int k = 0; k < VARIANTS * 8; k++) {
            struct rapt_problem p = new_shape(1 + k % 2, 1 + k % 3, 1 + k % 5, 1 + k * 37,
                                              1 + k * 101, head_dim, value_dim);
            p.causal = k & 1;
            p.softcap = k & 2 ? 30 : 0;
            p.mask.dtype = k & 4 ? RAPT_F32 : RAPT_NONE;
            p.key.stride[3] = 1 + k % 4;
            const struct rapt_plan plan = sized_plan(&p, &variants[k / 8], 1 + k % 7);
            cr_assert_eq(plan.key_block, block);
            cr_assert_eq(plan.chunk, rapt_chunk(value_dim, head_dim));
            cr_assert_gt(plan.chunk, 0);
            cr_assert_eq(plan.chunk % block, 0);
        }
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
        struct rapt_problem one_panel = new_shape(1, 1, 1, 4, 1 << 20, 64, 64);
        cr_expect_eq(sized_plan(&one_panel, &variants[3], threads).threads, threads);
        one_panel.weights.dtype = RAPT_F32; /* whose keys aren't divided */
        cr_expect_eq(sized_plan(&one_panel, &variants[3], threads).threads, 1);
        cr_expect(plan.panels_per_task >= 1 && plan.panels_per_task <= RAPT_PANELS_MAX);
    }
}

/* The parts of a thread's scratch follow each other, aligned, with room for what they hold. */
Test(plan, scratch_has_room_for_its_parts) {
    const int64_t dims[] = {1, 3, 64, 100, 256, 4097};
    for (int i = 0; i < VARIANTS * 6 * 6 * 2; i++) {
        const int64_t head_dim = dims[i / 2 % 6], value_dim = dims[i / 12 % 6];
        struct rapt_problem p = new_shape(2, 3, 2, i % 5 ? 900 : 1, 5000, head_dim, value_dim);
        p.mask.dtype = i & 1 ? RAPT_BOOL : RAPT_NONE;
        p.value.stride[3] = i & 1 ? 2 : 1;
        p.key.dtype = i % 3 ? RAPT_F32 : RAPT_I8;
        p.out.dtype = i & 2 ? RAPT_BF16 : RAPT_F32;
        const struct rapt_plan plan = sized_plan(&p, &variants[i / 72], 3);
        const struct rapt_scratch *s = &plan.scratch;
        const size_t width = (size_t)plan.kernels->panel_rows, block = (size_t)plan.key_block;
        const size_t keys = plan.panels_per_task > 1 ? (size_t)plan.chunk : block;
        const size_t state = (size_t)value_dim + 3;
        const size_t starts[] = {s->panels, s->few,        s->scores,       s->bias,  s->bounds,
                                 s->rows,   s->staged_key, s->staged_value, s->floats};
        const size_t needed[] = {
            s->panel_floats * (size_t)plan.panels_per_task,
            plan.has_few ? (size_t)(plan.kernels->few_rows * (head_dim + value_dim)) : 0,
            block * width,
            p.mask.dtype == RAPT_NONE ? 0 : block * width,
            4 * width,
            p.out.dtype == RAPT_F32 ? 0 : (size_t)value_dim * width,
            p.key.dtype == RAPT_F32 ? 0 : keys * (size_t)head_dim,
            p.value.stride[3] == 1 || value_dim == 1 ? 0 : keys * (size_t)value_dim,
        };
        cr_assert_geq(s->panel_floats, ((size_t)head_dim + 2 * state + 4) * width);
        cr_assert_geq(plan.part_floats, state * (size_t)plan.part_width);
        cr_assert_eq(s->panel_floats * sizeof(float) % RAPT_ALIGN, 0u);
        for (int k = 0; k < 8; k++) {
            cr_assert_eq(starts[k] * sizeof(float) % RAPT_ALIGN, 0u, "part %d", k);
            cr_assert_geq(starts[k + 1], starts[k] + needed[k], "part %d", k);
        }
        cr_assert_eq(s->floats * sizeof(float) % RAPT_ALIGN, 0u);
    }
}

/* Shapes with sizes at the limits of their type are counted exactly, never wrapped. */
Test(plan, sizes_never_wrap) {
    uint64_t seed = 1;
    int counted = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t n[7];
        for (int k = 0; k < 7; k++) {
            const int64_t limits[] = {1, 1 + next_random(&seed) % 300, INT32_MAX,
                                      1 + next_random(&seed) % INT32_MAX};
            n[k] = limits[next_random(&seed) % 4];
        }
        n[2] = n[2] > INT32_MAX / n[1] ? INT32_MAX / n[1] : n[2]; /* group * kv_heads is a shape */
        struct rapt_problem p = new_shape(n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
        p.key.stride[3] = 2;
        struct rapt_plan plan = {.problem = p, .kernels = &variants[i % VARIANTS]};
        /* Tasks are counted one by one. */
        if ((double)(n[0] * n[1]) * ((double)n[2] * (double)n[3] + 4) * ((double)n[4] + 32) > 1e5)
            continue;
        const int threads = i & 1 ? INT32_MAX : 1 + i % 64;
        expect_ok(rapt_plan_sizes(&plan, threads));
        const __int128 width = plan.kernels->panel_rows;
        const __int128 floats = (n[5] + n[6] + 7) * width * plan.panels_per_task +
                                (__int128)plan.key_block * width +
                                (plan.stage_key ? (__int128)plan.key_block * n[5] : 0);
        const __int128 parts = (__int128)(n[6] + 3) * plan.part_width * plan.part_count;
        counted++;
        cr_assert(plan.scratch.floats >= floats);
        cr_assert((__int128)rapt_run_workspace(&plan, plan.threads) >=
                      (floats * plan.threads + parts) * 4,
                  "workspace of %zu bytes for %d threads, %lld batches, %lld channels",
                  rapt_run_workspace(&plan, plan.threads), plan.threads, (long long)n[0],
                  (long long)n[5]);
    }
    cr_expect_gt(counted, 100);
}
