/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of attention. */
#include "src/check/check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "src/check/check_tensor.h"

static const bool broadcast[4] = {true, true, true, true};
static const bool batch_broadcast[4] = {true, false, false, false};

/* A dimension of 1 gets stride 0: its one index, or all of a broadcast, lie in one place. Without
 * elements nobody has seen how large strides are, so that none may be counted with. */
static rapt_tensor normalised(const rapt_tensor *t) {
    rapt_tensor view = *t;
    const bool empty = rapt_is_empty(t);
    for (int i = 0; i < 4; i++)
        if (empty || view.shape[i] == 1)
            view.stride[i] = empty && i == 3;
    return view;
}

/* The four tensors that every call has: each on its own. */
static rapt_status check_types(const rapt_attention_args *args) {
    TRY(rapt_check_dtype("query", args->query.dtype, RAPT_FLOATS));
    TRY(rapt_check_dtype("key", args->key.dtype, RAPT_FLOATS_OR_QUANTIZED));
    TRY(rapt_check_dtype("value", args->value.dtype, RAPT_FLOATS_OR_QUANTIZED));
    TRY(rapt_check_dtype("out", args->out.dtype, RAPT_FLOATS));
    TRY(rapt_check_dimensions("query", &args->query, 1));
    TRY(rapt_check_dimensions("key", &args->key, 1));
    TRY(rapt_check_dimensions("value", &args->value, 1));
    TRY(rapt_check_blocks("key", &args->key));
    return rapt_check_blocks("value", &args->value);
}

/* The same against each other; check_sequences() has seen the batches of query and key. */
static rapt_status check_shapes(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *q = &args->query, *k = &args->key, *v = &args->value, *o = &args->out;
    p->q_heads = q->shape[1];
    p->head_dim = q->shape[3];
    p->kv_heads = k->shape[1];
    p->value_dim = v->shape[3];
    /* Without query heads any number of key heads divides them, also none. */
    if (p->q_heads > 0 && (p->kv_heads == 0 || p->q_heads % p->kv_heads != 0))
        return INVALID("key: shape[1] (heads) is %" PRId64
                       ", expected a divisor of the query's %" PRId64 " heads",
                       p->kv_heads, p->q_heads);
    p->group = p->q_heads ? p->q_heads / p->kv_heads : 0;
    const int64_t key[4] = {k->shape[0], p->kv_heads, k->shape[2], p->head_dim};
    const int64_t value[4] = {k->shape[0], p->kv_heads, k->shape[2], p->value_dim};
    const int64_t out[4] = {q->shape[0], p->q_heads, q->shape[2], p->value_dim};
    TRY(rapt_check_shape("key", k, key, NULL));
    TRY(rapt_check_shape("value", v, value, NULL));
    TRY(rapt_check_shape("out", o, out, NULL));
    TRY(rapt_check_strides("query", q, false));
    TRY(rapt_check_strides("key", k, false));
    TRY(rapt_check_strides("value", v, false));
    TRY(rapt_check_strides("out", o, true));
    p->query = normalised(q);
    p->key = normalised(k);
    p->value = normalised(v);
    p->out = normalised(o);
    return RAPT_OK;
}

