/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread touches after the present block. Hardware fetches ahead what is read in a row, but
 * a panel's tiles read keys eight at a time and values in columns, and go through a chunk again and
 * again before the next one is touched: all of it would be late.
 */
#include "worker.h"

/* Rows that lie in one piece, or of those that do the first. */
static struct rapt_soon find_rows(const struct worker *w, const rapt_tensor *t, const void *data,
                                  struct rapt_range keys) {
    int64_t last;
    if (t->stride[2] != t->shape[3] || t->stride[3] != 1)
        return (struct rapt_soon){NULL, 0};
    const int64_t at =
        rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, keys.first, &last);
    return (struct rapt_soon){
        rapt_element(t, data, at),
        (rapt_min(keys.last, last) - keys.first) * rapt_bytes(t, t->shape[3]),
    };
}

/* The part of a range that belongs to one of so many. */
static struct rapt_range share_of(struct rapt_range all, int64_t i, int64_t count) {
    const int64_t n = rapt_max(0, all.last - all.first);
    return (struct rapt_range){all.first + n * i / count, all.first + n * (i + 1) / count};
}

/*
 * The panels of a task go through the same chunk, so each asks for a share of the next one. The
 * first chunk comes as it is first gone through, a block ahead; and where one panel goes through
 * all chunks, each block does.
 */
static struct rapt_range next_keys(const struct worker *w, int64_t index, struct rapt_range keys) {
    const struct rapt_plan *plan = w->plan;
    const int64_t block = plan->key_block, start = keys.first / block * block;
    const int64_t end = rapt_min(w->keys.last, w->task->chunks.last * plan->chunk);
    const bool ahead =
        w->task->panels == 1 || (index == 0 && start < (w->task->chunks.first + 1) * plan->chunk);
    const int64_t first = start + (ahead ? block : plan->chunk);
    const struct rapt_range next = {first, rapt_min(first + block, end)};
    return ahead || first >= end ? next : share_of(next, index, w->task->panels);
}

/*
 * Where no keys come any more, the block's share of a panel's queries or outputs. Those of a group
 * of heads don't lie together.
 */
static struct rapt_soon find_lanes(const struct worker *w, const struct work_panel *panel,
                                   const rapt_tensor *t, const void *data, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, block = w->plan->key_block;
    const int64_t last_keys = rapt_max(0, w->keys.last - w->plan->chunk);
    const int64_t from = rapt_max(panel->keys.first / block, rapt_divide_up(last_keys, block));
    const int64_t blocks = rapt_divide_up(panel->keys.last, block) - from;
    const int64_t n = keys.first / block - from;
    if (p->group > 1 || t->stride[2] != t->shape[3] || t->stride[3] != 1 || n < 0 || n >= blocks)
        return (struct rapt_soon){NULL, 0};
    const struct rapt_range rows = share_of(panel->rows, n, blocks);
    const int64_t at = rapt_row_offset(t, b, w->task->kv_head, rapt_q_first(p, b) + rows.first);
    return (struct rapt_soon){
        rapt_element(t, data, at),
        (rows.last - rows.first) * rapt_bytes(t, t->shape[3]),
    };
}

void rapt_look_ahead(const struct worker *w, const struct work_panel *panel, struct rapt_range keys,
                     struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t index = panel - w->panel;
    const struct rapt_range next = next_keys(w, index, keys);
    if (next.first < next.last) {
        block->soon[0] = find_rows(w, &p->key, w->data->key, next);
        block->soon[1] = find_rows(w, &p->value, w->data->value, next);
        return;
    }
    if (index + 1 < w->task->panels && !panel[1].begun)
        block->soon[0] = find_lanes(w, panel + 1, &p->query, w->data->query, keys);
    block->soon[1] = find_lanes(w, panel, &p->out, w->data->out, keys);
}
