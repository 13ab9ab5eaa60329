/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a case. */
#ifndef RAPT_ORACLE_NUMBERS_H
#define RAPT_ORACLE_NUMBERS_H

#include <stdbool.h>

#include <rapt/attention.h>

#include "oracle/cases.h"

/* Fills the inputs from the seed of the case. Needs positions and lengths. False without memory. */
bool numbers_fill(const rapt_attention_args *args, const struct attention_case *c);

/* Writes an element; a finite number stays finite, a NaN isn't the canonical one. */
void numbers_put(const rapt_tensor *view, const int64_t *at, float number);

/* Writes the scale of an element's row, or of its block. */
void numbers_put_scale(const rapt_tensor *view, const rapt_tensor *scales, const int64_t *at,
                       float scale);

#endif
