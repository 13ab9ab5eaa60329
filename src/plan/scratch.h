/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a run. Each kind has one function that lays it out. The plan finds its size by it,
 * and the run its arrays; see arena.h.
 */
#ifndef RAPT_SRC_PLAN_SCRATCH_H
#define RAPT_SRC_PLAN_SCRATCH_H

#include "src/base/arena.h"
#include "src/plan/plan.h"

/* What the threads of a run share, and a scratch for each of them. */
struct rapt_workspace {
    struct rapt_chunk_mask *chunk_masks; /* [chunk_mask_count] */
    char *scratch;                       /* [slices][scratch_bytes] */
    char *parts;                         /* [part_count][part_bytes] */
    float *statistics;                   /* [received.statistics] */
};
void rapt_place_workspace(const struct rapt_plan *plan, int slices, struct rapt_arena *arena,
                          struct rapt_workspace *workspace);

/* Finds the bytes of a thread's scratch, which serves the first pass and then the received pass. */
void rapt_measure_scratch(struct rapt_plan *plan);

/* Of the first pass. */
struct rapt_scratch {
    char *panels; /* [panels_per_task][plan->panel_bytes] */
    char *few;    /* [sets][plan->few_bytes]: what few queries need in addition */
    char *copied_key,
        *copied_value;              /* rows of a block that few queries can't read where they lie */
    float *scores, *bias;           /* of a block */
    float *first, *last, *position; /* [panel_rows]: of a block, or outputs of a panel */
    float *key_scale, *value_scale; /* of int8, for a block */
    char *part;                     /* the state of a chunk that isn't a panel's first */
    float *rows;                    /* [panel_rows][row_floats]: what isn't f32, as f32 */
    int64_t row_floats;
    float *staged_key, *staged_value; /* of a chunk if panels share it, or else of a block */
    uint16_t *amx_rows;               /* rows that aren't dense, before amx takes them */
};
void rapt_place_scratch(const struct rapt_plan *plan, struct rapt_arena *arena,
                        struct rapt_scratch *scratch);

/* What the lanes of a panel attend, and the kernel's view of the panel. */
struct rapt_panel_scratch {
    int64_t *first, *last, *position; /* [width] */
    float *slope;                     /* [width] */
    struct rapt_panel kernel;
};
void rapt_place_panel(const struct rapt_plan *plan, int width, struct rapt_arena *arena,
                      struct rapt_panel_scratch *panel);

/* The state of the softmax: of a panel that has its width and value_dim. */
void rapt_place_state(const struct rapt_problem *p, struct rapt_arena *arena,
                      struct rapt_panel *panel);
size_t rapt_state_bytes(const struct rapt_problem *p, int width);

/* A set of few queries, which has its sizes: its state of all chunks so far, and that of one. */
void rapt_place_few(const struct rapt_plan *plan, struct rapt_arena *arena, struct rapt_few *few,
                    struct rapt_few *part);

/* Of the received pass. */
struct rapt_received_scratch {
    float *rows;    /* [panel_rows][head_dim]: keys, before they are in lanes */
    float *queries; /* [key_block][head_dim], or amx's groups of them */
    float *scores, *bias;
    float *first, *last, *slope, *position; /* [panel_rows]: of a block */
    char *panels;                           /* [received.panels][panel_bytes] */
    size_t panel_bytes;
};
void rapt_place_received(const struct rapt_plan *plan, struct rapt_arena *arena,
                         struct rapt_received_scratch *scratch);

/* Keys in the lanes of a panel. */
struct rapt_key_panel_scratch {
    int64_t *first, *last;    /* [width]: the queries that attend each key */
    float *received;          /* [width] */
    float *scale;             /* [width]: of int8 keys */
    struct rapt_panel kernel; /* its queries are the keys */
};
void rapt_place_key_panel(const struct rapt_plan *plan, int width, struct rapt_arena *arena,
                          struct rapt_key_panel_scratch *panel);

#endif
