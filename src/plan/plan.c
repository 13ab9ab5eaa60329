/* SPDX-License-Identifier: Apache-2.0 */
#include "src/plan/plan.h"

#include <inttypes.h>

#include "src/received/received.h"
#include "src/base/status.h"

enum {
    TASKS_PER_THREAD = 4, /* enough for an even load off one counter */
    TASKS_PER_THREAD_LEAST = 3,
    PANELS_SHARED = 4, /* keep the same share of the peak as more do */
    PANEL_BYTES_MAX = 1 << 20,
    CHUNK_BYTES = 1 << 19, /* of keys and values, a quarter of a common L2 cache */
    CHUNK_KEYS_MAX = 1280,
    PAGE_BYTES = 4096,
    THREADS_MAX = 4096,
    CHUNK_MASKS_MAX = 1 << 15, /* 512 KiB */
    PANELS_MAX = 1 << 28,      /* what takes seconds to count takes years to compute */
};

/* A thread that does less than this costs more to wake than it helps; docs/threads.md says how
 * this was measured. */
static const double flops_per_thread = 2e6;

int rapt_key_block(int64_t head_dim, int64_t value_dim) {
    const int64_t widest = rapt_max(head_dim, value_dim);
    return widest <= 64 ? 192 : widest <= 128 ? 96 : 64;
}

/* Keys of as many blocks of so many keys and bytes as a chunk has. */
static int64_t chunk_of(int64_t block, int64_t bytes) {
    return block * rapt_max(1, rapt_min(CHUNK_KEYS_MAX / block, CHUNK_BYTES / bytes));
}

int64_t rapt_chunk(int64_t head_dim, int64_t value_dim) {
    const int64_t block = rapt_key_block(head_dim, value_dim);
    return chunk_of(block, block * (head_dim + value_dim) * (int64_t)sizeof(float));
}

/* The same for packed keys and values, whose blocks are of one size. */
static int64_t amx_chunk(const struct rapt_problem *p) {
    const int64_t group = rapt_amx_key_bytes(p->head_dim) + rapt_amx_value_bytes(p->value_dim);
    return chunk_of(RAPT_AMX_BLOCK, RAPT_AMX_BLOCK / RAPT_AMX_KEYS * group);
}

int rapt_threads_for(double flops, int most) {
    if (flops < most * flops_per_thread)
        most = (int)(flops / flops_per_thread);
    return most < 1 ? 1 : most > THREADS_MAX ? THREADS_MAX : most;
}

static int64_t row_count(const struct rapt_plan *plan, int64_t b) {
    return rapt_q_len(&plan->problem, b) * plan->problem.group;
}

static bool is_dense(const rapt_tensor *t) {
    return t->shape[3] == 1 || t->stride[3] == 1;
}

bool rapt_is_few(const struct rapt_plan *plan, int64_t b) {
    const struct rapt_problem *p = &plan->problem;
    /* Keys and values are read as they lie, and scores are kept where their weights go, if masks
     * show in these. */
    const bool kept = rapt_weights_masked(p) && is_dense(&p->weights);
    return row_count(plan, b) <= plan->kernels->few_most && is_dense(&p->key) &&
           is_dense(&p->value) && (p->weights.dtype == RAPT_NONE || kept);
}

/* Whether rows of this view would be read badly where they are by so many panels. */
static bool are_copied(const struct rapt_plan *plan, const rapt_tensor *t, int64_t panels) {
    if (t->dtype != RAPT_F32)
        return true; /* widened once for all panels */
    if (plan->problem.page_size % plan->key_block != 0)
        return true; /* a block may lie in several pages */
    if (!is_dense(t))
        return true;
    if (t->stride[2] == 0 || t->stride[2] == t->shape[3])
        return false;
    /* With gaps the hardware doesn't follow them, and they fill some sets of the L1 cache more than
     * others: all the same ones, where they are a multiple of a page apart. */
    const bool aliased = t->stride[2] * (int64_t)sizeof(float) % PAGE_BYTES == 0;
    return panels >= (aliased ? 2 : PANELS_SHARED);
}

/* Each task copies or packs its keys and values again. */
int64_t rapt_panels_most(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const bool copies = plan->amx || are_copied(plan, &p->key, RAPT_PANELS_MAX) ||
                        are_copied(plan, &p->value, RAPT_PANELS_MAX);
    return copies ? RAPT_PANELS_MAX : RAPT_PANELS_MAX / 2;
}

int64_t rapt_query_rows(const struct rapt_plan *plan) {
    const int64_t channels = plan->problem.head_dim;
    return plan->amx ? rapt_amx_query_rows(channels) : channels;
}

