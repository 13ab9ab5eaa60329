/* SPDX-License-Identifier: Apache-2.0 */
/* How a problem is divided: pure functions, with made-up variants and shapes of any size. */
#include "helpers.h"
#include "plan.h"
#include "run.h"

/* Variants as they are and as they could be; planning looks at nothing but these sizes. */
static const struct rapt_kernels variants[] = {
    {.name = "one", .lanes = 1, .panel_rows = 4},    {.name = "four", .lanes = 4, .panel_rows = 16},
    {.name = "eight", .lanes = 8, .panel_rows = 24}, {.name = "big", .lanes = 16, .panel_rows = 48},
    {.name = "wide", .lanes = 16, .panel_rows = 64},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct rapt_problem new_shape(int64_t batch, int64_t kv_heads, int64_t group, int64_t q_len,
                                     int64_t kv_len, int64_t head_dim, int64_t value_dim) {
    struct rapt_problem p = {
        .batch = batch,
        .q_heads = kv_heads * group,
        .kv_heads = kv_heads,
        .group = group,
        .q_len = q_len,
        .kv_len = kv_len,
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

/* What must hold of one panel, given where the one before it ended. */
static void expect_panel(const struct rapt_plan *plan, int64_t panel, int64_t first) {
    const struct rapt_range rows = rapt_panel_rows(plan, panel);
    const int64_t lanes = plan->kernels->lanes, count = rows.last - rows.first;
    cr_assert_eq(rows.first, first);
    cr_assert_eq(rows.first % lanes, 0);
    cr_assert(count >= 1 && count <= plan->kernels->panel_rows, "%lld rows", (long long)count);
    cr_assert(count % lanes == 0 || rows.last == plan->rows);
    /* All panels are about as wide: no two differ by more than one vector. */
    const struct rapt_range widest = rapt_panel_rows(plan, 0);
    const int64_t least = (widest.last - widest.first + lanes - 1) / lanes - 1;
    cr_assert_geq((count + lanes - 1) / lanes, least);
}

Test(plan, panels_partition_the_rows) {
    for (int v = 0; v < VARIANTS; v++) {
        for (int64_t group = 1; group <= 9; group += 4) {
            for (int64_t q_len = 1; q_len <= 300; q_len++) {
                const struct rapt_problem p = new_shape(1, 1, group, q_len, 10, 8, 8);
                const struct rapt_plan plan = sized_plan(&p, &variants[v], 1);
                cr_assert_eq(plan.rows, q_len * group);
                int64_t row = 0;
                for (int64_t panel = 0; panel < plan.panels; panel++) {
                    expect_panel(&plan, panel, row);
                    row = rapt_panel_rows(&plan, panel).last;
                }
                cr_assert_eq(row, plan.rows);
            }
        }
    }
}

Test(plan, panels_partition_huge_numbers_of_rows) {
    const int64_t lengths[] = {131072, 1000003, INT32_MAX - 1, INT32_MAX};
    const int64_t groups[] = {1, 7, 64, 1000003, INT32_MAX};
    uint64_t seed = 1;
    for (int i = 0; i < VARIANTS * 4 * 5; i++) {
        const struct rapt_problem p = new_shape(1, 1, groups[i % 5], lengths[i / 5 % 4], 10, 1, 1);
        const struct rapt_plan plan = sized_plan(&p, &variants[i / 20], 8);
        cr_assert_eq(plan.rows, groups[i % 5] * lengths[i / 5 % 4]);
        expect_panel(&plan, 0, 0);
        cr_assert_eq(rapt_panel_rows(&plan, plan.panels - 1).last, plan.rows);
        for (int k = 0; k < 200; k++) {
            const uint64_t random = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
            const int64_t panel = 1 + (int64_t)(random % (uint64_t)(plan.panels - 1));
            expect_panel(&plan, panel, rapt_panel_rows(&plan, panel - 1).last);
        }
    }
}

/* Keys that any row of a panel attends, counted one by one: their union has no hole. */
static int64_t union_of_keys(const struct rapt_plan *plan, int64_t batch, int64_t panel) {
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_range rows = rapt_panel_rows(plan, panel);
    int64_t first = INT64_MAX, last = 0;
    for (int64_t row = rows.first; row < rows.last; row++) {
        const int64_t at = row / p->group + (p->q_offset ? p->q_offset[batch] : 0);
        const int64_t length = p->kv_lens ? p->kv_lens[batch] : p->kv_len;
        for (int64_t key = 0; key < length; key++) {
            if ((p->causal && key > at) || (p->window_left >= 0 && key < at - p->window_left) ||
                (p->window_right >= 0 && key > at + p->window_right))
                continue;
            first = key < first ? key : first;
            last = key + 1 > last ? key + 1 : last;
        }
    }
    return last > first ? last - first : 0;
}

/* Every panel of every batch and head belongs to one task, heaviest first, at its true cost. */
static void expect_tasks(const struct rapt_problem *p, const struct rapt_kernels *kernels,
                         int threads) {
    struct rapt_plan plan = sized_plan(p, kernels, threads);
    plan.tasks = allocate((size_t)plan.task_count * sizeof *plan.tasks);
    rapt_plan_tasks(&plan);
    const int64_t total = p->batch * p->kv_heads * plan.panels;
    unsigned char *covered = allocate((size_t)total);
    memset(covered, 0, (size_t)total);
    for (int64_t i = 0; i < plan.task_count; i++) {
        const struct rapt_task *t = &plan.tasks[i];
        cr_assert(t->batch >= 0 && t->batch < p->batch && t->kv_head >= 0 &&
                  t->kv_head < p->kv_heads && t->panel >= 0 && t->panel < plan.panels);
        const int64_t end = t->panel + plan.panels_per_task;
        int64_t cost = 0;
        for (int64_t panel = t->panel; panel < end && panel < plan.panels; panel++) {
            covered[(t->batch * p->kv_heads + t->kv_head) * plan.panels + panel]++;
            const struct rapt_range rows = rapt_panel_rows(&plan, panel);
            cost += (rows.last - rows.first) * union_of_keys(&plan, t->batch, panel);
        }
        cr_expect_eq(t->cost, cost,
                     "%s: rows from panel %lld cost %lld, not %lld; offset %lld, window %lld, %lld",
                     kernels->name, (long long)t->panel, (long long)cost, (long long)t->cost,
                     (long long)(p->q_offset ? p->q_offset[t->batch] : 0),
                     (long long)p->window_left, (long long)p->window_right);
        cr_expect(i == 0 || plan.tasks[i - 1].cost >= t->cost, "a lighter task comes first");
    }
    for (int64_t i = 0; i < total; i++)
        cr_assert_eq(covered[i], 1);
    free(covered);
    free(plan.tasks);
}

Test(plan, tasks_cover_every_panel_once) {
    for (int i = 0; i < VARIANTS * 4; i++) {
        const struct rapt_problem many = new_shape(3, 2, 3, 500, 20, 64, 64);
        expect_tasks(&many, &variants[i / 4], 1 << i % 4);
        const struct rapt_problem few = new_shape(2, 5, 1, 1 + i, 20, 8, 4);
        expect_tasks(&few, &variants[i / 4], 1 << i % 4);
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

Test(plan, key_block_depends_on_the_head_sizes_alone) {
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
            cr_assert_gt(plan.superblock, 0);
            cr_assert_eq(plan.superblock % block, 0);
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
        const struct rapt_problem one_panel = new_shape(1, 1, 1, 4, 1 << 20, 64, 64);
        cr_expect_eq(sized_plan(&one_panel, &variants[3], threads).threads, 1);
        cr_expect(plan.panels_per_task >= 1 && plan.panels_per_task <= RAPT_PANELS_MAX);
    }
}

/* The parts of a thread's scratch follow each other, aligned, with room for what they hold. */
Test(plan, scratch_has_room_for_its_parts) {
    const int64_t dims[] = {1, 3, 64, 100, 256, 4097};
    for (int i = 0; i < VARIANTS * 6 * 6 * 2; i++) {
        const int64_t head_dim = dims[i / 2 % 6], value_dim = dims[i / 12 % 6];
        struct rapt_problem p = new_shape(2, 3, 2, 900, 5000, head_dim, value_dim);
        p.mask.dtype = i & 1 ? RAPT_BOOL : RAPT_NONE;
        p.value.stride[3] = i & 1 ? 2 : 1;
        p.out.dtype = i & 2 ? RAPT_BF16 : RAPT_F32;
        const struct rapt_plan plan = sized_plan(&p, &variants[i / 72], 3);
        const struct rapt_scratch *s = &plan.scratch;
        const size_t width = (size_t)plan.kernels->panel_rows, block = (size_t)plan.key_block;
        const size_t keys = plan.stage ? (size_t)plan.superblock : 0;
        const size_t starts[] = {s->panels, s->scores,     s->bias,         s->bounds,
                                 s->rows,   s->staged_key, s->staged_value, s->floats};
        const size_t needed[] = {
            s->panel_floats * (size_t)plan.panels_per_task,
            block * width,
            p.mask.dtype == RAPT_NONE ? 0 : block * width,
            4 * width,
            p.out.dtype == RAPT_F32 ? 0 : (size_t)value_dim * width,
            keys * (size_t)head_dim,
            keys * (size_t)value_dim,
        };
        cr_assert_geq(s->panel_floats, (size_t)(head_dim + value_dim + 3) * width + 4 * width);
        cr_assert_eq(s->panel_floats * sizeof(float) % RAPT_ALIGN, 0u);
        for (int k = 0; k < 7; k++) {
            cr_assert_eq(starts[k] * sizeof(float) % RAPT_ALIGN, 0u, "part %d", k);
            cr_assert_geq(starts[k + 1], starts[k] + needed[k], "part %d", k);
        }
        cr_assert_eq(s->floats * sizeof(float) % RAPT_ALIGN, 0u);
    }
}

/* Shapes at the limits of their type are counted exactly or refused, never wrapped. */
Test(plan, sizes_never_wrap) {
    uint64_t seed = 1;
    int refused = 0;
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
        const int threads = i & 1 ? INT32_MAX : 1 + i % 64;
        if (rapt_plan_sizes(&plan, threads) != RAPT_OK) {
            cr_assert(mentions(rapt_last_error(), "query"), "%s", rapt_last_error());
            refused++;
            continue;
        }
        const __int128 width = plan.kernels->panel_rows, rows = (__int128)n[3] * n[2];
        const __int128 heads = (__int128)n[0] * n[1], panels = (rows + width - 1) / width;
        const __int128 each = (panels + plan.panels_per_task - 1) / plan.panels_per_task;
        cr_assert(plan.rows == rows && plan.panels == panels && plan.task_count == heads * each);
        const __int128 floats = (n[5] + n[6] + 7) * width * plan.panels_per_task +
                                (__int128)plan.key_block * width +
                                (plan.stage ? (__int128)plan.superblock * (n[5] + n[6]) : 0);
        cr_assert(plan.scratch.floats >= floats);
        cr_assert((__int128)rapt_run_workspace(&plan) >= floats * plan.threads * 4,
                  "workspace of %zu bytes for %d threads, %lld batches, %lld channels",
                  rapt_run_workspace(&plan), plan.threads, (long long)n[0], (long long)n[5]);
    }
    cr_expect_gt(refused, 0);
    const struct rapt_problem p = new_shape(INT32_MAX, INT32_MAX, 1, INT32_MAX, 1, 1, 1);
    struct rapt_plan plan = {.problem = p, .kernels = &variants[0]};
    cr_expect_eq(rapt_plan_sizes(&plan, 1), RAPT_INVALID_ARGUMENT);
}

/* Runs with another division of the same work: fewer panels per task, smaller superblocks. */
static void run_divided(const rapt_attention_args *args, int64_t panels, int64_t blocks) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    if (panels && panels < plan->panels_per_task)
        plan->panels_per_task = panels;
    if (blocks && blocks * plan->key_block < plan->superblock)
        plan->superblock = blocks * plan->key_block;
    const int64_t each = (plan->panels + plan->panels_per_task - 1) / plan->panels_per_task;
    plan->task_count = plan->problem.batch * plan->problem.kv_heads * each;
    free(plan->tasks);
    plan->tasks = malloc((size_t)plan->task_count * sizeof *plan->tasks);
    rapt_plan_tasks(plan);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    rapt_plan_destroy(plan);
}

Test(plan, division_changes_no_bit) {
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
                run_divided(&divided, cut & 1, cut & 2);
                cr_expect(same_outputs(&whole, &divided), "form %d, %d threads, cut %d", f, threads,
                          cut);
            }
        }
        free_problem(&whole);
        free_problem(&divided);
    }
}

/* A batch gives the bits of its items one by one, and so do its heads and query rows, which begin
 * their blocks and superblocks of keys where the panel's others do. */
Test(plan, company_changes_no_bit) {
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
