/* SPDX-License-Identifier: Apache-2.0 */
/* One task: the panels of a batch and key head over all keys that they attend. */
#ifndef RAPT_SRC_TASK_H
#define RAPT_SRC_TASK_H

#include "plan.h"

/* scratch: plan->scratch.floats floats, aligned to RAPT_ALIGN, this thread's own. */
void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *task, float *scratch);

#endif
