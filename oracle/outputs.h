/* SPDX-License-Identifier: Apache-2.0 */
/* What a run leaves in the outputs of a case. */
#ifndef RAPT_ORACLE_OUTPUTS_H
#define RAPT_ORACLE_OUTPUTS_H

#include "oracle/tensors.h"

/* The outputs of a run as dense arrays in the order sequence (of the case), head, query, channel,
 * whatever their form was. */
struct outputs {
    rapt_dtype dtype[TENSOR_COUNT];
    unsigned char *data[TENSOR_COUNT]; /* NULL for inputs and what is absent */
    size_t count[TENSOR_COUNT];        /* elements; 0 likewise */
    size_t rows;
};

/* Fills the outputs with canaries. */
void outputs_clear(struct tensors *t);

/* Takes the outputs out and leaves canaries in their place. False without memory. */
bool outputs_collect(struct tensors *t, struct outputs *outputs);

/* Call after outputs_collect: whether what lies between and around the elements is as before. */
bool outputs_are_intact(const struct tensors *t);

/* An element, as a number and as its bits. */
float outputs_number(const struct outputs *outputs, enum tensor_role role, size_t index);
uint32_t outputs_bits(const struct outputs *outputs, enum tensor_role role, size_t index);

/* Rounds an f32 output to another type. */
void outputs_round(struct outputs *outputs, enum tensor_role role, rapt_dtype dtype);

void outputs_free(struct outputs *outputs);

#endif
