/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/samples_page.h"

#include <stdlib.h>

static rapt_tensor view(const float *data, int layer, int heads, int count, int dim) {
    const size_t size = (size_t)heads * (size_t)count * (size_t)dim;
    return rapt_tensor_bhsd(data + (size_t)layer * size, RAPT_F32, 1, heads, count, dim);
}

static void describe(struct samples_page *made, int index, const struct samples *samples,
                     const struct sample *sentence) {
    struct page_layer *layers = made->layers + index * samples->layers;
    const int keys = sample_keys(sentence), key_heads = samples_key_heads(samples);
    for (int i = 0; i < samples->layers; i++) {
        layers[i] = (struct page_layer){
            .number = i,
            .heads = made->heads,
            .head_count = samples->heads,
            .query =
                view(sentence->query, i, samples->heads, sentence->token_count, samples->head_dim),
            .key = view(sentence->key, i, key_heads, keys, samples->head_dim),
        };
    }
    made->texts[index] = (struct page_text){
        .text = sentence->text,
        .keys = sample_key_tokens(sentence),
        .queries = sentence->keys ? sentence->tokens : NULL,
        .sight = {.queries = sentence->token_count, .keys = keys, .left = -1, .right = -1},
        .shown_keys = keys,
        .layers = layers,
        .scale = samples->scale,
    };
}

bool samples_page_open(struct samples_page *made, const struct samples *samples,
                       const struct sample *const *sentences, int count) {
    *made = (struct samples_page){
        .page = {.size = sizeof made->page,
                 .text_size = sizeof *made->texts,
                 .layer_size = sizeof *made->layers,
                 .model = samples->model,
                 .text_count = count,
                 .layer_count = samples->layers,
                 .views = PAGE_BOTH,
                 .group = 1},
        .layers = calloc((size_t)(count * samples->layers), sizeof *made->layers),
        .heads = calloc((size_t)samples->heads, sizeof *made->heads),
    };
    made->page.texts = made->texts;
    if (!made->layers || !made->heads)
        return false;
    for (int i = 0; i < samples->heads; i++)
        made->heads[i] = i;
    for (int i = 0; i < count; i++)
        describe(made, i, samples, sentences[i]);
    return true;
}

void samples_page_close(struct samples_page *made) {
    free(made->layers);
    free(made->heads);
    made->layers = NULL;
    made->heads = NULL;
}
