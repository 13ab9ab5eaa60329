/* SPDX-License-Identifier: Apache-2.0 */
/* The layer: its sizes, weights and biases, and what they begin with. */
#include "src/layer/mha.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/isa.h"
#include "src/cache/rope.h"
#include "src/base/convert.h"
#include "src/run/run.h"
#include "src/base/environment.h"

const char *const rapt_mha_weight_names[MHA_MATRICES] = {"w_query", "w_key", "w_value", "w_out"};
const char *const rapt_mha_bias_names[MHA_MATRICES] = {"b_query", "b_key", "b_value", "b_out"};

static rapt_status check_size(const char *name, int64_t found) {
    if (found >= 1 && found <= RAPT_DIMENSION_MAX)
        return RAPT_OK;
    return INVALID("%s: found %" PRId64 ", expected 1 to %" PRId64, name, found,
                   RAPT_DIMENSION_MAX);
}

/* All heads side by side are a dimension, too. */
static rapt_status check_heads(const char *name, int64_t heads, int64_t channels) {
    if (heads * channels <= RAPT_DIMENSION_MAX)
        return RAPT_OK;
    return INVALID("%s: %" PRId64 " heads of %" PRId64 " channels, expected at most %" PRId64
                   " channels of all",
                   name, heads, channels, RAPT_DIMENSION_MAX);
}

/* Sets the sizes that follow from others. */
static rapt_status check_sizes(rapt_mha_args *a) {
    TRY(check_size("model_dim", a->model_dim));
    TRY(check_size("q_heads", a->q_heads));
    a->context_dim = a->context_dim ? a->context_dim : a->model_dim;
    a->kv_heads = a->kv_heads ? a->kv_heads : a->q_heads;
    if (a->head_dim == 0 && a->model_dim % a->q_heads != 0)
        return INVALID("head_dim: found 0 for model_dim / q_heads, expected a number of its own, "
                       "as %" PRId64 " is no multiple of %" PRId64,
                       a->model_dim, a->q_heads);
    a->head_dim = a->head_dim ? a->head_dim : a->model_dim / a->q_heads;
    a->value_dim = a->value_dim ? a->value_dim : a->head_dim;
    TRY(check_size("context_dim", a->context_dim));
    TRY(check_size("kv_heads", a->kv_heads));
    TRY(check_size("head_dim", a->head_dim));
    TRY(check_size("value_dim", a->value_dim));
    if (a->q_heads % a->kv_heads != 0)
        return INVALID("kv_heads: found %" PRId64 ", expected a divisor of the %" PRId64 " q_heads",
                       a->kv_heads, a->q_heads);
    TRY(check_heads("head_dim", a->q_heads, a->head_dim));
    TRY(check_heads("value_dim", a->q_heads, a->value_dim));
    if (a->rope && 2 * a->rope->pairs > a->head_dim)
        return INVALID("rope: its rotary_dim is %" PRId64
                       ", expected at most the head_dim %" PRId64,
                       2 * a->rope->pairs, a->head_dim);
    return RAPT_OK;
}

static rapt_status check_matrix(struct rapt_mha *layer, int i, int64_t rows, int64_t channels) {
    const int64_t weight[4] = {1, 1, rows, channels}, bias[4] = {1, 1, 1, rows};
    TRY(rapt_check_floats(rapt_mha_weight_names[i], &layer->weight[i], weight, false,
                          &layer->weight_place[i]));
    if (layer->bias[i].dtype == RAPT_NONE && !layer->bias[i].data)
        return RAPT_OK;
    return rapt_check_floats(rapt_mha_bias_names[i], &layer->bias[i], bias, false,
                             &layer->bias_place[i]);
}

/* What attention itself asks of its options. */
static rapt_status check_options(const rapt_mha_args *a) {
    float number = 0;
    const rapt_tensor one = rapt_tensor_bhsd(&number, RAPT_F32, 1, 1, 1, 1);
    rapt_attention_args args = rapt_attention_defaults();
    args.query = args.key = args.value = args.out = one;
    args.scale = a->scale;
    args.softcap = a->softcap;
    args.causal = a->causal;
    args.window_left = a->window_left;
    args.window_right = a->window_right;
    args.threads = a->threads;
    struct rapt_problem unused;
    return rapt_check_args(&args, &unused);
}

