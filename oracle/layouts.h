/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes and strides of a case's tensors. */
#ifndef RAPT_ORACLE_LAYOUTS_H
#define RAPT_ORACLE_LAYOUTS_H

#include "oracle/tensors.h"

/* Sets dtypes and shapes of all tensors that the case has. Needs the lengths in args; `pages` is
 * how many there are in the pools of keys and values. */
void layouts_shapes(rapt_attention_args *args, const struct attention_case *c, int64_t pages);

/* Sets the strides, of a paged tensor within a page. token: elements of one position in a packed
 * buffer. */
void layouts_strides(rapt_tensor *view, enum tensor_role role, enum layout layout, int64_t token);

#endif
