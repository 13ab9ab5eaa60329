/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of a run, and what they do. */
#ifndef RAPT_SRC_RUN_H
#define RAPT_SRC_RUN_H

#include "src/plan/plan.h"

/* Bytes of workspace for a run in so many slices, any alignment. */
size_t rapt_run_workspace(const struct rapt_plan *plan, int slices);

/*
 * Runs all tasks of a bound plan on plan->threads threads at most, in a workspace for as many
 * slices. Everything has been checked; nothing can fail. False if the plan's caller interrupted it.
 */
bool rapt_run(const struct rapt_plan *plan, void *workspace);

/*
 * Calls task(context, i, scratch) for each i < count, on so many threads at most. Each thread has
 * scratch_bytes of `scratch` for its own, a multiple of RAPT_ALIGN.
 */
void rapt_parallel_for(int threads, int64_t count, void (*task)(const void *, int64_t, void *),
                       const void *context, void *scratch, size_t scratch_bytes);

/*
 * One slice of a run, on the calling thread, in a workspace that was zero before the first one.
 * False if the workspace isn't, or belongs to another run that hasn't ended.
 */
bool rapt_run_slice(const struct rapt_plan *plan, int slice, int slices, void *workspace);

#endif
