/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a layer's run. */
#include <inttypes.h>

#include "src/cache/cache.h"
#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/layer/mha.h"

static rapt_status check_view(const char *name, const rapt_tensor *t, const int64_t *shape,
                              bool output) {
    TRY(rapt_check_dtype(name, t->dtype, RAPT_ONLY_F32));
    TRY(rapt_check_dimensions(name, t, 0));
    TRY(rapt_check_shape(name, t, shape, NULL));
    return rapt_check_strides(name, t, output);
}

static rapt_status check_absent(const char *name, const rapt_tensor *t) {
    if (!t->data)
        return RAPT_OK;
    return INVALID("%s: dtype is none but data is not NULL, expected a dtype or no data", name);
}

/* The input, the output, and what keys are made of. */
static rapt_status check_tokens(struct mha_run *run) {
    const rapt_mha_args *layer = &run->layer->args;
    const rapt_mha_run_args *args = run->args;
    const int64_t *in = args->input.shape, *context = args->context.shape;
    const int64_t input[4] = {in[0], 1, in[2], layer->model_dim};
    TRY(check_view("input", &args->input, input, false));
    TRY(check_view("out", &args->out, input, true));
    run->batch = in[0];
    run->tokens = run->new_keys = in[2];
    if (args->context_cache && (args->cache || args->context.dtype != RAPT_NONE))
        return INVALID("context_cache: found with a %s, expected one of them",
                       args->cache ? "cache" : "context");
    if (args->context_cache)
        run->new_keys = 0;
    if (args->context.dtype == RAPT_NONE) {
        TRY(check_absent("context", &args->context));
        if (!args->context_cache && layer->context_dim != layer->model_dim)
            return INVALID("context: found none, expected a tensor of %" PRId64
                           " channels, as the layer's context_dim isn't its model_dim",
                           layer->context_dim);
        return RAPT_OK;
    }
    if (args->cache)
        return INVALID("context: found with a cache, expected RAPT_NONE");
    run->new_keys = context[2];
    return check_view("context", &args->context,
                      (const int64_t[4]){run->batch, 1, context[2], layer->context_dim}, false);
}

rapt_status rapt_mha_check_context(struct mha_run *run, const rapt_tensor *context) {
    const int64_t *n = context->shape;
    run->batch = n[0];
    run->tokens = run->new_keys = n[2];
    return check_view("context", context,
                      (const int64_t[4]){n[0], 1, n[2], run->layer->args.context_dim}, false);
}

rapt_status rapt_mha_check_cache(const struct mha_run *run, const char *name,
                                 const rapt_cache *cache, int64_t first_sequence) {
    const rapt_mha_args *layer = &run->layer->args;
    const int64_t last = first_sequence + rapt_max(run->batch, 1) - 1;
    if (first_sequence < 0 || first_sequence > RAPT_DIMENSION_MAX ||
        rapt_cache_length(cache, last) < 0)
        return INVALID("first_sequence: found %" PRId64 " for a batch of %" PRId64
                       ", expected as many sequences of the cache",
                       first_sequence, run->batch);
    if (rapt_cache_rope(cache) != layer->rope)
        return INVALID("%s: its rope is not the layer's, expected the same", name);
    rapt_attention_args view = rapt_attention_defaults();
    TRY(rapt_cache_view(cache, first_sequence, run->batch, &view));
    const int64_t *k = view.key.shape;
    TRY(rapt_check_shape("cache's keys", &view.key,
                         (const int64_t[4]){k[0], layer->kv_heads, k[2], layer->head_dim}, NULL));
    return rapt_check_shape("cache's values", &view.value,
                            (const int64_t[4]){k[0], layer->kv_heads, k[2], layer->value_dim},
                            NULL);
}

