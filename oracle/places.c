/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of dense, ragged and paged batches. */
#include "oracle/places.h"

int64_t places_sequences(const rapt_attention_args *args) {
    return args->sequences || args->cu_q ? args->sequences : args->query.shape[0];
}

int64_t places_queries(const rapt_attention_args *args, int64_t b) {
    return args->cu_q ? args->cu_q[b + 1] - args->cu_q[b] : args->query.shape[2];
}

int64_t places_keys(const rapt_attention_args *args, int64_t b) {
    if (args->cu_k)
        return args->cu_k[b + 1] - args->cu_k[b];
    return args->kv_len ? args->kv_len[b] : args->key.shape[2];
}

bool places_dense(const rapt_attention_args *args) {
    return !args->cu_k && !args->block_table;
}

int64_t places_room(const rapt_attention_args *args, int64_t b) {
    return places_dense(args) ? args->key.shape[2] : places_keys(args, b);
}

int64_t places_columns(const rapt_attention_args *args) {
    int64_t longest = places_dense(args) ? args->key.shape[2] : 0;
    if (args->weights.dtype != RAPT_NONE)
        return args->weights.shape[3];
    for (int64_t b = 0; b < places_sequences(args); b++) {
        const int64_t room = places_room(args, b);
        longest = room > longest ? room : longest;
    }
    return longest;
}

void places_query(const rapt_attention_args *args, int64_t b, int64_t i, int64_t *at) {
    at[0] = args->cu_q ? 0 : b;
    at[2] = args->cu_q ? args->cu_q[b] + i : i;
}

void places_key(const rapt_attention_args *args, int64_t b, int64_t j, int64_t *at) {
    const int64_t page_size = args->key.shape[2];
    at[0] = args->cu_k ? 0 : b;
    at[2] = args->cu_k ? args->cu_k[b] + j : j;
    if (args->block_table) {
        at[0] = args->block_table[b * args->block_table_stride + j / page_size];
        at[2] = j % page_size;
    }
}

void places_mask(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t column,
                 int64_t *at) {
    const int64_t *shape = args->mask.shape;
    places_query(args, b, i, at);
    at[0] = shape[0] == 1 ? 0 : at[0];
    at[1] = shape[1] == 1 ? 0 : h;
    at[2] = shape[2] == 1 ? 0 : at[2];
    at[3] = shape[3] == 1 ? 0 : column;
}

void places_head(const rapt_tensor *heads, int64_t b, int64_t h, int64_t *at) {
    at[0] = heads->shape[0] == 1 ? 0 : b;
    at[1] = h;
    at[2] = at[3] = 0;
}
