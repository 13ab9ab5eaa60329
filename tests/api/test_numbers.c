/* SPDX-License-Identifier: Apache-2.0 */
/* One plan for all tokens: a run with lengths, positions and pages of its own has the bits of a
 * plan made for them. */
#include "tests/support/allocations.h"
#include "oracle/guard.h"
#include "src/plan/bind.h"
#include "tests/support/plans.h"

enum { BATCH_MAX = 3, PAGES_MAX = 128, RUNS = 4, SLICES = 3 };

/* A problem that a plan is made of, and the numbers of a run. */
struct numbered {
    rapt_attention_args plan, run; /* of the same tensors, but for the outputs */
    int64_t capacity[BATCH_MAX], lengths[BATCH_MAX], offsets[BATCH_MAX], starts[BATCH_MAX];
    int64_t firsts[BATCH_MAX];
    int64_t planned_offsets[BATCH_MAX], planned_starts[BATCH_MAX], planned_firsts[BATCH_MAX];
    int32_t table[BATCH_MAX * PAGES_MAX], run_table[BATCH_MAX * PAGES_MAX];
    bool brings_lengths, brings_firsts, brings_offsets, brings_starts, brings_table;
};

static int64_t next_below(uint64_t *seed, int64_t most) {
    return (int64_t)(next_random(seed) % (uint32_t)most);
}

static bool next_bool(uint64_t *seed) {
    return next_below(seed, 2) == 1;
}

static struct form random_form(uint64_t *seed) {
    static const int64_t queries[] = {1, 1, 1, 2, 3, 40}, groups[] = {1, 2, 4, 7},
                         keys[] = {1, 90, 700, 1500, 2600}, widths[] = {16, 33, 64, 100};
    static const rapt_dtype masks[] = {RAPT_NONE, RAPT_NONE, RAPT_F32, RAPT_BOOL};
    const int64_t heads = 1 + next_below(seed, 2);
    struct form f = {
        .batch = 1 + next_below(seed, BATCH_MAX),
        .q_heads = heads * groups[next_below(seed, 4)],
        .kv_heads = heads,
        .q_len = queries[next_below(seed, 6)],
        .kv_len = keys[next_below(seed, 5)],
        .head_dim = widths[next_below(seed, 4)],
        .value_dim = widths[next_below(seed, 4)],
        .mask = masks[next_below(seed, 4)],
        .causal = next_bool(seed),
        .lse = next_bool(seed),
    };
    if (next_below(seed, 3) == 0)
        f.window_left = 1 + next_below(seed, f.kv_len);
    if (next_below(seed, 4) == 0)
        f.window_right = 1 + next_below(seed, 40);
    f.weights = next_below(seed, 8) == 0;
    f.observed = next_below(seed, 6) == 0;
    return f;
}

/* The keys and values of all sequences in pages of one pool. */
static void set_pages(struct numbered *n, const struct form *f, uint64_t *seed) {
    static const int64_t sizes[] = {24, 50, 192};
    const int64_t size = sizes[next_below(seed, 3)];
    const int64_t row = (f->kv_len + size - 1) / size, pages = row + 3;
    cr_assert_leq(row, PAGES_MAX);
    free(n->plan.key.data);
    free(n->plan.value.data);
    n->plan.key = random_tensor(RAPT_F32, pages, f->kv_heads, size, f->head_dim, 7);
    n->plan.value = random_tensor(RAPT_F32, pages, f->kv_heads, size, f->value_dim, 8);
    for (int64_t i = 0; i < f->batch * row; i++)
        n->table[i] = (int32_t)next_below(seed, pages);
    n->plan.block_table = n->table;
    n->plan.block_table_stride = row;
    n->plan.kv_len = n->capacity;
}

