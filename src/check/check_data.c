/* SPDX-License-Identifier: Apache-2.0 */
/* What a run brings: tensors in memory, and numbers. And the tensors of a merge. */
#include "src/check/check.h"

#include <inttypes.h>

#include "src/check/check_tensor.h"

/* One tensor of a run. */
struct placed {
    const char *name;
    const void *data;
    bool output;
    struct rapt_place place;
};

static rapt_status find_place(struct placed *t) {
    const int align = rapt_dtype_info_of(t->place.view->dtype).align;
    const uintptr_t at = (uintptr_t)t->data;
    t->place.first = t->place.last = 0;
    if (rapt_is_empty(t->place.view))
        return RAPT_OK;
    if (!t->data)
        return INVALID("%s: data is NULL, expected the tensor's elements", t->name);
    if (at % (uintptr_t)align != 0)
        return INVALID("%s: data is at address %p, expected a multiple of %d", t->name, t->data,
                       align);
    struct rapt_span span;
    rapt_tensor_span(t->place.view, &span);
    if ((uintptr_t)-span.first > at || UINTPTR_MAX - at < (uintptr_t)span.last)
        return INVALID("%s: data at %p and its strides reach beyond the address space, expected "
                       "memory within it",
                       t->name, t->data);
    t->place.first = at - (uintptr_t)-span.first;
    t->place.last = at + (uintptr_t)span.last;
    return RAPT_OK;
}

static rapt_status check_apart(const struct placed *output, const struct placed *other) {
    if (rapt_places_meet(&output->place, &other->place))
        return INVALID("%s: its memory overlaps that of %s, expected memory of its own",
                       output->name, other->name);
    return RAPT_OK;
}

rapt_status rapt_check_numbers(const char *name, const int64_t *numbers, int64_t count,
                               int64_t least, int64_t most) {
    for (int64_t i = 0; numbers && i < count; i++)
        if (numbers[i] < least || numbers[i] > most)
            return INVALID("%s[%" PRId64 "]: found %" PRId64 ", expected %" PRId64 " to %" PRId64,
                           name, i, numbers[i], least, most);
    return RAPT_OK;
}

rapt_status rapt_check_table(const struct rapt_problem *p, const int32_t *table, int64_t stride,
                             const int64_t *kv_lens) {
    for (int64_t b = 0; b < p->batch; b++) {
        const int32_t *row = table + b * stride;
        const int64_t pages = rapt_divide_up(kv_lens[b], p->page_size);
        for (int64_t i = 0; i < pages; i++)
            if (row[i] < 0 || row[i] >= p->pages)
                return INVALID("block_table[%" PRId64 "][%" PRId64 "]: found %" PRId32
                               ", expected a page of 0 to %" PRId64,
                               b, i, row[i], p->pages - 1);
    }
    return RAPT_OK;
}

/* Lengths of a run, up to those that its plan has room for. */
static rapt_status check_lengths(const struct rapt_problem *p, const int64_t *kv_lens) {
    if (kv_lens && p->cu_k)
        return INVALID("kv_len: found with cu_k, expected NULL, for lengths follow from it");
    for (int64_t b = 0; kv_lens && b < p->batch; b++)
        if (kv_lens[b] < 0 || kv_lens[b] > rapt_kv_len(p, b))
            return INVALID("kv_len[%" PRId64 "]: found %" PRId64 ", expected 0 to %" PRId64
                           ", the plan's",
                           b, kv_lens[b], rapt_kv_len(p, b));
    return RAPT_OK;
}

static rapt_status check_run_numbers(const struct rapt_problem *p, int64_t table_stride,
                                     const rapt_attention_data *data) {
    TRY(check_lengths(p, data->kv_len));
    TRY(rapt_check_numbers("kv_start", data->kv_start, p->batch, 0, RAPT_POSITION_MAX));
    TRY(rapt_check_numbers("q_offset", data->q_offset, p->batch, -RAPT_POSITION_MAX,
                           RAPT_POSITION_MAX));
    if (data->mask_start && !p->mask_start)
        return INVALID("mask_start: found, but the plan has none, expected NULL");
    TRY(rapt_check_numbers("mask_start", data->mask_start, p->batch, 0, RAPT_POSITION_MAX));
    if (data->block_table && !p->page_size)
        return INVALID("block_table: found, but the plan's keys have no pages, expected NULL");
    if (p->page_size && !data->block_table && !p->block_table)
        return INVALID("block_table: found NULL, expected a table, as the plan has none");
    return data->block_table ? rapt_check_table(p, data->block_table, table_stride,
                                                data->kv_len ? data->kv_len : p->kv_lens)
                             : RAPT_OK;
}

