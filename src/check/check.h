/* SPDX-License-Identifier: Apache-2.0 */
/* Every check of what a caller of attention gives. Caches and layers check what is theirs, by the
 * same functions. */
#ifndef RAPT_SRC_CHECK_CHECK_H
#define RAPT_SRC_CHECK_CHECK_H

#include "src/check/problem.h"
#include "src/base/tensor.h"

/* Checks all but the tensors' pointers. The problem points to the args' arrays of numbers. */
rapt_status rapt_check_args(const rapt_attention_args *args, struct rapt_problem *problem);

/* Checks so many numbers of an array that may be NULL. */
rapt_status rapt_check_numbers(const char *name, const int64_t *numbers, int64_t count,
                               int64_t least, int64_t most);

/* Checks the pages of every sequence, as far as its keys go. */
rapt_status rapt_check_table(const struct rapt_problem *problem, const int32_t *table,
                             int64_t stride, const int64_t *kv_lens);

/*
 * Checks what one run brings. Pointers must be there and aligned, and no output may lie over
 * another tensor. The plan's problem, whose block tables have this stride, must have room for the
 * numbers.
 */
rapt_status rapt_check_data(const struct rapt_problem *problem, int64_t table_stride,
                            const rapt_attention_data *data);

/* Checks all that rapt_merge() is given. */
rapt_status rapt_check_merge(int count, const rapt_tensor *outs, const rapt_tensor *lses,
                             const rapt_tensor *out, const rapt_tensor *lse);

/*
 * Checks one view of f32, f16 or bf16 and its pointer, and finds its place. A shape that the view
 * must have, or NULL for any with channels. A view without elements needs no pointer.
 */
rapt_status rapt_check_floats(const char *name, const rapt_tensor *view, const int64_t *shape,
                              bool output, struct rapt_place *place);

#endif
