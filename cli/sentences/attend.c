/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the library on the samples: layers are the batch, heads are heads. */
#include "cli/sentences/attend.h"

#include <math.h>
#include <stdlib.h>

#include "cli/base/row.h"

static rapt_tensor view(const struct samples *samples, const struct sample *sentence,
                        const struct attend_range *range, const float *data) {
    int64_t row = samples->head_dim;
    int64_t head = row * sentence->token_count;
    int64_t layer = head * samples->heads;
    rapt_tensor all = rapt_tensor_bhsd(data, RAPT_F32, samples->layers, samples->heads,
                                       sentence->token_count, row);
    all.data = (void *)(uintptr_t)(data + range->layer * layer + range->head * head);
    all.shape[0] = range->layers;
    all.shape[1] = range->heads;
    return all;
}

rapt_status attend_compute(const struct samples *samples, const struct sample *sentence,
                           const struct attend_range *range, const char *isa, int threads,
                           float **weights) {
    int64_t tokens = sentence->token_count;
    size_t rows = (size_t)range->layers * (size_t)range->heads * (size_t)tokens;
    float *out = malloc(rows * (size_t)samples->head_dim * sizeof *out);
    *weights = malloc(rows * (size_t)tokens * sizeof **weights);

    rapt_attention_args args = rapt_attention_defaults();
    args.query = view(samples, sentence, range, sentence->query);
    args.key = view(samples, sentence, range, sentence->key);
    args.value = view(samples, sentence, range, sentence->value);
    args.out =
        rapt_tensor_bhsd(out, RAPT_F32, range->layers, range->heads, tokens, samples->head_dim);
    args.weights =
        rapt_tensor_bhsd(*weights, RAPT_F32, range->layers, range->heads, tokens, tokens);
    args.causal = range->causal;
    args.isa = isa;
    args.threads = threads;

    rapt_status status = out && *weights ? rapt_attention(&args) : RAPT_OUT_OF_MEMORY;
    if (status != RAPT_OK) {
        free(*weights);
        *weights = NULL;
    }
    free(out);
    return status;
}

double attend_mean_entropy(const float *weights, int tokens) {
    double total = 0;
    for (int query = 0; query < tokens; query++)
        total += row_summarise(weights + (size_t)query * (size_t)tokens, tokens).entropy;
    return total / tokens;
}

double attend_sum_deviation(const float *weights, size_t rows, int keys) {
    double most = 0;
    for (size_t row = 0; row < rows; row++) {
        double sum = row_summarise(weights + row * (size_t)keys, keys).sum;
        most = fmax(most, fabs(sum - 1));
    }
    return most;
}
