/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of a chunk or a block, copied to where a panel's kernel reads them well. The copy
 * is dense f32, or the groups that amx takes. */
#include "src/base/convert.h"
#include "src/panel/worker.h"

/* Of int8, the numbers times factor. */
static void stage_rows(const struct worker *w, float *dst, const rapt_tensor *t, float factor,
                       struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = t->shape[3];
    const bool dense = t->stride[2] == channels && t->stride[3] == 1;
    for (int64_t i = keys.first, last; i < keys.last; i = last) {
        int64_t at = rapt_key_row(p, t, w->task->batch, w->task->kv_head, i, &last);
        last = rapt_min(last, keys.last);
        const int64_t rows = dense ? last - i : 1; /* read as one */
        for (int64_t k = i; k < last; k += rows, dst += rows * channels, at += rows * t->stride[2])
            rapt_read_row(w->plan->kernels, dst, t, at, factor, rows * channels);
    }
}

const uint16_t *rapt_dense_row(const rapt_tensor *t, int64_t at, uint16_t *copy) {
    const uint16_t *row = (const uint16_t *)t->data + at;
    const int64_t step = t->stride[3];
    if (step == 1 || t->shape[3] == 1)
        return row;
    for (int64_t c = 0; c < t->shape[3]; c++)
        copy[c] = row[c * step];
    return copy;
}

/* Groups of rows for amx. */
static void pack_rows(const struct worker *w, char *group, int64_t group_bytes,
                      void pack(void *, const uint16_t *const *, int, int64_t),
                      const rapt_tensor *t, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = t->shape[3];
    int64_t at = 0, last = keys.first;
    for (int64_t i = keys.first; i < keys.last; i += RAPT_AMX_KEYS, group += group_bytes) {
        const uint16_t *rows[RAPT_AMX_KEYS];
        const int count = (int)rapt_min(RAPT_AMX_KEYS, keys.last - i);
        for (int k = 0; k < count; k++, at += t->stride[2]) {
            if (i + k >= last)
                at = rapt_key_row(p, t, w->task->batch, w->task->kv_head, i + k, &last);
            rows[k] = rapt_dense_row(t, at, w->scratch->amx_rows + k * channels);
        }
        pack(group, rows, count, channels);
    }
}

static void stage_amx(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_kernels *kernels = w->plan->kernels;
    pack_rows(w, (char *)w->scratch->staged_key, rapt_amx_key_bytes(p->head_dim),
              kernels->pack_keys, &p->key, keys);
    pack_rows(w, (char *)w->scratch->staged_value, rapt_amx_value_bytes(p->value_dim),
              kernels->pack_values, &p->value, keys);
}

void rapt_stage(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    w->staged_first = keys.first;
    if (w->plan->amx) {
        stage_amx(w, keys);
        return;
    }
    if (w->plan->stage_key)
        stage_rows(w, w->scratch->staged_key, &p->key, rapt_key_factor(p), keys);
    if (w->plan->stage_value)
        stage_rows(w, w->scratch->staged_value, &p->value, 1, keys);
}
