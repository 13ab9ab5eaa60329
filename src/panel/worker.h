/* SPDX-License-Identifier: Apache-2.0 */
/* A thread at work on a task: its panels, the rows that they stand for, blocks of keys. */
#ifndef RAPT_SRC_PANEL_WORKER_H
#define RAPT_SRC_PANEL_WORKER_H

#include "src/plan/scratch.h"

/* A panel at work: the kernel's view of it, and which rows and keys it stands for. */
struct work_panel {
    struct rapt_panel kernel; /* its state is that of the present chunk */
    struct rapt_panel total;  /* the same queries, its state is that of all chunks so far */
    bool begun;               /* its queries are read, and some chunk may have been attended */
    bool done;                /* its results are written */
    bool empty;               /* no block has been attended since its state was cleared */
    int64_t *first, *last;    /* [lanes]: keys that each lane attends */
    int64_t *position;        /* [lanes]: of the lane's query */
    float *slope;             /* [lanes]: ALiBi, in units of log2, if there is any */
    int lanes;                /* the panel's width, or the number of a few rows */
    struct rapt_range rows;   /* of the sequence and key head */
    struct rapt_range keys;   /* that any lane attends */
    struct rapt_range whole;  /* that every lane attends */
    uint64_t hides, shows;    /* of the present chunk: what the mask does to all lanes */
};

/* Where a block's groups of rows lie as they are stored. */
struct stored_rows {
    const char *group[RAPT_GROUPS_MAX];
    bool together; /* no page ends within a group */
};

struct worker {
    const struct rapt_plan *plan;
    const struct rapt_task *task;
    struct rapt_chunk_mask *chunk_masks; /* [plan->chunk_mask_count], or NULL */
    const struct rapt_scratch *scratch;
    char *parts;            /* of the run's splits */
    struct rapt_range keys; /* that any panel of the task attends */
    int64_t staged_first;   /* the key that the staged rows begin with */
    bool is_few;            /* then there is one panel, and `few` does its work: sets of its rows */
    int sets;
    struct rapt_few few[RAPT_FEW_SETS]; /* their state is that of all chunks so far */
    struct rapt_few few_part[RAPT_FEW_SETS];
    struct stored_rows stored_value;
    struct stored_rows stored_key[2]; /* of its block and the next, in turn */
    int stored_turn;
    int64_t stored_first; /* the key that those of this turn begin with, or -1 */
    ptrdiff_t key_step, value_step, key_bytes, value_bytes; /* from one row to the next, of one */
    struct work_panel panel[RAPT_PANELS_MAX];
};

static inline struct rapt_range rapt_chunk_keys(const struct worker *w, int64_t chunk) {
    return (struct rapt_range){chunk * w->plan->chunk, (chunk + 1) * w->plan->chunk};
}

/* Calls visit for a panel's keys of every block. */
static inline void
rapt_visit_blocks(struct worker *w, struct work_panel *panel, struct rapt_range keys,
                  void (*visit)(struct worker *, struct work_panel *, struct rapt_range)) {
    const int64_t block = w->plan->key_block;
    for (int64_t k = keys.first / block * block; k < keys.last; k += block)
        visit(w, panel, rapt_meet(keys, (struct rapt_range){k, k + block}));
}

/* The row that a lane stands for: those beyond the panel's last row stand for it, too. */
struct lane {
    int64_t row, query, head; /* the head is one of the group */
};

/* Lanes are walked, because to divide by the group costs more than most of what is done for one. */
static inline struct lane rapt_first_lane(const struct worker *w, const struct work_panel *panel) {
    const int64_t row = panel->rows.first, group = w->plan->problem.group;
    return (struct lane){row, row / group, row % group};
}
static inline void rapt_next_lane(const struct worker *w, const struct work_panel *panel,
                                  struct lane *lane) {
    if (lane->row == panel->rows.last - 1)
        return;
    lane->row++;
    if (++lane->head == w->plan->problem.group) {
        lane->head = 0;
        lane->query++;
    }
}

/* Elements from a tensor's data to the rows of the first lanes. */
void rapt_lane_offsets(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int lanes, int64_t *offsets);

/* n elements of the rows of all lanes, from `at` on in each, to lanes[n][width], and back. */
void rapt_gather_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                      int64_t at, int64_t n, float *lanes);
void rapt_scatter_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int64_t at, int64_t n, const float *lanes);

/* Asks for the columns from first to last of all lanes' rows, which are to be gathered soon: the
 * hardware doesn't follow so many rows at a time. Dense rows only; others are left to it. */
void rapt_prefetch_rows(const struct worker *w, const struct work_panel *panel,
                        const rapt_tensor *t, int64_t first, int64_t last);

/* Packed rows begin with groups of RAPT_AMX_KEYS. The address of a row's elements of bf16, from
 * `at` on, if they are dense, or of their copy. */
