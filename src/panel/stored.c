/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of few queries (decode): rows of keys and values where they are stored, or copied
 * where the kernel can't read them there. Pages are read here, in stage.c and in block.c. */
#include <string.h>

#include "src/panel/worker.h"

static void find_stored(const struct worker *w, const rapt_tensor *t, ptrdiff_t step,
                        struct rapt_range keys, struct stored_rows *rows) {
    const char *row = NULL;
    int64_t last = keys.first;
    rows->together = true;
    for (int64_t i = keys.first, g = 0; i < keys.last; i += RAPT_GROUP_ROWS, g++) {
        if (i >= last)
            row = rapt_element(
                t, rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head, i, &last));
        rows->group[g] = row;
        rows->together = rows->together && last >= rapt_min(i + RAPT_GROUP_ROWS, keys.last);
        row += RAPT_GROUP_ROWS * step;
    }
}

/* Copies the rows together. With `fill`, the last one stands for those that its group hasn't. */
static void copy_rows(const struct worker *w, const rapt_tensor *t, ptrdiff_t bytes,
                      struct rapt_range keys, bool fill, struct stored_rows *rows, char *copy) {
    const int groups = rapt_groups_in(keys);
    const int64_t count = fill ? groups * RAPT_GROUP_ROWS : keys.last - keys.first;
    for (int g = 0; g < groups; g++)
        rows->group[g] = copy + g * RAPT_GROUP_ROWS * bytes;
    for (int64_t i = 0; i < count; i++, copy += bytes) {
        int64_t last;
        const int64_t at = rapt_key_row(&w->plan->problem, t, w->task->batch, w->task->kv_head,
                                        rapt_min(keys.first + i, keys.last - 1), &last);
        memcpy(copy, rapt_element(t, at), (size_t)bytes);
    }
}

static struct rapt_rows view_rows(const struct stored_rows *rows, rapt_dtype dtype, ptrdiff_t bytes,
                                  ptrdiff_t step, struct rapt_range keys) {
    return (struct rapt_rows){dtype, bytes, step, rows->group, rapt_groups_in(keys)};
}

/* The kernel's view of some rows: of a copy if it can't read them where they lie. Keys have to come
 * in whole groups. */
static struct rapt_rows read_rows(const struct worker *w, const rapt_tensor *t, ptrdiff_t bytes,
                                  ptrdiff_t step, struct rapt_range keys, bool fill,
                                  struct stored_rows *rows, char *copy) {
    const bool ragged = fill && (keys.last - keys.first) % RAPT_GROUP_ROWS != 0;
    if (rows->together && !ragged)
        return view_rows(rows, t->dtype, bytes, step, keys);
    copy_rows(w, t, bytes, keys, fill, rows, copy);
    return view_rows(rows, t->dtype, bytes, bytes, keys);
}

struct rapt_block rapt_make_few_block(struct worker *w, struct rapt_range keys,
                                      struct rapt_range next) {
    const struct rapt_problem *p = &w->plan->problem;
    struct stored_rows *key = &w->stored_key[w->stored_turn], *value = &w->stored_value;
    struct stored_rows *next_key = &w->stored_key[1 - w->stored_turn];
    if (w->stored_first != keys.first)
        find_stored(w, &p->key, w->key_step, keys, key);
    find_stored(w, &p->value, w->value_step, keys, value);
    find_stored(w, &p->key, w->key_step, next, next_key);
    w->stored_turn = 1 - w->stored_turn;
    w->stored_first = rapt_groups_in(next) > 0 ? next.first : -1;
    struct rapt_block block = rapt_new_block(p, keys);
    block.amx = w->plan->amx;
    block.amx_scale = rapt_query_factor(p);
    block.few.keys =
        read_rows(w, &p->key, w->key_bytes, w->key_step, keys, true, key, w->scratch->copied_key);
    block.few.values = read_rows(w, &p->value, w->value_bytes, w->value_step, keys, false, value,
                                 w->scratch->copied_value);
    block.few.stretch = w->plan->key_block / 2;
    if (next_key->together)
        block.few.next_keys = view_rows(next_key, p->key.dtype, w->key_bytes, w->key_step, next);
    rapt_scale_block(w, keys, &block);
    rapt_mask_block(w, &w->panel[0], keys, &block);
    return block;
}
