/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Few queries (decode): a panel whose keys and values are read as they are stored. It may have more
 * rows than the kernel takes. Then sets of rows go through a block one after the other, while the
 * block lies in the cache.
 */
#include <float.h>
#include <string.h>

#include "src/base/convert.h"
#include "src/panel/worker.h"

/* A channel of all rows of a set after the other, some channels at a time. There is code for 1, 2,
 * 4 ... rows, so the last one is repeated up to there. */
static void read_set(const struct worker *w, const struct rapt_few *few, const int64_t *offsets) {
    const rapt_tensor *query = &w->plan->problem.query;
    const int most = w->plan->kernels->few_rows;
    const int64_t channels = w->plan->problem.head_dim;
    float some[64];
    int rows = 1;
    while (rows < few->rows)
        rows *= 2;
    for (int r = 0; r < rows; r++) {
        const int64_t row = offsets[r < few->rows ? r : few->rows - 1];
        for (int64_t c = 0, n; c < channels; c += n) {
            n = rapt_min(channels - c, (int64_t)(sizeof some / sizeof *some));
            rapt_read_row(w->plan->kernels, some, query, row + c * query->stride[3], 1, n);
            for (int64_t i = 0; i < n; i++)
                few->query[(c + i) * most + r] = some[i];
        }
    }
    w->plan->kernels->scale(few->query, rapt_query_factor(&w->plan->problem), channels * most);
}

static void read_queries(const struct worker *w) {
    const struct work_panel *panel = &w->panel[0];
    const struct rapt_kernels *kernels = w->plan->kernels;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    rapt_lane_offsets(w, panel, &w->plan->problem.query, panel->lanes, offsets);
    for (int s = 0, first = 0; s < w->sets; first += w->few[s++].rows)
        if (w->plan->amx)
            rapt_pack_queries(w, panel, first, w->few[s].rows, kernels->lanes, w->few[s].query);
        else
            read_set(w, &w->few[s], offsets + first);
}

static void clear(const struct worker *w, const struct rapt_few *sets) {
    const struct rapt_kernels *kernels = w->plan->kernels;
    for (const struct rapt_few *few = sets; few < sets + w->sets; few++) {
        memset(few->out, 0, (size_t)(few->rows * few->value_dim) * sizeof *few->out);
        for (int lane = 0; lane < kernels->lanes; lane++) {
            few->max[lane] = -FLT_MAX;
            few->sum[lane] = few->seen[lane] = 0;
        }
        memset(few->seen + kernels->lanes, 0,
               (size_t)(rapt_observed_count(&w->plan->problem) * kernels->lanes) *
                   sizeof *few->seen);
    }
}

void rapt_start_few(struct worker *w) {
    const struct rapt_problem *p = &w->plan->problem;
    const int rows = w->panel[0].lanes, most = w->plan->kernels->few_rows;
    w->sets = (rows + most - 1) / most;
    for (int s = 0; s < w->sets; s++) {
        struct rapt_arena arena = {.memory = w->scratch->few + s * w->plan->few_bytes};
        w->few[s] = (struct rapt_few){
            .rows = s < w->sets - 1 ? most : rows - s * most,
            .head_dim = p->head_dim,
            .value_dim = p->value_dim,
        };
        rapt_place_few(w->plan, &arena, &w->few[s], &w->few_part[s]);
        rapt_clear_top(&w->few[s].observed, w->plan->kernels->lanes);
    }
    clear(w, w->few);
}

/* The next block, from some key on, of which a row attends any key. After the last block of a chunk
 * comes the first one of the next. */
static struct rapt_range next_block(const struct worker *w, int64_t key, struct rapt_range keys,
                                    int64_t last) {
    const int64_t block = w->plan->key_block;
    for (; key < keys.last; key = (key / block + 1) * block) {
        const struct rapt_range own = {key, rapt_min((key / block + 1) * block, keys.last)};
        const struct rapt_range some = rapt_attended(w, &w->panel[0], own);
        if (some.first < some.last)
            return some;
    }
    const int64_t next = rapt_divide_up(keys.last, w->plan->chunk) * w->plan->chunk;
    return (struct rapt_range){rapt_max(key, next), rapt_min(rapt_max(key, next) + block, last)};
}

