/* SPDX-License-Identifier: Apache-2.0 */
/* One task: panels of a sequence and key head over the keys that they attend. */
#ifndef RAPT_SRC_PANEL_TASK_H
#define RAPT_SRC_PANEL_TASK_H

#include "src/plan/plan.h"

/*
 * scratch: plan->scratch.floats floats, aligned to RAPT_ALIGN, this thread's own. parts:
 * plan->part_count times part_floats, which all threads share. results: what the rows leave for
 * the second pass, plan->received.results floats. chunk_masks: plan->chunk_mask_count of them,
 * which all threads share, 0 before the first task.
 */
void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *task, float *scratch, float *parts, float *results,
                   struct rapt_chunk_mask *chunk_masks);

/* After all tasks of a split: joins its parts and writes the results of its panel, unless the run
 * leaves it undivided. */
void rapt_task_join(const struct rapt_plan *plan, const rapt_attention_data *data,
                    const struct rapt_task *task, float *scratch, float *parts, float *results);

#endif
