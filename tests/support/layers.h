/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of random weights with all that a run of them needs, and the same in double precision. */
#ifndef RAPT_TESTS_SUPPORT_LAYERS_H
#define RAPT_TESTS_SUPPORT_LAYERS_H

#include "simd/dispatch.h"
#include "tests/support/helpers.h"
#include "src/base/tensor.h"

/* What a case has; 0 stands for the defaults of the layer, and no context for no cross-attention.
 */
struct layer_form {
    int64_t batch, tokens, model_dim, q_heads, kv_heads, head_dim, value_dim;
    int64_t context, context_dim;
    bool causal, biases, lengths;
    rapt_dtype weights, mask;
    float softcap;
    int64_t window_left;
};

struct layer_case {
    struct layer_form form;
    rapt_mha_args args;
    rapt_mha_run_args run;
    int64_t keys;
    int64_t kv_len[4];
};

/* Random numbers in a type, such that projections of numbers of about 1 are such, too. */
static inline rapt_tensor random_matrix(rapt_dtype dtype, int64_t rows, int64_t channels,
                                        uint64_t seed) {
    rapt_tensor floats = random_tensor(RAPT_F32, 1, 1, rows, channels, seed);
    const int64_t n = rows * channels;
    for (int64_t i = 0; i < n; i++)
        ((float *)floats.data)[i] *= 2 / sqrtf((float)channels);
    if (dtype == RAPT_F32)
        return floats;
    rapt_tensor t = new_tensor(dtype, 1, 1, rows, channels);
    rapt_kernels_best()->narrow(t.data, floats.data, dtype, n);
    free(floats.data);
    return t;
}

static inline struct layer_case new_layer_case(const struct layer_form *f, uint64_t seed) {
    struct layer_case c = {.form = *f, .args = rapt_mha_defaults(), .run = rapt_mha_run_defaults()};
    rapt_mha_args *a = &c.args;
    const rapt_dtype dtype = f->weights ? f->weights : RAPT_F32;
    a->model_dim = f->model_dim;
    a->context_dim = f->context_dim ? f->context_dim : f->model_dim;
    a->q_heads = f->q_heads;
    a->kv_heads = f->kv_heads ? f->kv_heads : f->q_heads;
    a->head_dim = f->head_dim ? f->head_dim : f->model_dim / f->q_heads;
    a->value_dim = f->value_dim ? f->value_dim : a->head_dim;
    a->w_query = random_matrix(dtype, a->q_heads * a->head_dim, a->model_dim, seed + 1);
    a->w_key = random_matrix(dtype, a->kv_heads * a->head_dim, a->context_dim, seed + 2);
    a->w_value = random_matrix(dtype, a->kv_heads * a->value_dim, a->context_dim, seed + 3);
    a->w_out = random_matrix(dtype, a->model_dim, a->q_heads * a->value_dim, seed + 4);
    if (f->biases) {
        a->b_query = random_matrix(dtype, 1, a->q_heads * a->head_dim, seed + 5);
        a->b_key = random_matrix(RAPT_F32, 1, a->kv_heads * a->head_dim, seed + 6);
        a->b_value = random_matrix(RAPT_BF16, 1, a->kv_heads * a->value_dim, seed + 7);
        a->b_out = random_matrix(dtype, 1, a->model_dim, seed + 8);
    }
    a->causal = f->causal;
    a->softcap = f->softcap;
    a->window_left = f->window_left ? f->window_left : -1;
    c.keys = f->context ? f->context : f->tokens;
    c.run.input = random_tensor(RAPT_F32, f->batch, 1, f->tokens, a->model_dim, seed + 9);
    c.run.out = new_tensor(RAPT_F32, f->batch, 1, f->tokens, a->model_dim);
    if (f->context)
        c.run.context = random_tensor(RAPT_F32, f->batch, 1, f->context, a->context_dim, seed + 10);
    if (f->mask != RAPT_NONE)
        c.run.mask = random_tensor(f->mask, f->batch, a->q_heads, f->tokens, c.keys, seed + 11);
    for (int64_t b = 0; f->lengths && b < f->batch; b++)
        c.kv_len[b] = c.keys - b * 2;
    return c;
}

static inline void free_layer_case(struct layer_case *c) {
    rapt_tensor *all[] = {&c->args.w_query, &c->args.w_key,  &c->args.w_value, &c->args.w_out,
                          &c->args.b_query, &c->args.b_key,  &c->args.b_value, &c->args.b_out,
                          &c->run.input,    &c->run.context, &c->run.out,      &c->run.mask,
                          &c->run.weights};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->data);
}

static inline rapt_mha *new_layer(const rapt_mha_args *args) {
    rapt_mha *layer;
    expect_ok(rapt_mha_create(args, &layer));
    return layer;
}

