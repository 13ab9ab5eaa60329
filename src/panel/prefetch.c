/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a panel's kernel prefetches: what its thread touches after the present block. Hardware
 * prefetches what is read in a row. But a panel's tiles read keys eight at a time and values in
 * columns. They go through a chunk again and again before the next one, which would come late.
 */
#include "src/panel/worker.h"

/* Rows that lie in one piece, or of those that do the first. */
static struct rapt_prefetch find_rows(const struct worker *w, const rapt_tensor *t,
                                      struct rapt_range keys) {
    int64_t last;
    if (t->stride[2] != t->shape[3] || t->stride[3] != 1)
        return (struct rapt_prefetch){NULL, 0};
    const int64_t at =
        rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, keys.first, &last);
    return (struct rapt_prefetch){
        rapt_element(t, at),
        (rapt_min(keys.last, last) - keys.first) * rapt_bytes(t, t->shape[3]),
    };
}

/* The part of a range that belongs to one of so many. */
static struct rapt_range share_of(struct rapt_range all, int64_t i, int64_t count) {
    const int64_t n = rapt_max(0, all.last - all.first);
    return (struct rapt_range){all.first + n * i / count, all.first + n * (i + 1) / count};
}

/*
 * The panels of a task go through the same chunk, so each prefetches a share of the next one. Rows
 * that nobody has touched come as they are first gone through: keys a block ahead, values while
 * their own block's keys are scored. That is the first chunk for its first panel, unless it was
 * copied; and where one panel goes through all chunks, each block.
 */
static struct rapt_range next_rows(const struct worker *w, int64_t index, struct rapt_range keys,
                                   bool copied, bool value) {
    const struct rapt_plan *plan = w->plan;
    const int64_t block = plan->key_block, start = keys.first / block * block;
    const int64_t end = rapt_min(w->keys.last, w->task->chunks.last * plan->chunk);
    const bool first_chunk = start < (w->task->chunks.first + 1) * plan->chunk;
    const int64_t busy = first_chunk && !copied ? 1 : 0; /* panels that have no share */
    if (w->task->panels > 1 && index >= busy) {
        const int64_t first = start + plan->chunk;
        return share_of((struct rapt_range){first, rapt_min(first + block, end)}, index - busy,
                        w->task->panels - busy);
    }
    if (value && !copied)
        return keys;
    return (struct rapt_range){start + block, rapt_min(start + 2 * block, end)};
}

/* Rows of a tensor that a panel's lanes stand for: the share of the nth of so many blocks. Those of
 * a group's heads lie apart, so each head has some blocks of its own. */
static struct rapt_prefetch find_lanes(const struct worker *w, struct rapt_range rows,
                                       const rapt_tensor *t, int64_t n, int64_t blocks) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, group = p->group;
    if (t->stride[2] != t->shape[3] || t->stride[3] != 1 || n < 0 || n >= blocks)
        return (struct rapt_prefetch){NULL, 0};
    const int64_t head = n * group / blocks;
    const int64_t first = rapt_divide_up(head * blocks, group);
    const int64_t last = rapt_divide_up((head + 1) * blocks, group);
    const struct rapt_range all = {rows.first / group, rapt_divide_up(rows.last, group)};
    const struct rapt_range queries = share_of(all, n - first, last - first);
    const int64_t at =
        rapt_row_offset(t, b, w->task->kv_head * group + head, rapt_q_first(p, b) + queries.first);
    return (struct rapt_prefetch){
        rapt_element(t, at),
        (queries.last - queries.first) * rapt_bytes(t, t->shape[3]),
    };
}

/* The next panel's queries, while a panel goes through the chunk with which that one begins. */
static struct rapt_prefetch find_queries(const struct worker *w, const struct work_panel *panel,
                                         struct rapt_range keys) {
    const int64_t block = w->plan->key_block, chunk = w->plan->chunk;
    const int64_t start = keys.first / chunk * chunk;
    const int64_t from = rapt_max(panel->keys.first, start) / block;
    const int64_t to = rapt_divide_up(rapt_min(panel->keys.last, start + chunk), block);
    return find_lanes(w, panel[1].rows, &w->plan->problem.query, keys.first / block - from,
                      to - from);
}

/* A panel's outputs, while it goes through as many keys as a chunk has for the last time. */
static struct rapt_prefetch find_outs(const struct worker *w, const struct work_panel *panel,
                                      struct rapt_range keys) {
    const int64_t block = w->plan->key_block;
    const int64_t last_keys = rapt_max(0, w->keys.last - w->plan->chunk);
    const int64_t from = rapt_max(panel->keys.first / block, rapt_divide_up(last_keys, block));
    const int64_t to = rapt_divide_up(panel->keys.last, block);
    return find_lanes(w, panel->rows, &w->plan->problem.out, keys.first / block - from, to - from);
}

void rapt_choose_prefetch(const struct worker *w, const struct work_panel *panel,
                          struct rapt_range keys, struct rapt_block *block) {
    const struct rapt_plan *plan = w->plan;
    const int64_t index = panel - w->panel;
    const struct rapt_range next_keys =
        next_rows(w, index, keys, plan->amx || plan->stage_key, false);
    const struct rapt_range next_values =
        next_rows(w, index, keys, plan->amx || plan->stage_value, true);
    struct rapt_prefetch *prefetch = block->panel.prefetch;
    if (next_keys.first < next_keys.last)
        *prefetch++ = find_rows(w, &plan->problem.key, next_keys);
    if (next_values.first < next_values.last)
        *prefetch++ = find_rows(w, &plan->problem.value, next_values);
    if (index + 1 < w->task->panels && !panel[1].begun)
        *prefetch++ = find_queries(w, panel, keys);
    if (prefetch < block->panel.prefetch + RAPT_PREFETCH_MOST)
        *prefetch = find_outs(w, panel, keys);
}
