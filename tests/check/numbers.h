/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a case. */
#ifndef RAPT_CHECK_NUMBERS_H
#define RAPT_CHECK_NUMBERS_H

#include <stdbool.h>

#include <rapt/attention.h>

#include "cases.h"

/* Fills the inputs from the seed of the case. Needs positions and lengths. False without memory. */
bool numbers_fill(const rapt_attention_args *args, const struct attention_case *c);

#endif
