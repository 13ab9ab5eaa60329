/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites share: small problems with random data, canaries, and comparison by bits. */
#ifndef RAPT_TESTS_SUPPORT_HELPERS_H
#define RAPT_TESTS_SUPPORT_HELPERS_H

#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rapt/rapt.h>

/* What an output holds before anything has written it. */
enum { CANARY = 0xa5 };

static inline uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* -1 to 1 */
static inline float random_float(uint64_t *state) {
    return (float)(int32_t)next_random(state) * 0x1p-31f;
}

static inline void *allocate(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    cr_assert_not_null(memory);
    return memory;
}

static inline size_t elements(const rapt_tensor *t) {
    return (size_t)(t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3]);
}

static inline size_t bytes_of(const rapt_tensor *t) {
    return elements(t) / (size_t)rapt_dtype_block(t->dtype) * (size_t)rapt_dtype_size(t->dtype);
}

/* A dense (batch, heads, positions, channels) tensor, filled with canaries. */
static inline rapt_tensor new_tensor(rapt_dtype dtype, int64_t b, int64_t h, int64_t s, int64_t c) {
    rapt_tensor t = rapt_tensor_bhsd(NULL, dtype, b, h, s, c);
    t.data = allocate(bytes_of(&t));
    memset(t.data, CANARY, bytes_of(&t));
    return t;
}

/* The same with random numbers; one third of a bool tensor is false, int8 and q8_0 are any bytes
 * but for their scales. */
static inline rapt_tensor random_tensor(rapt_dtype dtype, int64_t b, int64_t h, int64_t s,
                                        int64_t c, uint64_t seed) {
    rapt_tensor t = new_tensor(dtype, b, h, s, c);
    const bool bytes = dtype == RAPT_I8 || dtype == RAPT_Q8_0;
    for (size_t i = 0; i < (bytes ? bytes_of(&t) : elements(&t)); i++)
        if (dtype == RAPT_BOOL)
            ((unsigned char *)t.data)[i] = next_random(&seed) % 3 != 0;
        else if (dtype == RAPT_Q8_0 && i % 34 == 1) /* the upper byte of a scale: 2^-6 to 2^-4 */
            ((unsigned char *)t.data)[i] = 0x24 + next_random(&seed) % 8;
        else if (bytes)
            ((unsigned char *)t.data)[i] = (unsigned char)next_random(&seed);
        else
            ((float *)t.data)[i] = random_float(&seed);
    return t;
}

static inline bool same_bits(const rapt_tensor *a, const rapt_tensor *b) {
    return memcmp(a->data, b->data, bytes_of(a)) == 0;
}

static inline bool untouched(const rapt_tensor *t) {
    const unsigned char *bytes = t->data;
    for (size_t i = 0; t->data && i < bytes_of(t); i++)
        if (bytes[i] != CANARY)
            return false;
    return true;
}

/* A problem by its sizes and options; what is 0 stays at its default, windows of 0 are open. */
struct form {
    int64_t batch, q_heads, kv_heads, q_len, kv_len, head_dim, value_dim;
    bool causal;
    int64_t window_left, window_right;
    float softcap;
    rapt_dtype mask;
    bool lse, weights, observed;
};

/* Every output of a problem, in the order of the args. */
enum { OUTPUTS = 11 };
static inline rapt_tensor *output_of(rapt_attention_args *args, int i) {
    rapt_tensor *all[OUTPUTS] = {&args->out,       &args->lse,      &args->max,
                                 &args->weights,   &args->entropy,  &args->top_weight,
                                 &args->top_key,   &args->distance, &args->segments,
                                 &args->diagonals, &args->received};
    return all[i];
}

