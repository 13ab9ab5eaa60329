/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run with numbers of its own: lengths up to those that its plan was made for, positions, pages.
 * The plan's tasks stay, with what the run leaves them of their panels' chunks of keys.
 */
#ifndef RAPT_SRC_PLAN_RUN_NUMBERS_H
#define RAPT_SRC_PLAN_RUN_NUMBERS_H

#include "src/plan/plan.h"

/* The plan as a run has it, in `room`: with the numbers of checked data, and as many threads as its
 * work is worth. The plan itself if data brings none. */
const struct rapt_plan *rapt_plan_of_run(const struct rapt_plan *plan,
                                         const rapt_attention_data *data, struct rapt_plan *room);

/*
 * A task as the run has it, and its split's chunks if it is one of several that share them: split
 * is -1 in the first of those if there is too little to share. False if nothing is left to do.
 */
bool rapt_task_of_run(const struct rapt_plan *plan, const struct rapt_task *planned,
                      struct rapt_task *task, struct rapt_split *split);

#endif
