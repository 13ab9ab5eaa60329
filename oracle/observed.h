/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is observed of the weights, against the oracle's whole matrix of weights. Bounds follow from
 * those of the weights and from the roundings of sums over the keys.
 */
#ifndef RAPT_ORACLE_OBSERVED_H
#define RAPT_ORACLE_OBSERVED_H

#include "oracle/oracle.h"
#include "oracle/outputs.h"
#include "oracle/trial.h"

/* Entropy, distance, segments and the largest weights of every query. */
void observed_compare(struct trial *k, const rapt_attention_args *args,
                      const struct outputs *outputs, const struct oracle_result *oracle);

/* What keys receive, in a run of its own, and the same bits in others. */
void observed_received(struct trial *k, const rapt_attention_args *args,
                       const struct oracle_result *oracle);

#endif