/* What of a block is for the rows from one on. */
static void move_rows(struct rapt_block *block, int rows) {
    if (block->first) {
        block->first += rows;
        block->last += rows;
    }
    if (block->bias)
        block->bias += rows * block->few.bias_row;
    if (block->slope)
        block->slope += rows;
    if (block->position)
        block->position += rows;
    if (block->few.kept)
        block->few.kept += rows;
}

/* Where the scores of a block go that weights are made of, if they are asked for. */
static float *const *find_kept(const struct worker *w, int64_t key, float **kept) {
    const rapt_tensor *weights = &w->plan->problem.weights;
    int64_t offsets[RAPT_PANEL_ROWS_MAX];
    if (weights->dtype == RAPT_NONE)
        return NULL;
    rapt_lane_offsets(w, &w->panel[0], weights, w->panel[0].lanes, offsets);
    for (int row = 0; row < w->panel[0].lanes; row++)
        kept[row] = (float *)w->plan->problem.weights.data + offsets[row] + key;
    return kept;
}

/* The last set prefetches the next block's keys: if the others did, they would be gone by then. */
static void attend_block(const struct worker *w, const struct rapt_few *sets,
                         struct rapt_block *block) {
    const int prefetch = block->few.next_keys.groups;
    for (int s = 0; s < w->sets; s++) {
        block->few.next_keys.groups = s == w->sets - 1 ? prefetch : 0;
        w->plan->kernels->attend_few(&sets[s], block, w->scratch->scores);
        move_rows(block, sets[s].rows);
    }
}

static void attend(struct worker *w, const struct rapt_few *sets, struct rapt_range keys) {
    const int64_t block = w->plan->key_block;
    const int64_t last = rapt_min(w->panel[0].keys.last, w->task->chunks.last * w->plan->chunk);
    struct rapt_range own = next_block(w, keys.first, keys, last), next;
    float *kept[RAPT_PANEL_ROWS_MAX];
    if (!w->panel[0].begun)
        read_queries(w);
    w->panel[0].begun = true;
    for (; own.first < keys.last; own = next) {
        next = next_block(w, (own.first / block + 1) * block, keys, last);
        struct rapt_block stored = rapt_make_few_block(w, own, next);
        stored.few.kept = find_kept(w, own.first, kept);
        attend_block(w, sets, &stored);
    }
}

void rapt_attend_few_part(struct worker *w, struct rapt_range keys) {
    clear(w, w->few);
    attend(w, w->few, keys);
}

void rapt_attend_few_chunk(struct worker *w, struct rapt_range keys) {
    if (keys.first >= keys.last)
        return;
    if (!w->panel[0].begun) {
        attend(w, w->few, keys);
        return;
    }
    clear(w, w->few_part);
    attend(w, w->few_part, keys);
    for (int s = 0; s < w->sets; s++)
        w->plan->kernels->join_few(&w->few[s], &w->few_part[s]);
}

/* n arrays of a number per lane. */
static void copy_arrays(float *to, int to_width, int lane, const float *from, int from_width, int r,
                        int64_t n) {
    for (int64_t i = 0; i < n; i++)
        memcpy(&to[i * to_width + lane], &from[i * from_width + r], sizeof *to);
}

void rapt_few_to_lanes(const struct worker *w, const struct rapt_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    const int most = w->plan->kernels->few_rows, lanes = w->plan->kernels->lanes;
    for (int lane = 0; lane < panel->width; lane++) {
        const int row = lane < w->panel[0].lanes ? lane : w->panel[0].lanes - 1, r = row % most;
        const struct rapt_few *few = &w->few[row / most];
        rows[lane] = few->out + r * few->value_dim;
        panel->max[lane] = few->max[r];
        panel->sum[lane] = few->sum[r];
        panel->seen[lane] = few->seen[r];
        copy_arrays(panel->seen + panel->width, panel->width, lane, few->seen + lanes, lanes, r,
                    rapt_observed_count(p));
        copy_arrays(panel->observed.top_weight, panel->width, lane, few->observed.top_weight, lanes,
                    r, 2 * p->top_count);
    }
    w->plan->kernels->gather(panel->out, panel->width, rows, 1, panel->value_dim);
}
