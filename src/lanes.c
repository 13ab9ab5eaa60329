/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"
#include "worker.h"

int64_t rapt_lane_offset(const struct worker *w, const struct work_panel *panel, int lane,
                         const rapt_tensor *t) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch, row = rapt_lane_row(panel, lane);
    return rapt_row_offset(t, b, w->task->kv_head * p->group + row % p->group,
                           rapt_q_first(p, b) + row / p->group);
}

void rapt_gather_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                      const void *data, int64_t at, int64_t n, float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int width = panel->kernel.width;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < width; lane++) {
        const int64_t from = rapt_lane_offset(w, panel, lane, t) + at;
        float *row = w->rows + lane * w->plan->scratch.row_floats;
        rows[lane] = direct ? (const float *)data + from : row;
        if (!direct)
            rapt_read_row(w->plan->kernels, row, t, data, from, 1, n);
    }
    w->plan->kernels->gather(lanes, width, rows, direct ? t->stride[3] : 1, n);
}

/* Only for the lanes that stand for rows of their own. */
void rapt_scatter_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       void *data, int64_t at, int64_t n, const float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int count = (int)(panel->rows.last - panel->rows.first);
    float *rows[RAPT_PANEL_ROWS_MAX] = {NULL};
    for (int lane = 0; lane < count; lane++)
        rows[lane] = direct ? (float *)data + rapt_lane_offset(w, panel, lane, t) + at
                            : w->rows + lane * w->plan->scratch.row_floats;
    w->plan->kernels->scatter(rows, direct ? t->stride[3] : 1, count, lanes, panel->kernel.width,
                              n);
    for (int lane = 0; !direct && lane < count; lane++)
        rapt_write_row(w->plan->kernels, rows[lane], t, data,
                       rapt_lane_offset(w, panel, lane, t) + at, n);
}
