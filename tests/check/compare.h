/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of a case must give: numbers within the oracle's bounds, or the bits of another run.
 */
#ifndef RAPT_CHECK_COMPARE_H
#define RAPT_CHECK_COMPARE_H

#include "oracle.h"
#include "tensors.h"
#include "trial.h"

/* Whether a result stored at `got` is what is expected, or as close to it as the bound says. */
bool compare_number(struct trial *k, rapt_dtype dtype, const void *got, double expected,
                    double bound);

/* All outputs, and the sums of weights. */
void compare_oracle(struct trial *k, const struct outputs *outputs,
                    const struct oracle_result *oracle);

/* The bits of `other` must be those of `first` in the given queries (all if count is 0), and
 * canaries in the rest. */
void compare_bits(struct trial *k, const struct outputs *first, const struct outputs *other,
                  const int *rows, int count, const char *what);

#endif
