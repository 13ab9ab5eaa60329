/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the library on the samples: layers are the batch, heads are heads. */
#include "cli/sentences/attend.h"

#include <math.h>
#include <stdlib.h>

#include "cli/base/row.h"

/* Some layers of an array, and the first of their heads that are in the range. */
static rapt_tensor view(const struct samples *samples, const struct attend_range *range,
                        const float *data, int heads, int first, int count) {
    const int64_t row = samples->head_dim, head = row * count, layer = head * heads;
    rapt_tensor all = rapt_tensor_bhsd(data, RAPT_F32, samples->layers, heads, count, row);
    all.data = (void *)(uintptr_t)(data + range->layer * layer + first * head);
    all.shape[0] = range->layers;
    return all;
}

static void view_inputs(rapt_attention_args *args, const struct samples *samples,
                        const struct sample *sentence, const struct attend_range *range) {
    static const float nothing; /* the value of every key, where the weights alone are wanted */
    const int key_heads = samples_key_heads(samples), shared = samples->heads / key_heads;
    const int first = range->head / shared, keys = sample_keys(sentence);
    args->query =
        view(samples, range, sentence->query, samples->heads, range->head, sentence->token_count);
    args->key = view(samples, range, sentence->key, key_heads, first, keys);
    args->query.shape[1] = range->heads;
    args->key.shape[1] = range->heads > 1 ? range->heads / shared : 1;
    args->value = args->key;
    if (sentence->value) {
        args->value = view(samples, range, sentence->value, key_heads, first, keys);
        args->value.shape[1] = args->key.shape[1];
    } else {
        args->value.data = (void *)(uintptr_t)&nothing;
        args->value.shape[3] = 1;
        for (int i = 0; i < 4; i++)
            args->value.stride[i] = 0;
    }
}

rapt_status attend_compute(const struct samples *samples, const struct sample *sentence,
                           const struct attend_range *range, const char *isa, int threads,
                           float **weights) {
    const int64_t tokens = sentence->token_count, keys = sample_keys(sentence);
    const size_t rows = (size_t)range->layers * (size_t)range->heads * (size_t)tokens;
    rapt_attention_args args = rapt_attention_defaults();
    view_inputs(&args, samples, sentence, range);
    const int64_t channels = args.value.shape[3];
    float *out = malloc(rows * (size_t)channels * sizeof *out);
    *weights = malloc(rows * (size_t)keys * sizeof **weights);

    args.out = rapt_tensor_bhsd(out, RAPT_F32, range->layers, range->heads, tokens, channels);
    args.weights = rapt_tensor_bhsd(*weights, RAPT_F32, range->layers, range->heads, tokens, keys);
    args.causal = range->causal;
    args.scale = samples->scale;
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

double attend_mean_entropy(const float *weights, int queries, int keys) {
    double total = 0;
    for (int query = 0; query < queries; query++)
        total += row_summarise(weights + (size_t)query * (size_t)keys, keys).entropy;
    return total / queries;
}

double attend_sum_deviation(const float *weights, size_t rows, int keys) {
    double most = 0;
    for (size_t row = 0; row < rows; row++) {
        double sum = row_summarise(weights + row * (size_t)keys, keys).sum;
        most = fmax(most, fabs(sum - 1));
    }
    return most;
}
