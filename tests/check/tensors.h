/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a case: numbers from its seed, in guarded memory, in any layout. */
#ifndef RAPT_CHECK_TENSORS_H
#define RAPT_CHECK_TENSORS_H

#include <rapt/attention.h>

#include "cases.h"
#include "guard.h"

enum tensor_role {
    TENSOR_QUERY,
    TENSOR_KEY,
    TENSOR_VALUE,
    TENSOR_MASK,
    TENSOR_ALIBI,
    TENSOR_SINK,
    TENSOR_OUT, /* from here on outputs */
    TENSOR_LSE,
    TENSOR_MAX,
    TENSOR_WEIGHTS,
    TENSOR_COUNT
};

/* What outputs and the gaps between their elements hold before a run. */
enum { CANARY_BYTE = 0xa5 };

/* A problem that owns its memory. Don't move it: args point into it. */
struct tensors {
    rapt_attention_args args;
    int64_t q_offset[CASE_BATCH_MAX], kv_len[CASE_BATCH_MAX];
    struct guard memory[TENSOR_COUNT];
};

/* The outputs of a run as dense arrays in the order batch, head, query, channel. */
struct outputs {
    rapt_dtype dtype[TENSOR_COUNT];
    unsigned char *data[TENSOR_COUNT]; /* NULL for inputs and what is absent */
    size_t count[TENSOR_COUNT];        /* elements; 0 likewise */
};

/* False if there's no memory; then there's nothing to free. */
bool tensors_make(struct tensors *t, const struct attention_case *c, enum guard_side side);

/* The numbers of `from`, stored and laid out as `c` says, which is the same case otherwise. */
bool tensors_copy(struct tensors *t, const struct tensors *from, const struct attention_case *c,
                  enum guard_side side);

void tensors_free(struct tensors *t);

rapt_tensor *tensors_view(rapt_attention_args *args, enum tensor_role role);
const char *tensors_name(enum tensor_role role);

/* The element at batch, head, position, channel. */
void *tensors_element(const rapt_tensor *view, const int64_t *at);

/* Steps to the next element in that order; back to the first and false after the last. */
bool tensors_next(const rapt_tensor *view, int64_t *at);

/* A number that changes if the inputs do. */
uint64_t tensors_checksum(const struct tensors *t);

/* Fills the outputs with canaries. */
void tensors_clear_outputs(struct tensors *t);

/* Takes the outputs out and leaves canaries in their place. False without memory. */
bool tensors_collect(struct tensors *t, struct outputs *outputs);

/* Call after tensors_collect: whether what lies between and around the elements is as before. */
bool tensors_outputs_intact(const struct tensors *t);

/* An element, as a number and as its bits. */
float outputs_number(const struct outputs *outputs, enum tensor_role role, size_t index);
uint32_t outputs_bits(const struct outputs *outputs, enum tensor_role role, size_t index);

/* Rounds an f32 output to another type. */
void outputs_round(struct outputs *outputs, enum tensor_role role, rapt_dtype dtype);

void outputs_free(struct outputs *outputs);

#endif
