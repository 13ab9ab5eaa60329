/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/rows.h"

#include <inttypes.h>
#include <string.h>

#include "cli/base/half.h"
#include "cli/page/check.h"

enum { ROOM = 1 << 21 }; /* floats: a few rows of a long text, all of a short one */

/* What rounding may add to a weight, and to a row of half precision. */
#define MOST_WEIGHT 1.001
#define MOST_SUM 1.05

int64_t rows_at_once(const struct sight *sight) {
    const int64_t fit = ROOM / sight->keys;
    return fit < 1 ? 1 : fit < sight->queries ? fit : sight->queries;
}

size_t rows_room(const struct sight *sight) {
    return (size_t)rows_at_once(sight) * (size_t)(sight->keys + 1); /* and an output for each */
}

static float element(const rapt_tensor *tensor, int64_t at) {
    if (tensor->dtype == RAPT_F32)
        return ((const float *)tensor->data)[at];
    const uint16_t bits = ((const uint16_t *)tensor->data)[at];
    return tensor->dtype == RAPT_F16 ? half_to_float(bits) : brain_to_float(bits);
}

void rows_copy(const struct rows *rows, int64_t first, int64_t count) {
    const rapt_tensor *weights = &rows->layer->weights;
    const int64_t *stride = weights->stride;
    for (int64_t query = 0; query < count; query++)
        for (int64_t key = 0; key < rows->sight.keys; key++)
            rows->weights[query * rows->sight.keys + key] = element(
                weights, rows->head * stride[1] + (first + query) * stride[2] + key * stride[3]);
}

/* One head of a tensor, and so many positions. */
static rapt_tensor part(const rapt_tensor *tensor, int64_t head, int64_t first, int64_t count) {
    rapt_tensor view = *tensor;
    const int64_t at = head * tensor->stride[1] + first * tensor->stride[2];
    const int64_t block = rapt_dtype_block(tensor->dtype);
    view.data = (char *)tensor->data + at / block * rapt_dtype_size(tensor->dtype);
    view.shape[1] = 1;
    view.shape[2] = count;
    return view;
}

static rapt_status compute(const struct rows *rows, int64_t first, int64_t count,
                           char error[PAGE_ERROR_SIZE]) {
    static const float nothing; /* the value of every key, for the weights alone are wanted */
    const rapt_tensor *query = &rows->layer->query, *key = &rows->layer->key;
    const int64_t keys = rows->sight.keys, position = rows->sight.offset + first;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = part(query, rows->head, first, count);
    args.key = part(key, rows->head * key->shape[1] / query->shape[1], 0, keys);
    args.value = rapt_tensor_bhsd(&nothing, RAPT_F32, 1, 1, keys, 1);
    memset(args.value.stride, 0, sizeof args.value.stride);
    args.weights = rapt_tensor_bhsd(rows->weights, RAPT_F32, 1, 1, count, keys);
    args.out = rapt_tensor_bhsd(rows->weights + count * keys, RAPT_F32, 1, 1, count, 1);
    args.scale = rows->text->scale;
    args.softcap = rows->text->softcap;
    args.causal = rows->sight.causal;
    args.window_left = rows->sight.left;
    args.window_right = rows->sight.right;
    args.q_offset = &position;
    args.threads = (int)rows->page->threads;
    args.isa = rows->page->isa;
    args.interrupted = rows->page->interrupted;
    args.interrupted_context = rows->page->interrupted_context;
    const rapt_status status = rapt_attention(&args);
    if (status != RAPT_OK)
        page_fail(error, status, "%s",
                  status == RAPT_OUT_OF_MEMORY ? rapt_status_text(status) : rapt_last_error());
    return status;
}

/* The first key whose weight is none, or -1. */
static int64_t find_bad(const float *row, const struct sight *sight, struct sight_range seen) {
    for (int64_t key = 0; key < sight->keys; key++) {
        const bool sees = key >= seen.first && key < seen.end;
        if (!(row[key] >= 0 && (double)row[key] <= (sees ? MOST_WEIGHT : 0)))
            return key;
    }
    return -1;
}

static rapt_status check(const struct rows *rows, int64_t query, const float *row,
                         char error[PAGE_ERROR_SIZE]) {
    const struct sight *sight = &rows->sight;
    const struct sight_range seen = sight_of(sight, query);
    const int64_t bad = find_bad(row, sight, seen);
    double sum = 0;
    for (int64_t key = seen.first; key < seen.end; key++)
        sum += (double)row[key];
    if (bad < 0 && sum <= MOST_SUM)
        return RAPT_OK;
    char found[64], expected[64] = "a weight of 0 to 1";
    if (bad < 0)
        snprintf(found, sizeof found, "a row that sums to %.4g", sum);
    else
        snprintf(found, sizeof found, "%.4g for key %" PRId64, (double)row[bad], bad);
    if (bad < 0)
        snprintf(expected, sizeof expected, "a sum of at most 1");
    else if (row[bad] > 0 && row[bad] <= 1)
        snprintf(expected, sizeof expected, "0 for a key out of sight");
    return page_fail(error, RAPT_INVALID_ARGUMENT,
                     "layer %" PRId64 ", head %" PRId64 ", query %" PRId64
                     ": found %s, expected %s",
                     rows->layer->number, rows->head, query, found, expected);
}

bool rows_interrupted(const struct page *page) {
    return page->interrupted && page->interrupted(page->interrupted_context);
}

rapt_status rows_read(const struct rows *rows, int64_t first, int64_t count,
                      char error[PAGE_ERROR_SIZE]) {
    rapt_status status = RAPT_OK;
    if (rows_interrupted(rows->page))
        return page_fail(error, RAPT_INTERRUPTED, "%s", rapt_status_text(RAPT_INTERRUPTED));
    if (rows->layer->weights.dtype != RAPT_NONE)
        rows_copy(rows, first, count);
    else
        status = compute(rows, first, count, error);
    for (int64_t i = 0; status == RAPT_OK && i < count; i++)
        status = check(rows, first + i, rows->weights + i * rows->sight.keys, error);
    return status;
}
