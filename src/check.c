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
enum stored { ONLY_F32, FLOATS, FLOATS_OR_BOOL, FLOATS_OR_QUANTIZED };

static rapt_status check_dtype(const char *name, const rapt_tensor *t, enum stored stored) {
    static const char *const expected[] = {"f32", "f32, f16 or bf16", "bool, f32, f16 or bf16",
                                           "f32, f16, bf16, int8 or q8_0"};
    const bool half = t->dtype == RAPT_F16 || t->dtype == RAPT_BF16;
    const bool quantized = t->dtype == RAPT_I8 || t->dtype == RAPT_Q8_0;
    if (t->dtype == RAPT_F32 || (half && stored != ONLY_F32) ||
        (t->dtype == RAPT_BOOL && stored == FLOATS_OR_BOOL) ||
        (quantized && stored == FLOATS_OR_QUANTIZED))
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

/* Whether all steps of a view are whole blocks of its dtype. */
static rapt_status check_blocks(const char *name, const rapt_tensor *t) {
    const int64_t block = rapt_dtype_block(t->dtype);
    if (block == 1)
        return RAPT_OK;
    if (t->shape[3] % block != 0)
        return INVALID("%s: shape[3] (channels) is %" PRId64 ", expected a multiple of %" PRId64
                       " for %s",
                       name, t->shape[3], block, dtype_name(t->dtype));
    for (int i = 0; i < 4; i++) {
        const bool fits = i == 3 ? t->stride[i] == 1 : t->stride[i] % block == 0;
        if (t->shape[i] > 1 && !fits)
            return INVALID("%s: stride[%d] (%s) is %" PRId64 ", expected %s%" PRId64 " for %s",
                           name, i, dimension_names[i], t->stride[i],
                           i == 3 ? "" : "a multiple of ", i == 3 ? 1 : block,
                           dtype_name(t->dtype));
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

/* The four tensors that every call has, but for the number of sequences and keys. */
static rapt_status check_tensors(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *q = &args->query, *k = &args->key, *v = &args->value, *o = &args->out;
    TRY(check_dtype("query", q, FLOATS));
    TRY(check_dtype("key", k, FLOATS_OR_QUANTIZED));
    TRY(check_dtype("value", v, FLOATS_OR_QUANTIZED));
    TRY(check_dtype("out", o, FLOATS));
    TRY(check_dimensions("query", q));
    TRY(check_dimensions("key", k));
    TRY(check_dimensions("value", v));
    p->q_heads = q->shape[1];
    p->head_dim = q->shape[3];
    p->kv_heads = k->shape[1];
    p->value_dim = v->shape[3];
    if (p->q_heads % p->kv_heads != 0)
        return INVALID("key: shape[1] (heads) is %" PRId64
                       ", expected a divisor of the query's %" PRId64 " heads",
                       p->kv_heads, p->q_heads);
    p->group = p->q_heads / p->kv_heads;
    const int64_t key[4] = {k->shape[0], p->kv_heads, k->shape[2], p->head_dim};
    const int64_t value[4] = {k->shape[0], p->kv_heads, k->shape[2], p->value_dim};
    const int64_t out[4] = {q->shape[0], p->q_heads, q->shape[2], p->value_dim};
    TRY(check_shape("key", k, key, exactly));
    TRY(check_shape("value", v, value, exactly));
    TRY(check_shape("out", o, out, exactly));
    TRY(check_blocks("key", k));
    TRY(check_blocks("value", v));
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

static rapt_status check_batch(const char *name, const rapt_tensor *t, int64_t batch,
                               const char *why) {
    if (t->shape[0] == batch)
        return RAPT_OK;
    return INVALID("%s: shape[0] (batch) is %" PRId64 ", expected %" PRId64 "%s", name, t->shape[0],
                   batch, why);
}

/* Cumulative lengths, and the tensor whose positions they divide. */
static rapt_status check_ragged(const char *name, const int64_t *cu, int64_t batch,
                                const char *tensor, const rapt_tensor *t) {
    TRY(check_batch(tensor, t, 1, " for ragged sequences"));
    if (cu[0] != 0)
        return INVALID("%s[0]: found %" PRId64 ", expected 0", name, cu[0]);
    for (int64_t b = 0; b < batch; b++)
        if (cu[b + 1] < cu[b] || cu[b + 1] > t->shape[2])
            return INVALID("%s[%" PRId64 "]: found %" PRId64 ", expected %" PRId64 " to %" PRId64
                           ", the %s's positions",
                           name, b + 1, cu[b + 1], cu[b], t->shape[2], tensor);
    return RAPT_OK;
}

/* The pages of every sequence, as far as its keys go. */
static rapt_status check_pages(const rapt_attention_args *args, struct rapt_problem *p) {
    p->page_size = args->key.shape[2];
    if (args->block_table_stride < 1 || args->block_table_stride > dimension_max)
        return INVALID("block_table_stride: found %" PRId64 ", expected 1 to %" PRId64,
                       args->block_table_stride, dimension_max);
    if (!args->kv_len)
        return INVALID("kv_len: found NULL, expected a length per sequence for paged keys");
    p->kv_most = args->block_table_stride * p->page_size;
    TRY(check_numbers("kv_len", args->kv_len, p->batch, 0, rapt_min(p->kv_most, dimension_max)));
    for (int64_t b = 0; b < p->batch; b++) {
        const int32_t *row = args->block_table + b * args->block_table_stride;
        for (int64_t i = 0; i * p->page_size < args->kv_len[b]; i++)
            if (row[i] < 0 || row[i] >= args->key.shape[0])
                return INVALID("block_table[%" PRId64 "][%" PRId64 "]: found %" PRId32
                               ", expected a page of 0 to %" PRId64,
                               b, i, row[i], args->key.shape[0] - 1);
    }
    p->block_table = args->block_table;
    p->block_table_stride = args->block_table_stride;
    return RAPT_OK;
}

/* The longest sequence of keys. */
static int64_t longest(const struct rapt_problem *p) {
    int64_t most = 0;
    for (int64_t b = 0; b < p->batch; b++)
        most = rapt_max(most, rapt_kv_len(p, b));
    return most;
}

/* How many sequences there are, and which queries and keys belong to each. */
static rapt_status check_sequences(const rapt_attention_args *args, struct rapt_problem *p) {
    if (args->sequences < 0 || args->sequences > dimension_max)
        return INVALID("sequences: found %" PRId64 ", expected 1 to %" PRId64
                       ", or 0 for the query's batch",
                       args->sequences, dimension_max);
    p->batch = args->sequences ? args->sequences : args->query.shape[0];
    p->kv_most = args->key.shape[2];
    p->kv_lens = args->kv_len;
    p->cu_q = args->cu_q;
    p->cu_k = args->cu_k;
    if (args->cu_q)
        TRY(check_ragged("cu_q", args->cu_q, p->batch, "query", &args->query));
    else
        TRY(check_batch("query", &args->query, p->batch, ", the number of sequences"));
    if (args->cu_k && args->block_table)
        return INVALID("cu_k: found with a block_table, expected keys of one form");
    if (args->cu_k && args->kv_len)
        return INVALID("kv_len: found with cu_k, expected NULL, for lengths follow from it");
    if (args->block_table)
        return check_pages(args, p);
    if (args->cu_k) {
        TRY(check_ragged("cu_k", args->cu_k, p->batch, "key", &args->key));
        p->kv_most = longest(p);
        return RAPT_OK;
    }
    TRY(check_batch("key", &args->key, p->batch, ", the number of sequences"));
    return check_numbers("kv_len", args->kv_len, p->batch, 0, p->kv_most);
}

/* Scales belong to int8, and only to it. */
static rapt_status check_scale_of(const char *name, const rapt_tensor *t, const rapt_tensor *given,
                                  rapt_tensor *checked) {
    *checked = normalised(given);
    if (t->dtype != RAPT_I8) {
        if (given->dtype != RAPT_NONE || given->data)
            return INVALID("%s: found scales for %s, expected none but for int8", name,
                           dtype_name(t->dtype));
        return RAPT_OK;
    }
    const int64_t shape[4] = {t->shape[0], t->shape[1], t->shape[2], 1};
    TRY(check_dtype(name, given, ONLY_F32));
    TRY(check_shape(name, given, shape, exactly));
    return check_strides(name, given, false);
}

/* The mask's columns: those of all keys, or with a start, any number. */
static rapt_status check_mask(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *mask = &args->mask;
    const bool fixed = !args->cu_k && !args->block_table && !args->mask_start;
    int64_t columns = p->kv_most;
    if (mask->dtype == RAPT_NONE && args->mask_start)
        return INVALID("mask_start: found without a mask, expected NULL");
    if (mask->dtype != RAPT_NONE && !fixed) {
        const int64_t least = args->mask_start ? 1 : longest(p);
        if (mask->shape[3] > dimension_max || mask->shape[3] < least) {
            if (mask->shape[3] != 1)
                return INVALID("mask: shape[3] (channels) is %" PRId64 ", expected %" PRId64
                               " or more",
                               mask->shape[3], least);
        } else {
            columns = mask->shape[3];
        }
    }
    const int64_t *q = args->query.shape;
    const int64_t shape[4] = {q[0], q[1], q[2], columns};
    TRY(check_optional("mask", mask, FLOATS_OR_BOOL, shape, broadcast, &p->mask));
    p->mask_start = args->mask_start;
    return check_numbers("mask_start", p->mask_start, p->batch, 0, RAPT_POSITION_MAX);
}

static rapt_status check_weights(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *weights = &args->weights;
    const bool fixed = !args->cu_k && !args->block_table;
    const int64_t least = fixed ? p->kv_most : rapt_max(1, longest(p));
    const bool wider = !fixed && weights->shape[3] > least && weights->shape[3] <= dimension_max;
    const int64_t *q = args->query.shape;
    const int64_t shape[4] = {q[0], q[1], q[2], wider ? weights->shape[3] : least};
    if ((unsigned)args->weights_kind > RAPT_WEIGHTS_MASKED)
        return INVALID("weights_kind: found %d, expected one of enum rapt_weights_kind",
                       (int)args->weights_kind);
    p->weights_kind = args->weights_kind;
    return check_optional("weights", weights, ONLY_F32, shape, exactly, &p->weights);
}

rapt_status rapt_check_args(const rapt_attention_args *args, struct rapt_problem *p) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_attention_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_attention_defaults() sets it",
                       args->size, sizeof *args);
    memset(p, 0, sizeof *p);
    TRY(check_tensors(args, p));
    TRY(check_sequences(args, p));
    TRY(check_scale_of("key_scale", &args->key, &args->key_scale, &p->key_scale));
    TRY(check_scale_of("value_scale", &args->value, &args->value_scale, &p->value_scale));
    TRY(check_mask(args, p));
    TRY(check_weights(args, p));
    const int64_t rows[4] = {args->query.shape[0], p->q_heads, args->query.shape[2], 1};
    const int64_t heads[4] = {p->batch, p->q_heads, 1, 1};
    TRY(check_optional("alibi", &args->alibi, ONLY_F32, heads, batch_broadcast, &p->alibi));
    TRY(check_optional("sink", &args->sink, ONLY_F32, heads, batch_broadcast, &p->sink));
    TRY(check_optional("lse", &args->lse, ONLY_F32, rows, exactly, &p->lse));
    TRY(check_optional("max", &args->max, ONLY_F32, rows, exactly, &p->max));
    TRY(check_factor("scale", args->scale, "1/sqrt(head_dim)"));
    TRY(check_factor("softcap", args->softcap, "none"));
    p->scale = args->scale == 0 ? (float)(1 / sqrt((double)p->head_dim)) : args->scale;
    p->softcap = args->softcap;
    p->causal = args->causal;
    TRY(check_window("window_left", args->window_left, &p->window_left));
    TRY(check_window("window_right", args->window_right, &p->window_right));
    TRY(check_numbers("q_offset", args->q_offset, p->batch, -RAPT_POSITION_MAX, RAPT_POSITION_MAX));
    p->q_offset = args->q_offset;
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
    const rapt_dtype dtype = t->place.view->dtype;
    const int64_t size = dtype == RAPT_Q8_0 ? 1 : rapt_dtype_size(dtype); /* bytes, to us */
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
        {"key_scale", data->key_scale, false, {&p->key_scale, 0, 0}},
        {"value_scale", data->value_scale, false, {&p->value_scale, 0, 0}},
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

rapt_status rapt_check_floats(const char *name, const rapt_tensor *view, const int64_t *shape,
                              bool output, struct rapt_place *place) {
    if (!view)
        return INVALID("%s: found NULL, expected a pointer to a tensor", name);
    TRY(check_dtype(name, view, FLOATS));
    TRY(check_dimensions(name, view));
    if (shape)
        TRY(check_shape(name, view, shape, exactly));
    TRY(check_strides(name, view, output));
    struct placed placed = {name, view->data, output, {view, 0, 0}};
    TRY(find_place(&placed));
    *place = placed.place;
    return RAPT_OK;
}
