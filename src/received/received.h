/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The received pass: the sum of each key's weights over all queries. Here lanes are keys and go
 * through the queries in their order. So a sum has one order, and no two threads have a part in it.
 */
#ifndef RAPT_SRC_RECEIVED_RECEIVED_H
#define RAPT_SRC_RECEIVED_RECEIVED_H

#include "src/plan/plan.h"

/* Runs one of plan->received.tasks of a bound plan, after all tasks of the first pass. The scratch
 * is this thread's own. */
void rapt_received_run(const struct rapt_plan *plan, int64_t task, void *scratch,
                       const float *statistics);

#endif
