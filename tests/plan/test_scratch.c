/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan stages, and the memory that it wants: for every thread, for parts, for a run. */
#include "simd/dispatch.h"
#include "tests/support/plans.h"
#include "src/plan/scratch.h"
#include "src/run/run.h"

static struct rapt_plan plan_of(struct rapt_problem p, int threads) {
    return sized_plan(&p, &variants[3], threads);
}

/* What the kernels read badly or can't read where it is, is copied first. */
Test(scratch, stages_what_is_read_badly) {
    const struct rapt_problem plain = new_shape(1, 8, 1, 2000, 700, 80, 80);
    struct rapt_plan plan = plan_of(plain, 1);
    cr_expect(!plan.stage_key && !plan.stage_value);
    cr_assert_gt(plan.panels_per_task, 1);
    for (int value = 0; value < 2; value++) {
        const rapt_dtype types[] = {RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
        for (int i = 0; i < 4; i++) {
            struct rapt_problem stored = plain;
            (value ? &stored.value : &stored.key)->dtype = types[i];
            plan = plan_of(stored, 1);
            cr_expect(plan.stage_key == !value && plan.stage_value == value, "type %d", i);
        }
        struct rapt_problem scattered = plain;
        rapt_tensor *t = value ? &scattered.value : &scattered.key;
        t->stride[3] = 3;
        plan = plan_of(scattered, 1);
        cr_expect(plan.stage_key == !value && plan.stage_value == value);
        t->shape[3] = t->stride[2] = 1; /* then its stride means nothing */
        plan = plan_of(scattered, 1);
        cr_expect(!plan.stage_key && !plan.stage_value);
        /* Rows with gaps are worth a copy for four panels, those a multiple of a page apart for
         * two. */
        for (int64_t stride = -2048; stride <= 3072; stride += 512) {
            for (int64_t panels = 1; panels <= 5; panels++) {
                struct rapt_problem far = new_shape(1, 8, 1, 48 * panels, 700, 80, 80);
                (value ? &far.value : &far.key)->stride[2] = stride;
                const bool staged = stride != 0 && panels >= (stride % 1024 == 0 ? 2 : 4);
                plan = plan_of(far, 1);
                cr_expect(plan.stage_key == (staged && !value) &&
                              plan.stage_value == (staged && value),
                          "stride %d, %d panels", (int)stride, (int)panels);
            }
        }
    }
}

/* Pages that hold whole blocks of keys are read where they are, others are put together. */
Test(scratch, stages_blocks_of_several_pages) {
    for (int64_t page_size = 1; page_size <= 400; page_size++) {
        struct rapt_problem paged = new_shape(1, 2, 1, 7, 500, 80, 80);
        paged.page_size = page_size;
        const struct rapt_plan plan = plan_of(paged, 1);
        cr_expect_eq(plan.stage_key, page_size % plan.key_block != 0, "%d", (int)page_size);
        cr_expect_eq(plan.stage_value, plan.stage_key);
    }
}

/* Whether each of some arrays begins at a cache line and ends before the next begins. */
static void expect_apart(const char *what, char *const *starts, const size_t *needed, int count) {
    for (int i = 0; i < count; i++) {
        cr_assert_eq((uintptr_t)starts[i] % RAPT_ALIGN, 0u, "%s %d", what, i);
        cr_assert_geq(starts[i + 1] - starts[i], (ptrdiff_t)needed[i], "%s %d", what, i);
    }
}

#define AT(pointer) ((char *)(void *)(pointer))
static _Alignas(RAPT_ALIGN) char base[RAPT_ALIGN]; /* nothing behind it is touched */

static void expect_panel(const struct rapt_plan *plan, size_t bytes) {
    const struct rapt_problem *p = &plan->problem;
    struct rapt_arena arena = {.memory = base};
    struct rapt_panel_scratch panel;
    rapt_place_panel(plan, plan->panel_rows, &arena, &panel);
    const struct rapt_panel *k = &panel.kernel;
    const size_t width = (size_t)plan->panel_rows, line = width * sizeof(float);
    char *const starts[] = {AT(panel.first), AT(panel.last), AT(panel.position), AT(panel.slope),
                            AT(k->query),    AT(k->out),     AT(k->max),         base + arena.used};
    const size_t needed[] = {
        2 * line, 2 * line, 2 * line, line, (size_t)p->head_dim * line, (size_t)p->value_dim * line,
        3 * line};
    cr_assert(k->sum == k->max + width && k->seen == k->sum + width);
    expect_apart("array of a panel", starts, needed, 7);
    cr_assert_eq(arena.used, bytes);
    cr_assert_leq(rapt_state_bytes(p, plan->panel_rows), bytes);
}

static void expect_few(const struct rapt_plan *plan, size_t bytes) {
    const struct rapt_problem *p = &plan->problem;
    const size_t rows = (size_t)plan->kernels->few_rows, lanes = (size_t)plan->kernels->lanes;
    const size_t q = (size_t)p->head_dim, v = (size_t)p->value_dim, size = sizeof(float);
    struct rapt_arena arena = {.memory = base};
    struct rapt_few few = {.head_dim = p->head_dim, .value_dim = p->value_dim}, part;
    rapt_place_few(plan, &arena, &few, &part);
    char *const starts[] = {AT(few.query), AT(few.out),  AT(few.max),      AT(part.out),
                            AT(part.max),  AT(few.sums), base + arena.used};
    const size_t needed[] = {rows * q * size,  rows * v * size,
                             3 * lanes * size, rows * v * size,
                             3 * lanes * size, rows * ((v + lanes - 1) / lanes * lanes) * size};
    cr_assert(part.query == few.query && part.sums == few.sums);
    expect_apart("array of a set", starts, needed, 6);
    cr_assert_eq(arena.used, bytes);
}

/* The arrays of a thread's scratch follow each other, aligned, with room for what they hold. */
static void expect_scratch(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const size_t width = (size_t)plan->kernels->panel_rows, size = sizeof(float);
    const size_t q = (size_t)p->head_dim, v = (size_t)p->value_dim;
    const size_t block = (size_t)plan->key_block, few_rows = (size_t)plan->kernels->few_rows;
    const size_t keys = plan->panels_per_task > 1 ? (size_t)plan->chunk : block;
    const size_t sets = ((size_t)plan->kernels->few_most + few_rows - 1) / few_rows;
    struct rapt_arena arena = {.memory = base};
    struct rapt_scratch s;
    rapt_place_scratch(plan, &arena, &s);
    char *end = base + arena.used, *staged_value = s.staged_value ? AT(s.staged_value) : end;
    char *const starts[] = {
        s.panels,       s.few,      s.copied_key, s.copied_value,
        AT(s.scores),   AT(s.bias), AT(s.first),  AT(s.last),
        AT(s.position), AT(s.part), AT(s.rows),   s.staged_key ? AT(s.staged_key) : staged_value,
        staged_value,   end,
    };
    const size_t needed[] = {
        plan->panel_bytes * (size_t)plan->panels_per_task,
        plan->has_few ? sets * plan->few_bytes : 0,
        plan->has_few ? block * q * size : 0,
        plan->has_few && p->page_size ? block * v * size : 0,
        block * width * size,
        p->mask.dtype == RAPT_NONE ? 0 : block * width * size,
        width * size,
        width * size,
        width * size,
        plan->joins ? rapt_state_bytes(p, plan->panel_rows) : 0,
        (size_t)s.row_floats * width * size,
        plan->stage_key ? keys * q * size : 0,
        plan->stage_value ? keys * v * size : 0,
    };
    expect_apart("array", starts, needed, 13);
    expect_panel(plan, plan->panel_bytes);
    if (plan->has_few)
        expect_few(plan, plan->few_bytes);
    cr_assert(plan->scratch_bytes >= arena.used && plan->scratch_bytes % RAPT_ALIGN == 0);
    /* A part is of the lanes that a panel has in use. */
    const struct rapt_range rows = rapt_panel_rows(plan, 0, 0);
    cr_assert(plan->part_count == 0 ||
              plan->part_bytes >= (v + 3) * (size_t)(rows.last - rows.first) * size);
    if (p->out.dtype != RAPT_F32)
        cr_assert_geq(s.row_floats, p->value_dim);
    if (p->query.dtype != RAPT_F32)
        cr_assert_geq(s.row_floats, p->head_dim);
    if (p->mask.dtype == RAPT_BF16 || p->mask.dtype == RAPT_BOOL)
        cr_assert_geq(s.row_floats, plan->key_block);
}

Test(scratch, has_room_for_its_parts) {
    const int64_t dims[] = {1, 3, 64, 100, 256, 4097};
    for (int i = 0; i < VARIANTS * 6 * 6 * 2; i++) {
        const int64_t head_dim = dims[i / 2 % 6], value_dim = dims[i / 12 % 6];
        for (int64_t q_len = 1; q_len <= 901; q_len += 450) {
            struct rapt_problem p =
                new_shape(2, 3, 2, q_len, i & 1 ? 5000 : 90, head_dim, value_dim);
            p.mask.dtype = i & 1 ? RAPT_BF16 : RAPT_NONE;
            p.value.stride[3] = i & 1 ? 2 : 1;
            p.key.dtype = i & 2 ? RAPT_I8 : RAPT_F32;
            p.out.dtype = i & 2 ? RAPT_BF16 : RAPT_F32;
            p.query.dtype = i & 4 ? RAPT_F16 : RAPT_F32;
            const struct rapt_plan plan = sized_plan(&p, &variants[i / 72], 3);
            expect_scratch(&plan);
        }
    }
}

/* A thread's scratch grows with the head sizes alone. */
Test(scratch, is_small_for_any_length) {
    const int64_t dims[] = {1, 16, 40, 64, 72, 96, 128, 129, 192, 256};
    const int64_t lengths[] = {1, 100, 5000, 1 << 20, INT32_MAX};
    int count;
    const struct rapt_variant *list = rapt_variants(&count);
    for (int v = 0; v < count; v++) {
        const struct rapt_kernels *kernels = list[v].available ? list[v].kernels : &variants[v];
        for (int i = 0; i < 10 * 10 * 5; i++) {
            for (int64_t q_len = 1; q_len <= 6000; q_len += 5999) {
                struct rapt_problem p =
                    new_shape(2, 2, 4, q_len, lengths[i / 100], dims[i % 10], dims[i / 10 % 10]);
                p.mask.dtype = p.key.dtype = p.value.dtype = p.query.dtype = RAPT_BF16;
                p.out.dtype = RAPT_F16;
                const struct rapt_plan plan = sized_plan(&p, kernels, 1 + i % 40);
                cr_assert_lt(plan.scratch_bytes, (size_t)4 << 20,
                             "%s: %zu bytes, channels %d and %d", kernels->name, plan.scratch_bytes,
                             (int)p.head_dim, (int)p.value_dim);
            }
        }
    }
}

/* The partial results of split keys. */
Test(scratch, parts_are_a_tenth_of_the_keys_and_values) {
    const int64_t dims[] = {32, 64, 80, 128, 192, 256};
    for (int i = 0; i < 6 * 5; i++) {
        const int64_t dim = dims[i % 6], chunk = rapt_chunk(dim, dim);
        const struct rapt_problem p = new_shape(1 + i % 2, 4, 1 + i / 6, 1, 40 * chunk, dim, dim);
        const struct rapt_plan plan = sized_plan(&p, &variants[3], 16);
        cr_assert_gt(plan.part_count, 0);
        cr_expect_lt(10 * plan.part_bytes * (size_t)plan.part_count,
                     (elements(&p.key) + elements(&p.value)) * sizeof(float), "%d channels",
                     (int)dim);
    }
}

/* A workspace is that of its slices' scratch and of what they share, which is the parts. */
Test(scratch, workspace_of_slices) {
    for (int i = 0; i < VARIANTS * 4; i++) {
        const struct rapt_problem p = new_shape(2, 2, 3, i % 2 ? 1 : 300, 30000, 64, 64);
        const struct rapt_plan plan = sized_plan(&p, &variants[i / 4], 1 + i % 4);
        const size_t one = rapt_run_workspace(&plan, 1), each = plan.scratch_bytes;
        cr_expect_geq(one, each + (size_t)plan.part_count * plan.part_bytes +
                               (size_t)plan.split_count * sizeof(int) + RAPT_ALIGN - 1);
        for (int slices = 2; slices <= 1000; slices = slices * 3 + 1)
            cr_expect_eq(rapt_run_workspace(&plan, slices), one + (size_t)(slices - 1) * each);
    }
}

/* Sizes that can't be counted are refused, with a message, before anything wraps. */
Test(scratch, sizes_beyond_all_counting) {
    const int64_t most = INT32_MAX;
    const struct rapt_problem shapes[] = {
        new_shape(1, most, 1, 1 << 16, most, 1, 1), /* panels */
        new_shape(1, 4, 1, 1, most, most, most),    /* parts of a split */
    };
    const int threads[] = {1, 64};
    for (int i = 0; i < 2; i++) {
        struct rapt_plan plan = {.problem = shapes[i], .kernels = &variants[4]};
        cr_expect_eq(rapt_plan_sizes(&plan, threads[i]), RAPT_INVALID_ARGUMENT, "shape %d", i);
        cr_expect(mentions(rapt_last_error(), "query") && mentions(rapt_last_error(), "expected"),
                  "%s", rapt_last_error());
    }
}

/* Shapes at the limits of their type are counted exactly or refused, never wrapped. */
Test(scratch, sizes_never_wrap) {
    uint64_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        int64_t n[7];
        for (int k = 0; k < 7; k++) {
            const int64_t limits[] = {1, 1 + next_random(&seed) % 30, INT32_MAX,
                                      1 + next_random(&seed) % INT32_MAX};
            n[k] = limits[next_random(&seed) % (k < 4 ? 2 : 4)];
        }
        struct rapt_problem p = new_shape(n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
        p.key.stride[3] = 2;
        struct rapt_plan plan = {.problem = p, .kernels = &variants[i % VARIANTS]};
        const int threads = i & 1 ? 1 << 16 : 1 + i % 64;
        if (rapt_plan_sizes(&plan, threads) != RAPT_OK) {
            cr_assert(mentions(rapt_last_error(), "query"), "%s", rapt_last_error());
            continue;
        }
        const __int128 width = plan.kernels->panel_rows, rows = (__int128)n[3] * n[2];
        const __int128 panels = (rows + width - 1) / width, each = plan.panels_per_task;
        const __int128 whole = (__int128)n[0] * n[1] * ((panels + each - 1) / each);
        cr_assert(plan.task_count >= whole);
        cr_assert(plan.split_count > 0 || plan.task_count == whole);
        const __int128 floats = (n[5] + n[6] + 7) * width * each + plan.key_block * width +
                                (plan.stage_key ? (__int128)plan.key_block * n[5] : 0);
        const __int128 parts = (n[6] + 3) * plan.kernels->lanes * plan.part_count;
        cr_assert(plan.scratch_bytes >= 4 * floats);
        cr_assert((__int128)rapt_run_workspace(&plan, plan.threads) >=
                      (floats * plan.threads + parts) * 4,
                  "workspace of %zu bytes for %d threads, %lld batches, %lld channels",
                  rapt_run_workspace(&plan, plan.threads), plan.threads, (long long)n[0],
                  (long long)n[5]);
    }
}