int64_t rapt_score_floats(const struct rapt_plan *plan) {
    const int64_t scores = (int64_t)plan->key_block * plan->panel_rows;
    return plan->amx ? RAPT_AMX_SCORES * scores : scores;
}

int64_t rapt_few_floats(const struct rapt_kernels *kernels, int64_t channels) {
    const int64_t line = RAPT_ALIGN / (int64_t)sizeof(float);
    return rapt_divide_up(kernels->few_rows * channels, line) * line;
}

int64_t rapt_panels(const struct rapt_plan *plan, int64_t b) {
    return rapt_divide_up(row_count(plan, b), plan->panel_rows);
}

struct rapt_range rapt_panel_rows(const struct rapt_plan *plan, int64_t b, int64_t panel) {
    const int64_t lanes = plan->kernels->lanes, rows = row_count(plan, b);
    const int64_t vectors = rapt_divide_up(rows, lanes), panels = rapt_panels(plan, b);
    const int64_t each = vectors / panels, wider = vectors % panels;
    const int64_t first = panel * each + rapt_min(panel, wider);
    const int64_t last = first + each + (panel < wider);
    return (struct rapt_range){first * lanes, rapt_min(last * lanes, rows)};
}

int64_t rapt_few_query_floats(const struct rapt_plan *plan) {
    const int64_t channels = plan->problem.head_dim;
    return plan->amx ? rapt_amx_query_rows(channels) * plan->kernels->lanes
                     : rapt_few_floats(plan->kernels, channels);
}

/* Floats rounded up to whole cache lines, and one line more against aliasing of neighbours. */
static size_t padded(int64_t floats) {
    return ((size_t)floats + 2 * RAPT_ALIGN / sizeof(float) - 1) / (RAPT_ALIGN / sizeof(float)) *
           (RAPT_ALIGN / sizeof(float));
}

/* Rows of a block that few queries can't read where they lie, of any type: the last keys, and those
 * between which a page ends. */
static size_t copied(const struct rapt_plan *plan, int64_t channels) {
    return padded(plan->key_block * channels);
}

/* Floats of so many staged rows. */
static int64_t staged_floats(const struct rapt_plan *plan, int64_t channels, int64_t rows,
                             int64_t group_bytes(int64_t)) {
    return plan->amx ? rows / RAPT_AMX_KEYS * group_bytes(channels) / (int64_t)sizeof(float)
                     : rows * channels;
}

static void lay_out_scratch(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_kernels *kernels = plan->kernels;
    struct rapt_scratch *s = &plan->scratch;
    const int64_t width = plan->panel_rows;
    /* out, max, sum, seen; query, slope, and three int64_t of every lane; the
     * largest weights */
    const int64_t state = rapt_state_floats(p);
    plan->part_floats = padded(state * plan->part_width);
    s->panel_floats = padded((state + rapt_query_rows(plan) + 7 + 2 * p->top_count) * width);
    const bool wide_mask = p->mask.dtype != RAPT_NONE && p->mask.dtype != RAPT_F32;
    s->row_floats = rapt_max(p->query.dtype == RAPT_F32 ? 0 : p->head_dim,
                             p->out.dtype == RAPT_F32 ? 0 : p->value_dim);
    s->row_floats = rapt_max(s->row_floats, wide_mask ? plan->key_block : 0);
    const int64_t staged = plan->panels_per_task > 1 ? plan->chunk : plan->key_block;
    size_t used = 0;
#define TAKE(part, n)                                                                              \
    do {                                                                                           \
        s->part = used;                                                                            \
        used += (n);                                                                               \
    } while (0)
    TAKE(panels, s->panel_floats * (size_t)plan->panels_per_task);
    /* query; out, three numbers of each and what is observed, twice; sums; the largest weights */
    const int64_t out = rapt_few_floats(kernels, p->value_dim);
    const int64_t vectors = rapt_divide_up(p->value_dim, kernels->lanes);
    const int64_t sums = rapt_few_floats(kernels, vectors * kernels->lanes);
    const int64_t numbers = 2 * (3 + rapt_observed_count(p) + p->top_count) * kernels->lanes;
    s->few_floats = padded(rapt_few_query_floats(plan) + 2 * out + numbers + sums);
    const int64_t sets = rapt_divide_up(kernels->few_most, kernels->few_rows);
    TAKE(few, plan->has_few ? s->few_floats * (size_t)sets : 0);
    TAKE(copied_key, plan->has_few ? copied(plan, p->head_dim) : 0);
    TAKE(copied_value, plan->has_few && p->page_size ? copied(plan, p->value_dim) : 0);
    TAKE(scores, padded(rapt_score_floats(plan)));
    TAKE(bias, p->mask.dtype == RAPT_NONE ? 0 : padded(plan->key_block * width));
    TAKE(bounds, padded(3 * width));
    TAKE(key_scale, p->key.dtype == RAPT_I8 ? padded(RAPT_GROUPS_MAX * RAPT_GROUP_ROWS) : 0);
    TAKE(value_scale, p->value.dtype == RAPT_I8 ? padded(RAPT_GROUPS_MAX * RAPT_GROUP_ROWS) : 0);
    TAKE(part, plan->joins ? padded(state * width) : 0);
    TAKE(rows, padded(s->row_floats * width));
    TAKE(staged_key, plan->stage_key
                         ? padded(staged_floats(plan, p->head_dim, staged, rapt_amx_key_bytes))
                         : 0);
    TAKE(staged_value, plan->stage_value
                           ? padded(staged_floats(plan, p->value_dim, staged, rapt_amx_value_bytes))
                           : 0);
    TAKE(amx_rows,
         plan->amx ? padded(RAPT_AMX_ROWS * rapt_max(p->head_dim, p->value_dim) / 2 + 1) : 0);
#undef TAKE
    s->floats = used > plan->received.floats ? used : plan->received.floats;
}

