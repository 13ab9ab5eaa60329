/* SPDX-License-Identifier: Apache-2.0 */
/* What a mask hides from all rows of a panel, and what it adds to their scores. */
#include <string.h>

#include "src/base/convert.h"
#include "src/panel/worker.h"

void rapt_survey_row(const struct rapt_plan *plan, int64_t element, int64_t at, int64_t n,
                     uint64_t *hides, uint64_t *shows) {
    const rapt_tensor *t = &plan->problem.mask;
    const char *row = rapt_element(t, element);
    if (n == 1 || t->stride[3] == 1) {
        plan->kernels->survey(row, t->dtype, at, n, hides, shows);
        return;
    }
    const size_t size = (size_t)rapt_dtype_size(t->dtype);
    const int64_t step = t->stride[3] * (int64_t)size;
    char dense[RAPT_MASK_KEYS * sizeof(float)];
    for (int64_t i = 0, count; i < n; i += count) {
        count = rapt_min(RAPT_MASK_KEYS - (at + i) % RAPT_MASK_KEYS, n - i);
        for (int64_t k = 0; k < count; k++)
            memcpy(dense + (size_t)k * size, row + (i + k) * step, size);
        plan->kernels->survey(dense, t->dtype, at + i, count, hides, shows);
    }
}

/* The bits of some keys of a chunk. */
static uint64_t pieces_of(int64_t first, int64_t last) {
    const int64_t from = first / RAPT_MASK_KEYS, to = rapt_divide_up(last, RAPT_MASK_KEYS);
    return first < last ? (((uint64_t)1 << to) - 1) & ~(((uint64_t)1 << from) - 1) : 0;
}

/* The rows of the mask that a panel's lanes stand for, most of those that are the same once:
 * elements from the mask's data. Returns how many there are. */
