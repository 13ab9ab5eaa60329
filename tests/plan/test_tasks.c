/* SPDX-License-Identifier: Apache-2.0 */
/* How panels and their chunks of keys become tasks for threads, and that this changes no bit. */
#include "tests/support/plans.h"
#include "src/plan/scratch.h"

/* Whether a query attends a key as far as position and length go: the definition. */
static bool attends(const struct rapt_problem *p, int64_t b, int64_t query, int64_t key) {
    const int64_t at = query + (p->q_offset ? p->q_offset[b] : 0);
    const int64_t length = p->cu_k      ? p->cu_k[b + 1] - p->cu_k[b]
                           : p->kv_lens ? p->kv_lens[b]
                                        : p->key.shape[2];
    return key < length && !(p->causal && key > at) &&
           !(p->window_left >= 0 && key < at - p->window_left) &&
           !(p->window_right >= 0 && key > at + p->window_right) &&
           !(p->mask_start && key >= p->mask_start[b] + p->mask.shape[3]);
}

/* Keys that any row of a panel attends, found one by one: they have no hole. */
static struct rapt_range union_of_keys(const struct rapt_plan *plan, int64_t b, int64_t panel) {
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_range rows = rapt_panel_rows(plan, b, panel);
    struct rapt_range keys = {INT64_MAX, 0};
    for (int64_t query = rows.first / p->group; query <= (rows.last - 1) / p->group; query++)
        for (int64_t key = 0; key < p->kv_most; key++)
            if (attends(p, b, query, key)) {
                keys.first = key < keys.first ? key : keys.first;
                keys.last = key + 1 > keys.last ? key + 1 : keys.last;
            }
    return keys.last > 0 ? keys : (struct rapt_range){0, 0};
}

/* Scores that a panel's lanes compute. */
static int64_t cost_of(const struct rapt_plan *plan, int64_t b, int64_t panel,
                       struct rapt_range keys) {
    const struct rapt_range rows = rapt_panel_rows(plan, b, panel);
    const int64_t lanes = plan->kernels->lanes;
    return (rows.last - rows.first + lanes - 1) / lanes * lanes * (keys.last - keys.first);
}

/* How often the tasks take a chunk of a panel's keys. */
static int times_taken(const struct rapt_plan *plan, int64_t b, int64_t h, int64_t panel,
                       int64_t chunk) {
    int times = 0;
    for (int64_t i = 0; i < plan->task_count; i++) {
        const struct rapt_task *t = &plan->tasks[i];
        times += t->batch == b && t->kv_head == h && t->panel <= panel &&
                 panel < t->panel + t->panels && t->chunks.first <= chunk && chunk < t->chunks.last;
    }
    return times;
}

/* One task, all of whose panels and chunks exist, at its true cost. */
static void expect_task(const struct rapt_plan *plan, const struct rapt_task *t) {
    const struct rapt_problem *p = &plan->problem;
    cr_assert(t->batch >= 0 && t->batch < p->batch && t->kv_head >= 0 && t->kv_head < p->kv_heads);
    cr_assert(t->panels >= 1 && t->panels <= plan->panels_per_task);
    cr_assert(t->panel >= 0 && t->panel + t->panels <= rapt_panels(plan, t->batch));
    int64_t cost = 0;
    for (int64_t panel = t->panel; panel < t->panel + t->panels; panel++)
        cost += cost_of(plan, t->batch, panel, union_of_keys(plan, t->batch, panel));
    if (t->split < 0) {
        cr_assert(t->panels > 1 || cost <= plan->split_cost ||
                      t->chunks.last - t->chunks.first == 1,
                  "a task is too heavy: %lld", (long long)cost);
    } else {
        cr_assert(t->split < plan->split_count && t->panels == 1 && cost > plan->split_cost);
        cost /= plan->splits[t->split].tasks;
    }
    cr_assert_eq(t->cost, cost, "%s: panel %lld costs %lld, not %lld", plan->kernels->name,
                 (long long)t->panel, (long long)cost, (long long)t->cost);
}

/* The tasks of one split are consecutive pieces of its chunks, about as long, with parts of their
 * own. */