/* The lengths; the queries of cross-attention stand at 0 and on, as with the context itself. */
static rapt_status check_cached(struct mha_run *run) {
    const rapt_mha_run_args *args = run->args;
    if (args->kv_len)
        return INVALID("kv_len: found with a cache, expected NULL, for it knows its lengths");
    TRY(rapt_mha_check_cache(run, args->cache ? "cache" : "context_cache", run->cache,
                             args->first_sequence));
    run->keys = 0;
    for (int64_t b = 0; b < run->batch; b++) {
        const int64_t length = rapt_cache_length(run->cache, args->first_sequence + b);
        run->before[b] = args->cache ? length : 0;
        run->after[b] = length + run->new_keys;
        run->keys = rapt_max(run->keys, run->after[b]);
    }
    const rapt_tensor *mask = &args->mask;
    if (mask->dtype != RAPT_NONE && mask->shape[3] != 1 && mask->shape[3] != run->keys)
        return INVALID("mask: shape[3] (channels) is %" PRId64 ", expected %" PRId64 " or 1",
                       mask->shape[3], run->keys);
    return RAPT_OK;
}

/* Sequences end to end; their longest length is what a row of weights has room for. */
static rapt_status check_ragged(struct mha_run *run) {
    const rapt_mha_run_args *args = run->args;
    const char *other = run->cache                         ? "cache"
                        : args->context.dtype != RAPT_NONE ? "context"
                        : args->kv_len                     ? "kv_len"
                        : args->kv_start                   ? "kv_start"
                                                           : NULL;
    if (other)
        return INVALID("cu: found with a %s, expected one of them", other);
    if (run->layer->args.rope && !args->positions)
        return INVALID("positions: found NULL with cu and a rope, expected those of all tokens");
    if (args->weights.dtype != RAPT_NONE && args->weights_form != RAPT_MHA_EACH)
        return INVALID("weights_form: found %d with cu, expected %d, each head's",
                       (int)args->weights_form, RAPT_MHA_EACH);
    if (run->batch != 1)
        return INVALID("input: shape[0] (batch) is %" PRId64 ", expected 1 with cu", run->batch);
    const int64_t fewest = run->tokens > 0;
    if (args->sequences < fewest || args->sequences > RAPT_DIMENSION_MAX)
        return INVALID("sequences: found %" PRId64 ", expected %" PRId64 " to %" PRId64,
                       args->sequences, fewest, RAPT_DIMENSION_MAX);
    run->keys = 0;
    for (int64_t b = 0; b <= args->sequences; b++) {
        const int64_t least = b ? args->cu[b - 1] : 0;
        const int64_t most = b == 0 ? 0 : run->tokens;
        if (args->cu[b] < (b == args->sequences ? run->tokens : least) || args->cu[b] > most)
            return INVALID("cu[%" PRId64 "]: found %" PRId64 ", expected %" PRId64 " to %" PRId64,
                           b, args->cu[b], b == args->sequences ? run->tokens : least, most);
        run->keys = rapt_max(run->keys, args->cu[b] - least);
    }
    return RAPT_OK;
}

static rapt_status check_chosen(struct mha_run *run) {
    const rapt_mha_run_args *args = run->args;
    if (args->head_count < 0 || args->head_count > RAPT_DIMENSION_MAX)
        return INVALID("head_count: found %" PRId64 ", expected 0 to %" PRId64, args->head_count,
                       RAPT_DIMENSION_MAX);
    if (!args->heads && args->head_count > 0)
        return INVALID("heads: found NULL, expected %" PRId64 " numbers", args->head_count);
    for (int64_t i = 0; i < args->head_count; i++)
        if (args->heads[i] < 0 || args->heads[i] >= run->layer->args.q_heads)
            return INVALID("heads[%" PRId64 "]: found %" PRId64 ", expected 0 to %" PRId64, i,
                           args->heads[i], run->layer->args.q_heads - 1);
    const int64_t last = rapt_max(run->tokens, 1) - 1;
    if (args->first_row < 0 || args->first_row > last)
        return INVALID("first_row: found %" PRId64 ", expected 0 to %" PRId64, args->first_row,
                       last);
    if (args->rows < 0 || args->rows > run->tokens - args->first_row)
        return INVALID("rows: found %" PRId64 ", expected 0 to %" PRId64, args->rows,
                       run->tokens - args->first_row);
    run->chosen_rows = args->rows ? args->rows : run->tokens - args->first_row;
    return RAPT_OK;
}

