/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "status.h"

enum {
    TASKS_PER_THREAD = 4, /* enough for an even load off one counter */
    PANEL_BYTES_MAX = 1 << 20,
    SUPERBLOCK_BYTES = 1 << 19, /* keys and values, a quarter of a common L2 cache */
    PAGE_BYTES = 4096,
};

/* A thread that does less than this costs more to wake than it helps: about 10 us of work. */
static const double flops_per_thread = 2e6;

int rapt_key_block(int64_t head_dim, int64_t value_dim) {
    const int64_t widest = rapt_max(head_dim, value_dim);
    return widest <= 64 ? 96 : widest <= 128 ? 48 : 32;
}

static int64_t divide_up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

struct rapt_range rapt_panel_rows(const struct rapt_plan *plan, int64_t panel) {
    const int64_t lanes = plan->kernels->lanes;
    const int64_t vectors = divide_up(plan->rows, lanes);
    const int64_t each = vectors / plan->panels, wider = vectors % plan->panels;
    const int64_t first = panel * each + rapt_min(panel, wider);
    const int64_t last = first + each + (panel < wider);
    return (struct rapt_range){first * lanes, rapt_min(last * lanes, plan->rows)};
}

/* Whether rows of this view would be read badly where they are. */
static bool wants_staging(const rapt_tensor *t, bool reused) {
    if (t->dtype != RAPT_F32)
        return true; /* widened once for all panels */
    const bool scattered = t->shape[3] > 1 && t->stride[3] != 1;
    /* Rows a multiple of a page apart share their place in the L1 cache. */
    const bool aliased =
        t->stride[2] != 0 && t->stride[2] * (int64_t)sizeof(float) % PAGE_BYTES == 0;
    return scattered || (aliased && reused);
}

/* Floats rounded up to whole cache lines, and one line more against aliasing of neighbours. */
static size_t padded(int64_t floats) {
    return ((size_t)floats + 2 * RAPT_ALIGN / sizeof(float) - 1) / (RAPT_ALIGN / sizeof(float)) *
           (RAPT_ALIGN / sizeof(float));
}

static void lay_out_scratch(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    struct rapt_scratch *s = &plan->scratch;
    const int64_t width = plan->kernels->panel_rows;
    /* query, out, max, sum, seen, and of every lane the first and last key as int64_t */
    s->panel_floats = padded((p->head_dim + p->value_dim + 7) * width);
    const bool half_mask = p->mask.dtype == RAPT_F16 || p->mask.dtype == RAPT_BF16;
    s->row_floats = rapt_max(p->query.dtype == RAPT_F32 ? 0 : p->head_dim,
                             p->out.dtype == RAPT_F32 ? 0 : p->value_dim);
    s->row_floats = rapt_max(s->row_floats, half_mask ? plan->key_block : 0);
    size_t used = 0;
#define TAKE(part, n)                                                                              \
    do {                                                                                           \
        s->part = used;                                                                            \
        used += (n);                                                                               \
    } while (0)
    TAKE(panels, s->panel_floats * (size_t)plan->panels_per_task);
    TAKE(scores, padded(plan->key_block * width));
    TAKE(bias, p->mask.dtype == RAPT_NONE ? 0 : padded(plan->key_block * width));
    TAKE(bounds, padded(4 * width));
    TAKE(rows, padded(s->row_floats * width));
    TAKE(staged_key, plan->stage ? padded(plan->superblock * p->head_dim) : 0);
    TAKE(staged_value, plan->stage ? padded(plan->superblock * p->value_dim) : 0);
#undef TAKE
    s->floats = used;
}

static rapt_status too_large(const struct rapt_problem *p) {
    return rapt_fail(RAPT_INVALID_ARGUMENT,
                     "query: %" PRId64 " batches, %" PRId64 " heads, %" PRId64
                     " positions and %" PRId64 " channels, expected a size that can be counted",
                     p->batch, p->q_heads, p->q_len, p->head_dim);
}

