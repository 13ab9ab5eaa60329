/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle gets each row as a problem of its own: one query and its keys, dense and in f32.
 * Widening is exact, and int8 is by definition what the product with its scale rounds to.
 */
#include "bench/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/args.h"
#include "cli/base/random.h"
#include "oracle/oracle.h"
#include "oracle/storage.h"

enum { ROWS_MOST = 24, ROWS_LEAST = 4, KEYS_CHECKED = 24 * 2048 };

/* A problem of one row. */
struct sample {
    rapt_attention_args args;
    int64_t position;
    float *key, *value;       /* [longest][head_dim] */
    float *query;             /* [head_dim] */
    double *expected, *bound; /* [head_dim] */
};

static bool sample_create(struct sample *s, const struct bench_shape *shape) {
    const size_t dim = (size_t)shape->head_dim, tensor = (size_t)shape->kv_len * dim;
    *s = (struct sample){.args = rapt_attention_defaults()};
    s->key = malloc((2 * tensor + dim) * sizeof *s->key);
    s->expected = malloc(2 * dim * sizeof *s->expected);
    if (!s->key || !s->expected)
        return false;
    s->value = s->key + tensor;
    s->query = s->value + tensor;
    s->bound = s->expected + dim;
    s->args.causal = shape->causal;
    s->args.window_left = shape->window ? shape->window - 1 : -1;
    s->args.softcap = shape->softcap;
    s->args.q_offset = &s->position;
    return true;
}

static void sample_destroy(struct sample *s) {
    free(s->key);
    free(s->expected);
}

/* The elements of a row that begins there, in f32. */
static void read_elements(const rapt_tensor *t, int64_t at, float *row) {
    const int64_t size = rapt_dtype_size(t->dtype);
    for (int64_t c = 0; c < t->shape[3]; c++)
        row[c] = storage_read(t->dtype, (const char *)t->data + (at + c) * size);
}

/* A row of keys or values in f32. */
static void read_row(const struct bench_job *job, const rapt_tensor *t, const rapt_tensor *scale,
                     int64_t b, int64_t h, int64_t j, float *row) {
    const int64_t at = bench_job_key(job, t, b, h, j);
    if (t->dtype == RAPT_I8) {
        const float factor = ((const float *)scale->data)[bench_job_key(job, scale, b, h, j)];
        for (int64_t c = 0; c < t->shape[3]; c++)
            row[c] = (float)((const int8_t *)t->data)[at + c] * factor;
        return;
    }
    read_elements(t, at, row);
}

/* Makes the sample that of query i. */
static void sample_take(struct sample *s, const struct bench_job *job, int64_t b, int64_t h,
                        int64_t i) {
    const rapt_attention_args *a = &job->args;
    const struct bench_shape *shape = &job->shape;
    const int64_t keys = bench_shape_length(shape, b).kv_len, dim = shape->head_dim;
    const int64_t kv_head = h / (shape->q_heads / shape->kv_heads);
    for (int64_t j = 0; j < keys; j++) {
        read_row(job, &a->key, &a->key_scale, b, kv_head, j, s->key + j * dim);
        read_row(job, &a->value, &a->value_scale, b, kv_head, j, s->value + j * dim);
    }
    read_elements(&a->query, bench_job_query(job, &a->query, b, h, i), s->query);
    s->position = bench_shape_offset(shape, b) + i;
    s->args.query = rapt_tensor_bhsd(s->query, RAPT_F32, 1, 1, 1, dim);
    s->args.key = rapt_tensor_bhsd(s->key, RAPT_F32, 1, 1, keys, dim);
    s->args.value = rapt_tensor_bhsd(s->value, RAPT_F32, 1, 1, keys, dim);
    s->args.out = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 1, 1, dim);
    if (shape->alibi)
        s->args.alibi = rapt_tensor_bhsd(&job->heads[h], RAPT_F32, 1, 1, 1, 1);
    if (shape->mask)
        s->args.mask =
            rapt_tensor_bhsd((const float *)a->mask.data + i * keys, RAPT_F32, 1, 1, 1, keys);
    if (shape->sinks)
        s->args.sink = rapt_tensor_bhsd(&job->heads[shape->q_heads + h], RAPT_F32, 1, 1, 1, 1);
}

/* Holds query i against the oracle. False if there's no memory. */
static bool check_row(const struct bench_job *job, struct sample *s, int64_t b, int64_t h,
                      int64_t i, struct bench_result *result) {
    const rapt_tensor *out = &job->args.out;
    const float *row = (const float *)out->data + bench_job_query(job, out, b, h, i);
    sample_take(s, job, b, h, i);
    if (!oracle_row(&s->args, 0, 0, 0, s->expected, s->bound))
        return false;
    for (int64_t c = 0; c < out->shape[3]; c++) {
        const double error = fabs((double)row[c] - s->expected[c]);
        if (!(error <= result->max_error) && !isnan(result->max_error))
            result->max_error = error;
        if (error <= s->bound[c] || !result->correct)
            continue;
        result->correct = false;
        snprintf(result->failure, sizeof result->failure,
                 "sequence %" PRId64 ", head %" PRId64 ", query %" PRId64 ", channel %" PRId64
                 " is %g, off by %.1e, at most %.1e",
                 b, h, i, c, (double)row[c], error, s->bound[c]);
    }
    return true;
}

bool bench_verify(const struct bench_job *job, struct bench_result *result) {
    const struct bench_shape *shape = &job->shape;
    const int64_t enough = KEYS_CHECKED / shape->kv_len;
    const int64_t rows = enough < ROWS_LEAST ? ROWS_LEAST : enough < ROWS_MOST ? enough : ROWS_MOST;
    struct sample sample;
    bool checked = sample_create(&sample, shape);
    uint64_t state = 2;
    result->correct = true;
    for (int64_t n = 0; checked && n < rows; n++) {
        const uint64_t bits = random_bits(&state);
        int64_t b = n ? shape->batch - 1 : 0, h = n ? shape->q_heads - 1 : 0;
        if (n > 1) {
            b = (int64_t)(bits >> 32) % shape->batch;
            h = (int64_t)(bits & UINT32_MAX) % shape->q_heads;
        }
        const int64_t last = bench_shape_length(shape, b).q_len - 1;
        const int64_t any = (int64_t)(random_bits(&state) >> 1) % (last + 1);
        checked = check_row(job, &sample, b, h, n == 0 ? 0 : n == 1 ? last : any, result);
    }
    sample_destroy(&sample);
    if (!checked)
        args_fail("bench", "no memory for the oracle");
    return checked;
}
