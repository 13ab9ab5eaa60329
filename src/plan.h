/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a problem is divided: into blocks of keys, panels of query rows, tasks for threads, and the
 * scratch of a thread. All of it is a pure function of the problem, the variant and the number of
 * threads; of these, only the block of keys has any influence on the result's bits.
 *
 * A row is one (query position, head of a group) pair of a key head: row = query * group + head.
 */
#ifndef RAPT_SRC_PLAN_H
#define RAPT_SRC_PLAN_H

#include "kernels.h"
#include "problem.h"

enum { RAPT_PANELS_MAX = 8 }; /* of a task: they share a superblock; more would fill the cache */

/* Some panels of one batch and key head. Tasks write distinct rows and can run in any order. */
struct rapt_task {
    int32_t batch, kv_head;
    int64_t panel; /* the first */
    int64_t cost;  /* scores that its lanes compute */
};

/* Floats from the start of a thread's scratch to each of its parts. */
struct rapt_scratch {
    size_t panels, panel_floats; /* panels_per_task of them */
    size_t scores, bias, bounds;
    size_t rows; /* panel_rows of row_floats: what isn't f32, widened or yet to be narrowed */
    int64_t row_floats;
    size_t staged_key, staged_value;
    size_t floats; /* all of a thread's */
};

struct rapt_plan {
    struct rapt_problem problem;
    rapt_attention_data data; /* for runs that don't bring their own */
    const struct rapt_kernels *kernels;
    int threads;

    int key_block;      /* keys between two rescalings: blocks start at its multiples */
    int64_t superblock; /* keys that a task's panels share while they lie in the cache */
    bool stage;         /* superblocks are copied first, because of the keys' or values' strides */

    int64_t rows, panels;    /* of one batch and key head */
    int64_t panels_per_task; /* at most */
    int64_t task_count;
    struct rapt_task *tasks; /* heaviest first */

    struct rapt_scratch scratch;
};

/* Rows of a panel: first <= row < last. All panels are about as wide. */
struct rapt_range rapt_panel_rows(const struct rapt_plan *plan, int64_t panel);

/* Keys between two rescalings of the online softmax: a function of the head sizes alone. */
int rapt_key_block(int64_t head_dim, int64_t value_dim);

/*
 * Fills all but tasks from problem and kernels; threads is how many there may be at most. Fails if
 * the sizes that follow from the shapes can't be counted.
 */
rapt_status rapt_plan_sizes(struct rapt_plan *plan, int threads);

/* Fills tasks, which has room for task_count of them. */
void rapt_plan_tasks(struct rapt_plan *plan);

#endif
