/* SPDX-License-Identifier: Apache-2.0 */
/* Runs an encoder: embeddings and layers. */
#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES = 16,
    ALIGN = 64
}; /* sums run side by side, so that a compiler makes vectors of them */

/* What the layers work in: parts of one allocation. */
struct work {
    int64_t tokens, count;
    const int64_t *cu;
    int64_t *positions;
    float *mixed;
    bool alone;  /* on the calling thread */
    char *space; /* the library's */
    size_t space_size;
};

/* The sum of numbers or of their squares. */
static float sum_of(const float *x, int64_t n, bool squares) {
    float sum[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (int k = 0; k < LANES; k++)
            sum[k] += squares ? x[c + k] * x[c + k] : x[c + k];
    for (; c < n; c++)
        sum[0] += squares ? x[c] * x[c] : x[c];
    for (int k = 1; k < LANES; k++)
        sum[0] += sum[k];
    return sum[0];
}

/* x = (x + y - mean) / deviation * weight + bias, for each token (Ba, Kiros and Hinton 2016). */
static void add_and_normalise(float *x, const float *y, int64_t tokens, int64_t dim,
                              const struct encoder_norm *norm, float epsilon) {
    for (int64_t t = 0; t < tokens; t++, x += dim) {
        for (int64_t c = 0; y && c < dim; c++)
            x[c] += y[t * dim + c];
        const float mean = sum_of(x, dim, false) / (float)dim;
        for (int64_t c = 0; c < dim; c++)
            x[c] -= mean;
        const float factor = 1 / sqrtf(sum_of(x, dim, true) / (float)dim + epsilon);
        for (int64_t c = 0; c < dim; c++)
            x[c] = x[c] * factor * norm->weight[c] + norm->bias[c];
    }
}

static rapt_tensor rows(const float *data, int64_t tokens, int64_t channels) {
    return rapt_tensor_bhsd(data, RAPT_F32, 1, 1, tokens, channels);
}

static rapt_linear_args feed(const struct encoder *e, const struct encoder_layer *layer,
                             const struct work *w, const float *hidden) {
    rapt_linear_args args = layer->feed;
    args.input = rows(hidden, w->tokens, e->dim);
    args.out = rows(w->mixed, w->tokens, e->dim);
    args.threads = w->alone ? 1 : e->threads;
    args.isa = e->isa;
    return args;
}

static rapt_mha_run_args attend(const struct encoder *e, const struct work *w,
                                const float *hidden) {
    rapt_mha_run_args args = rapt_mha_run_defaults();
    args.input = rows(hidden, w->tokens, e->dim);
    args.out = rows(w->mixed, w->tokens, e->dim);
    args.cu = w->cu;
    args.sequences = w->count;
    return args;
}

static bool run_layer(const struct encoder *e, const struct encoder_layer *layer,
                      const struct work *w, float *hidden) {
    const rapt_mha_run_args attention = attend(e, w, hidden);
    if (rapt_mha_run(layer->attention[w->alone], &attention, w->space, w->space_size) != RAPT_OK)
        return false;
    add_and_normalise(hidden, w->mixed, w->tokens, e->dim, &layer->attention_norm, e->epsilon);
    const rapt_linear_args args = feed(e, layer, w, hidden);
    if (rapt_linear(&args, w->space, w->space_size) != RAPT_OK)
        return false;
    add_and_normalise(hidden, w->mixed, w->tokens, e->dim, &layer->norm, e->epsilon);
    return true;
}

/* Word, position and kind, of which all tokens have the first. */
static bool run_embeddings(const struct encoder *e, const int64_t *ids, const struct work *w,
                           float *hidden) {
    rapt_tensor tables[3] = {e->words, e->places, e->kinds};
    const int64_t *const numbers[3] = {ids, w->positions, NULL};
    const rapt_tensor out = rows(hidden, w->tokens, e->dim);
    tables[2].shape[2] = w->tokens;
    tables[2].stride[2] = 0;
    for (int64_t i = 0; i < w->count; i++)
        for (int64_t t = w->cu[i]; t < w->cu[i + 1]; t++)
            w->positions[t] = t - w->cu[i];
    if (rapt_embed(3, tables, numbers, &out) != RAPT_OK)
        return false;
    add_and_normalise(hidden, NULL, w->tokens, e->dim, &e->embedding_norm, e->epsilon);
    return true;
}

static bool find_space(const struct encoder *e, struct work *w, const float *hidden) {
    const rapt_mha_run_args attention = attend(e, w, hidden);
    const rapt_linear_args args = feed(e, e->layer, w, hidden);
    size_t size;
    if (rapt_mha_workspace_size(e->layer->attention[w->alone], &attention, &w->space_size) !=
            RAPT_OK ||
        rapt_linear_workspace_size(&args, &size) != RAPT_OK)
        return false;
    w->space_size = size > w->space_size ? size : w->space_size;
    return true;
}

static bool run_layers(const struct encoder *e, const int64_t *ids, const struct work *w,
                       float *hidden, float *entering) {
    const size_t numbers = (size_t)(w->tokens * e->dim);
    if (!run_embeddings(e, ids, w, hidden))
        return false;
    for (int64_t i = 0; i < e->layers; i++) {
        if (entering)
            memcpy(entering + (size_t)i * numbers, hidden, numbers * sizeof *hidden);
        if (!run_layer(e, &e->layer[i], w, hidden))
            return false;
    }
    return true;
}

static bool run(const struct encoder *e, const int64_t *ids, struct work *w, float *hidden,
                float *entering, char *message) {
    const size_t tokens = (size_t)w->tokens;
    w->positions = malloc(tokens * sizeof *w->positions);
    w->mixed = malloc(tokens * (size_t)e->dim * sizeof *w->mixed);
    bool good = w->positions && w->mixed;
    if (good && !find_space(e, w, hidden))
        good = fault(message, "%s", rapt_last_error());
    else if (!good || !(w->space = malloc(w->space_size)))
        good = fault(message, "no memory for %zu tokens", tokens);
    else if (!run_layers(e, ids, w, hidden, entering))
        good = fault(message, "%s", rapt_last_error());
    free(w->space);
    free(w->mixed);
    free(w->positions);
    return good;
}

bool encoder_run(const struct encoder *e, const int64_t *ids, const int64_t *cu, int64_t count,
                 bool alone, float *hidden, float *entering, char message[FAULT_SIZE]) {
    struct work w = {.tokens = cu[count], .count = count, .cu = cu, .alone = alone};
    return run(e, ids, &w, hidden, entering, message);
}