/* What tells of the weights, for queries of shape (b, h, s) and `sequences` of so many keys. */
static inline void add_observed(rapt_attention_args *args, int64_t b, int64_t h, int64_t s,
                                int64_t sequences, int64_t columns) {
    static const int64_t bounds[] = {1, 3, 3, 60}, offsets[] = {0, -1, 7, -40};
    enum { TOP = 5, SEGMENTS = sizeof bounds / sizeof *bounds - 1, DIAGONALS = 4 };
    args->entropy = new_tensor(RAPT_F32, b, h, s, 1);
    args->top_weight = new_tensor(RAPT_F32, b, h, s, TOP);
    args->top_key = new_tensor(RAPT_I32, b, h, s, TOP);
    args->distance = new_tensor(RAPT_F32, b, h, s, 1);
    args->segments = new_tensor(RAPT_F32, b, h, s, SEGMENTS);
    args->segment_bounds = bounds;
    args->diagonals = new_tensor(RAPT_F32, b, h, s, DIAGONALS);
    args->diagonal_offsets = offsets;
    args->received = new_tensor(RAPT_F32, sequences, h, 1, columns);
}

/* Inputs are random and the same for each call with one seed; outputs hold canaries. */
static inline rapt_attention_args new_problem(const struct form *f, uint64_t seed) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = random_tensor(RAPT_F32, f->batch, f->q_heads, f->q_len, f->head_dim, seed * 4 + 1);
    args.key = random_tensor(RAPT_F32, f->batch, f->kv_heads, f->kv_len, f->head_dim, seed * 4 + 2);
    args.value =
        random_tensor(RAPT_F32, f->batch, f->kv_heads, f->kv_len, f->value_dim, seed * 4 + 3);
    args.out = new_tensor(RAPT_F32, f->batch, f->q_heads, f->q_len, f->value_dim);
    if (f->mask != RAPT_NONE)
        args.mask = random_tensor(f->mask, f->batch, f->q_heads, f->q_len, f->kv_len, seed * 4 + 4);
    if (f->lse)
        args.lse = new_tensor(RAPT_F32, f->batch, f->q_heads, f->q_len, 1);
    if (f->weights)
        args.weights = new_tensor(RAPT_F32, f->batch, f->q_heads, f->q_len, f->kv_len);
    if (f->observed)
        add_observed(&args, f->batch, f->q_heads, f->q_len, f->batch, f->kv_len);
    args.causal = f->causal;
    args.window_left = f->window_left ? f->window_left : -1;
    args.window_right = f->window_right ? f->window_right : -1;
    args.softcap = f->softcap;
    return args;
}

static inline void free_problem(rapt_attention_args *args) {
    rapt_tensor *inputs[] = {&args->query, &args->key,         &args->value, &args->key_scale,
                             &args->mask,  &args->value_scale, &args->alibi, &args->sink};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        free(inputs[i]->data);
    for (int i = 0; i < OUTPUTS; i++)
        free(output_of(args, i)->data);
}

/* Fills the outputs with canaries again. */
static inline void reset_outputs(rapt_attention_args *args) {
    for (int i = 0; i < OUTPUTS; i++)
        if (output_of(args, i)->data)
            memset(output_of(args, i)->data, CANARY, bytes_of(output_of(args, i)));
}

static inline bool outputs_untouched(const rapt_attention_args *args) {
    rapt_attention_args copy = *args;
    bool all = true;
    for (int i = 0; i < OUTPUTS; i++)
        all = all && untouched(output_of(&copy, i));
    return all;
}

/* Whether two problems of one form have the same results, as far as the first asks for them. */
static inline bool same_outputs(const rapt_attention_args *a, const rapt_attention_args *b) {
    rapt_attention_args first = *a, second = *b;
    bool all = true;
    for (int i = 0; i < OUTPUTS; i++)
        all = all && (!output_of(&first, i)->data ||
                      same_bits(output_of(&first, i), output_of(&second, i)));
    return all;
}

static inline void expect_ok(rapt_status status) {
    cr_assert_eq(status, RAPT_OK, "%s", rapt_last_error());
}

/* Whether text stands in message as a word or number of its own. */
static inline bool mentions(const char *message, const char *text) {
    const size_t length = strlen(text);
    for (const char *at = strstr(message, text); at; at = strstr(at + 1, text)) {
        const char before = at == message ? ' ' : at[-1], after = at[length];
        if (!isalnum((unsigned char)before) && before != '-' && before != '_' &&
            !isalnum((unsigned char)after) && after != '_')
            return true;
    }
    return false;
}

#endif
