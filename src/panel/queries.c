/* SPDX-License-Identifier: Apache-2.0 */
/* A panel's queries, read into its lanes. */
#include "src/panel/worker.h"

void rapt_pack_queries(const struct worker *w, const struct work_panel *panel, int first, int count,
                       int width, float *pairs) {
    const rapt_tensor *query = &w->plan->problem.query;
    const uint16_t *rows[RAPT_PANEL_ROWS_MAX];
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, query, first + count, offsets);
    for (int lane = 0; lane < width; lane++)
        rows[lane] = lane < count
                         ? rapt_dense_row(query, offsets[first + lane],
                                          w->scratch->amx_rows + lane * w->plan->problem.head_dim)
                         : rows[lane - 1];
    w->plan->kernels->pack_lanes(pairs, width, rows, w->plan->problem.head_dim, true);
}

void rapt_read_queries(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t channels = p->head_dim;
    const int width = panel->kernel.width;
    if (w->plan->amx) {
        rapt_pack_queries(w, panel, 0, width, width, panel->kernel.query);
        return;
    }
    rapt_gather_rows(w, panel, &p->query, 0, channels, panel->kernel.query);
    w->plan->kernels->scale(panel->kernel.query, rapt_query_factor(p), channels * width);
}
