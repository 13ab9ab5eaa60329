/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "status.h"
#include "tensor.h"

#define INVALID(...) rapt_fail(RAPT_INVALID_ARGUMENT, __VA_ARGS__)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const rapt_status try_status = (call);                                                     \
        if (try_status != RAPT_OK)                                                                 \
            return try_status;                                                                     \
    } while (0)

/* Any product of two dimensions fits an int64_t. */
static const int64_t dimension_max = INT32_MAX;

static const char *const dimension_names[4] = {"batch", "heads", "positions", "channels"};

static const char *dtype_name(rapt_dtype dtype) {
    switch (dtype) {
    case RAPT_NONE:
        return "none";
    case RAPT_F32:
        return "f32";
    case RAPT_BOOL:
        return "bool";
    case RAPT_F16:
        return "f16";
    case RAPT_BF16:
        return "bf16";
    case RAPT_I8:
        return "int8";
    case RAPT_Q8_0:
        return "q8_0";
    }
    return "unknown";
}

/* What an argument may be stored as. */
enum stored { ONLY_F32, FLOATS, FLOATS_OR_BOOL };

static rapt_status check_dtype(const char *name, const rapt_tensor *t, enum stored stored) {
    static const char *const expected[] = {"f32", "f32, f16 or bf16", "bool, f32, f16 or bf16"};
    const bool half = t->dtype == RAPT_F16 || t->dtype == RAPT_BF16;
    if (t->dtype == RAPT_F32 || (half && stored != ONLY_F32) ||
        (t->dtype == RAPT_BOOL && stored == FLOATS_OR_BOOL))
        return RAPT_OK;
    return INVALID("%s: dtype is %s (%d), expected %s", name, dtype_name(t->dtype), (int)t->dtype,
                   expected[stored]);
}

static const bool exactly[4] = {false, false, false, false};
static const bool broadcast[4] = {true, true, true, true};
static const bool batch_broadcast[4] = {true, false, false, false};

/* The shape a tensor must have; `or_one` lets a dimension of 1 stand for all. */
static rapt_status check_shape(const char *name, const rapt_tensor *t, const int64_t *expected,
                               const bool *or_one) {
    for (int i = 0; i < 4; i++) {
        if (t->shape[i] != expected[i] && !(or_one[i] && t->shape[i] == 1))
            return INVALID("%s: shape[%d] (%s) is %" PRId64 ", expected %" PRId64 "%s", name, i,
                           dimension_names[i], t->shape[i], expected[i],
                           or_one[i] && expected[i] != 1 ? " or 1" : "");
    }
    return RAPT_OK;
}

static rapt_status check_dimensions(const char *name, const rapt_tensor *t) {
    for (int i = 0; i < 4; i++) {
        if (t->shape[i] < 1 || t->shape[i] > dimension_max)
            return INVALID("%s: shape[%d] (%s) is %" PRId64 ", expected 1 to %" PRId64, name, i,
                           dimension_names[i], t->shape[i], dimension_max);
    }
    return RAPT_OK;
}

static rapt_status check_strides(const char *name, const rapt_tensor *t, bool output) {
    struct rapt_span span;
    if (!rapt_tensor_span(t, &span))
        return INVALID("%s: strides {%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                       "} reach beyond the address space, expected smaller ones",
                       name, t->stride[0], t->stride[1], t->stride[2], t->stride[3]);
    if (output && rapt_tensor_meets_itself(t))
        return INVALID("%s: strides {%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                       "} let elements of the output share memory, expected distinct elements",
                       name, t->stride[0], t->stride[1], t->stride[2], t->stride[3]);
    return RAPT_OK;
}

/* A dimension of 1 gets stride 0: its one index, or all of a broadcast, lie in one place. */
static rapt_tensor normalised(const rapt_tensor *t) {
    rapt_tensor view = *t;
    for (int i = 0; i < 4; i++)
        if (view.shape[i] == 1)
            view.stride[i] = 0;
    return view;
}