/* Outputs of its own, the numbers of the problem that the plan is made of. */
static void make_numbered(struct numbered *n, uint64_t *seed) {
    const struct form f = random_form(seed);
    *n = (struct numbered){.plan = new_problem(&f, next_random(seed))};
    const bool limited = next_bool(seed);
    for (int64_t b = 0; b < f.batch; b++) {
        n->capacity[b] = limited ? 1 + next_below(seed, f.kv_len) : f.kv_len;
        n->planned_offsets[b] = next_below(seed, f.kv_len + 3);
        n->planned_starts[b] = next_below(seed, f.kv_len);
        n->planned_firsts[b] = next_below(seed, f.kv_len + 2);
    }
    if (limited)
        n->plan.kv_len = n->capacity;
    if (next_below(seed, 3) == 0)
        n->plan.kv_start = n->planned_firsts;
    if (next_bool(seed))
        n->plan.q_offset = n->planned_offsets;
    if (f.mask != RAPT_NONE && next_below(seed, 3) == 0)
        n->plan.mask_start = n->planned_starts;
    if (next_below(seed, 3) == 0)
        set_pages(n, &f, seed);
    n->run = new_problem(&f, 1);
    for (int i = 0; i < OUTPUTS; i++) {
        rapt_tensor *own = output_of(&n->run, i), *planned = output_of(&n->plan, i);
        rapt_tensor kept = *planned;
        *planned = *own;
        *own = kept;
    }
}

/* The numbers of one run, and the problem that has them from the start. */
static rapt_attention_args next_run(struct numbered *n, uint64_t *seed) {
    rapt_attention_args args = n->plan;
    n->brings_lengths = next_below(seed, 4) > 0;
    n->brings_offsets = next_below(seed, 4) > 0;
    n->brings_firsts = next_below(seed, 3) == 0;
    n->brings_starts = n->plan.mask_start && next_bool(seed);
    n->brings_table = n->plan.block_table && next_bool(seed);
    const bool ends = next_bool(seed);
    for (int64_t b = 0; b < args.query.shape[0]; b++) {
        n->lengths[b] = ends ? n->capacity[b] - next_below(seed, rapt_min(n->capacity[b], 4))
                             : next_below(seed, n->capacity[b] + 1);
        n->offsets[b] = n->lengths[b] - args.query.shape[2] + next_below(seed, 3) - 1;
        n->starts[b] = next_below(seed, n->capacity[b] + 1);
        n->firsts[b] = next_below(seed, n->capacity[b] + 3);
    }
    if (n->brings_lengths)
        args.kv_len = n->lengths;
    if (n->brings_firsts)
        args.kv_start = n->firsts;
    if (n->brings_offsets)
        args.q_offset = n->offsets;
    if (n->brings_starts)
        args.mask_start = n->starts;
    for (int64_t i = 0; n->brings_table && i < args.query.shape[0] * args.block_table_stride; i++)
        n->run_table[i] = (int32_t)next_below(seed, args.key.shape[0]);
    for (int64_t b = 0; n->brings_table && b < args.query.shape[0]; b++)
        for (int64_t i = 0; i < args.block_table_stride; i++) /* garbage beyond the length */
            if (i * args.key.shape[2] >= args.kv_len[b])
                n->run_table[b * args.block_table_stride + i] = -7;
    if (n->brings_table)
        args.block_table = n->run_table;
    return args;
}

static rapt_attention_data data_of(const struct numbered *n) {
    rapt_attention_data data = rapt_attention_data_of(&n->plan);
    const rapt_attention_data out = rapt_attention_data_of(&n->run);
    memcpy(&data.out, &out.out,
           offsetof(rapt_attention_data, kv_len) - offsetof(rapt_attention_data, out));
    data.kv_len = n->brings_lengths ? n->lengths : NULL;
    data.kv_start = n->brings_firsts ? n->firsts : NULL;
    data.q_offset = n->brings_offsets ? n->offsets : NULL;
    data.mask_start = n->brings_starts ? n->starts : NULL;
    data.block_table = n->brings_table ? n->run_table : NULL;
    return data;
}

