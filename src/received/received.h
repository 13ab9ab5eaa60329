/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass: the sum of each key's weights over all queries. Here lanes are keys and go
 * through the queries in their order, so a sum has one order and no two threads have a part in it.
 */
#ifndef RAPT_SRC_RECEIVED_RECEIVED_H
#define RAPT_SRC_RECEIVED_RECEIVED_H

#include "src/plan/plan.h"

/* Fills plan->received. False if its sizes can't be counted. */
bool rapt_received_sizes(struct rapt_plan *plan, int threads);

/* Where the first pass leaves a row's max and factor of weights for it: two numbers. */
int64_t rapt_received_result(const struct rapt_problem *p, int64_t b, int64_t head, int64_t query);

/* Runs one of plan->received.tasks. scratch is as for rapt_task_run(). */
void rapt_received_run(const struct rapt_plan *plan, const rapt_attention_data *data, int64_t task,
                       float *scratch, const float *results);

#endif
