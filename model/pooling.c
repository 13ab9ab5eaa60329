/* SPDX-License-Identifier: Apache-2.0 */
/* Runs what stands behind the transformer. */
#include <math.h>
#include <string.h>

#include "model/modules.h"

/* The sum of states, each times its weight. */
static void add_states(const float *states, int64_t first, int64_t tokens, int64_t dim,
                       bool weighted, float *out) {
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int64_t t = first; t < tokens; t++) {
        const float weight = weighted ? (float)(t + 1) : 1;
        for (int64_t c = 0; c < dim; c++)
            out[c] += weight * states[t * dim + c];
    }
}

static void take_largest(const float *states, int64_t first, int64_t tokens, int64_t dim,
                         float *out) {
    for (int64_t c = 0; c < dim; c++)
        out[c] = -INFINITY;
    for (int64_t t = first; t < tokens; t++)
        for (int64_t c = 0; c < dim; c++) {
            const float x = states[t * dim + c];
            out[c] = x > out[c] || isnan(x) ? x : out[c];
        }
}

/* Where no token is left, sums are 0, as is the last one; the first is then that of all. */
static void pool(enum modules_pooling mode, const float *states, int64_t first, int64_t tokens,
                 int64_t dim, float *out) {
    const bool weighted = mode == POOLING_WEIGHTED_MEAN;
    const size_t row = (size_t)dim * sizeof *out;
    const int64_t count = tokens - first;
    if (mode == POOLING_MAX) {
        take_largest(states, first, tokens, dim, out);
    } else if (mode == POOLING_CLS) {
        memcpy(out, states + (count ? first : 0) * dim, row);
    } else if (mode == POOLING_LAST && count) {
        memcpy(out, states + (tokens - 1) * dim, row);
    } else {
        const double sum =
            weighted ? (double)count * (double)(first + 1 + tokens) / 2 : (double)count;
        const double by = mode == POOLING_MEAN_SQRT_LEN ? sqrt(sum) : sum;
        add_states(states, first, tokens, dim, weighted, out);
        for (int64_t c = 0; c < dim && count; c++)
            out[c] = (float)(out[c] / by);
    }
}

void modules_pool(const struct modules *m, const float *states, int64_t tokens, int64_t prompt,
                  int64_t dim, float *out) {
    int64_t first = m->leaves_prompt_out ? prompt : 0;
    first = first < tokens ? first : tokens;
    for (int i = 0; i < m->pooling_count; i++)
        pool(m->pooling[i], states, first, tokens, dim, out + i * dim);
}

void modules_normalise(float *x, int64_t texts, int64_t width) {
    for (int64_t i = 0; i < texts; i++, x += width) {
        double squares = 0;
        for (int64_t c = 0; c < width; c++)
            squares += (double)x[c] * (double)x[c];
        const double length = sqrt(squares);
        for (int64_t c = 0; c < width; c++)
            x[c] = (float)(x[c] / (length > 1e-12 ? length : 1e-12));
    }
}

static float activate(enum modules_activation activation, float x) {
    const double wide = x;
    switch (activation) {
    case ACTIVATION_TANH:
        return (float)tanh(wide);
    case ACTIVATION_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case ACTIVATION_GELU:
        return (float)(wide * 0.5 * erfc(-wide * M_SQRT1_2));
    case ACTIVATION_SIGMOID:
        return (float)(1 / (1 + exp(-wide)));
    default:
        return x;
    }
}

static bool run_dense(const struct modules_step *step, const float *from, int64_t texts,
                      int threads, const char *isa, float *to) {
    rapt_linear_args args = rapt_linear_defaults();
    args.input = rapt_tensor_bhsd(from, RAPT_F32, 1, 1, texts, step->columns);
    args.out = rapt_tensor_bhsd(to, RAPT_F32, 1, 1, texts, step->rows);
    args.weight = step->weight;
    args.bias = step->bias;
    args.threads = threads;
    args.isa = isa;
    if (rapt_linear(&args, NULL, 0) != RAPT_OK)
        return false;
    for (int64_t i = 0; step->activation != ACTIVATION_IDENTITY && i < texts * step->rows; i++)
        to[i] = activate(step->activation, to[i]);
    return true;
}

bool modules_run(const struct modules *m, float *from, int64_t texts, int64_t width, int threads,
                 const char *isa, float *out) {
    float *now = from, *next = out;
    for (int i = 0; i < m->step_count; i++) {
        const struct modules_step *step = &m->step[i];
        if (step->rows == 0) {
            modules_normalise(now, texts, width);
            continue;
        }
        if (!run_dense(step, now, texts, threads, isa, next))
            return false;
        float *const done = now;
        now = next;
        next = done;
        width = step->rows;
    }
    if (now != out)
        memcpy(out, now, (size_t)(texts * width) * sizeof *out);
    return true;
}
