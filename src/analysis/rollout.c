/* SPDX-License-Identifier: Apache-2.0 */
/* Attention rollout: a product of matrices, row by row. */
#include <rapt/summary.h>

#include <stdlib.h>
#include <string.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "simd/dispatch.h"
#include "src/base/arena.h"
#include "src/base/range.h"
#include "src/run/cpus.h"
#include "src/run/run.h"

/* One layer of one item of the batch. */
struct step {
    const struct rapt_kernels *kernels;
    const rapt_tensor *weights;
    int64_t batch, positions;
    double residual;
    const float *before; /* the product of the layers so far, or NULL for none */
    float *after;
};

static rapt_status check_matrices(const char *name, const rapt_tensor *t, const rapt_tensor *out,
                                  bool output, struct rapt_place *place) {
    if (!t)
        return INVALID("%s: found NULL, expected tensors", name);
    const int64_t positions = out->shape[2];
    const int64_t shape[4] = {out->shape[0], output ? 1 : t->shape[1], positions, positions};
    TRY(rapt_check_dtype(name, t->dtype, RAPT_ONLY_F32));
    if (t->shape[1] == 0)
        return INVALID("%s: shape[1] (heads) is 0, expected 1 or more", name);
    return rapt_check_floats(name, t, shape, output, place);
}

static rapt_status check_args(int count, const rapt_tensor *weights, double residual,
                              const rapt_tensor *out, int threads) {
    struct rapt_place to, from;
    if (count < 1)
        return INVALID("count: found %d, expected 1 or more", count);
    if (!(residual >= 0 && residual < 1))
        return INVALID("residual: found %g, expected 0 to below 1", residual);
    if (threads < 0)
        return INVALID("threads: found %d, expected 0 (as many as there are cores) or more",
                       threads);
    TRY(check_matrices("out", out, out, true, &to));
    for (int i = 0; i < count; i++) {
        TRY(check_matrices("weights", weights ? &weights[i] : NULL, out, false, &from));
        if (rapt_places_meet(&to, &from))
            return INVALID("out: its memory overlaps that of weights[%d], expected memory of its "
                           "own",
                           i);
    }
    return RAPT_OK;
}

/* A row of a layer's matrix. */
static void make_row(const struct step *s, int64_t i, float *row) {
    const rapt_tensor *t = s->weights;
    double total = s->residual;
    for (int64_t k = 0; k < s->positions; k++) {
        double sum = 0;
        for (int64_t h = 0; h < t->shape[1]; h++)
            sum += (double)((const float *)
                                t->data)[rapt_row_offset(t, s->batch, h, i) + k * t->stride[3]];
        row[k] = (float)((1 - s->residual) * sum / (double)t->shape[1]);
        total += (double)row[k];
    }
    for (int64_t k = 0; k < s->positions; k++) {
        const double share = (double)row[k] + (k == i ? s->residual : 0);
        row[k] = total > 0 || total != total ? (float)(share / total) : 0;
    }
}

/* A row of the product: rows of what comes before, in their order. */
static void multiply_row(const void *context, int64_t i, void *scratch) {
    const struct step *s = context;
    const int64_t n = s->positions;
    float *row = scratch, *product = s->after + i * n;
    make_row(s, i, s->before ? row : product);
    if (!s->before)
        return;
    memset(product, 0, (size_t)n * sizeof *product);
    for (int64_t k = 0; k < n; k++)
        if (row[k] != 0)
            s->kernels->accumulate(product, s->before + k * n, row[k], n);
}

static void write_product(const struct step *s, float *product, const rapt_tensor *out) {
    const int64_t n = s->positions;
    for (int64_t i = 0; i < n; i++) {
        s->kernels->rescale(product + i * n, 1, n); /* the one NaN */
        float *row = (float *)out->data + rapt_row_offset(out, s->batch, 0, i);
        for (int64_t k = 0; k < n; k++)
            row[k * out->stride[3]] = product[i * n + k];
    }
}

/* A row for each thread, and the product before and after a layer. */
struct memory {
    char *rows;
    size_t row_bytes;
    float *product[2];
};

static void place_memory(int64_t n, int threads, struct rapt_arena *arena, struct memory *m) {
    m->row_bytes = (size_t)rapt_round_up(n * (int64_t)sizeof(float), RAPT_ALIGN);
    m->rows = rapt_take(arena, m->row_bytes, threads, 1, 1);
    m->product[0] = rapt_take(arena, sizeof(float), n, n, 1);
    m->product[1] = rapt_take(arena, sizeof(float), n, n, 1);
}

rapt_status rapt_rollout(int count, const rapt_tensor *weights, double residual,
                         const rapt_tensor *out, int threads) {
    TRY(check_args(count, weights, residual, out, threads));
    const int64_t n = out->shape[2];
    threads =
        rapt_threads_for(2.0 * (double)n * (double)n * (double)n * count, rapt_threads(threads));
    if (rapt_is_empty(out))
        return RAPT_OK;
    struct memory m;
    struct rapt_arena arena = {0};
    place_memory(n, threads, &arena, &m);
    const size_t bytes = rapt_arena_bytes(&arena);
    void *memory = malloc(bytes);
    if (!memory)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "out: no memory for %zu bytes", bytes);
    arena = rapt_arena_in(memory);
    place_memory(n, threads, &arena, &m);
    struct step s = {.kernels = rapt_kernels_best(), .positions = n, .residual = residual};
    for (s.batch = 0; s.batch < out->shape[0]; s.batch++) {
        s.before = NULL;
        for (int i = 0; i < count; i++) {
            s.weights = &weights[i];
            s.after = m.product[i % 2];
            rapt_parallel_for(threads, n, multiply_row, &s, m.rows, m.row_bytes);
            s.before = s.after;
        }
        write_product(&s, s.after, out);
    }
    free(memory);
    return RAPT_OK;
}