/* What the runs of a suite have gone through. */
struct seen {
    int splits, undivided, fewer, joined;
};

static void note(struct seen *seen, const struct rapt_plan *plan, const rapt_attention_data *data) {
    struct rapt_plan run;
    rapt_bind(plan, data, &run);
    for (int64_t i = 0; run.is_of_run && i < plan->task_count; i++) {
        struct rapt_task task;
        struct rapt_split split;
        const bool some = rapt_task_of_run(&run, &plan->tasks[i], &task, &split);
        const bool planned = plan->tasks[i].split >= 0;
        seen->splits += planned && task.split >= 0;
        seen->undivided += planned && task.split < 0 && some;
        seen->joined += !planned && task.chunks.last - task.chunks.first > 1;
        seen->fewer += planned && task.split >= 0 && !some;
        if (planned && task.split >= 0)
            cr_assert_leq(split.chunks.last - split.chunks.first, split.parts);
    }
}

/* One plan, and for each run a fresh one that one thread runs. */
static void expect_same(struct numbered *n, int threads, uint64_t *seed, struct seen *seen) {
    rapt_plan *plan;
    n->plan.threads = threads;
    expect_ok(rapt_plan_create(&n->plan, &plan));
    const size_t size = rapt_plan_workspace_size(plan);
    const size_t slices_size = rapt_plan_slices_workspace_size(plan, SLICES);
    void *workspace = allocate(size), *shared = allocate(slices_size);
    memset(shared, 0, slices_size);
    for (int run = 0; run < RUNS; run++) {
        rapt_attention_args args = next_run(n, seed);
        const rapt_attention_data data = data_of(n);
        args.threads = 1;
        reset_outputs(&args);
        expect_ok(rapt_attention(&args));
        note(seen, plan, &data);
        memset(workspace, 0xff, size);
        reset_outputs(&n->run);
        expect_ok(rapt_plan_run(plan, &data, workspace, size));
        cr_expect(same_outputs(&args, &n->run), "%d threads, run %d", threads, run);
        reset_outputs(&n->run);
        const int before = allocations; /* none but for threads, which slices don't start */
        for (int slice = SLICES - 1; slice >= 0; slice--)
            expect_ok(rapt_plan_run_slice(plan, &data, slice, SLICES, shared, slices_size));
        cr_expect_eq(allocations, before, "a run allocates");
        cr_expect(same_outputs(&args, &n->run), "%d threads, run %d in slices", threads, run);
    }
    free(workspace);
    free(shared);
    rapt_plan_destroy(plan);
}

Test(numbers, a_run_has_the_bits_of_a_fresh_plan) {
    struct seen seen = {0};
    for (uint64_t i = 1; i <= 250; i++) {
        uint64_t seed = i;
        struct numbered n; /* which points into itself */
        make_numbered(&n, &seed);
        for (int threads = 1; threads <= 6; threads += 5)
            expect_same(&n, threads, &seed, &seen);
        free_problem(&n.plan);
        free_problem(&n.run);
    }
#ifdef _OPENMP
    cr_expect(seen.splits > 50 && seen.undivided > 20 && seen.fewer > 5 && seen.joined > 50,
              "%d pieces, %d undivided, %d fewer, %d joined", seen.splits, seen.undivided,
              seen.fewer, seen.joined);
#endif
}

/* ---- what a run leaves of the tasks ---- */

/* How often the tasks of a run take each chunk of a panel, and the longest of their pieces. */
static int64_t longest_piece(const struct rapt_plan *run, int64_t b, int64_t h,
                             struct rapt_range chunks) {
    int64_t longest = 0;
    for (int64_t chunk = chunks.first; chunk < chunks.last; chunk++) {
        int times = 0;
        for (int64_t i = 0; i < run->task_count; i++) {
            struct rapt_task task;
            struct rapt_split split;
            if (!rapt_task_of_run(run, &run->tasks[i], &task, &split) || task.batch != b ||
                task.kv_head != h)
                continue;
            cr_assert(task.chunks.first >= chunks.first && task.chunks.last <= chunks.last);
            times += task.chunks.first <= chunk && chunk < task.chunks.last;
            longest = rapt_max(longest, task.chunks.last - task.chunks.first);
        }
        cr_assert_eq(times, 1, "chunk %lld is taken %d times", (long long)chunk, times);
    }
    return longest;
}