static rapt_status check_optional(const char *name, const rapt_tensor *given,
                                  enum rapt_stored stored, const int64_t *shape, const bool *or_one,
                                  rapt_tensor *checked) {
    *checked = normalised(given);
    if (given->dtype == RAPT_NONE) {
        if (given->data)
            return INVALID("%s: dtype is none but data is not NULL, expected a dtype or no data",
                           name);
        return RAPT_OK;
    }
    TRY(rapt_check_dtype(name, given->dtype, stored));
    TRY(rapt_check_shape(name, given, shape, or_one));
    const bool output = !or_one; /* outputs, and only they, are exact */
    if (output && rapt_is_empty(given))
        checked->dtype = RAPT_NONE; /* there is nothing to write */
    return rapt_check_strides(name, given, output);
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
    p->pages = args->key.shape[0];
    if (p->page_size == 0)
        return INVALID("key: shape[2] (positions) is 0, expected a page size of 1 or more");
    if (args->block_table_stride < 0 || args->block_table_stride > RAPT_DIMENSION_MAX)
        return INVALID("block_table_stride: found %" PRId64 ", expected 0 to %" PRId64,
                       args->block_table_stride, RAPT_DIMENSION_MAX);
    if (!args->kv_len)
        return INVALID("kv_len: found NULL, expected a length per sequence for paged keys");
    p->kv_most = args->block_table_stride * p->page_size;
    TRY(rapt_check_numbers("kv_len", args->kv_len, p->batch, 0,
                           rapt_min(p->kv_most, RAPT_DIMENSION_MAX)));
    p->block_table = args->block_table;
    p->block_table_stride = args->block_table_stride;
    return p->block_table ? rapt_check_table(p, p->block_table, p->block_table_stride, p->kv_lens)
                          : RAPT_OK;
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
    if (args->sequences < 0 || args->sequences > RAPT_DIMENSION_MAX)
        return INVALID("sequences: found %" PRId64 ", expected 1 to %" PRId64
                       ", or 0 for the query's batch",
                       args->sequences, RAPT_DIMENSION_MAX);
    /* Without queries cu_q may be one number, that of no sequences. */
    const bool none = args->cu_q && args->query.shape[2] == 0;
    p->batch = args->sequences ? args->sequences : none ? 0 : args->query.shape[0];
    p->kv_most = args->key.shape[2];
    p->kv_lens = args->kv_len;
    p->kv_starts = args->kv_start;
    p->cu_q = args->cu_q;
    p->cu_k = args->cu_k;
    if (args->cu_q)
        TRY(check_ragged("cu_q", args->cu_q, p->batch, "query", &args->query));
    else
        TRY(check_batch("query", &args->query, p->batch, ", the number of sequences"));
    const bool paged = args->block_table || args->block_table_stride;
    if (args->cu_k && paged)
        return INVALID("cu_k: found with a block_table, expected keys of one form");
    if (args->cu_k && args->kv_len)
        return INVALID("kv_len: found with cu_k, expected NULL, for lengths follow from it");
    if (paged)
        return check_pages(args, p);
    if (args->cu_k) {
        TRY(check_ragged("cu_k", args->cu_k, p->batch, "key", &args->key));
        p->kv_most = longest(p);
        return RAPT_OK;
    }
    TRY(check_batch("key", &args->key, p->batch, ", the number of sequences"));
    return rapt_check_numbers("kv_len", args->kv_len, p->batch, 0, p->kv_most);
}

/* Scales belong to int8, and only to it. */
static rapt_status check_scale_of(const char *name, const rapt_tensor *t, const rapt_tensor *given,
                                  rapt_tensor *checked) {
    *checked = normalised(given);
    if (t->dtype != RAPT_I8) {
        if (given->dtype != RAPT_NONE || given->data)
            return INVALID("%s: found scales for %s, expected none but for int8", name,
                           rapt_dtype_name(t->dtype));
        return RAPT_OK;
    }
    const int64_t shape[4] = {t->shape[0], t->shape[1], t->shape[2], 1};
    TRY(rapt_check_dtype(name, given->dtype, RAPT_ONLY_F32));
    TRY(rapt_check_shape(name, given, shape, NULL));
    return rapt_check_strides(name, given, false);
}