static void expect_split(const struct rapt_plan *plan, int64_t split, int64_t part) {
    const struct rapt_split *s = &plan->splits[split];
    const int64_t chunks = s->chunks.last - s->chunks.first;
    cr_assert_eq(s->part, part, "parts overlap or leave a gap");
    cr_assert(s->tasks >= 2 && s->tasks <= chunks);
    cr_assert_eq(s->parts, chunks + (s->chunks.first > 0));
    int64_t at = s->chunks.first;
    for (int piece = 0; piece < s->tasks; piece++) {
        const struct rapt_task *found = NULL;
        for (int64_t i = 0; i < plan->task_count; i++)
            if (plan->tasks[i].split == split && plan->tasks[i].chunks.first == at)
                found = &plan->tasks[i];
        cr_assert_not_null(found, "nobody takes chunk %lld", (long long)at);
        cr_assert_eq(found->piece, piece);
        const int64_t length = found->chunks.last - at;
        cr_assert(length == chunks / s->tasks || length == (chunks + s->tasks - 1) / s->tasks);
        at = found->chunks.last;
    }
    cr_assert_eq(at, s->chunks.last);
}

static bool in_order(const struct rapt_task *a, const struct rapt_task *b) {
    if (a->cost != b->cost)
        return a->cost > b->cost;
    if (a->batch != b->batch)
        return a->batch < b->batch;
    if (a->kv_head != b->kv_head)
        return a->kv_head < b->kv_head;
    return a->panel != b->panel ? a->panel > b->panel : a->chunks.first < b->chunks.first;
}

/* Every chunk that a panel of any sequence and head wants belongs to one task, heaviest first. */
static int64_t expect_tasks(const struct rapt_problem *p, const struct rapt_kernels *kernels,
                            int threads) {
    struct rapt_plan plan = divided_plan(p, kernels, threads);
    for (int64_t i = 0; i < plan.task_count; i++) {
        expect_task(&plan, &plan.tasks[i]);
        cr_assert(i == 0 || in_order(&plan.tasks[i - 1], &plan.tasks[i]));
    }
    int64_t part = 0;
    for (int64_t i = 0; i < plan.split_count; i++) {
        expect_split(&plan, i, part);
        part += plan.splits[i].parts;
    }
    cr_assert_eq(part, plan.part_count);
    cr_assert(plan.split_count == 0 || (threads > 1 && p->weights.dtype == RAPT_NONE));
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t panel = 0; panel < rapt_panels(&plan, b); panel++) {
            const struct rapt_range keys = union_of_keys(&plan, b, panel);
            for (int64_t h = 0; h < p->kv_heads; h++)
                for (int64_t chunk = 0; chunk * plan.chunk < p->kv_most; chunk++) {
                    const bool wanted =
                        keys.first < (chunk + 1) * plan.chunk && chunk * plan.chunk < keys.last;
                    const int times = times_taken(&plan, b, h, panel, chunk);
                    cr_assert(times == 1 || (times == 0 && !wanted), "chunk %lld is taken %d times",
                              (long long)chunk, times);
                }
        }
    const int64_t splits = plan.split_count;
    free(plan.tasks);
    free(plan.splits);
    return splits;
}

Test(tasks, cover_every_panel_once) {
    for (int i = 0; i < VARIANTS * 4; i++) {
        const struct rapt_problem many = new_shape(3, 2, 3, 500, 20, 64, 64);
        expect_tasks(&many, &variants[i / 4], 1 << i % 4);
        const struct rapt_problem few = new_shape(2, 5, 1, 1 + i, 20, 8, 4);
        expect_tasks(&few, &variants[i / 4], 1 << i % 4);
    }
}

Test(tasks, cost_what_their_panels_attend) {
    const int64_t windows[][2] = {{-1, -1}, {0, 0}, {10, -1}, {-1, 10}, {3, 5}, {100, 0}};
    const int64_t lengths[] = {150, 61}, starts[] = {0, 40};
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
            p.mask_start = starts;
            p.mask.shape[3] = 33;
            expect_tasks(&p, &variants[v], 2);
        }
    }
}

/* Queries before the first key and behind the last, so that a panel's first or last rows have no
 * key while others do. */
