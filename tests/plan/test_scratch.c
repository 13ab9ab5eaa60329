/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan stages, and the memory that it wants: for every thread, for parts, for a run. */
#include "simd/dispatch.h"
#include "tests/support/plans.h"
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

/* The parts of a thread's scratch follow each other, aligned, with room for what they hold. */
static void expect_scratch(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_scratch *s = &plan->scratch;
    const size_t line = RAPT_ALIGN / sizeof(float), width = (size_t)plan->kernels->panel_rows;
    const size_t q = (size_t)p->head_dim, v = (size_t)p->value_dim;
    const size_t block = (size_t)plan->key_block, few_rows = (size_t)plan->kernels->few_rows;
    const size_t keys = plan->panels_per_task > 1 ? (size_t)plan->chunk : block;
    const size_t starts[] = {s->panels, s->few,        s->copied_key,   s->copied_value,
                             s->scores, s->bias,       s->bounds,       s->part,
                             s->rows,   s->staged_key, s->staged_value, s->floats};
    const size_t lanes = (size_t)plan->kernels->lanes;
    /* query; out and three numbers of each, twice; sums of whole vectors */
    const size_t few = (few_rows * q + line - 1) / line * line +
                       2 * ((few_rows * v + line - 1) / line * line) + 6 * lanes +
                       few_rows * ((v + lanes - 1) / lanes * lanes);
    const size_t sets = ((size_t)plan->kernels->few_most + few_rows - 1) / few_rows;
    cr_assert_geq(s->few_floats, few);
    cr_assert_eq(s->few_floats % line, 0u);
    const size_t needed[] = {
        s->panel_floats * (size_t)plan->panels_per_task,
        plan->has_few ? sets * s->few_floats : 0,
        plan->has_few ? block * q : 0,
        plan->has_few && p->page_size ? block * v : 0,
        block * width,
        p->mask.dtype == RAPT_NONE ? 0 : block * width,
        3 * width,
        plan->joins ? (v + 3) * width : 0,
        (size_t)s->row_floats * width,
        plan->stage_key ? keys * q : 0,
        plan->stage_value ? keys * v : 0,
    };
    cr_assert_geq(s->panel_floats, (v + 3 + q + 7) * width);
    cr_assert_eq(s->panel_floats % line, 0u);
    /* A part is of the lanes that a panel has in use. */
    const struct rapt_range rows = rapt_panel_rows(plan, 0, 0);
    cr_assert(plan->part_count == 0 ||
              plan->part_floats >= (v + 3) * (size_t)(rows.last - rows.first));
    cr_assert_eq(plan->part_floats % line, 0u);
    for (int k = 0; k < 11; k++) {
        cr_assert_eq(starts[k] % line, 0u, "part %d", k);
        cr_assert_geq(starts[k + 1], starts[k] + needed[k], "part %d", k);
    }
    cr_assert_eq(s->floats % line, 0u);
    if (p->out.dtype != RAPT_F32)
        cr_assert_geq(s->row_floats, p->value_dim);
    if (p->query.dtype != RAPT_F32)
        cr_assert_geq(s->row_floats, p->head_dim);
    if (p->mask.dtype == RAPT_BF16 || p->mask.dtype == RAPT_BOOL)
        cr_assert_geq(s->row_floats, plan->key_block);
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
                cr_assert_lt(plan.scratch.floats * sizeof(float), (size_t)4 << 20,
                             "%s: %zu floats, channels %d and %d", kernels->name,
                             plan.scratch.floats, (int)p.head_dim, (int)p.value_dim);
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
        cr_expect_lt(10 * plan.part_floats * (size_t)plan.part_count,
                     elements(&p.key) + elements(&p.value), "%d channels", (int)dim);
    }
}

/* A workspace is that of its slices' scratch and of what they share, which is the parts. */
Test(scratch, workspace_of_slices) {
    for (int i = 0; i < VARIANTS * 4; i++) {
        const struct rapt_problem p = new_shape(2, 2, 3, i % 2 ? 1 : 300, 30000, 64, 64);
        const struct rapt_plan plan = sized_plan(&p, &variants[i / 4], 1 + i % 4);
        const size_t one = rapt_run_workspace(&plan, 1), each = plan.scratch.floats * sizeof(float);
        cr_expect_geq(one, each + (size_t)plan.part_count * plan.part_floats * sizeof(float) +
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
        cr_assert(plan.scratch.floats >= floats);
        cr_assert((__int128)rapt_run_workspace(&plan, plan.threads) >=
                      (floats * plan.threads + parts) * 4,
                  "workspace of %zu bytes for %d threads, %lld batches, %lld channels",
                  rapt_run_workspace(&plan, plan.threads), plan.threads, (long long)n[0],
                  (long long)n[5]);
    }
}