static rapt_status fill_layer(struct rapt_mha *layer, const rapt_mha_args *args) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_mha_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_mha_defaults() sets it",
                       args->size, sizeof *args);
    rapt_mha_args *a = &layer->args;
    *a = *args;
    TRY(check_sizes(a));
    TRY(check_options(a));
    TRY(rapt_isa_kernels(args->isa, &layer->kernels));
    a->isa = NULL;
    const rapt_tensor weight[] = {a->w_query, a->w_key, a->w_value, a->w_out};
    const rapt_tensor bias[] = {a->b_query, a->b_key, a->b_value, a->b_out};
    memcpy(layer->weight, weight, sizeof weight);
    memcpy(layer->bias, bias, sizeof bias);
    TRY(check_matrix(layer, MHA_QUERY, a->q_heads * a->head_dim, a->model_dim));
    TRY(check_matrix(layer, MHA_KEY, a->kv_heads * a->head_dim, a->context_dim));
    TRY(check_matrix(layer, MHA_VALUE, a->kv_heads * a->value_dim, a->context_dim));
    return check_matrix(layer, MHA_OUT, a->model_dim, a->q_heads * a->value_dim);
}

rapt_status rapt_mha_create(const rapt_mha_args *args, rapt_mha **layer) {
    if (!layer)
        return INVALID("layer: found NULL, expected where to put the layer");
    *layer = NULL;
    struct rapt_mha *made = calloc(1, sizeof *made);
    if (!made)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "layer: no memory for it");
    const rapt_status status = fill_layer(made, args);
    if (status == RAPT_OK)
        *layer = made;
    else
        free(made);
    return status;
}

void rapt_mha_destroy(rapt_mha *layer) {
    free(layer);
}

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Writes a row that `next` gives the numbers of, or of zeros. */
static void write_row(const struct rapt_mha *layer, const rapt_tensor *t, int64_t row, float bound,
                      uint64_t *state) {
    enum { CHUNK = 256 };
    float numbers[CHUNK] = {0};
    for (int64_t c = 0; c < t->shape[3]; c += CHUNK) {
        const int64_t n = t->shape[3] - c < CHUNK ? t->shape[3] - c : CHUNK;
        for (int64_t i = 0; state && i < n; i++) {
            /* 24 bits, as an odd number of 2^-24 within -1 and 1, which f32 has exactly */
            const int32_t k = (int32_t)(next_random(state) >> 40);
            numbers[i] = bound * (float)(2 * k + 1 - (1 << 24)) * 0x1p-24f;
        }
        rapt_write_row(layer->kernels, numbers, t, row * t->stride[2] + c * t->stride[3], n);
    }
}

rapt_status rapt_mha_init_xavier(const rapt_mha *layer, uint64_t seed) {
    if (!layer)
        return INVALID("layer: found NULL, expected a layer");
    for (int i = 0; i < MHA_MATRICES; i++) {
        TRY(rapt_check_strides(rapt_mha_weight_names[i], &layer->weight[i], true));
        for (int k = 0; k < i; k++)
            if (rapt_places_meet(&layer->weight_place[i], &layer->weight_place[k]))
                return INVALID("%s: its memory overlaps that of %s, expected memory of its own",
                               rapt_mha_weight_names[i], rapt_mha_weight_names[k]);
    }
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int i = 0; i < MHA_MATRICES; i++) {
        const rapt_tensor *w = &layer->weight[i];
        const float bound = (float)sqrt(6 / ((double)w->shape[2] + (double)w->shape[3]));
        for (int64_t row = 0; row < w->shape[2]; row++)
            write_row(layer, w, row, bound, &seed);
        if (layer->bias[i].dtype != RAPT_NONE)
            write_row(layer, &layer->bias[i], 0, 0, NULL);
    }
    rapt_leave_environment(&callers);
    return RAPT_OK;
}