/* Pieces of the keys that a run has, not of those that it could have. */
Test(numbers, pieces_are_as_long_as_each_other) {
    const int64_t capacity = 32768;
    for (int v = 0; v < VARIANTS; v++) {
        for (int threads = 2; threads <= 32; threads *= 4) {
            const struct rapt_problem p = new_shape(2, 2, 2, 1, capacity, 64, 64);
            struct rapt_plan plan = divided_plan(&p, &variants[v], threads);
            plan.threads = threads;
            cr_assert_eq(plan.split_count, threads > 1 ? 4 : 0);
            for (int64_t length = 0; length <= capacity; length += length < 20 ? 1 : 1177) {
                const int64_t lengths[] = {length, capacity - length};
                const rapt_attention_data data = {.kv_len = lengths};
                struct rapt_plan run;
                rapt_bind(&plan, &data, &run);
                for (int64_t i = 0; i < 4; i++) {
                    const int64_t chunks = rapt_divide_up(lengths[i / 2], plan.chunk);
                    const int64_t pieces = rapt_min(plan.splits[0].tasks, rapt_max(1, chunks));
                    cr_assert_eq(longest_piece(&run, i / 2, i % 2, (struct rapt_range){0, chunks}),
                                 rapt_divide_up(chunks, pieces));
                }
            }
            free(plan.tasks);
            free(plan.splits);
        }
    }
}

Test(numbers, threads_follow_the_work) {
    const int64_t capacity = 32768;
    const struct rapt_problem p = new_shape(1, 8, 4, 1, capacity, 128, 128);
    struct rapt_plan plan = divided_plan(&p, &variants[3], 16), bound;
    plan.threads = 16;
    for (int64_t length = 0; length <= capacity; length += 64) {
        const rapt_attention_data data = {.kv_len = &length};
        rapt_bind(&plan, &data, &bound);
        const int threads = bound.threads;
        cr_assert_eq(threads, rapt_threads_for(2.0 * 256 * 32 * (double)length, 16));
        cr_assert(length > 64 || threads == 1);
        cr_assert(length < capacity || threads == 16);
    }
    const rapt_attention_data none = {.query = &plan};
    rapt_bind(&plan, &none, &bound);
    cr_expect(!bound.is_of_run && bound.threads == plan.threads);
    cr_expect(bound.problem.query.data == &plan && !bound.problem.key.data);
    free(plan.tasks);
    free(plan.splits);
}

/* A query further on than the plan's attends more keys than were divided. */
Test(numbers, offsets_beyond_the_plans) {
    struct form form = {1, 8, 2, 1, 9000, 64, 64, .causal = true, .lse = true};
    for (int64_t window = 0; window <= 3000; window += 3000) {
        form.window_left = window;
        rapt_attention_args args = new_problem(&form, 1), expected = new_problem(&form, 1);
        const int64_t planned = 4000;
        args.q_offset = &planned;
        args.threads = 4;
        expected.threads = 1;
        rapt_plan *plan;
        expect_ok(rapt_plan_create(&args, &plan));
        for (int64_t offset = -1; offset < 9100; offset += 131) {
            rapt_attention_data data = rapt_attention_data_of(&args);
            data.q_offset = expected.q_offset = &offset;
            reset_outputs(&args);
            expect_ok(rapt_attention(&expected));
            expect_ok(rapt_plan_run(plan, &data, NULL, 0));
            cr_assert(same_outputs(&expected, &args), "offset %lld", (long long)offset);
        }
        rapt_plan_destroy(plan);
        free_problem(&args);
        free_problem(&expected);
    }
}