Test(tasks, cost_what_their_panels_attend_at_the_ends) {
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

/* Sequences without queries have no task; those without keys have one that writes zeros. */
Test(tasks, of_ragged_sequences) {
    const int64_t cu_q[] = {0, 0, 1, 60, 60, 63, 64, 210},
                  cu_k[] = {0, 50, 50, 700, 700, 700, 1900, 2050};
    for (int i = 0; i < VARIANTS * 4; i++) {
        for (int causal = 0; causal < 2; causal++) {
            struct rapt_problem p = new_ragged(7, 2, 2, cu_q, cu_k, 64);
            p.kv_most = 1200;
            p.causal = causal;
            expect_tasks(&p, &variants[i / 4], 1 << i % 4);
            struct rapt_plan plan = divided_plan(&p, &variants[i / 4], 1 << i % 4);
            int tasks[7] = {0};
            for (int64_t k = 0; k < plan.task_count; k++)
                tasks[plan.tasks[k].batch]++;
            for (int b = 0; b < 7; b++)
                cr_expect_eq(tasks[b] >= 2, cu_q[b + 1] > cu_q[b], "sequence %d", b);
            free(plan.tasks);
            free(plan.splits);
        }
    }
}

/* Where there are few panels and many keys, threads share the keys of each. */
Test(tasks, split_the_keys_of_heavy_panels) {
    int64_t splits = 0;
    for (int i = 0; i < VARIANTS * 4; i++) {
        const int threads = 1 << i % 4;
        const int64_t lengths[] = {100, 20000, 6001}, offsets[] = {0, 19000, 6000};
        struct rapt_problem p = new_shape(3, 2, 4, 2, 20000, 64, 64);
        splits += expect_tasks(&p, &variants[i / 4], threads);
        p.kv_lens = lengths;
        splits += expect_tasks(&p, &variants[i / 4], threads);
        p.causal = true;
        p.window_left = 9000;
        p.q_offset = offsets;
        splits += expect_tasks(&p, &variants[i / 4], threads);
        p.weights.dtype = RAPT_F32;
        cr_assert_eq(expect_tasks(&p, &variants[i / 4], threads), 0);
    }
    cr_assert_gt(splits, 0);
    const struct rapt_problem decode = new_shape(1, 8, 4, 1, 32768, 128, 128);
    const struct rapt_plan plan = sized_plan(&decode, &variants[3], 16);
    cr_assert_geq(plan.task_count, 4 * 16);
    cr_assert_eq(plan.split_count, 8);
}

/* How much longer the last thread is at work than an even share would take. Each takes the next
 * task as soon as it is free. */
static double unevenness(const struct rapt_plan *plan) {
    double busy[64] = {0}, all = 0, most = 0;
    for (int64_t i = 0; i < plan->task_count; i++) {
        int free = 0;
        for (int t = 1; t < plan->threads; t++)
            free = busy[t] < busy[free] ? t : free;
        busy[free] += (double)plan->tasks[i].cost;
        all += (double)plan->tasks[i].cost;
        most = busy[free] > most ? busy[free] : most;
    }
    return most * plan->threads / all;
}

/* No thread waits long for the last, where there are enough panels for each. */
Test(tasks, are_as_much_for_each_thread) {
    static const int64_t shapes[][3] = {/* heads, queries, width */
                                        {8, 2048, 128}, {32, 2048, 128}, {12, 2048, 64},
                                        {25, 1024, 64}, {20, 1500, 64},  {16, 4096, 40}};
    double sum[2] = {0};
    int count = 0;
    for (int i = 0; i < VARIANTS * 6 * 64; i++) {
        const int64_t *n = shapes[i / 64 % 6];
        struct rapt_problem p = new_shape(1, n[0], 1, n[1], n[1], n[2], n[2]);
        for (int causal = 0; causal < 2; causal++) {
            p.causal = causal;
            const int threads = 1 + i % 64;
            struct rapt_plan plan = divided_plan(&p, &variants[i / 64 / 6], threads);
            if (n[0] * rapt_panels(&plan, 0) >= 8 * threads) {
                const double found = unevenness(&plan);
                cr_assert_leq(found, 1.25, "%s, shape %d, %d threads: %g", plan.kernels->name,
                              i / 64 % 6, threads, found);
                sum[causal] += found;
                count += causal;
            }
            free(plan.tasks);
            free(plan.splits);
        }
    }
    cr_expect_leq(sum[0] / count, 1.04, "%g in the mean", sum[0] / count);
    cr_expect_leq(sum[1] / count, 1.02, "causal: %g in the mean", sum[1] / count);
}

/* What a task costs if a mask, which is not known yet, makes it causal. */
static void cost_as_causal(struct rapt_plan *plan) {
    for (int64_t i = 0; i < plan->task_count; i++) {
        struct rapt_task *t = &plan->tasks[i];
        int64_t cost = 0;
        for (int64_t panel = t->panel; panel < t->panel + t->panels; panel++) {
            const struct rapt_range rows = rapt_panel_rows(plan, 0, panel);
            cost += cost_of(plan, 0, panel, (struct rapt_range){0, rows.last});
        }
        t->cost = cost;
    }
}

/* Tasks of equal cost go from the last panel to the first, so that the last task that a thread
 * takes is a small one. */
Test(tasks, are_as_much_where_a_mask_is_causal) {
    static const int64_t heads[] = {1, 2, 4, 8, 32};
    double sum = 0;
    int count = 0;
    for (int i = 0; i < VARIANTS * 5 * 7; i++) {
        const int64_t n = heads[i / 7 % 5];
        const struct rapt_problem p = new_shape(1, n, 1, 2048, 2048, 64, 64);
        const int threads = 2 + i % 7;
        struct rapt_plan plan = divided_plan(&p, &variants[i / 35], threads);
        if (plan.split_count == 0) {
            cost_as_causal(&plan);
            const double found = unevenness(&plan);
            cr_expect_leq(found, threads == 2 ? 1.05 : 1.35, "%s, %d heads, %d threads: %g",
                          plan.kernels->name, (int)n, threads, found);
            sum += found;
            count++;
        }
        free(plan.tasks);
        free(plan.splits);
    }
    cr_expect_leq(sum / count, 1.08, "%g in the mean", sum / count);
}

/* Runs with another division of the same work: fewer panels per task, lighter pieces of splits. */
static void run_divided(const rapt_attention_args *args, int64_t panels, int64_t split_cost) {
    enum { ROOM = 1 << 16 };
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    if (panels && panels < plan->panels_per_task)
        plan->panels_per_task = panels;
    if (split_cost && !args->weights.data)
        plan->split_cost = split_cost;
    free(plan->tasks);
    free(plan->splits);
    plan->tasks = malloc(ROOM * sizeof *plan->tasks);
    plan->splits = malloc(ROOM * sizeof *plan->splits);
    cr_assert(plan->tasks && plan->splits);
    rapt_plan_tasks(plan);
    cr_assert_leq(plan->task_count, ROOM);
    plan->part_bytes = rapt_state_bytes(&plan->problem, RAPT_PANEL_ROWS_MAX);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    rapt_plan_destroy(plan);
}

Test(tasks, division_changes_no_bit) {
    const struct form forms[] = {
        {1, 4, 2, 330, 1100, 48, 64, .lse = true, .weights = true},
        {2, 2, 1, 250, 700, 72, 40, .causal = true, .window_left = 300, .lse = true},
        {1, 2, 2, 400, 500, 64, 64, .mask = RAPT_BOOL, .softcap = 5, .weights = true},
        {2, 4, 2, 1, 2000, 200, 130, .mask = RAPT_F32, .lse = true},
    };
    const int64_t costs[] = {0, 1, 5000, 40000};
    for (int f = 0; f < 4; f++) {
        rapt_attention_args whole = new_problem(&forms[f], 1), divided = new_problem(&forms[f], 1);
        whole.threads = 1;
        expect_ok(rapt_attention(&whole));
        for (int threads = 1; threads <= 5; threads += 2) {
            for (int cut = 0; cut < 8; cut++) {
                divided.threads = threads;
                reset_outputs(&divided);
                run_divided(&divided, cut & 1, costs[cut / 2]);
                cr_expect(same_outputs(&whole, &divided), "form %d, %d threads, cut %d", f, threads,
                          cut);
            }
        }
        free_problem(&whole);
        free_problem(&divided);
    }
}

/* Runs with as many rows as there may be as a few, in sets of what the kernel takes; or none. */
static void run_in_sets(const rapt_attention_args *args, bool few) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    struct rapt_kernels kernels = *plan->kernels;
    kernels.few_most = few ? RAPT_FEW_SETS * kernels.few_rows : 0;
    plan->kernels = &kernels;
    plan->has_few = plan->joins = false;
    expect_ok(rapt_plan_sizes(plan, args->threads));
    free(plan->tasks);
    free(plan->splits);
    plan->tasks = allocate(((size_t)plan->task_count + 1) * sizeof *plan->tasks);
    plan->splits = allocate(((size_t)plan->split_count + 1) * sizeof *plan->splits);
    rapt_plan_tasks(plan);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    rapt_plan_destroy(plan);
}