static rapt_status too_large(const struct rapt_problem *p) {
    return rapt_fail(RAPT_INVALID_ARGUMENT,
                     "query: %" PRId64 " sequences, %" PRId64 " heads, %" PRId64
                     " positions and %" PRId64 " channels, expected a size that can be counted",
                     p->batch, p->q_heads, p->query.shape[2], p->head_dim);
}

/* Keys that enclose those of the panels of a sequence, and the scores that their lanes compute. */
static struct rapt_range panel_keys(const struct rapt_plan *plan, int64_t b, int64_t panel,
                                    int64_t last, int64_t *cost) {
    const struct rapt_problem *p = &plan->problem;
    const int64_t lanes = plan->kernels->lanes;
    struct rapt_range all = {INT64_MAX, 0};
    *cost = 0;
    for (; panel < last; panel++) {
        const struct rapt_range rows = rapt_panel_rows(plan, b, panel);
        const struct rapt_range keys = {
            rapt_key_bounds(p, b, rows.first / p->group).first,
            rapt_key_bounds(p, b, (rows.last - 1) / p->group).last,
        };
        all = rapt_join(all, keys);
        *cost += rapt_divide_up(rows.last - rows.first, lanes) * lanes *
                 rapt_max(0, keys.last - keys.first);
    }
    if (all.first > all.last)
        all.first = all.last = 0;
    return all;
}

/* What is known of the whole problem before it is divided. */
struct totals {
    double flops, cost;
    int64_t panels, longest; /* of all, and of a sequence and key head at most */
    bool counted;            /* there aren't too many */
};

static struct totals sum_up(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    struct totals t = {.counted = true};
    /* Without queries the batch may be of any number, which would take its time. */
    for (int64_t b = 0; b < p->batch && !rapt_is_empty(&p->query); b++) {
        const int64_t panels = rapt_panels(plan, b);
        t.longest = rapt_max(t.longest, panels);
        int64_t heads_panels;
        if (__builtin_mul_overflow(panels, p->kv_heads, &heads_panels) ||
            __builtin_add_overflow(t.panels, heads_panels, &t.panels) || t.panels > PANELS_MAX) {
            t.counted = false;
            break;
        }
        for (int64_t panel = 0; panel < panels; panel++) {
            int64_t cost;
            panel_keys(plan, b, panel, panel + 1, &cost);
            t.cost += (double)cost * (double)p->kv_heads;
        }
        plan->joins = plan->joins || rapt_kv_len(p, b) > plan->chunk;
        t.flops += rapt_flops(p, b);
        plan->has_few = plan->has_few || (panels > 0 && rapt_is_few(plan, b));
    }
    return t;
}

static struct rapt_range chunks_of(const struct rapt_plan *plan, struct rapt_range keys) {
    return (struct rapt_range){keys.first / plan->chunk, rapt_divide_up(keys.last, plan->chunk)};
}

struct rapt_range rapt_task_chunks(const struct rapt_plan *plan, const struct rapt_task *task) {
    int64_t cost;
    return chunks_of(plan,
                     panel_keys(plan, task->batch, task->panel, task->panel + task->panels, &cost));
}

