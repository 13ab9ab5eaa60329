/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a task's panels, or their scores, when the softmax is done. */
#include <math.h>

#include "src/panel/worker.h"

/* Keys that the output `weights` shows something else of than that they aren't attended. */
static struct rapt_range shown_keys(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    if (rapt_weights_masked(p))
        return panel->keys;
    const bool all = !p->cu_k && !p->page_size;
    return (struct rapt_range){0, all ? p->key.shape[2] : rapt_kv_len(p, w->task->batch)};
}

/* The weights of keys that no row of a panel attends. */
static void fill_weights(const struct worker *w, const struct work_panel *panel,
                         struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t step = p->weights.stride[3];
    const float none = p->weights_kind == RAPT_WEIGHTS_MASKED ? -INFINITY : 0;
    const int count = (int)(panel->rows.last - panel->rows.first);
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    if (keys.first >= keys.last)
        return;
    rapt_lane_offsets(w, panel, &p->weights, count, offsets);
    for (int lane = 0; lane < count; lane++) {
        float *row = (float *)w->plan->problem.weights.data + offsets[lane];
        for (int64_t i = keys.first; i < keys.last; i++)
            row[i * step] = none;
    }
}

static void write_block(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_range own = rapt_weights_masked(p) ? rapt_attended(w, panel, keys) : keys;
    fill_weights(w, panel, (struct rapt_range){keys.first, own.first});
    fill_weights(w, panel, (struct rapt_range){own.last, keys.last});
    if (own.first == own.last)
        return;
    rapt_stage_own(w, own);
    const struct rapt_block block = rapt_make_block(w, panel, own, rapt_weights_masked(p));
    w->plan->kernels->weights(&panel->total, &block, p->weights_kind, w->scratch->scores);
    rapt_scatter_rows(w, panel, &p->weights, own.first * p->weights.stride[3], block.keys,
                      w->scratch->scores);
}

/* What is to be staged of a chunk. */
static struct rapt_range prepare_chunk(struct worker *w, struct rapt_range keys) {
    struct rapt_range all = {INT64_MAX, 0};
    for (int i = 0; i < w->task->panels; i++) {
        struct rapt_range own = rapt_meet(shown_keys(w, &w->panel[i]), keys);
        if (rapt_weights_masked(&w->plan->problem))
            own = rapt_survey(w, &w->panel[i], own);
        all = rapt_join(all, own);
    }
    return all;
}

/* Rows that hide all keys, for few queries to put their scores in the place of some. */
void rapt_begin_kept(const struct worker *w) {
    const rapt_tensor *t = &w->plan->problem.weights;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, &w->panel[0], t, w->panel[0].lanes, offsets);
    for (int lane = 0; lane < w->panel[0].lanes; lane++)
        for (int64_t i = 0; i < t->shape[3]; i++)
            ((float *)w->plan->problem.weights.data)[offsets[lane] + i] = -INFINITY;
}

static void weights_of_kept(const struct worker *w) {
    const struct work_panel *panel = &w->panel[0];
    const rapt_tensor *t = &w->plan->problem.weights;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        w->plan->kernels->weights_of_kept((float *)w->plan->problem.weights.data + offsets[lane],
                                          t->shape[3], w->plan->problem.weights_kind,
                                          panel->total.max[lane], panel->total.sum[lane]);
}

void rapt_write_weights(struct worker *w) {
    const int64_t columns = w->plan->problem.weights.shape[3];
    struct rapt_range all = {INT64_MAX, 0};
    if (w->is_few) {
        weights_of_kept(w);
        return;
    }
    for (int i = 0; i < w->task->panels; i++) {
        const struct rapt_range shown = shown_keys(w, &w->panel[i]);
        fill_weights(w, &w->panel[i], (struct rapt_range){0, shown.first});
        fill_weights(w, &w->panel[i], (struct rapt_range){shown.last, columns});
        all = rapt_join(all, shown);
        if (!w->panel[i].begun)
            rapt_read_queries(w, &w->panel[i]);
    }
    for (int64_t c = all.first / w->plan->chunk; c * w->plan->chunk < all.last; c++) {
        const struct rapt_range keys = rapt_chunk_keys(w, c), staged = prepare_chunk(w, keys);
        if (w->task->panels > 1 && staged.first < staged.last)
            rapt_stage(w, staged);
        for (int i = 0; i < w->task->panels; i++)
            rapt_visit_blocks(w, &w->panel[i], rapt_meet(shown_keys(w, &w->panel[i]), keys),
                              write_block);
    }
}
