/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of a run, read into dense arrays. */
#include "oracle/outputs.h"

#include <stdlib.h>
#include <string.h>

#include "oracle/places.h"
#include "oracle/storage.h"

void outputs_clear(struct tensors *t) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        if (t->memory[role].data)
            memset(t->memory[role].data, CANARY_BYTE, t->memory[role].size);
}

/* Where a sequence of the case stands. */
static int64_t place_of(const struct tensors *t, int64_t sequence) {
    int64_t b = 0;
    while (t->order[b] != sequence)
        b++;
    return b;
}

/* Moves the rows of a sequence to `dense`, and returns where they end. */
static unsigned char *take(const rapt_attention_args *args, int64_t b, const rapt_tensor *view,
                           unsigned char *dense) {
    const size_t size = storage_size(view->dtype);
    int64_t at[4];
    for (int64_t h = 0; h < view->shape[1]; h++) {
        for (int64_t i = 0; i < places_queries(args, b); i++) {
            places_query(args, b, i, at);
            at[1] = h;
            for (at[3] = 0; at[3] < view->shape[3]; at[3]++) {
                memcpy(dense, tensors_element(view, at), size);
                memset(tensors_element(view, at), CANARY_BYTE, size);
                dense += size;
            }
        }
    }
    return dense;
}

bool outputs_collect(struct tensors *t, struct outputs *outputs) {
    const int64_t sequences = places_sequences(&t->args);
    memset(outputs, 0, sizeof *outputs);
    for (int64_t b = 0; b < sequences; b++)
        outputs->rows += (size_t)(t->args.out.shape[1] * places_queries(&t->args, b));
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++) {
        const rapt_tensor *view = tensors_view(&t->args, role);
        if (view->dtype == RAPT_NONE)
            continue;
        outputs->count[role] = outputs->rows * (size_t)view->shape[3];
        outputs->dtype[role] = view->dtype;
        outputs->data[role] = malloc(outputs->count[role] * storage_size(view->dtype) + 1);
        if (!outputs->data[role]) {
            outputs_free(outputs);
            return false;
        }
        unsigned char *dense = outputs->data[role];
        for (int64_t sequence = 0; sequence < sequences; sequence++)
            dense = take(&t->args, place_of(t, sequence), view, dense);
    }
    return true;
}

bool outputs_are_intact(const struct tensors *t) {
    for (int role = 0; role < TENSOR_COUNT; role++) {
        const struct guard *g = &t->memory[role];
        if (g->map && !guard_intact(g))
            return false;
        if (g->map && role >= TENSOR_OUT && g->size > 0 &&
            (g->data[0] != CANARY_BYTE || memcmp(g->data, g->data + 1, g->size - 1) != 0))
            return false;
    }
    return true;
}

static const void *output(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return outputs->data[role] + index * storage_size(outputs->dtype[role]);
}

float outputs_number(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return storage_read(outputs->dtype[role], output(outputs, role, index));
}

uint32_t outputs_bits(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return storage_bits(outputs->dtype[role], output(outputs, role, index));
}

void outputs_round(struct outputs *outputs, enum tensor_role role, rapt_dtype dtype) {
    for (size_t n = 0; n < outputs->count[role] && outputs->dtype[role] != dtype; n++)
        storage_write(dtype, outputs->data[role] + n * storage_size(dtype),
                      outputs_number(outputs, role, n));
    outputs->dtype[role] = dtype;
}

void outputs_free(struct outputs *outputs) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        free(outputs->data[role]);
    memset(outputs, 0, sizeof *outputs);
}