/* One task, or where it would be too heavy, one for each part of its chunks. */
static void add_tasks(struct rapt_plan *plan, struct rapt_task task, struct rapt_range keys) {
    task.chunks = chunks_of(plan, keys);
    const int64_t chunks = task.chunks.last - task.chunks.first;
    int64_t pieces = 1;
    if (task.panels == 1 && task.cost > plan->split_cost)
        pieces = rapt_min(rapt_divide_up(task.cost, plan->split_cost), chunks);
    task.split = -1;
    if (pieces > 1) {
        /* What a window reaches may begin elsewhere in a chunk when a run brings its numbers. */
        const int64_t parts = chunks + (task.chunks.first > 0);
        if (plan->splits)
            plan->splits[plan->split_count] =
                (struct rapt_split){task.chunks, plan->part_count, parts, (int)pieces};
        const struct rapt_range rows = rapt_panel_rows(plan, task.batch, task.panel);
        const int64_t lanes = plan->kernels->lanes;
        task.split = (int32_t)plan->split_count++;
        plan->part_count += parts;
        plan->part_width =
            rapt_max(plan->part_width, rapt_divide_up(rows.last - rows.first, lanes) * lanes);
    }
    struct rapt_task piece = task;
    for (int64_t i = 0; i < pieces; i++) {
        piece.piece = (int32_t)i;
        piece.chunks.first = task.chunks.first + i * chunks / pieces;
        piece.chunks.last = task.chunks.first + (i + 1) * chunks / pieces;
        piece.cost = task.cost / pieces;
        if (plan->tasks)
            plan->tasks[plan->task_count] = piece;
        plan->task_count++;
    }
}

/* Counts tasks, splits and parts, and writes them where there is room. */
static void divide(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    plan->task_count = plan->split_count = plan->part_count = 0;
    for (int32_t b = 0; b < p->batch && !rapt_is_empty(&p->query); b++) {
        const int64_t panels = rapt_panels(plan, b);
        const int64_t shares = rapt_divide_up(panels, plan->panels_per_task);
        for (int64_t i = 0; i < shares; i++) {
            const int64_t panel = i * panels / shares, last = (i + 1) * panels / shares;
            struct rapt_task task = {.batch = b, .panel = panel, .panels = (int32_t)(last - panel)};
            const struct rapt_range keys = panel_keys(plan, b, panel, last, &task.cost);
            for (int32_t h = 0; h < p->kv_heads; h++) {
                task.kv_head = h;
                add_tasks(plan, task, keys);
            }
        }
    }
}

/* How much longer than an even share the last thread is at work, if all tasks cost the same. */
static double unevenness(const struct rapt_plan *plan, int64_t panels_per_task, int threads) {
    int64_t tasks = 0;
    for (int64_t b = 0; b < plan->problem.batch; b++)
        tasks += rapt_divide_up(rapt_panels(plan, b), panels_per_task);
    tasks *= plan->problem.kv_heads;
    return (double)(rapt_divide_up(tasks, threads) * threads) / (double)tasks;
}

/*
 * Panels of a task: as many as leave each of several threads TASKS_PER_THREAD, or about as many, if
 * that makes the last round of tasks fuller. Fewer than PANELS_SHARED would read keys and values
 * too often.
 */
static int64_t choose_panels(const struct rapt_plan *plan, int64_t panels, int64_t most,
                             int threads) {
    const int64_t tasks = threads == 1 ? 1 : plan->amx ? TASKS_PER_THREAD_LEAST : TASKS_PER_THREAD;
    const int64_t usual = rapt_max(1, rapt_min(panels / (threads * tasks), most));
    if (usual == 1 || threads == 1)
        return usual;
    int64_t best = usual;
    double least = unevenness(plan, usual, threads);
    const int64_t last = rapt_min(panels / ((int64_t)threads * TASKS_PER_THREAD_LEAST), most);
    for (int64_t n = rapt_min(usual, PANELS_SHARED); n <= last; n++) {
        const double found = unevenness(plan, n, threads);
        if (found < 0.98 * least) {
            least = found;
            best = n;
        }
    }
    return best;
}

/* Heads that share a mask share what is seen of it: of the first panels and chunks, if there are
 * many. */
static void share_looks(struct rapt_plan *plan, int64_t panels) {
    const struct rapt_problem *p = &plan->problem;
    plan->chunk_mask_count = 0;
    if (p->mask.dtype == RAPT_NONE || p->mask.stride[1] != 0 || p->kv_heads == 1)
        return;
    plan->chunk_mask_panels = panels;
    plan->chunk_mask_chunks = rapt_divide_up(p->kv_most, plan->chunk);
    if (__builtin_mul_overflow(panels * plan->chunk_mask_chunks, p->batch, &plan->chunk_mask_count))
        plan->chunk_mask_count = CHUNK_MASKS_MAX;
    plan->chunk_mask_count = rapt_min(plan->chunk_mask_count, CHUNK_MASKS_MAX);
}