Test(tasks, sets_of_a_few_rows_change_no_bit) {
    const struct form forms[] = {
        {1, 0, 2, 1, 1500, 40, 70, .lse = true, .mask = RAPT_F32},
        {2, 0, 1, 1, 700, 72, 40, .lse = true, .observed = true, .weights = true},
        {1, 0, 1, 2, 600, 200, 130, .causal = true, .mask = RAPT_BOOL, .weights = true},
        {1, 0, 2, 2, 3000, 64, 64, .softcap = 5, .window_left = 900, .observed = true},
    };
    const int groups[] = {1, 3, 4, 5, 8};
    for (int f = 0; f < 4 * 5; f++) {
        struct form form = forms[f % 4];
        form.q_heads = form.kv_heads * groups[f / 4];
        rapt_attention_args panels = new_problem(&form, 1), sets = new_problem(&form, 1);
        panels.threads = sets.threads = f % 2 ? 1 : 4;
        run_in_sets(&panels, false);
        run_in_sets(&sets, true);
        cr_expect(same_outputs(&panels, &sets), "form %d, group %d", f % 4, groups[f / 4]);
        free_problem(&panels);
        free_problem(&sets);
    }
}

/* Runs in a workspace of which every byte is `fill`. */
static void run_filled(const rapt_attention_args *args, int fill) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    const size_t size = rapt_plan_workspace_size(plan);
    void *workspace = allocate(size);
    memset(workspace, fill, size);
    expect_ok(rapt_plan_run(plan, NULL, workspace, size));
    free(workspace);
    rapt_plan_destroy(plan);
}

