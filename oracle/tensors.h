/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a case: numbers from its seed, in guarded memory, in any form and layout. */
#ifndef RAPT_ORACLE_TENSORS_H
#define RAPT_ORACLE_TENSORS_H

#include <rapt/attention.h>

#include "oracle/cases.h"
#include "oracle/guard.h"

enum tensor_role {
    TENSOR_QUERY,
    TENSOR_KEY,
    TENSOR_VALUE,
    TENSOR_MASK,
    TENSOR_KEY_SCALE,
    TENSOR_VALUE_SCALE,
    TENSOR_ALIBI,
    TENSOR_SINK,
    TENSOR_OUT, /* from here on outputs */
    TENSOR_LSE,
    TENSOR_MAX,
    TENSOR_WEIGHTS,
    TENSOR_ENTROPY,
    TENSOR_DISTANCE,
    TENSOR_SEGMENTS,
    TENSOR_DIAGONALS,
    TENSOR_TOP_WEIGHT,
    TENSOR_TOP_KEY,
    TENSOR_COUNT
};

/* What outputs and the gaps between their elements hold before a run. */
enum { CANARY_BYTE = 0xa5 };

/* A problem that owns its memory. Don't move it: args point into it. */
struct tensors {
    rapt_attention_args args;
    int64_t q_offset[CASE_BATCH_MAX], kv_len[CASE_BATCH_MAX], kv_start[CASE_BATCH_MAX],
        mask_start[CASE_BATCH_MAX];
    int64_t q_len[CASE_BATCH_MAX], cu_q[CASE_BATCH_MAX + 1], cu_k[CASE_BATCH_MAX + 1];
    int64_t segment_bounds[CASE_SEGMENTS + 1], diagonal_offsets[CASE_DIAGONALS];
    int order[CASE_BATCH_MAX]; /* which sequence of the case is in each place */
    struct guard memory[TENSOR_COUNT], table;
};

/* False if there's no memory; then there's nothing to free. */
bool tensors_make(struct tensors *t, const struct attention_case *c, enum guard_side side);

/* The numbers of `from`, in the form, storage and layout of `c`, which is the same case otherwise.
 * Its sequences stand in another order, by their number in `from`. */
bool tensors_copy(struct tensors *t, const struct tensors *from, const struct attention_case *c,
                  const int *order, enum guard_side side);

void tensors_free(struct tensors *t);

rapt_tensor *tensors_view(rapt_attention_args *args, enum tensor_role role);
const char *tensors_name(enum tensor_role role);

/* Whether it has a row for each key. */
bool tensors_is_of_keys(enum tensor_role role);

/* The element at batch, head, position, channel. */
void *tensors_element(const rapt_tensor *view, const int64_t *at);

/* Lets a view start at one of its elements, for q8_0 of its blocks. */
void tensors_start_at(rapt_tensor *view, const int64_t *at);

/* Whether a view has no elements, as one that isn't there. */
static inline bool tensors_is_empty(const rapt_tensor *view) {
    return view->shape[0] * view->shape[1] * view->shape[2] * view->shape[3] == 0;
}

/* Steps to the next element in that order; back to the first and false after the last. */
bool tensors_next(const rapt_tensor *view, int64_t *at);

/* A number that changes if the inputs do. */
uint64_t tensors_checksum(const struct tensors *t);

#endif