rapt_status rapt_plan_sizes(struct rapt_plan *plan, int threads) {
    const struct rapt_problem *p = &plan->problem;
    plan->amx = plan->kernels->pack_keys && p->query.dtype == RAPT_BF16 &&
                p->key.dtype == RAPT_BF16 && p->value.dtype == RAPT_BF16;
    plan->panel_rows = plan->amx ? RAPT_AMX_ROWS : plan->kernels->panel_rows;
    plan->key_block = plan->amx ? RAPT_AMX_BLOCK : rapt_key_block(p->head_dim, p->value_dim);
    plan->chunk = plan->amx ? amx_chunk(p) : rapt_chunk(p->head_dim, p->value_dim);
    const struct totals all = sum_up(plan);
    if (!all.counted)
        return too_large(p);
    threads = rapt_threads_for(all.flops, threads);
    share_looks(plan, all.longest);

    const int64_t row_floats =
        p->head_dim + p->value_dim + rapt_observed_count(p) + 2 * p->top_count;
    const int64_t row_bytes = row_floats * (int64_t)sizeof(float);
    const int64_t fit = PANEL_BYTES_MAX / (row_bytes * plan->panel_rows);
    const int64_t most = rapt_min(rapt_min(rapt_panels_most(plan), fit), all.longest);
    plan->panels_per_task = choose_panels(plan, all.panels, most, threads);
    /* The weights need the softmax's result, which a split has at the end only, and the largest of
     * them go by the order of all keys. */
    const bool splits = threads > 1 && p->weights.dtype == RAPT_NONE && p->top_count == 0;
    const double shares = rapt_min((int64_t)threads * TASKS_PER_THREAD, RAPT_SPLITS_MAX);
    plan->split_cost = splits ? rapt_max(1, (int64_t)(all.cost / shares)) : INT64_MAX;
    divide(plan);
    if (p->received.dtype != RAPT_NONE && !rapt_received_sizes(plan, threads))
        return too_large(p);
    plan->threads =
        (int)rapt_max(1, rapt_min(threads, rapt_max(plan->task_count, plan->received.tasks)));

    plan->stage_key = are_copied(plan, &p->key, plan->panels_per_task);
    plan->stage_value = are_copied(plan, &p->value, plan->panels_per_task);
    lay_out_scratch(plan);
    size_t scratch, parts, results, bytes;
    if (__builtin_mul_overflow(plan->scratch.floats * sizeof(float), plan->threads, &scratch) ||
        __builtin_mul_overflow(plan->part_floats * sizeof(float), plan->part_count, &parts) ||
        __builtin_mul_overflow(sizeof(float), plan->received.results, &results) ||
        __builtin_add_overflow(scratch, parts, &bytes) ||
        __builtin_add_overflow(bytes, results, &bytes) || bytes > PTRDIFF_MAX)
        return too_large(p);
    return RAPT_OK;
}

/* Of equal ones the last panel first: if there is a mask, then mostly one that gives it more. */
static bool is_heavier(const struct rapt_task *x, const struct rapt_task *y) {
    if (x->cost != y->cost)
        return x->cost > y->cost;
    if (x->batch != y->batch)
        return x->batch < y->batch;
    if (x->kv_head != y->kv_head)
        return x->kv_head < y->kv_head;
    if (x->panel != y->panel)
        return x->panel > y->panel;
    return x->chunks.first < y->chunks.first;
}

/* Lets a task sink in a heap of n that has the lightest on top. */
static void sink(struct rapt_task *tasks, int64_t at, int64_t n) {
    const struct rapt_task task = tasks[at];
    for (int64_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_heavier(&tasks[child], &tasks[child + 1]))
            child++;
        if (!is_heavier(&task, &tasks[child]))
            break;
        tasks[at] = tasks[child];
        at = child;
    }
    tasks[at] = task;
}

/* Heaviest first; in place, for qsort() may allocate. */
void rapt_plan_tasks(struct rapt_plan *plan) {
    struct rapt_task *tasks = plan->tasks;
    divide(plan);
    for (int64_t i = plan->task_count / 2 - 1; i >= 0; i--)
        sink(tasks, i, plan->task_count);
    for (int64_t n = plan->task_count - 1; n > 0; n--) {
        const struct rapt_task lightest = tasks[0];
        tasks[0] = tasks[n];
        tasks[n] = lightest;
        sink(tasks, 0, n);
    }
}