rapt_status rapt_check_data(const struct rapt_problem *p, int64_t table_stride,
                            const rapt_attention_data *data) {
    struct placed tensors[] = {
        {"query", data->query, false, {&p->query, 0, 0}},
        {"key", data->key, false, {&p->key, 0, 0}},
        {"value", data->value, false, {&p->value, 0, 0}},
        {"key_scale", data->key_scale, false, {&p->key_scale, 0, 0}},
        {"value_scale", data->value_scale, false, {&p->value_scale, 0, 0}},
        {"mask", data->mask, false, {&p->mask, 0, 0}},
        {"alibi", data->alibi, false, {&p->alibi, 0, 0}},
        {"sink", data->sink, false, {&p->sink, 0, 0}},
        {"out", data->out, true, {&p->out, 0, 0}},
        {"lse", data->lse, true, {&p->lse, 0, 0}},
        {"max", data->max, true, {&p->max, 0, 0}},
        {"weights", data->weights, true, {&p->weights, 0, 0}},
        {"entropy", data->entropy, true, {&p->entropy, 0, 0}},
        {"top_weight", data->top_weight, true, {&p->top_weight, 0, 0}},
        {"top_key", data->top_key, true, {&p->top_key, 0, 0}},
        {"distance", data->distance, true, {&p->distance, 0, 0}},
        {"segments", data->segments, true, {&p->segments, 0, 0}},
        {"diagonals", data->diagonals, true, {&p->diagonals, 0, 0}},
        {"received", data->received, true, {&p->received, 0, 0}},
    };
    const int count = sizeof tensors / sizeof *tensors;
    for (int i = 0; i < count; i++)
        if (tensors[i].place.view->dtype != RAPT_NONE)
            TRY(find_place(&tensors[i]));
    for (int i = 0; i < count; i++)
        for (int j = 0; tensors[i].output && j < i; j++)
            TRY(check_apart(&tensors[i], &tensors[j]));
    return check_run_numbers(p, table_stride, data);
}

/* A tensor of a merge: f32, of the shape of `out` up to its channels, with memory of its own. */
static rapt_status check_part(struct placed *t, const rapt_tensor *out, int64_t channels) {
    const rapt_tensor *view = t->place.view;
    const int64_t shape[4] = {out->shape[0], out->shape[1], out->shape[2], channels};
    TRY(rapt_check_dtype(t->name, view->dtype, RAPT_ONLY_F32));
    TRY(rapt_check_dimensions(t->name, view, 1));
    TRY(rapt_check_shape(t->name, view, shape, NULL));
    TRY(rapt_check_strides(t->name, view, t->output));
    t->data = view->data;
    return find_place(t);
}

rapt_status rapt_check_merge(int count, const rapt_tensor *outs, const rapt_tensor *lses,
                             const rapt_tensor *out, const rapt_tensor *lse) {
    if (count < 1)
        return INVALID("count: found %d, expected 1 or more", count);
    if (!outs || !lses || !out || !lse)
        return INVALID("%s: found NULL, expected a pointer to tensors", !outs   ? "outs"
                                                                        : !lses ? "lses"
                                                                        : !out  ? "out"
                                                                                : "lse");
    struct placed to_out = {"out", NULL, true, {out, 0, 0}};
    struct placed to_lse = {"lse", NULL, true, {lse, 0, 0}};
    TRY(check_part(&to_out, out, out->shape[3]));
    if (lse->dtype != RAPT_NONE) {
        TRY(check_part(&to_lse, out, 1));
        TRY(check_apart(&to_lse, &to_out));
    }
    for (int i = 0; i < count; i++) {
        struct placed parts[2] = {{"outs", NULL, false, {&outs[i], 0, 0}},
                                  {"lses", NULL, false, {&lses[i], 0, 0}}};
        for (int k = 0; k < 2; k++) {
            TRY(check_part(&parts[k], out, k == 0 ? out->shape[3] : 1));
            TRY(check_apart(&to_out, &parts[k]));
            if (lse->dtype != RAPT_NONE)
                TRY(check_apart(&to_lse, &parts[k]));
        }
    }
    return RAPT_OK;
}

rapt_status rapt_check_floats(const char *name, const rapt_tensor *view, const int64_t *shape,
                              bool output, struct rapt_place *place) {
    if (!view)
        return INVALID("%s: found NULL, expected a pointer to a tensor", name);
    TRY(rapt_check_dtype(name, view->dtype, RAPT_FLOATS));
    TRY(rapt_check_dimensions(name, view, shape ? 0 : 1));
    if (shape)
        TRY(rapt_check_shape(name, view, shape, NULL));
    TRY(rapt_check_strides(name, view, output));
    struct placed placed = {name, view->data, output, {view, 0, 0}};
    TRY(find_place(&placed));
    *place = placed.place;
    return RAPT_OK;
}
