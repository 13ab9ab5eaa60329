/* SPDX-License-Identifier: Apache-2.0 */
/* A case in parts: its keys are cut into two or three sets whose results are merged. */
#ifndef RAPT_ORACLE_PARTS_H
#define RAPT_ORACLE_PARTS_H

#include "oracle/oracle.h"
#include "oracle/outputs.h"
#include "oracle/trial.h"

/* Whether views of a case's tensors can be parts of its keys, with offsets within their limits. */
bool parts_can_be_cut(const struct attention_case *c);

/*
 * Checks that merged parts are the whole, within a bound that follows from the parts' own. Where
 * one part is all there is, they are the whole to the bit. whole: the oracle's results of the case.
 */
void parts_check(struct trial *k, const struct tensors *t, const struct oracle_result *whole);

#endif
