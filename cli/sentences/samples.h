/* SPDX-License-Identifier: Apache-2.0 */
/* The sentences that the command carries: what every head of a real model sees in them. */
#ifndef RAPT_CLI_SENTENCES_SAMPLES_H
#define RAPT_CLI_SENTENCES_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sample {
    const char *text;
    int token_count;
    const char **tokens;              /* token_count strings */
    int key_count;                    /* of keys of another text, or 0: they are the tokens */
    const char **keys;                /* that text's tokens, or NULL */
    const float *query, *key, *value; /* [layer][head][token][head_dim]; value may be NULL */
    const float *hidden; /* [layer][token][model_dim], what enters each layer, or NULL */
    void *memory;        /* of all that, or NULL if it is the blob's */
};

/* Strings and numbers are views of the blob, if there is one; only the lists are allocated. */
struct samples {
    const char *model;
    int layers, heads, head_dim;
    int key_heads; /* how many share the heads of queries, or 0: each has its own */
    float scale;   /* of scores; 0: 1 / sqrt(head_dim) */
    int model_dim; /* 0 without hidden states */
    int count;
    struct sample *sentences;
};

/* The keys' number, and their tokens. */
static inline int sample_keys(const struct sample *sentence) {
    return sentence->keys ? sentence->key_count : sentence->token_count;
}

static inline const char *const *sample_key_tokens(const struct sample *sentence) {
    return sentence->keys ? sentence->keys : sentence->tokens;
}

/* How many heads keys have. */
static inline int samples_key_heads(const struct samples *samples) {
    return samples->key_heads ? samples->key_heads : samples->heads;
}

enum { SAMPLES_ERROR_SIZE = 160 };

/* data/samples.bin, made into an array by the build; its size is in bytes. */
extern const uint32_t samples_data[];
extern const size_t samples_data_size;

/*
 * Reads a blob in the format that scripts/make-samples writes, aligned to 4 bytes, which must
 * outlive the result. On failure says in `error` what is wrong where, and leaves nothing to free.
 */
bool samples_parse(struct samples *result, const void *blob, size_t size,
                   char error[SAMPLES_ERROR_SIZE]);

void samples_free(struct samples *list);

#endif
