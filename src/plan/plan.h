/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a problem is divided: keys into blocks and chunks, query rows into panels, both into tasks
 * for threads, and the scratch of a thread. All of it is a pure function of the problem, the
 * variant and the number of threads. Only the blocks and chunks of keys have any influence on the
 * result's bits. They follow from the head sizes alone, and from whether amx computes.
 *
 * A row is one (query position, head of a group) pair of a sequence and key head: row = query *
 * group + head.
 */
#ifndef RAPT_SRC_PLAN_PLAN_H
#define RAPT_SRC_PLAN_PLAN_H

#include <stdatomic.h>

#include "simd/kernels.h"
#include "src/check/problem.h"

enum {
    RAPT_PANELS_MAX = 16,   /* of a task */
    RAPT_SPLITS_MAX = 1024, /* of a plan: more would divide work that needs no division */
    RAPT_PANELS_SHARED = 4, /* of a chunk: keep the same share of the peak as more do */
};

/*
 * Some panels of one sequence and key head, over some chunks of their keys. Tasks can run in any
 * order: they write distinct rows, or if they share a panel, distinct parts.
 */
struct rapt_task {
    int32_t batch, kv_head;
    int64_t panel; /* the first */
    int32_t panels;
    int32_t split; /* the number of its struct rapt_split, or -1 */
    int32_t piece; /* of it: the first is 0 */
    struct rapt_range chunks;
    int64_t cost; /* scores that its lanes compute */
};

/* A panel whose chunks are divided among tasks. Each chunk has a part, a state of the softmax, and
 * who is done last joins them in the order of the chunks. */
struct rapt_split {
    struct rapt_range chunks;
    int64_t part, parts; /* that of the first chunk; how many there is room for */
    int tasks;
};

/* The received pass, after all tasks: what every key receives. Nothing if there is no such output.
 */
struct rapt_received_plan {
    int64_t panels; /* of keys that go through the queries together, at most */
    int64_t tasks_per_head, tasks;
    int64_t statistics; /* floats: of every row the max and factor, which the first pass leaves */
};

struct rapt_plan {
    struct rapt_problem problem;
    void *numbers;            /* the memory of the problem's arrays */
    int64_t table_stride;     /* of block tables that runs bring */
    bool is_of_run;           /* the problem's numbers are those of a run, see bind.h */
    rapt_attention_data data; /* for runs that don't bring their own */
    const struct rapt_kernels *kernels;
    int threads;
    uint32_t number;                    /* of the plans that callers have made, from 1 on */
    bool (*interrupted)(void *context); /* see rapt_attention_args */
    void *interrupted_context;

    int panel_rows; /* of queries, at most */
    int key_block;  /* keys between two rescalings: blocks start at its multiples */
    int64_t chunk;  /* keys after which the softmax starts anew; the panels of a task share them
                       while they lie in the cache */
    bool joins;     /* some sequence has keys of more than one chunk */
    bool amx; /* the kernels multiply bf16 by AMX; a panel's keys and values are staged for it */
    bool stage_key, stage_value; /* rows are copied first: of a chunk if panels share it, or else of
                                    a block */
    bool has_few;

    int64_t panels_per_task; /* at most */
    int64_t split_cost;      /* tasks of more than this are split */
    int64_t task_count;
    struct rapt_task *tasks; /* heaviest first */
    int64_t split_count, part_count;
    int part_width; /* lanes of the widest panel that is split */
    struct rapt_split *splits;
    size_t part_bytes; /* the state of a panel, of part_width lanes */

    int64_t chunk_mask_count; /* that heads share: [batch][panels][chunks], up to a limit */
    int64_t chunk_mask_panels, chunk_mask_chunks; /* of a sequence */

    struct rapt_received_plan received;
    size_t scratch_bytes;          /* of a thread, see scratch.h */
    size_t panel_bytes, few_bytes; /* of it: a panel, and a set of few queries */
};

/*
 * What a mask does to the keys of one chunk, for the rows of a panel: see `survey` of the kernels.
 * Heads may share a mask. Then the first of them leaves this for the others. Until then it is 0,
 * which no mask gives: a chunk has 63 pieces at most, so the highest bit stays set.
 */
struct rapt_chunk_mask {
    atomic_uint_fast64_t hides, shows;
};

/* Keys between two rescalings of the online softmax, and between its new starts: functions of the
 * head sizes alone. */
int rapt_key_block(int64_t head_dim, int64_t value_dim);
int64_t rapt_chunk(int64_t head_dim, int64_t value_dim);

/* How many of at most so many threads have work that is worth waking them for. */
int rapt_threads_for(double flops, int most);

/* Whether a sequence's rows are one panel of few queries, its number of panels, and the rows of
 * one. All panels of a sequence are about as wide. */
bool rapt_is_few(const struct rapt_plan *plan, int64_t b);
int64_t rapt_panels(const struct rapt_plan *plan, int64_t b);
struct rapt_range rapt_panel_rows(const struct rapt_plan *plan, int64_t b, int64_t panel);

/* Lanes of a panel of these rows: whole vectors. */
int rapt_panel_width(const struct rapt_plan *plan, struct rapt_range rows);

/* Whether rows of this view would be read badly where they are by so many panels. */
bool rapt_are_copied(const struct rapt_plan *plan, const rapt_tensor *t, int64_t panels);

/* How many panels a task may have: they share a chunk, and more would fill the cache. */
int64_t rapt_panels_most(const struct rapt_plan *plan);

/* Keys that enclose those of some panels of a sequence, and the scores that their lanes compute. */
struct rapt_range rapt_panel_keys(const struct rapt_plan *plan, int64_t b, int64_t panel,
                                  int64_t last, int64_t *cost);

/* Where a row's max and factor of weights are among the row statistics: two numbers. */
int64_t rapt_statistics_at(const struct rapt_problem *p, int64_t b, int64_t head, int64_t query);

/* The chunks that a task's panels attend, all pieces of it together. */
struct rapt_range rapt_task_chunks(const struct rapt_plan *plan, const struct rapt_task *task);

/* Fills amx, panel_rows, key_block and chunk, from problem and kernels. */
void rapt_plan_geometry(struct rapt_plan *plan);

/*
 * Fills all but tasks and splits from problem and kernels; threads is how many there may be at
 * most. Fails if the sizes that follow from the shapes can't be counted.
 */
rapt_status rapt_plan_sizes(struct rapt_plan *plan, int threads);

/* Counts tasks, splits and parts. */
void rapt_count_tasks(struct rapt_plan *plan);

/* Fills tasks and splits, which have room for task_count and split_count of them. */
void rapt_plan_tasks(struct rapt_plan *plan);

#endif