/* What a workspace holds before a run is no part of any state. Nor where a sequence, a panel or a
 * part of its keys has nothing to attend: NaNs would show. */
Test(tasks, scratch_may_hold_anything) {
    const struct form forms[] = {
        {2, 2, 2, 16, 3000, 64, 64, .lse = true},
        {2, 2, 1, 200, 700, 48, 40, .causal = true, .window_left = 100, .lse = true},
        {2, 8, 2, 1, 3000, 64, 64, .causal = true, .window_left = 900, .lse = true},
        {2, 2, 2, 70, 700, 40, 48, .causal = true, .observed = true, .weights = true},
    };
    const int64_t lengths[][2] = {{0, 3000}, {700, 650}, {3000, 1}, {0, 700}};
    const int64_t offsets[][2] = {{0, 0}, {-150, 600}, {2999, 5000}, {0, -60}};
    for (int f = 0; f < 4; f++) {
        for (int threads = 1; threads <= 4; threads += 3) {
            rapt_attention_args zeros = new_problem(&forms[f], 1), nans = new_problem(&forms[f], 1);
            zeros.kv_len = nans.kv_len = lengths[f];
            zeros.q_offset = nans.q_offset = offsets[f];
            zeros.threads = nans.threads = threads;
            run_filled(&zeros, 0);
            run_filled(&nans, 0xff);
            cr_expect(same_outputs(&zeros, &nans), "form %d, %d threads", f, threads);
            free_problem(&zeros);
            free_problem(&nans);
        }
    }
}

/* A batch gives the bits of its items one by one, and so do its heads and query rows. All begin
 * their blocks and chunks of keys where the panel's others do. */
Test(tasks, company_changes_no_bit) {
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
