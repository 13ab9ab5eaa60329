/* SPDX-License-Identifier: Apache-2.0 */
/* The outputs of a panel, from its lanes to where they go. */
#include <string.h>

#include "src/panel/worker.h"

/* A number of every row of a panel, if there is such an output. */
static void write_number(const struct worker *w, const struct work_panel *panel,
                         const rapt_tensor *t, const float *lanes) {
    if (t->dtype == RAPT_NONE)
        return;
    const int count = (int)(panel->rows.last - panel->rows.first);
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, count, offsets);
    for (int lane = 0; lane < count; lane++)
        ((float *)t->data)[offsets[lane]] = lanes[lane];
}

static void write_top_keys(const struct worker *w, const struct work_panel *panel) {
    const rapt_tensor *t = &w->plan->problem.top_key;
    const struct rapt_observed *observed = &panel->total.observed;
    const int count = (int)(panel->rows.last - panel->rows.first);
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, count, offsets);
    for (int lane = 0; lane < count; lane++) {
        int32_t *row = (int32_t *)t->data + offsets[lane];
        for (int i = 0; i < observed->top; i++)
            memcpy(&row[i * t->stride[3]], &observed->top_key[i * panel->total.width + lane],
                   sizeof *row);
    }
}

static void write_observed(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const struct rapt_observed *observed = &panel->total.observed;
    write_number(w, panel, &p->entropy, observed->entropy);
    write_number(w, panel, &p->distance, observed->distance);
    if (observed->segments > 0)
        rapt_scatter_rows(w, panel, &p->segments, 0, observed->segments, observed->mass);
    if (observed->diagonals > 0)
        rapt_scatter_rows(w, panel, &p->diagonals, 0, observed->diagonals, observed->diagonal);
    if (observed->top > 0) {
        rapt_scatter_rows(w, panel, &p->top_weight, 0, observed->top, observed->top_weight);
        write_top_keys(w, panel);
    }
}

/* What the received pass needs of every row. */
static void keep_statistics(const struct worker *w, const struct work_panel *panel,
                            float *statistics) {
    const struct rapt_problem *p = &w->plan->problem;
    struct lane at = rapt_first_lane(w, panel);
    for (int lane = 0; lane < panel->rows.last - panel->rows.first; lane++) {
        const int64_t head = w->task->kv_head * p->group + at.head;
        float *row = statistics + rapt_statistics_at(p, w->task->batch, head, at.query);
        row[0] = panel->total.max[lane];
        row[1] = panel->total.sum[lane];
        rapt_next_lane(w, panel, &at);
    }
}

void rapt_write_panel(const struct worker *w, const struct work_panel *panel, float *statistics) {
    const struct rapt_problem *p = &w->plan->problem;
    float *sink = p->sink.dtype == RAPT_NONE ? NULL : w->scratch->first;
    float *lse = p->lse.dtype == RAPT_NONE ? NULL : w->scratch->last;
    float *top = p->max.dtype == RAPT_NONE ? NULL : w->scratch->position;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    if (sink)
        rapt_lane_offsets(w, panel, &p->sink, panel->total.width, offsets);
    for (int lane = 0; sink && lane < panel->total.width; lane++)
        sink[lane] = ((const float *)w->plan->problem.sink.data)[offsets[lane]];
    w->plan->kernels->finish(&panel->total, sink, lse, top);
    rapt_scatter_rows(w, panel, &p->out, 0, p->value_dim, panel->total.out);
    write_number(w, panel, &p->lse, lse);
    write_number(w, panel, &p->max, top);
    write_observed(w, panel);
    if (p->received.dtype != RAPT_NONE)
        keep_statistics(w, panel, statistics);
}