rapt_status rapt_plan_sizes(struct rapt_plan *plan, int threads) {
    const struct rapt_problem *p = &plan->problem;
    const int64_t width = plan->kernels->panel_rows, channels = p->head_dim + p->value_dim;
    plan->rows = p->q_len * p->group;
    plan->panels = divide_up(plan->rows, width);
    plan->key_block = rapt_key_block(p->head_dim, p->value_dim);

    const int64_t row_bytes = channels * (int64_t)sizeof(float);
    const int64_t blocks = rapt_max(1, SUPERBLOCK_BYTES / (row_bytes * plan->key_block));
    plan->superblock = rapt_min(blocks, divide_up(p->kv_len, plan->key_block)) * plan->key_block;

    int64_t heads, all_panels;
    if (__builtin_mul_overflow(p->batch, p->kv_heads, &heads) ||
        __builtin_mul_overflow(heads, plan->panels, &all_panels))
        return too_large(p);
    const double flops = 2.0 * (double)channels * (double)p->batch * (double)p->q_heads *
                         (double)p->q_len * (double)p->kv_len;
    if (flops < threads * flops_per_thread)
        threads = (int)(flops / flops_per_thread);
    threads = threads < 1 ? 1 : threads;

    int64_t together = all_panels / ((int64_t)threads * TASKS_PER_THREAD);
    together = rapt_min(together, PANEL_BYTES_MAX / (row_bytes * width));
    together = rapt_min(rapt_min(together, RAPT_PANELS_MAX), plan->panels);
    plan->panels_per_task = rapt_max(1, together);
    plan->task_count = heads * divide_up(plan->panels, plan->panels_per_task);
    plan->threads = (int)rapt_min(threads, plan->task_count);

    const bool reused = plan->panels_per_task > 1;
    plan->stage = wants_staging(&p->key, reused) || wants_staging(&p->value, reused);
    lay_out_scratch(plan);
    size_t bytes;
    if (__builtin_mul_overflow(plan->scratch.floats * sizeof(float), plan->threads, &bytes) ||
        bytes > PTRDIFF_MAX)
        return too_large(p);
    return RAPT_OK;
}

/* Scores that a task computes: lanes times keys, for each panel, masks by position trimmed. */
static int64_t task_cost(const struct rapt_plan *plan, int64_t b, int64_t panel, int64_t last) {
    const struct rapt_problem *p = &plan->problem;
    int64_t cost = 0;
    for (; panel < last; panel++) {
        const struct rapt_range rows = rapt_panel_rows(plan, panel);
        struct rapt_range all = {INT64_MAX, 0};
        for (int64_t q = rows.first / p->group; q <= (rows.last - 1) / p->group; q++)
            all = rapt_join(all, rapt_key_range(p, b, q));
        cost += (rows.last - rows.first) * rapt_max(0, all.last - all.first);
    }
    return cost;
}

static int heavier_first(const void *a, const void *b) {
    const struct rapt_task *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost > y->cost ? -1 : 1;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    if (x->kv_head != y->kv_head)
        return x->kv_head < y->kv_head ? -1 : 1;
    return (x->panel > y->panel) - (x->panel < y->panel);
}

void rapt_plan_tasks(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const int64_t each = plan->task_count / (p->batch * p->kv_heads);
    struct rapt_task *task = plan->tasks;
    bool sorted = true;
    for (int32_t b = 0; b < p->batch; b++) {
        const struct rapt_task *first_head = task;
        for (int32_t h = 0; h < p->kv_heads; h++) {
            for (int64_t i = 0; i < each; i++, task++) {
                const int64_t panel = i * plan->panels_per_task;
                const int64_t last = rapt_min(panel + plan->panels_per_task, plan->panels);
                const int64_t cost = h > 0 ? first_head[i].cost : task_cost(plan, b, panel, last);
                *task = (struct rapt_task){b, h, panel, cost};
                sorted = sorted && (task == plan->tasks || task[-1].cost >= cost);
            }
        }
    }
    if (!sorted)
        qsort(plan->tasks, (size_t)plan->task_count, sizeof *plan->tasks, heavier_first);
}