/* ---- memory ---- */

/* The first rows of a head in memory that ends with them. */
static struct guard guarded_rows(const rapt_tensor *t, int64_t rows) {
    struct guard guard;
    const size_t bytes = (size_t)(rows * t->shape[3]) * sizeof(float);
    cr_assert(guard_alloc(&guard, bytes, GUARD_AFTER, 0));
    memcpy(guard.data, t->data, bytes);
    return guard;
}

/* The plan's views say that there are more keys; those of the run are all that there is. */
Test(numbers, nothing_beyond_a_length_is_read) {
    static const int64_t queries[] = {1, 3, 60}, lengths[] = {1, 7, 8, 95, 97, 960, 1001, 1999};
    for (int i = 0; i < 3 * 8 * 2; i++) {
        const struct form form = {
            1, 4, 1, queries[i / 2 % 3], 2000, 64, 64, .causal = i % 2 == 0, .lse = true};
        const int64_t length = lengths[i / 6], offset = length - form.q_len;
        rapt_attention_args args = new_problem(&form, 1), expected = new_problem(&form, 1);
        struct guard key = guarded_rows(&args.key, length);
        struct guard value = guarded_rows(&args.value, length);
        args.threads = 1 + i % 3;
        expected.kv_len = &length;
        expected.q_offset = &offset;
        expect_ok(rapt_attention(&expected));
        rapt_plan *plan;
        expect_ok(rapt_plan_create(&args, &plan));
        rapt_attention_data data = rapt_attention_data_of(&args);
        data.key = key.data;
        data.value = value.data;
        data.kv_len = &length;
        data.q_offset = &offset;
        expect_ok(rapt_plan_run(plan, &data, NULL, 0));
        cr_expect(same_outputs(&expected, &args), "case %d", i);
        rapt_plan_destroy(plan);
        guard_free(&key);
        guard_free(&value);
        free_problem(&args);
        free_problem(&expected);
    }
}

/* A table grows with its sequence, so there may be none when the plan is made. */
Test(numbers, a_plan_of_pages_needs_no_table) {
    enum { ROW = 40, SIZE = 50, PAGES = 9 };
    const int64_t capacity = ROW * SIZE;
    int32_t table[ROW];
    rapt_attention_args args = rapt_attention_defaults();
    args.query = random_tensor(RAPT_F32, 1, 4, 1, 64, 1);
    args.key = random_tensor(RAPT_F32, PAGES, 2, SIZE, 64, 2);
    args.value = random_tensor(RAPT_F32, PAGES, 2, SIZE, 64, 3);
    args.out = new_tensor(RAPT_F32, 1, 4, 1, 64);
    args.kv_len = &capacity;
    args.block_table_stride = ROW;
    args.threads = 2;
    rapt_plan *plan;
    expect_ok(rapt_plan_create(&args, &plan));
    for (int i = 0; i < ROW; i++)
        table[i] = -1;
    for (int64_t length = 0; length <= capacity; length += 23) {
        for (int64_t i = 0; i * SIZE < length; i++)
            table[i] = (int32_t)(i * 5 % PAGES);
        rapt_attention_args whole = args;
        whole.out = new_tensor(RAPT_F32, 1, 4, 1, 64);
        whole.kv_len = &length;
        whole.block_table = table;
        expect_ok(rapt_attention(&whole));
        rapt_attention_data data = rapt_attention_data_of(&args);
        data.kv_len = &length;
        data.block_table = table;
        expect_ok(rapt_plan_run(plan, &data, NULL, 0));
        cr_assert(same_bits(&whole.out, &args.out), "%lld keys", (long long)length);
        free(whole.out.data);
    }
    rapt_plan_destroy(plan);
    free_problem(&args);
}