/* The mask's columns: those of all keys, or with a start, any number. */
static rapt_status check_mask(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *mask = &args->mask;
    const bool fixed = !args->cu_k && !p->page_size && !args->mask_start;
    int64_t columns = p->kv_most;
    if (mask->dtype == RAPT_NONE && args->mask_start)
        return INVALID("mask_start: found without a mask, expected NULL");
    if (mask->dtype != RAPT_NONE && !fixed) {
        const int64_t least = args->mask_start ? 0 : longest(p);
        if (mask->shape[3] > RAPT_DIMENSION_MAX || mask->shape[3] < least) {
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
    TRY(check_optional("mask", mask, RAPT_FLOATS_OR_BOOL, shape, broadcast, &p->mask));
    p->mask_start = args->mask_start;
    return rapt_check_numbers("mask_start", p->mask_start, p->batch, 0, RAPT_POSITION_MAX);
}

/* The columns that an output with one per key must have: as it has them, if it may. */
static int64_t key_columns(const rapt_attention_args *args, const struct rapt_problem *p,
                           const rapt_tensor *t) {
    const bool fixed = !args->cu_k && !p->page_size;
    const int64_t least = fixed ? p->kv_most : longest(p);
    const bool wider = !fixed && t->shape[3] > least && t->shape[3] <= RAPT_DIMENSION_MAX;
    return wider ? t->shape[3] : least;
}

static rapt_status check_weights(const rapt_attention_args *args, struct rapt_problem *p) {
    const rapt_tensor *weights = &args->weights;
    const int64_t *q = args->query.shape;
    const int64_t shape[4] = {q[0], q[1], q[2], key_columns(args, p, weights)};
    if ((unsigned)args->weights_kind > RAPT_WEIGHTS_MASKED)
        return INVALID("weights_kind: found %d, expected one of enum rapt_weights_kind",
                       (int)args->weights_kind);
    p->weights_kind = args->weights_kind;
    return check_optional("weights", weights, RAPT_ONLY_F32, shape, NULL, &p->weights);
}

/* Outputs of several numbers per query, as many as the caller likes. */
static rapt_status check_several(const char *name, const rapt_tensor *given,
                                 enum rapt_stored stored, const int64_t *rows,
                                 rapt_tensor *checked) {
    const int64_t count = given->shape[3];
    const int64_t shape[4] = {rows[0], rows[1], rows[2], count};
    if (given->dtype != RAPT_NONE && (count < 1 || count > RAPT_OBSERVED_MAX))
        return INVALID("%s: shape[3] (channels) is %" PRId64 ", expected 1 to %d", name, count,
                       RAPT_OBSERVED_MAX);
    return check_optional(name, given, stored, shape, NULL, checked);
}

static rapt_status check_top(const rapt_attention_args *args, const int64_t *rows,
                             struct rapt_problem *p) {
    const rapt_tensor *weight = &args->top_weight, *key = &args->top_key;
    TRY(check_several("top_weight", weight, RAPT_ONLY_F32, rows, &p->top_weight));
    TRY(check_several("top_key", key, RAPT_ONLY_I32, rows, &p->top_key));
    if ((weight->dtype == RAPT_NONE) != (key->dtype == RAPT_NONE))
        return INVALID("%s: found without %s, expected both or none",
                       weight->dtype == RAPT_NONE ? "top_key" : "top_weight",
                       weight->dtype == RAPT_NONE ? "top_weight" : "top_key");
    if (weight->dtype == RAPT_NONE)
        return RAPT_OK;
    if (key->shape[3] != weight->shape[3])
        return INVALID("top_key: shape[3] (channels) is %" PRId64 ", expected %" PRId64
                       " as top_weight has",
                       key->shape[3], weight->shape[3]);
    p->top_count = weight->shape[3];
    return RAPT_OK;
}

static rapt_status check_segments(const rapt_attention_args *args, const int64_t *rows,
                                  struct rapt_problem *p) {
    TRY(check_several("segments", &args->segments, RAPT_ONLY_F32, rows, &p->segments));
    const bool wanted = args->segments.dtype != RAPT_NONE;
    p->segment_bounds = args->segment_bounds;
    if (wanted != (p->segment_bounds != NULL))
        return INVALID("segment_bounds: found %s, expected them with the output segments alone",
                       wanted ? "NULL" : "bounds");
    if (!wanted)
        return RAPT_OK;
    p->segment_count = args->segments.shape[3];
    TRY(rapt_check_numbers("segment_bounds", p->segment_bounds, p->segment_count + 1, 0,
                           RAPT_POSITION_MAX));
    for (int64_t s = 0; s < p->segment_count; s++)
        if (p->segment_bounds[s + 1] < p->segment_bounds[s])
            return INVALID("segment_bounds[%" PRId64 "]: found %" PRId64 ", expected %" PRId64
                           " or more, for bounds don't fall",
                           s + 1, p->segment_bounds[s + 1], p->segment_bounds[s]);
    return RAPT_OK;
}

static rapt_status check_diagonals(const rapt_attention_args *args, const int64_t *rows,
                                   struct rapt_problem *p) {
    TRY(check_several("diagonals", &args->diagonals, RAPT_ONLY_F32, rows, &p->diagonals));
    const bool wanted = args->diagonals.dtype != RAPT_NONE;
    p->diagonal_offsets = args->diagonal_offsets;
    if (wanted != (p->diagonal_offsets != NULL))
        return INVALID("diagonal_offsets: found %s, expected them with the output diagonals alone",
                       wanted ? "NULL" : "offsets");
    p->diagonal_count = wanted ? args->diagonals.shape[3] : 0;
    return rapt_check_numbers("diagonal_offsets", p->diagonal_offsets, p->diagonal_count,
                              -RAPT_DIAGONAL_MAX, RAPT_DIAGONAL_MAX);
}

/* What tells of the weights. `rows` is the shape of an output of one number per query. */
static rapt_status check_observed(const rapt_attention_args *args, const int64_t *rows,
                                  struct rapt_problem *p) {
    const int64_t keys[4] = {p->batch, p->q_heads, 1, key_columns(args, p, &args->received)};
    TRY(check_optional("entropy", &args->entropy, RAPT_ONLY_F32, rows, NULL, &p->entropy));
    TRY(check_top(args, rows, p));
    TRY(check_optional("distance", &args->distance, RAPT_ONLY_F32, rows, NULL, &p->distance));
    TRY(check_segments(args, rows, p));
    TRY(check_diagonals(args, rows, p));
    return check_optional("received", &args->received, RAPT_ONLY_F32, keys, NULL, &p->received);
}

rapt_status rapt_check_args(const rapt_attention_args *args, struct rapt_problem *p) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_attention_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_attention_defaults() sets it",
                       args->size, sizeof *args);
    memset(p, 0, sizeof *p);
    TRY(check_types(args));
    TRY(check_sequences(args, p));
    TRY(rapt_check_numbers("kv_start", p->kv_starts, p->batch, 0, RAPT_POSITION_MAX));
    TRY(check_shapes(args, p));
    TRY(check_scale_of("key_scale", &args->key, &args->key_scale, &p->key_scale));
    TRY(check_scale_of("value_scale", &args->value, &args->value_scale, &p->value_scale));
    TRY(check_mask(args, p));
    TRY(check_weights(args, p));
    const int64_t rows[4] = {args->query.shape[0], p->q_heads, args->query.shape[2], 1};
    const int64_t heads[4] = {p->batch, p->q_heads, 1, 1};
    TRY(check_optional("alibi", &args->alibi, RAPT_ONLY_F32, heads, batch_broadcast, &p->alibi));
    TRY(check_optional("sink", &args->sink, RAPT_ONLY_F32, heads, batch_broadcast, &p->sink));
    TRY(check_optional("lse", &args->lse, RAPT_ONLY_F32, rows, NULL, &p->lse));
    TRY(check_optional("max", &args->max, RAPT_ONLY_F32, rows, NULL, &p->max));
    TRY(check_observed(args, rows, p));
    TRY(check_factor("scale", args->scale, "1/sqrt(head_dim)"));
    TRY(check_factor("softcap", args->softcap, "none"));
    p->scale = args->scale == 0 ? (float)(1 / sqrt((double)p->head_dim)) : args->scale;
    p->softcap = args->softcap;
    p->causal = args->causal;
    TRY(check_window("window_left", args->window_left, &p->window_left));
    TRY(check_window("window_right", args->window_right, &p->window_right));
    TRY(rapt_check_numbers("q_offset", args->q_offset, p->batch, -RAPT_POSITION_MAX,
                           RAPT_POSITION_MAX));
    p->q_offset = args->q_offset;
    if (args->threads < 0)
        return INVALID("threads: found %d, expected 0 (as many as there are cores) or more",
                       args->threads);
    return RAPT_OK;
}
