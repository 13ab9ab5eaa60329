/* SPDX-License-Identifier: Apache-2.0 */
/* A panel: which keys its lanes attend, and its way through the keys of a chunk. */
#include <math.h>
#include <string.h>

#include "src/panel/worker.h"

/* Which keys each lane attends, and where its query is. */
static void find_keys(const struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, offset = p->q_offset ? p->q_offset[b] : 0;
    struct lane lane = rapt_first_lane(w, panel);
    struct rapt_range keys = rapt_key_range(p, b, lane.query);
    const bool alike = !p->causal && p->window_left < 0 && p->window_right < 0;
    struct rapt_range any = {INT64_MAX, 0}, every = {0, INT64_MAX};
    for (int i = 0; i < panel->lanes; i++) {
        if (!alike)
            keys = rapt_key_range(p, b, lane.query);
        panel->first[i] = keys.first;
        panel->last[i] = keys.last;
        panel->position[i] = lane.query + offset;
        every.first = rapt_max(every.first, keys.first);
        every.last = rapt_min(every.last, keys.last);
        any = rapt_join(any, keys);
        rapt_next_lane(w, panel, &lane);
    }
    panel->whole = every;
    panel->keys = any;
    if (any.first >= any.last)
        panel->keys.first = any.last;
    else /* masked, but for the order of sums */
        panel->keys.first -= any.first % (w->plan->amx ? RAPT_AMX_KEYS : RAPT_SUMMED_KEYS);
}

static void find_slopes(const struct worker *w, struct work_panel *panel) {
    const rapt_tensor *alibi = &w->plan->problem.alibi;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, alibi, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        panel->slope[lane] =
            rapt_slope(((const float *)w->plan->problem.alibi.data)[offsets[lane]]);
}

void rapt_clear_top(const struct rapt_observed *observed, int width) {
    const int64_t count = (int64_t)observed->top * width;
    memset(observed->top_key, 0xff, (size_t)count * sizeof *observed->top_key); /* -1 */
    for (int64_t i = 0; i < count; i++)
        observed->top_weight[i] = -INFINITY;
}

void rapt_start_panel(struct worker *w, int index) {
    const struct rapt_plan *plan = w->plan;
    struct work_panel *panel = &w->panel[index];
    panel->rows = rapt_panel_rows(plan, w->task->batch, w->task->panel + index);
    const int width = rapt_panel_width(plan, panel->rows);
    struct rapt_arena arena = {.memory = w->scratch->panels + index * plan->panel_bytes};
    struct rapt_panel_scratch placed;
    rapt_place_panel(plan, width, &arena, &placed);
    panel->lanes = w->is_few ? (int)(panel->rows.last - panel->rows.first) : width;
    panel->first = placed.first;
    panel->last = placed.last;
    panel->position = placed.position;
    panel->slope = placed.slope;
    panel->kernel = panel->total = placed.kernel;
    rapt_clear_top(&panel->total.observed, width);
    panel->begun = panel->done = false;
    find_keys(w, panel);
    if (plan->problem.alibi.dtype != RAPT_NONE)
        find_slopes(w, panel);
}

void rapt_place_part(const struct worker *w, struct work_panel *panel, char *memory) {
    struct rapt_arena arena = {.memory = memory};
    rapt_place_state(&w->plan->problem, &arena, &panel->kernel);
}

static void attend_block(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    keys = rapt_attended(w, panel, keys);
    if (keys.first == keys.last)
        return;
    rapt_stage_own(w, keys);
    struct rapt_block block = rapt_make_block(w, panel, keys, true);
    block.panel.begins = panel->empty;
    panel->empty = false;
    rapt_choose_prefetch(w, panel, keys, &block);
    w->plan->kernels->attend(&panel->kernel, &block, w->scratch->scores);
}

void rapt_clear_out(const struct rapt_panel *panel) {
    memset(panel->out, 0, (size_t)(panel->value_dim * panel->width) * sizeof *panel->out);
}

void rapt_attend_keys(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    w->plan->kernels->clear(&panel->kernel);
    panel->empty = true;
    rapt_visit_blocks(w, panel, keys, attend_block);
    if (panel->empty)
        rapt_clear_out(&panel->kernel);
}

void rapt_attend_chunk(struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    if (keys.first >= keys.last)
        return;
    if (!panel->begun) {
        rapt_read_queries(w, panel);
        rapt_attend_keys(w, panel, keys);
        panel->begun = true;
        return;
    }
    rapt_place_part(w, panel, w->scratch->part);
    rapt_attend_keys(w, panel, keys);
    w->plan->kernels->join(&panel->total, &panel->kernel);
}
