/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan as a run has it: the tensors have the run's data. A run may also have numbers of its own:
 * lengths up to those that its plan was made for, positions, pages. The plan's tasks stay, with
 * what the run leaves them of their panels' chunks of keys.
 */
#ifndef RAPT_SRC_PLAN_BIND_H
#define RAPT_SRC_PLAN_BIND_H

#include "src/plan/plan.h"

/* Makes `bound` the plan with checked data, and with as many threads as the run's numbers are
 * worth. */
void rapt_bind(const struct rapt_plan *plan, const rapt_attention_data *data,
               struct rapt_plan *bound);

/*
 * A task as the run has it, and the chunks of its split, which several tasks share. If there is too
 * little to share, the first of these has split -1. False if nothing is left to do.
 */
bool rapt_task_of_run(const struct rapt_plan *plan, const struct rapt_task *planned,
                      struct rapt_task *task, struct rapt_split *split);

#endif