/* Runs a layer made for this call alone. */
static inline void run_once(const struct layer_case *c, const rapt_mha_run_args *run) {
    rapt_mha *layer = new_layer(&c->args);
    rapt_mha_run_args all = *run;
    all.kv_len = c->form.lengths ? c->kv_len : NULL;
    expect_ok(rapt_mha_run(layer, &all, NULL, 0));
    rapt_mha_destroy(layer);
}

static inline double element(const rapt_tensor *t, int64_t i) {
    float number;
    rapt_kernels_best()->widen(&number, rapt_element(t, i), t->dtype, 1, 1);
    return (double)number;
}

/* rows of in * weightᵀ + bias */
static inline double *projected(const rapt_tensor *in, const rapt_tensor *weight,
                                const rapt_tensor *bias) {
    const int64_t n = in->shape[0] * in->shape[2], rows = weight->shape[2], c = weight->shape[3];
    double *out = allocate((size_t)(n * rows) * sizeof *out);
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < rows; r++) {
            double sum = bias->data ? element(bias, r) : 0;
            for (int64_t i = 0; i < c; i++)
                sum += element(in, t * c + i) * element(weight, r * c + i);
            out[t * rows + r] = sum;
        }
    return out;
}

/* The definition, all in double precision: out (B, S, model_dim), weights (B, Hq, S, keys). */
struct expected {
    double *out, *weights;
};

static inline bool attends(const struct layer_case *c, int64_t b, int64_t s, int64_t k) {
    return (!c->form.lengths || k < c->kv_len[b]) && (!c->form.causal || k <= s) &&
           (c->args.window_left < 0 || k >= s - c->args.window_left);
}

/* The weights of one row. */
static inline void expected_row(const struct layer_case *c, const double *query, const double *key,
                                int64_t b, int64_t h, int64_t s, double *weights) {
    const rapt_mha_args *a = &c->args;
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < c->keys; k++) {
        double score = 0;
        for (int64_t i = 0; i < a->head_dim; i++)
            score += query[i] * key[k * a->kv_heads * a->head_dim + i];
        score /= sqrt((double)a->head_dim);
        if (a->softcap > 0)
            score = (double)a->softcap * tanh(score / (double)a->softcap);
        const int64_t at = ((b * a->q_heads + h) * c->form.tokens + s) * c->keys + k;
        if (c->form.mask == RAPT_F32)
            score += element(&c->run.mask, at);
        else if (c->form.mask == RAPT_BOOL && !((const char *)c->run.mask.data)[at])
            score = -INFINITY;
        weights[k] = attends(c, b, s, k) ? score : -INFINITY;
        most = fmax(most, weights[k]);
    }
    for (int64_t k = 0; k < c->keys; k++)
        sum += weights[k] = most > -INFINITY ? exp(weights[k] - most) : 0;
    for (int64_t k = 0; k < c->keys; k++)
        weights[k] = sum > 0 ? weights[k] / sum : 0;
}

static inline struct expected expect_layer(const struct layer_case *c) {
    const rapt_mha_args *a = &c->args;
    const int64_t B = c->form.batch, S = c->form.tokens, group = a->q_heads / a->kv_heads;
    const int64_t width = a->q_heads * a->value_dim, D = a->head_dim, Dv = a->value_dim;
    const rapt_tensor *context = c->form.context ? &c->run.context : &c->run.input;
    double *query = projected(&c->run.input, &a->w_query, &a->b_query);
    double *key = projected(context, &a->w_key, &a->b_key);
    double *value = projected(context, &a->w_value, &a->b_value);
    struct expected e = {allocate((size_t)(B * S * a->model_dim) * sizeof(double)),
                         allocate((size_t)(B * a->q_heads * S * c->keys) * sizeof(double))};
    double *mixed = allocate((size_t)width * sizeof *mixed);
    for (int64_t t = 0; t < B * S; t++) {
        const int64_t b = t / S, s = t % S;
        for (int64_t h = 0; h < a->q_heads; h++) {
            double *weights = e.weights + ((b * a->q_heads + h) * S + s) * c->keys;
            expected_row(c, query + (t * a->q_heads + h) * D,
                         key + (b * c->keys * a->kv_heads + h / group) * D, b, h, s, weights);
            for (int64_t i = 0; i < Dv; i++) {
                double *sum = &mixed[h * Dv + i];
                *sum = 0;
                for (int64_t k = 0; k < c->keys; k++)
                    *sum +=
                        weights[k] * value[((b * c->keys + k) * a->kv_heads + h / group) * Dv + i];
            }
        }
        for (int64_t r = 0; r < a->model_dim; r++) {
            double sum = a->b_out.data ? element(&a->b_out, r) : 0;
            for (int64_t i = 0; i < width; i++)
                sum += mixed[i] * element(&a->w_out, r * width + i);
            e.out[t * a->model_dim + r] = sum;
        }
    }
    free(query);
    free(key);
    free(value);
    free(mixed);
    return e;
}

static inline void free_expected(struct expected *e) {
    free(e->out);
    free(e->weights);
}

#endif
