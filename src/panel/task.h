/* SPDX-License-Identifier: Apache-2.0 */
/* One task: panels of a sequence and key head over the keys that they attend. */
#ifndef RAPT_SRC_PANEL_TASK_H
#define RAPT_SRC_PANEL_TASK_H

#include "src/plan/scratch.h"

/*
 * Runs a task of a bound plan. The scratch is this thread's own, all threads share the workspace.
 * Its chunk masks are 0 before the first task, or NULL if nobody could see to that.
 */
void rapt_task_run(const struct rapt_plan *plan, const struct rapt_task *task,
                   const struct rapt_scratch *scratch, const struct rapt_workspace *workspace);

/* After all tasks of a split: joins its parts and writes the outputs of its panel, unless the run
 * leaves it undivided. */
void rapt_task_join(const struct rapt_plan *plan, const struct rapt_task *task,
                    const struct rapt_scratch *scratch, const struct rapt_workspace *workspace);

#endif
