/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of a case must give: numbers within the oracle's bounds, or the bits of another run.
 */
#ifndef RAPT_ORACLE_COMPARE_H
#define RAPT_ORACLE_COMPARE_H

#include "oracle/oracle.h"
#include "oracle/outputs.h"
#include "oracle/trial.h"

/* Whether a result stored at `got` is what is expected, or as close to it as the bound says. */
bool compare_number(struct trial *k, rapt_dtype dtype, const void *got, double expected,
                    double bound);

/* All outputs, and the sums of weights. */
void compare_oracle(struct trial *k, const struct outputs *outputs,
                    const struct oracle_result *oracle);

/* What must be the same as in the first run. */
struct comparison {
    const char *what;
    const int *queries; /* of each sequence, `count` of them or all if that is 0 */
    int count;
    bool lengths_only; /* leaves out columns of weights that a sequence has no keys for */
};

/* The bits of `other` must be those of `first`, and canaries in queries that aren't compared. An
 * output that only one of them has isn't, either. */
void compare_bits(struct trial *k, const struct outputs *first, const struct outputs *other,
                  const struct comparison *how);

#endif
