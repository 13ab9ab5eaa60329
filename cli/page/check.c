/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/check.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>

rapt_status page_fail(char error[PAGE_ERROR_SIZE], rapt_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, PAGE_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return status;
}

#define FARTHEST ((int64_t)1 << 60) /* sums of two of these are numbers */

#define REFUSE(...) return page_fail(error, RAPT_INVALID_ARGUMENT, __VA_ARGS__)

/* Whether a tensor is (1, heads, positions, ...) of any numbers of heads and channels. */
static bool has_rows(const rapt_tensor *tensor, int64_t positions) {
    return tensor->shape[0] == 1 && tensor->shape[1] > 0 && tensor->shape[2] == positions;
}

static rapt_status check_weights(const struct page_layer *layer, const struct sight *sight,
                                 char error[PAGE_ERROR_SIZE]) {
    const rapt_tensor *w = &layer->weights;
    if (!has_rows(w, sight->queries) || w->shape[3] != sight->keys)
        REFUSE("layer %" PRId64 ": found weights (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
               "), expected (1, heads, %" PRId64 ", %" PRId64 "), a row for each query and a "
               "column for each key",
               layer->number, w->shape[0], w->shape[1], w->shape[2], w->shape[3], sight->queries,
               sight->keys);
    if (w->dtype != RAPT_F32 && w->dtype != RAPT_F16 && w->dtype != RAPT_BF16)
        REFUSE("layer %" PRId64
               ": found weights of dtype %d, expected float32, float16 or bfloat16",
               layer->number, (int)w->dtype);
    return RAPT_OK;
}

/* The library checks types, channels and strides. */
static rapt_status check_keys(const struct page_layer *layer, const struct sight *sight,
                              char error[PAGE_ERROR_SIZE]) {
    const rapt_tensor *q = &layer->query, *k = &layer->key;
    if (!has_rows(q, sight->queries) || !has_rows(k, sight->keys))
        REFUSE("layer %" PRId64 ": found %" PRId64 " queries and %" PRId64
               " keys, expected %" PRId64 " and %" PRId64 ", one for each token",
               layer->number, q->shape[2], k->shape[2], sight->queries, sight->keys);
    if (q->shape[1] % k->shape[1] != 0)
        REFUSE("layer %" PRId64 ": found %" PRId64 " heads of queries and %" PRId64
               " of keys, expected a multiple of these",
               layer->number, q->shape[1], k->shape[1]);
    return RAPT_OK;
}

static rapt_status check_layer(const struct page *page, const struct page_layer *layer,
                               const struct sight *sight, char error[PAGE_ERROR_SIZE]) {
    const bool given = layer->weights.dtype != RAPT_NONE;
    const int64_t all = given ? layer->weights.shape[1] : layer->query.shape[1];
    if (given && page->views == PAGE_BOTH)
        REFUSE("layer %" PRId64 ": found weights, expected queries and keys for two views",
               layer->number);
    rapt_status status =
        given ? check_weights(layer, sight, error) : check_keys(layer, sight, error);
    for (int64_t i = 0; status == RAPT_OK && i < layer->head_count; i++)
        if (layer->heads[i] < 0 || layer->heads[i] >= all)
            REFUSE("heads: found %" PRId64 ", expected 0 to %" PRId64
                   ", the heads of layer %" PRId64,
                   layer->heads[i], all - 1, layer->number);
    if (status == RAPT_OK && layer->head_count < 1)
        REFUSE("layer %" PRId64 ": found no heads, expected one or more", layer->number);
    return status;
}