static int find_rows(const struct worker *w, const struct work_panel *panel, int64_t *rows) {
    const int64_t group = w->plan->problem.group;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    int count = 0;
    rapt_lane_offsets(w, panel, &w->plan->problem.mask, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        if ((lane == 0 || offsets[lane] != offsets[lane - 1]) &&
            (lane < group || offsets[lane] != offsets[lane - group]))
            rows[count++] = offsets[lane];
    return count;
}

/* Prefetches a row's elements, for the hardware doesn't follow pieces of rows. */
static void prefetch_row(const struct worker *w, int64_t element, int64_t count) {
    const rapt_tensor *t = &w->plan->problem.mask;
    const char *row = rapt_element(t, element);
    const char *const end = row + (t->stride[3] == 1 ? count * rapt_dtype_size(t->dtype) : 0);
    for (; row < end; row += RAPT_ALIGN)
        __builtin_prefetch(row, 0, 2);
}

/* What the mask does to a panel's keys of a chunk, without what others have seen. */
static void survey(const struct worker *w, struct work_panel *panel, struct rapt_range keys) {
    const rapt_tensor *mask = &w->plan->problem.mask;
    const struct rapt_columns c = rapt_mask_columns(&w->plan->problem, w->task->batch, keys);
    const int64_t at = keys.first % w->plan->chunk, open = c.open, count = c.count;
    const int64_t first = c.column * mask->stride[3];
    const uint64_t all = pieces_of(at + open, at + open + count);
    int64_t rows[RAPT_PANEL_ROWS_MAX];
    panel->hides &= ~pieces_of(at, at + open);
    if (count == 0)
        return;
    const int n = find_rows(w, panel, rows);
    for (int i = 0; i < n && ((panel->hides | panel->shows) & all); i++) {
        if (i + 1 < n)
            prefetch_row(w, rows[i + 1] + first, count);
        rapt_survey_row(w->plan, rows[i] + first, at + open, count, &panel->hides, &panel->shows);
    }
}

struct rapt_range rapt_attended(const struct worker *w, const struct work_panel *panel,
                                struct rapt_range keys) {
    const int64_t start = keys.first / w->plan->chunk * w->plan->chunk;
    const uint64_t left = pieces_of(keys.first - start, keys.last - start) & ~panel->hides;
    if (left == 0)
        return (struct rapt_range){keys.first, keys.first};
    const int64_t first = __builtin_ctzll(left), last = 64 - __builtin_clzll(left);
    return (struct rapt_range){rapt_max(keys.first, start + first * RAPT_MASK_KEYS),
                               rapt_min(keys.last, start + last * RAPT_MASK_KEYS)};
}

/* What heads share about a panel and a chunk, or NULL. */
static struct rapt_chunk_mask *
find_chunk_mask(const struct worker *w, const struct work_panel *panel, struct rapt_range keys) {
    const struct rapt_plan *plan = w->plan;
    const int64_t index = w->task->panel + (panel - w->panel);
    if (!w->chunk_masks)
        return NULL;
    const int64_t at =
        (w->task->batch * plan->chunk_mask_panels + index) * plan->chunk_mask_chunks +
        keys.first / plan->chunk;
    return at < plan->chunk_mask_count ? w->chunk_masks + at : NULL;
}

/* Whether what others have seen tells. */
static bool is_known(struct rapt_chunk_mask *seen, struct work_panel *panel) {
    panel->hides = atomic_load_explicit(&seen->hides, memory_order_relaxed);
    panel->shows = atomic_load_explicit(&seen->shows, memory_order_relaxed);
    return panel->hides && panel->shows;
}

struct rapt_range rapt_survey(const struct worker *w, struct work_panel *panel,
                              struct rapt_range keys) {
    const bool masked = w->plan->problem.mask.dtype != RAPT_NONE;
    panel->hides = masked ? ~(uint64_t)0 : 0;
    panel->shows = ~(uint64_t)0;
    if (!masked || keys.first >= keys.last)
        return keys;
    struct rapt_chunk_mask *seen = find_chunk_mask(w, panel, keys);
    if (seen && is_known(seen, panel))
        return rapt_attended(w, panel, keys);
    panel->hides = panel->shows = ~(uint64_t)0;
    survey(w, panel, keys);
    if (seen) {
        atomic_store_explicit(&seen->hides, panel->hides, memory_order_relaxed);
        atomic_store_explicit(&seen->shows, panel->shows, memory_order_relaxed);
    }
    return rapt_attended(w, panel, keys);
}

bool rapt_is_biased(const struct worker *w, const struct work_panel *panel,
                    struct rapt_range keys) {
    const int64_t start = keys.first / w->plan->chunk * w->plan->chunk;
    return (pieces_of(keys.first - start, keys.last - start) & ~panel->shows) != 0;
}

void rapt_fill_bias(const struct worker *w, const struct work_panel *panel,
                    struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    const rapt_tensor *mask = &p->mask;
    const struct rapt_columns c = rapt_mask_columns(p, w->task->batch, keys);
    const int64_t row = w->plan->key_block, open = c.open, column = c.column, count = c.count;
    float *bias = w->scratch->bias + (w->is_few ? open : open * panel->lanes);
    if (w->is_few)
        for (int lane = 0; lane < panel->lanes; lane++)
            memset(w->scratch->bias + lane * row, 0, (size_t)open * sizeof *bias);
    else
        memset(w->scratch->bias, 0, (size_t)(open * panel->lanes) * sizeof *bias);
    if (count == 0)
        return;
    if (!w->is_few) {
        rapt_gather_rows(w, panel, mask, column * mask->stride[3], count, bias);
        rapt_prefetch_rows(w, panel, mask, column + count,
                           rapt_min(column + count + row, mask->shape[3]));
        return;
    }
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, mask, panel->lanes, offsets);
    for (int lane = 0; lane < panel->lanes; lane++)
        rapt_read_row(w->plan->kernels, bias + lane * row, mask,
                      offsets[lane] + column * mask->stride[3], 1, count);
}
