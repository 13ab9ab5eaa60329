/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that shouldn't be there, or not be seen. */
#ifndef RAPT_ORACLE_POISON_H
#define RAPT_ORACLE_POISON_H

#include <stdbool.h>

#include <rapt/attention.h>

#include "oracle/cases.h"

/* Puts the NaN, infinity or garbage of a case among its numbers. False without memory. */
bool poison_fill(const rapt_attention_args *args, const struct attention_case *c, uint64_t *state);

#endif