/* The four tensors that every call has, and the sizes that follow from them. */
static rapt_status check_tensors(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *q = &args->query, *k = &args->key, *v = &args->value, *o = &args->out;
    TRY(check_dtype("query", q, FLOATS));
    TRY(check_dtype("key", k, FLOATS));
    TRY(check_dtype("value", v, FLOATS));
    TRY(check_dtype("out", o, FLOATS));
    TRY(check_dimensions("query", q));
    TRY(check_dimensions("key", k));
    TRY(check_dimensions("value", v));
    p->batch = q->shape[0];
    p->q_heads = q->shape[1];
    p->q_len = q->shape[2];
    p->head_dim = q->shape[3];
    p->kv_heads = k->shape[1];
    p->kv_len = k->shape[2];
    p->value_dim = v->shape[3];
    if (p->q_heads % p->kv_heads != 0)
        return INVALID("key: shape[1] (heads) is %" PRId64
                       ", expected a divisor of the query's %" PRId64 " heads",
                       p->kv_heads, p->q_heads);
    p->group = p->q_heads / p->kv_heads;
    const int64_t key[4] = {p->batch, p->kv_heads, p->kv_len, p->head_dim};
    const int64_t value[4] = {p->batch, p->kv_heads, p->kv_len, p->value_dim};
    const int64_t out[4] = {p->batch, p->q_heads, p->q_len, p->value_dim};
    TRY(check_shape("key", k, key, exactly));
    TRY(check_shape("value", v, value, exactly));
    TRY(check_shape("out", o, out, exactly));
    TRY(check_strides("query", q, false));
    TRY(check_strides("key", k, false));
    TRY(check_strides("value", v, false));
    TRY(check_strides("out", o, true));
    p->query = normalised(q);
    p->key = normalised(k);
    p->value = normalised(v);
    p->out = normalised(o);
    return RAPT_OK;
}

static rapt_status check_optional(const char *name, const rapt_tensor *given, enum stored stored,
                                  const int64_t *shape, const bool *or_one, rapt_tensor *checked) {
    *checked = normalised(given);
    if (given->dtype == RAPT_NONE) {
        if (given->data)
            return INVALID("%s: dtype is none but data is not NULL, expected a dtype or no data",
                           name);
        return RAPT_OK;
    }
    TRY(check_dtype(name, given, stored));
    TRY(check_shape(name, given, shape, or_one));
    return check_strides(name, given, or_one == exactly); /* outputs, and only they, are exact */
}

static rapt_status check_factor(const char *name, float value, const char *meaning_of_zero) {
    if (value == 0 || (value >= 1e-30f && value <= 1e30f))
        return RAPT_OK;
    return INVALID("%s: found %g, expected a number of 1e-30 to 1e30, or 0 for %s", name,
                   (double)value, meaning_of_zero);
}

static rapt_status check_window(const char *name, int64_t given, int64_t *window) {
    if (given < -1)
        return INVALID("%s: found %" PRId64 ", expected -1 (open) or more", name, given);
    *window = rapt_min(given, RAPT_WINDOW_MAX);
    return RAPT_OK;
}

static rapt_status check_numbers(const char *name, const int64_t *numbers, int64_t count,
                                 int64_t least, int64_t most) {
    for (int64_t i = 0; numbers && i < count; i++)
        if (numbers[i] < least || numbers[i] > most)
            return INVALID("%s[%" PRId64 "]: found %" PRId64 ", expected %" PRId64 " to %" PRId64,
                           name, i, numbers[i], least, most);
    return RAPT_OK;
}

