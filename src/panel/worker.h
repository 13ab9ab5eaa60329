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
    bool done;                /* its outputs are written */
    bool empty;               /* no block has been attended since its state was cleared */
    int64_t *first, *last;    /* [lanes]: keys that each lane attends */
    int64_t *position;        /* [lanes]: of the lane's query */
    float *slope;             /* [lanes]: ALiBi, in units of log2, if there is any */
    int lanes;                /* the panel's width, or the number of few queries */
    struct rapt_range rows;   /* of the sequence and key head */
    struct rapt_range keys;   /* that any lane attends */
    struct rapt_range whole;  /* that every lane attends */
    uint64_t hides, shows;    /* of the present chunk, a bit for each 32 keys: the mask hides them
                                 from all lanes; it leaves all their scores as they are */
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

/* ---- gather.c: rows of a tensor, lanes of a panel ---- */

/* Elements from a tensor's data to the rows of the first lanes. */
void rapt_lane_offsets(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int lanes, int64_t *offsets);

/* n elements of the rows of all lanes, from `at` on in each, to lanes[n][width], and back. */
void rapt_gather_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                      int64_t at, int64_t n, float *lanes);
void rapt_scatter_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int64_t at, int64_t n, const float *lanes);

/* Prefetches the columns from first to last of all lanes' rows, before these are gathered. The
 * hardware doesn't follow so many rows at a time. It is left with rows that aren't dense. */
void rapt_prefetch_rows(const struct worker *w, const struct work_panel *panel,
                        const rapt_tensor *t, int64_t first, int64_t last);

/* ---- queries.c ---- */

/* Reads a panel's queries into its lanes. */
void rapt_read_queries(const struct worker *w, const struct work_panel *panel);

/* Packs some rows of a panel for amx. The last one is repeated up to the width. */
void rapt_pack_queries(const struct worker *w, const struct work_panel *panel, int first, int count,
                       int width, float *pairs);

/* ---- panel.c ---- */

/* Sets up a panel of the task. */
void rapt_start_panel(struct worker *w, int index);

/* Lets the state of the panel's chunk lie in some memory. */
void rapt_place_part(const struct worker *w, struct work_panel *panel, char *memory);

/* Makes this state that of some keys of a chunk alone. */
void rapt_attend_keys(struct worker *w, struct work_panel *panel, struct rapt_range keys);

/* Takes a chunk's keys into the panel's total. The state of the first chunk, joined to nothing, is
 * the total. Those of the others are joined to it while they lie in the cache. */
void rapt_attend_chunk(struct worker *w, struct work_panel *panel, struct rapt_range keys);

void rapt_clear_out(const struct rapt_panel *panel);

/* None of the largest weights is known yet. */
void rapt_clear_top(const struct rapt_observed *observed, int width);

/* ---- mask.c ---- */

/* Takes the row of a mask that begins at an element into hides and shows, as `survey` does. */
void rapt_survey_row(const struct rapt_plan *plan, int64_t element, int64_t at, int64_t n,
                     uint64_t *hides, uint64_t *shows);

/*
 * Finds what the mask does to a panel's keys of a chunk, before the panel goes through them.
 * Returns the keys to go through, as rapt_attended() does afterwards for some of them. Those at
 * both ends that no lane attends are left out. There may be none.
 */
struct rapt_range rapt_survey(const struct worker *w, struct work_panel *panel,
                              struct rapt_range keys);
struct rapt_range rapt_attended(const struct worker *w, const struct work_panel *panel,
                                struct rapt_range keys);

/* Whether the mask changes any score of some keys of a block. */
bool rapt_is_biased(const struct worker *w, const struct work_panel *panel, struct rapt_range keys);

/* Writes the mask's elements for some keys of a block to the scratch's bias. */
void rapt_fill_bias(const struct worker *w, const struct work_panel *panel, struct rapt_range keys);

/* ---- stage.c ---- */

/* Copies keys and values to dense rows of f32, or packs them for amx, where the plan wants that. */
void rapt_stage(struct worker *w, struct rapt_range keys);

/* The same for keys of one block, which a panel that has the task for itself stages on its own. */
static inline void rapt_stage_own(struct worker *w, struct rapt_range keys) {
    if (w->task->panels == 1)
        rapt_stage(w, keys);
}

/* The address of a row of bf16 from `at` on if it is dense, or of its copy. */
const uint16_t *rapt_dense_row(const rapt_tensor *t, int64_t at, uint16_t *copy);

/* ---- block.c ---- */

/* What int8 keys are multiplied by: scores are multiplied by their scales, queries by the inverse.
 */
float rapt_key_factor(const struct rapt_problem *p);

/* What queries are multiplied by. */
float rapt_query_factor(const struct rapt_problem *p);

/* A head's slope of ALiBi in units of log2. */
float rapt_slope(float given);

/* A block that nothing masks. */
struct rapt_block rapt_new_block(const struct rapt_problem *p, struct rapt_range keys);

/* The view of some keys of one block that a panel's kernel is given, and of what masks them. */
struct rapt_block rapt_make_block(const struct worker *w, const struct work_panel *panel,
                                  struct rapt_range keys, bool masks);

/* Steps of it that stored.c shares: how many groups of rows, int8's scales, what masks keys. */
int rapt_groups_in(struct rapt_range keys);
void rapt_scale_block(const struct worker *w, struct rapt_range keys, struct rapt_block *block);
void rapt_mask_block(const struct worker *w, const struct work_panel *panel, struct rapt_range keys,
                     struct rapt_block *block);

/* ---- stored.c, few_queries.c: few queries (decode) ---- */

/* The same view for few queries: keys and values as they are stored. The kernel prefetches the rows
 * of `next`, the keys of the block after it. There may be none. */
struct rapt_block rapt_make_few_block(struct worker *w, struct rapt_range keys,
                                      struct rapt_range next);

/* Sets up the sets of the task's one panel. */
void rapt_start_few(struct worker *w);

/* Takes a chunk's keys into their state, or makes it that of these keys alone. */
void rapt_attend_few_chunk(struct worker *w, struct rapt_range keys);
void rapt_attend_few_part(struct worker *w, struct rapt_range keys);

/* Brings their state into the lanes of a panel. */
void rapt_few_to_lanes(const struct worker *w, const struct rapt_panel *panel);

/* ---- prefetch.c ---- */

/* Says what the kernel prefetches for a panel while it computes some keys of one block. */
void rapt_choose_prefetch(const struct worker *w, const struct work_panel *panel,
                          struct rapt_range keys, struct rapt_block *block);

/* ---- outputs.c, weights.c ---- */

/* Turns a panel's state into its outputs and writes all but the weights. Also writes the row
 * statistics, if the received pass needs them. */
void rapt_write_panel(const struct worker *w, const struct work_panel *panel, float *statistics);

/* Hides all keys in the weights of few queries, before their kernel leaves scores there. */
void rapt_begin_kept(const struct worker *w);

/* Writes the weights of all panels of a task, whose softmax is done. */
void rapt_write_weights(struct worker *w);

#endif