const uint16_t *rapt_dense_row(const rapt_tensor *t, int64_t at, uint16_t *copy);

/*
 * A panel: sets it up; lets its chunk's state lie in some memory; makes this the state of some keys
 * alone. And takes a chunk's keys into its total. The state of the first chunk, joined to nothing,
 * is the total. Those of the others are joined to it while they lie in the cache.
 */
void rapt_start_panel(struct worker *w, int index);
void rapt_place_part(const struct worker *w, struct work_panel *panel, char *memory);
void rapt_attend_keys(struct worker *w, struct work_panel *panel, struct rapt_range keys);
void rapt_attend_chunk(struct worker *w, struct work_panel *panel, struct rapt_range keys);
void rapt_clear_out(const struct rapt_panel *panel);

/* Reads a panel's queries into its lanes; and some of its rows for a matrix unit, the last one
 * repeated up to the width. */
void rapt_read_queries(const struct worker *w, const struct work_panel *panel);
void rapt_pack_queries(const struct worker *w, const struct work_panel *panel, int first, int count,
                       int width, float *pairs);

/* A few rows: sets them up; takes a chunk's keys into their state, or lets that be of these keys
 * alone; brings it into the lanes of a panel. */
void rapt_start_few(struct worker *w);
void rapt_attend_few_chunk(struct worker *w, struct rapt_range keys);
void rapt_attend_few_part(struct worker *w, struct rapt_range keys);
void rapt_end_few(const struct worker *w, const struct rapt_panel *panel);

/* None of the largest weights is known yet. */
void rapt_clear_top(const struct rapt_observed *observed, int width);

/* Writes the weights of all panels of a task, whose results are known. A few rows begin before
 * their keys: they leave their scores where the weights go. */
void rapt_begin_kept(const struct worker *w);
void rapt_write_weights(struct worker *w);

/* What int8 keys are multiplied by, whose scales their scores are; queries have the inverse. */
float rapt_key_factor(const struct rapt_problem *p);

/* The queries' factor; a head's slope in units of log2; and a block that nothing masks. */
float rapt_query_factor(const struct rapt_problem *p);
float rapt_slope(float given);
struct rapt_block rapt_new_block(const struct rapt_problem *p, struct rapt_range keys);

/* Turns a panel's state into its outputs and writes all but the weights; to the row statistics,
 * what the received pass needs of every row. */
void rapt_write_panel(const struct worker *w, const struct work_panel *panel, float *statistics);

/* Tells the kernel what comes after some keys of one block for a panel. */
void rapt_plan_prefetch(const struct worker *w, const struct work_panel *panel,
                        struct rapt_range keys, struct rapt_block *block);

/* Takes the row of a mask that begins at an element into hides and shows, as `survey` does. */
void rapt_survey_row(const struct rapt_plan *plan, int64_t element, int64_t at, int64_t n,
                     uint64_t *hides, uint64_t *shows);

/*
 * A panel's keys of a chunk before it goes through them: finds what the mask does to them. Returns,
 * as rapt_attended() does afterwards, which of some of them to go through: those at both ends that
 * no lane attends are left out, and there may be none. Some of these may need no bias.
 */
struct rapt_range rapt_survey(const struct worker *w, struct work_panel *panel,
                              struct rapt_range keys);
struct rapt_range rapt_attended(const struct worker *w, const struct work_panel *panel,
                                struct rapt_range keys);
bool rapt_is_biased(const struct worker *w, const struct work_panel *panel, struct rapt_range keys);

/* The mask's elements for a panel and some keys of a block, as what is added to the scores. */
void rapt_fill_bias(const struct worker *w, const struct work_panel *panel, struct rapt_range keys);

/* Copies rows of keys and values to dense ones of f32, or packs them, where the plan wants that. */
void rapt_stage(struct worker *w, struct rapt_range keys);

/* The same for keys of one block, which a panel that has the task for itself stages on its own. */
static inline void rapt_stage_own(struct worker *w, struct rapt_range keys) {
    if (w->task->panels == 1)
        rapt_stage(w, keys);
}

/* Parts of a block, for stored.c: its groups of rows, the scales of int8, and what masks its keys
 * for a panel. */
int rapt_groups_in(struct rapt_range keys);
void rapt_scale_block(const struct worker *w, struct rapt_range keys, struct rapt_block *block);
void rapt_mask_block(const struct worker *w, const struct work_panel *panel, struct rapt_range keys,
                     struct rapt_block *block);

/* The kernel's view of some keys of one block, staged if need be, and of what masks them. */
struct rapt_block rapt_make_block(const struct worker *w, const struct work_panel *panel,
                                  struct rapt_range keys, bool masks);

/* The same for a few rows, whose keys and values are read as they are stored. `next`: the keys of
 * the block after it, whose rows are fetched meanwhile; may be empty. */
struct rapt_block rapt_make_few_block(struct worker *w, struct rapt_range keys,
                                      struct rapt_range next);

#endif
