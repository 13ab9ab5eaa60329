/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks and chunks of keys, panels of rows: what follows from the problem and the variant. */
#include "src/base/arena.h"
#include "src/plan/plan.h"

enum {
    CHUNK_BYTES = 1 << 19, /* of keys and values, a quarter of a common L2 cache */
    CHUNK_KEYS_MAX = 1280,
    /* Keys of a block, for up to 64 channels, up to 128, and more. The received pass takes as many
     * queries. Half a block is whole groups, for few queries prefetch by halves. */
    NARROW_BLOCK = 192,
    MIDDLE_BLOCK = 96,
    WIDE_BLOCK = 64,
};
_Static_assert(NARROW_BLOCK <= RAPT_GROUPS_MAX * RAPT_GROUP_ROWS, "room for groups of rows");
_Static_assert(RAPT_AMX_BLOCK <= RAPT_GROUPS_MAX * RAPT_GROUP_ROWS, "room for groups of rows");
_Static_assert(NARROW_BLOCK % (2 * RAPT_GROUP_ROWS) == 0 &&
                   MIDDLE_BLOCK % (2 * RAPT_GROUP_ROWS) == 0 &&
                   WIDE_BLOCK % (2 * RAPT_GROUP_ROWS) == 0 &&
                   RAPT_AMX_BLOCK % (2 * RAPT_GROUP_ROWS) == 0,
               "half a block is whole groups");
_Static_assert(CHUNK_KEYS_MAX <= RAPT_MASK_PIECES_MAX * RAPT_MASK_KEYS, "bits of a chunk mask");

int rapt_key_block(int64_t head_dim, int64_t value_dim) {
    const int64_t widest = rapt_max(head_dim, value_dim);
    return widest <= 64 ? NARROW_BLOCK : widest <= 128 ? MIDDLE_BLOCK : WIDE_BLOCK;
}

/* Keys of as many blocks of so many keys and bytes as a chunk has. */
static int64_t chunk_of(int64_t block, int64_t bytes) {
    return block * rapt_max(1, rapt_min(CHUNK_KEYS_MAX / block, CHUNK_BYTES / bytes));
}

int64_t rapt_chunk(int64_t head_dim, int64_t value_dim) {
    const int64_t block = rapt_key_block(head_dim, value_dim);
    return chunk_of(block, block * (head_dim + value_dim) * (int64_t)sizeof(float));
}

/* The same in amx's groups, whose blocks are of one size. */
static int64_t amx_chunk(const struct rapt_problem *p) {
    const int64_t group = rapt_amx_key_bytes(p->head_dim) + rapt_amx_value_bytes(p->value_dim);
    return chunk_of(RAPT_AMX_BLOCK, RAPT_AMX_BLOCK / RAPT_AMX_KEYS * group);
}

void rapt_plan_geometry(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    plan->amx = plan->kernels->pack_keys && p->query.dtype == RAPT_BF16 &&
                p->key.dtype == RAPT_BF16 && p->value.dtype == RAPT_BF16;
    plan->panel_rows = plan->amx ? RAPT_AMX_ROWS : plan->kernels->panel_rows;
    plan->key_block = plan->amx ? RAPT_AMX_BLOCK : rapt_key_block(p->head_dim, p->value_dim);
    plan->chunk = plan->amx ? amx_chunk(p) : rapt_chunk(p->head_dim, p->value_dim);
}

static int64_t row_count(const struct rapt_plan *plan, int64_t b) {
    return rapt_q_len(&plan->problem, b) * plan->problem.group;
}

static bool is_dense(const rapt_tensor *t) {
    return t->shape[3] == 1 || t->stride[3] == 1;
}

bool rapt_is_few(const struct rapt_plan *plan, int64_t b) {
    const struct rapt_problem *p = &plan->problem;
    /* Keys and values are read as they lie, and scores are kept where their weights go, if masks
     * show in these. */
    const bool kept = rapt_weights_masked(p) && is_dense(&p->weights);
    return row_count(plan, b) <= plan->kernels->few_most && is_dense(&p->key) &&
           is_dense(&p->value) && (p->weights.dtype == RAPT_NONE || kept);
}

bool rapt_are_copied(const struct rapt_plan *plan, const rapt_tensor *t, int64_t panels) {
    if (t->dtype != RAPT_F32)
        return true; /* widened once for all panels */
    if (plan->problem.page_size % plan->key_block != 0)
        return true; /* a block may lie in several pages */
    if (!is_dense(t))
        return true;
    if (t->stride[2] == 0 || t->stride[2] == t->shape[3])
        return false;
    /* The hardware doesn't follow rows with gaps, and they fill some sets of the L1 cache more than
     * others. Rows that are a multiple of a page apart all fill the same sets. */
    const bool aliased = t->stride[2] * (int64_t)sizeof(float) % RAPT_PAGE_BYTES == 0;
    return panels >= (aliased ? 2 : RAPT_PANELS_SHARED);
}

int64_t rapt_panels_most(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const bool copies = plan->amx || rapt_are_copied(plan, &p->key, RAPT_PANELS_MAX) ||
                        rapt_are_copied(plan, &p->value, RAPT_PANELS_MAX);
    return copies ? RAPT_PANELS_MAX : RAPT_PANELS_MAX / 2;
}

int64_t rapt_panels(const struct rapt_plan *plan, int64_t b) {
    return rapt_divide_up(row_count(plan, b), plan->panel_rows);
}

struct rapt_range rapt_panel_rows(const struct rapt_plan *plan, int64_t b, int64_t panel) {
    const int64_t lanes = plan->kernels->lanes, rows = row_count(plan, b);
    const int64_t vectors = rapt_divide_up(rows, lanes), panels = rapt_panels(plan, b);
    const int64_t each = vectors / panels, wider = vectors % panels;
    const int64_t first = panel * each + rapt_min(panel, wider);
    const int64_t last = first + each + (panel < wider);
    return (struct rapt_range){first * lanes, rapt_min(last * lanes, rows)};
}

int rapt_panel_width(const struct rapt_plan *plan, struct rapt_range rows) {
    return (int)rapt_round_up(rows.last - rows.first, plan->kernels->lanes);
}

struct rapt_range rapt_panel_keys(const struct rapt_plan *plan, int64_t b, int64_t panel,
                                  int64_t last, int64_t *cost) {
    const struct rapt_problem *p = &plan->problem;
    struct rapt_range all = {INT64_MAX, 0};
    *cost = 0;
    for (; panel < last; panel++) {
        const struct rapt_range rows = rapt_panel_rows(plan, b, panel);
        const struct rapt_range keys = {
            rapt_key_bounds(p, b, rows.first / p->group).first,
            rapt_key_bounds(p, b, (rows.last - 1) / p->group).last,
        };
        all = rapt_join(all, keys);
        *cost += rapt_panel_width(plan, rows) * rapt_max(0, keys.last - keys.first);
    }
    if (all.first > all.last)
        all.first = all.last = 0;
    return all;
}
