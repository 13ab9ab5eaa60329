/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/convert.h"
#include "src/panel/worker.h"

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

/* How many rows from a lane's on follow each other without a gap: these are read or written as one.
 */
static int rows_together(const rapt_tensor *t, const int64_t *offsets, int lanes, int64_t n) {
    int count = 1;
    while (t->stride[3] == 1 && count < lanes && offsets[count] == offsets[count - 1] + n)
        count++;
    return count;
}

void rapt_gather_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                      int64_t at, int64_t n, float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int width = panel->kernel.width;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, width, offsets);
    for (int lane = 0; direct && lane < width; lane++)
        rows[lane] = (const float *)t->data + offsets[lane] + at;
    for (int lane = 0, count; !direct && lane < width; lane += count) {
        float *row = w->scratch->rows + lane * w->scratch->row_floats;
        count = rows_together(t, offsets + lane, width - lane, n);
        for (int i = 0; i < count; i++)
            rows[lane + i] = row + i * n;
        rapt_read_row(w->plan->kernels, row, t, offsets[lane] + at, 1, count * n);
    }
    w->plan->kernels->gather(lanes, width, rows, direct ? t->stride[3] : 1, n);
}

void rapt_prefetch_rows(const struct worker *w, const struct work_panel *panel,
                        const rapt_tensor *t, int64_t first, int64_t last) {
    const int64_t size = rapt_dtype_size(t->dtype);
    int64_t offsets[RAPT_PANEL_ROWS_MAX], fetched = -1;
    if (t->stride[3] != 1)
        return;
    rapt_lane_offsets(w, panel, t, panel->kernel.width, offsets);
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        if (offsets[lane] == fetched)
            continue;
        fetched = offsets[lane];
        const char *row = (const char *)t->data + fetched * size;
        for (int64_t at = first * size; at < last * size; at += RAPT_ALIGN)
            __builtin_prefetch(row + at, 0, 2);
    }
}

/* Only for the lanes that stand for rows of their own. */
void rapt_scatter_rows(const struct worker *w, const struct work_panel *panel, const rapt_tensor *t,
                       int64_t at, int64_t n, const float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int count = (int)(panel->rows.last - panel->rows.first);
    float *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, t, count, offsets);
    for (int lane = 0, together; lane < count; lane += together) {
        float *row = w->scratch->rows + lane * w->scratch->row_floats;
        together = direct ? 1 : rows_together(t, offsets + lane, count - lane, n);
        for (int i = 0; i < together; i++)
            rows[lane + i] = direct ? (float *)t->data + offsets[lane] + at : row + i * n;
    }
    w->plan->kernels->scatter(rows, direct ? t->stride[3] : 1, count, lanes, panel->kernel.width,
                              n);
    for (int lane = 0, together; !direct && lane < count; lane += together) {
        together = rows_together(t, offsets + lane, count - lane, n);
        rapt_write_row(w->plan->kernels, rows[lane], t, offsets[lane] + at, together * n);
    }
}
