/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"
#include "worker.h"

void rapt_lane_offsets(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int lanes, int64_t *offsets) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t b = w->task->batch;
    const int64_t base = rapt_row_offset(t, b, w->task->kv_head * p->group, rapt_q_first(p, b));
    struct lane lane = rapt_first_lane(w, panel);
    for (int i = 0; i < lanes; i++) {
        offsets[i] = base + lane.head * t->stride[1] + lane.query * t->stride[2];
        rapt_next_lane(w, panel, &lane);
    }
}

void rapt_gather_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                      const void *data, int64_t at, int64_t n, float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int width = panel->kernel.width;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, width, offsets);
    for (int lane = 0; lane < width; lane++) {
        const int64_t from = offsets[lane] + at;
        float *row = w->rows + lane * w->plan->scratch.row_floats;
        rows[lane] = direct ? (const float *)data + from : row;
        if (!direct)
            rapt_read_row(w->plan->kernels, row, t, data, from, 1, n);
    }
    w->plan->kernels->gather(lanes, width, rows, direct ? t->stride[3] : 1, n);
}

void rapt_fetch_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                     const void *data, int64_t first, int64_t last) {
    const int64_t size = rapt_dtype_size(t->dtype);
    int64_t offsets[RAPT_PANEL_ROWS_MAX], fetched = -1;
    if (t->stride[3] != 1)
        return;
    rapt_lane_offsets(w, panel, t, panel->kernel.width, offsets);
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        if (offsets[lane] == fetched)
            continue;
        fetched = offsets[lane];
        const char *row = (const char *)data + fetched * size;
        for (int64_t at = first * size; at < last * size; at += RAPT_ALIGN)
            __builtin_prefetch(row + at, 0, 2);
    }
}

/* Only for the lanes that stand for rows of their own. */
void rapt_scatter_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       void *data, int64_t at, int64_t n, const float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int count = (int)(panel->rows.last - panel->rows.first);
    float *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, count, offsets);
    for (int lane = 0; lane < count; lane++)
        rows[lane] = direct ? (float *)data + offsets[lane] + at
                            : w->rows + lane * w->plan->scratch.row_floats;
    w->plan->kernels->scatter(rows, direct ? t->stride[3] : 1, count, lanes, panel->kernel.width,
                              n);
    for (int lane = 0; !direct && lane < count; lane++)
        rapt_write_row(w->plan->kernels, rows[lane], t, data, offsets[lane] + at, n);
}