static rapt_status check_weights(struct mha_run *run) {
    const rapt_mha_run_args *args = run->args;
    if (args->weights.dtype == RAPT_NONE)
        return check_absent("weights", &args->weights);
    int64_t heads = run->layer->args.q_heads;
    run->chosen_rows = run->tokens;
    switch (args->weights_form) {
    case RAPT_MHA_EACH:
        break;
    case RAPT_MHA_MEAN:
        heads = 1;
        if (run->keys > 1 && args->weights.stride[3] != 1)
            return INVALID("weights: stride[3] (channels) is %" PRId64 ", expected 1 for averages",
                           args->weights.stride[3]);
        break;
    case RAPT_MHA_CHOSEN:
        TRY(check_chosen(run));
        heads = args->head_count;
        break;
    default:
        return INVALID("weights_form: found %d, expected one of enum rapt_mha_form",
                       (int)args->weights_form);
    }
    return check_view("weights", &args->weights,
                      (const int64_t[4]){run->batch, heads, run->chosen_rows, run->keys}, true);
}

rapt_status rapt_mha_check_run(struct mha_run *run) {
    TRY(check_tokens(run));
    run->keys = run->new_keys;
    if (run->cache)
        TRY(check_cached(run));
    if (run->args->cu)
        TRY(check_ragged(run));
    TRY(check_weights(run));
    for (int64_t b = 0; run->first_row && b < run->batch; b++) {
        run->before[b] = run->cache ? run->before[b] : 0;
        run->first_row[b] = run->before[b] + run->args->first_row;
    }
    return RAPT_OK;
}

/* What is written must be neither another output nor weights of the layer. */
static rapt_status check_apart(const struct mha_run *run, const char *name,
                               const struct rapt_place *output) {
    const struct rapt_mha *layer = run->layer;
    for (int i = 0; i < MHA_MATRICES; i++) {
        const bool meets_bias =
            layer->bias[i].dtype != RAPT_NONE && rapt_places_meet(output, &layer->bias_place[i]);
        if (meets_bias || rapt_places_meet(output, &layer->weight_place[i]))
            return INVALID("%s: its memory overlaps that of %s, expected memory of its own", name,
                           meets_bias ? rapt_mha_bias_names[i] : rapt_mha_weight_names[i]);
    }
    return RAPT_OK;
}

rapt_status rapt_mha_check_data(const struct mha_run *run) {
    const rapt_mha_run_args *args = run->args;
    struct rapt_place input, out, weights, mask;
    TRY(rapt_check_floats("input", &args->input, NULL, false, &input));
    if (args->context.dtype != RAPT_NONE)
        TRY(rapt_check_floats("context", &args->context, NULL, false, &input));
    TRY(rapt_check_floats("out", &args->out, NULL, true, &out));
    TRY(check_apart(run, "out", &out));
    if (args->weights.dtype == RAPT_NONE)
        return RAPT_OK;
    TRY(rapt_check_floats("weights", &args->weights, args->weights.shape, true, &weights));
    TRY(check_apart(run, "weights", &weights));
    if (rapt_places_meet(&weights, &out))
        return INVALID("weights: its memory overlaps that of out, expected memory of its own");
    if (args->mask.dtype == RAPT_NONE || args->weights_form != RAPT_MHA_MEAN)
        return RAPT_OK; /* the operator sees the two of them */
    struct rapt_span span;
    rapt_tensor_span(&args->mask, &span);
    const uintptr_t at = (uintptr_t)args->mask.data;
    mask = (struct rapt_place){&args->mask, at + (uintptr_t)span.first, at + (uintptr_t)span.last};
    if (rapt_places_meet(&weights, &mask))
        return INVALID("weights: its memory overlaps that of mask, expected memory of its own");
    return RAPT_OK;
}