rapt_status rapt_check_args(const rapt_attention_args *args, struct rapt_problem *p) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_attention_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_attention_defaults() sets it",
                       args->size, sizeof *args);
    memset(p, 0, sizeof *p);
    TRY(check_tensors(args, p));
    const int64_t scores[4] = {p->batch, p->q_heads, p->q_len, p->kv_len};
    const int64_t rows[4] = {p->batch, p->q_heads, p->q_len, 1};
    const int64_t heads[4] = {p->batch, p->q_heads, 1, 1};
    TRY(check_optional("mask", &args->mask, FLOATS_OR_BOOL, scores, broadcast, &p->mask));
    TRY(check_optional("alibi", &args->alibi, ONLY_F32, heads, batch_broadcast, &p->alibi));
    TRY(check_optional("sink", &args->sink, ONLY_F32, heads, batch_broadcast, &p->sink));
    TRY(check_optional("lse", &args->lse, ONLY_F32, rows, exactly, &p->lse));
    TRY(check_optional("max", &args->max, ONLY_F32, rows, exactly, &p->max));
    TRY(check_optional("weights", &args->weights, ONLY_F32, scores, exactly, &p->weights));
    TRY(check_factor("scale", args->scale, "1/sqrt(head_dim)"));
    TRY(check_factor("softcap", args->softcap, "none"));
    p->scale = args->scale == 0 ? (float)(1 / sqrt((double)p->head_dim)) : args->scale;
    p->softcap = args->softcap;
    p->causal = args->causal;
    TRY(check_window("window_left", args->window_left, &p->window_left));
    TRY(check_window("window_right", args->window_right, &p->window_right));
    TRY(check_numbers("q_offset", args->q_offset, p->batch, -RAPT_POSITION_MAX, RAPT_POSITION_MAX));
    TRY(check_numbers("kv_len", args->kv_len, p->batch, 0, p->kv_len));
    p->q_offset = args->q_offset;
    p->kv_lens = args->kv_len;
    if (args->threads < 0)
        return INVALID("threads: found %d, expected 0 (OpenMP's number) or more", args->threads);
    return RAPT_OK;
}

/* One tensor of a run. */
struct placed {
    const char *name;
    const void *data;
    bool output;
    struct rapt_place place;
};

static rapt_status find_place(struct placed *t) {
    const int64_t size = rapt_dtype_size(t->place.view->dtype);
    const uintptr_t at = (uintptr_t)t->data;
    if (!t->data)
        return INVALID("%s: data is NULL, expected the tensor's elements", t->name);
    if (at % (uintptr_t)size != 0)
        return INVALID("%s: data is at address %p, expected a multiple of %" PRId64, t->name,
                       t->data, size);
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

rapt_status rapt_check_data(const struct rapt_problem *p, const rapt_attention_data *data) {
    struct placed tensors[] = {
        {"query", data->query, false, {&p->query, 0, 0}},
        {"key", data->key, false, {&p->key, 0, 0}},
        {"value", data->value, false, {&p->value, 0, 0}},
        {"mask", data->mask, false, {&p->mask, 0, 0}},
        {"alibi", data->alibi, false, {&p->alibi, 0, 0}},
        {"sink", data->sink, false, {&p->sink, 0, 0}},
        {"out", data->out, true, {&p->out, 0, 0}},
        {"lse", data->lse, true, {&p->lse, 0, 0}},
        {"max", data->max, true, {&p->max, 0, 0}},
        {"weights", data->weights, true, {&p->weights, 0, 0}},
    };
    const int count = sizeof tensors / sizeof *tensors;
    for (int i = 0; i < count; i++)
        if (tensors[i].place.view->dtype != RAPT_NONE)
            TRY(find_place(&tensors[i]));
    for (int i = 0; i < count; i++)
        for (int j = 0; tensors[i].output && j < i; j++)
            TRY(check_apart(&tensors[i], &tensors[j]));
    return RAPT_OK;
}

/* A tensor of a merge: f32, of the shape of `out` up to its channels, with memory of its own. */
static rapt_status check_part(struct placed *t, const rapt_tensor *out, int64_t channels) {
    const rapt_tensor *view = t->place.view;
    const int64_t shape[4] = {out->shape[0], out->shape[1], out->shape[2], channels};
    TRY(check_dtype(t->name, view, ONLY_F32));
    TRY(check_dimensions(t->name, view));
    TRY(check_shape(t->name, view, shape, exactly));
    TRY(check_strides(t->name, view, t->output));
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
            if (to_lse.data)
                TRY(check_apart(&to_lse, &parts[k]));
        }
    }
    return RAPT_OK;
}