static rapt_status check_text(const struct page *page, const struct page_text *text,
                              char error[PAGE_ERROR_SIZE]) {
    const struct sight *sight = &text->sight;
    if (sight->queries < 1 || sight->keys < 1 || sight->queries > INT_MAX || sight->keys > INT_MAX)
        REFUSE("tokens: found %" PRId64 " queries and %" PRId64 " keys, expected 1 to %d of both",
               sight->queries, sight->keys, INT_MAX);
    if (sight->offset < -FARTHEST || sight->offset > FARTHEST || sight->left < -1 ||
        sight->left > FARTHEST || sight->right < -1 || sight->right > FARTHEST)
        REFUSE("sight: found offset %" PRId64 " and window %" PRId64 ", %" PRId64
               ", expected at most 2^60, and -1 for no window",
               sight->offset, sight->left, sight->right);
    if (!text->queries && (sight->offset < 0 || sight->offset + sight->queries > sight->keys))
        REFUSE("tokens: found %" PRId64 " queries from token %" PRId64 " on and %" PRId64
               " tokens, expected queries that are some of these, or their own tokens",
               sight->queries, sight->offset, sight->keys);
    if (text->first_key < 0 || text->shown_keys < 1 ||
        text->shown_keys > sight->keys - text->first_key)
        REFUSE("keys: found %" PRId64 " from %" PRId64 " on, expected some of the %" PRId64,
               text->shown_keys, text->first_key, sight->keys);
    rapt_status status = RAPT_OK;
    for (int64_t i = 0; status == RAPT_OK && i < page->layer_count; i++)
        status = check_layer(page, &text->layers[i], sight, error);
    return status;
}

rapt_status page_check(const struct page *page, char error[PAGE_ERROR_SIZE]) {
    if (page->size != sizeof *page || page->text_size != sizeof(struct page_text) ||
        page->layer_size != sizeof(struct page_layer))
        REFUSE("page: found structs of %zu, %zu and %zu bytes, expected %zu, %zu and %zu",
               page->size, page->text_size, page->layer_size, sizeof *page,
               sizeof(struct page_text), sizeof(struct page_layer));
    if (page->text_count < 1 || page->text_count > PAGE_TEXTS)
        REFUSE("texts: found %" PRId64 ", expected 1 to %d", page->text_count, PAGE_TEXTS);
    if (page->layer_count < 1)
        REFUSE("layers: found none, expected one or more");
    rapt_status status = RAPT_OK;
    for (int64_t i = 0; status == RAPT_OK && i < page->text_count; i++)
        status = check_text(page, &page->texts[i], error);
    return status;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* About how many bytes the weights take: four characters for three bytes, two bytes for each. */
static double find_bytes(const struct page *page, int64_t group) {
    double cells = 0;
    for (int64_t i = 0; i < page->text_count; i++) {
        const struct page_text *text = &page->texts[i];
        int64_t heads = 0;
        for (int64_t layer = 0; layer < page->layer_count; layer++)
            heads += text->layers[layer].head_count;
        cells += (double)heads * (double)ceil_div(text->sight.queries, group) *
                 (double)ceil_div(text->shown_keys, group);
    }
    return cells * (page->views == PAGE_BOTH ? 1.5 : 1) * 8 / 3;
}

static int64_t longest_side(const struct page *page) {
    int64_t most = 0;
    for (int64_t i = 0; i < page->text_count; i++) {
        const struct page_text *text = &page->texts[i];
        most = text->sight.queries > most ? text->sight.queries : most;
        most = text->shown_keys > most ? text->shown_keys : most;
    }
    return most;
}

rapt_status page_choose_group(const struct page *page, int64_t *group,
                              char error[PAGE_ERROR_SIZE]) {
    const int64_t longest = longest_side(page);
    *group = page->group;
    if (page->group < 0)
        REFUSE("group: found %" PRId64 ", expected 1 or more tokens", page->group);
    if (page->group == 0) {
        *group = ceil_div(longest, PAGE_MOST_SIDE);
        while (*group < longest && find_bytes(page, *group) > PAGE_MOST_BYTES)
            ++*group;
    }
    const double bytes = find_bytes(page, *group);
    if (bytes > PAGE_MOST_EVER)
        REFUSE("group: found %" PRId64 ", which makes a page of %.1f GB, expected at most %.1f: "
               "choose fewer layers, heads, queries or keys, or more tokens for a cell",
               *group, bytes / 1e9, PAGE_MOST_EVER / 1e9);
    return RAPT_OK;
}
