/* SPDX-License-Identifier: Apache-2.0 */
#include "src/plan/scratch.h"

void rapt_place_workspace(const struct rapt_plan *plan, int slices, struct rapt_arena *arena,
                          struct rapt_workspace *workspace) {
    const size_t mask = sizeof *workspace->chunk_masks;
    workspace->chunk_masks = rapt_take(arena, mask, plan->chunk_mask_count, 1, 1);
    workspace->scratch = rapt_take(arena, plan->scratch_bytes, slices, 1, 1);
    workspace->parts = rapt_take(arena, plan->part_bytes, plan->part_count, 1, 1);
    workspace->statistics = rapt_take(arena, sizeof(float), plan->received.statistics, 1, 1);
}

/* Numbers of each query. What is observed follows max, sum and seen without a gap: all of these are
 * cleared and copied in one go. */
static void place_numbers(const struct rapt_problem *p, struct rapt_arena *arena, int width,
                          struct rapt_observed *observed, float **max, float **sum, float **seen) {
    const int64_t count = 3 + rapt_observed_count(p);
    float *at = rapt_take(arena, sizeof *at, count, width, 1);
    if (!at)
        return;
    *max = at;
    *sum = *max + width;
    *seen = *sum + width;
    at = *seen + width;
    if (p->entropy.dtype != RAPT_NONE) {
        observed->entropy = at;
        at += width;
    }
    if (p->distance.dtype != RAPT_NONE) {
        observed->distance = at;
        at += width;
    }
    observed->segments = (int)p->segment_count;
    observed->bounds = p->segment_bounds;
    observed->mass = at;
    observed->diagonals = (int)p->diagonal_count;
    observed->offsets = p->diagonal_offsets;
    observed->diagonal = at + p->segment_count * width;
}

void rapt_place_state(const struct rapt_problem *p, struct rapt_arena *arena,
                      struct rapt_panel *panel) {
    panel->out = rapt_take(arena, sizeof(float), p->value_dim, panel->width, 1);
    place_numbers(p, arena, panel->width, &panel->observed, &panel->max, &panel->sum, &panel->seen);
}

size_t rapt_state_bytes(const struct rapt_problem *p, int width) {
    struct rapt_arena arena = {0};
    struct rapt_panel panel = {.width = width};
    rapt_place_state(p, &arena, &panel);
    return arena.used;
}

/* The largest weights belong to no state: all chunks share them. */
static void place_top(const struct rapt_problem *p, struct rapt_arena *arena, int width,
                      struct rapt_observed *observed) {
    observed->top = (int)p->top_count;
    observed->top_weight = rapt_take(arena, sizeof(float), 2 * p->top_count, width, 1);
    if (observed->top_weight)
        observed->top_key = observed->top_weight + p->top_count * width;
}

/* Rows of [width] floats that a panel's queries take. */
static int64_t query_rows(const struct rapt_plan *plan) {
    const int64_t channels = plan->problem.head_dim;
    return plan->amx ? rapt_amx_query_rows(channels) : channels;
}

void rapt_place_panel(const struct rapt_plan *plan, int width, struct rapt_arena *arena,
                      struct rapt_panel_scratch *panel) {
    const struct rapt_problem *p = &plan->problem;
    panel->first = rapt_take(arena, sizeof *panel->first, width, 1, 1);
    panel->last = rapt_take(arena, sizeof *panel->last, width, 1, 1);
    panel->position = rapt_take(arena, sizeof *panel->position, width, 1, 1);
    panel->slope = rapt_take(arena, sizeof *panel->slope, width, 1, 1);
    panel->kernel =
        (struct rapt_panel){.width = width, .head_dim = p->head_dim, .value_dim = p->value_dim};
    panel->kernel.query = rapt_take(arena, sizeof(float), query_rows(plan), width, 1);
    rapt_place_state(p, arena, &panel->kernel);
    place_top(p, arena, width, &panel->kernel.observed);
}

static void place_few_state(const struct rapt_plan *plan, struct rapt_arena *arena,
                            struct rapt_few *few) {
    const struct rapt_kernels *kernels = plan->kernels;
    few->out = rapt_take(arena, sizeof(float), kernels->few_rows, few->value_dim, 1);
    place_numbers(&plan->problem, arena, kernels->lanes, &few->observed, &few->max, &few->sum,
                  &few->seen);
}

void rapt_place_few(const struct rapt_plan *plan, struct rapt_arena *arena, struct rapt_few *few,
                    struct rapt_few *part) {
    const struct rapt_kernels *kernels = plan->kernels;
    const int64_t columns = plan->amx ? kernels->lanes : kernels->few_rows;
    few->query = rapt_take(arena, sizeof(float), query_rows(plan), columns, 1);
    place_top(&plan->problem, arena, kernels->lanes, &few->observed);
    *part = *few;
    place_few_state(plan, arena, few);
    place_few_state(plan, arena, part);
    const int64_t whole = rapt_round_up(few->value_dim, kernels->lanes);
    few->sums = part->sums = rapt_take(arena, sizeof(float), kernels->few_rows, whole, 1);
}

/* Room for so many staged rows: amx's groups, or rows of f32. */
static float *take_staged(const struct rapt_plan *plan, struct rapt_arena *arena, int64_t rows,
                          int64_t channels, int64_t group_bytes) {
    return plan->amx ? rapt_take(arena, (size_t)group_bytes, rows / RAPT_AMX_KEYS, 1, 1)
                     : rapt_take(arena, sizeof(float), rows, channels, 1);
}

/* Scores of a block, and what else a kernel needs beside them. */
static float *take_scores(const struct rapt_plan *plan, struct rapt_arena *arena) {
    const int64_t times = plan->amx ? RAPT_AMX_SCORES : 1;
    return rapt_take(arena, sizeof(float), plan->key_block, plan->panel_rows, times);
}

static int64_t row_floats(const struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    const bool wide_mask = p->mask.dtype != RAPT_NONE && p->mask.dtype != RAPT_F32;
    const int64_t query = p->query.dtype == RAPT_F32 ? 0 : p->head_dim;
    const int64_t out = p->out.dtype == RAPT_F32 ? 0 : p->value_dim;
    return rapt_max(rapt_max(query, out), wide_mask ? plan->key_block : 0);
}

void rapt_place_scratch(const struct rapt_plan *plan, struct rapt_arena *arena,
                        struct rapt_scratch *s) {
    const struct rapt_problem *p = &plan->problem;
    const int64_t width = plan->panel_rows, block = plan->key_block;
    const int64_t staged = plan->panels_per_task > 1 ? plan->chunk : block;
    const int64_t sets = rapt_divide_up(plan->kernels->few_most, plan->kernels->few_rows);
    const int64_t most = rapt_max(p->head_dim, p->value_dim);
    const int64_t scales = RAPT_GROUPS_MAX * RAPT_GROUP_ROWS, few = plan->has_few;
    *s = (struct rapt_scratch){.row_floats = row_floats(plan)};
    s->panels = rapt_take(arena, plan->panel_bytes, plan->panels_per_task, 1, 1);
    s->few = rapt_take(arena, plan->few_bytes, few * sets, 1, 1);
    /* Of any type: none is wider than f32. */
    s->copied_key = rapt_take(arena, sizeof(float), few * block, p->head_dim, 1);
    s->copied_value = rapt_take(arena, sizeof(float), few * block, p->value_dim, p->page_size > 0);
    s->scores = take_scores(plan, arena);
    s->bias = rapt_take(arena, sizeof(float), block, width, p->mask.dtype != RAPT_NONE);
    s->first = rapt_take(arena, sizeof(float), width, 1, 1);
    s->last = rapt_take(arena, sizeof(float), width, 1, 1);
    s->position = rapt_take(arena, sizeof(float), width, 1, 1);
    s->key_scale = rapt_take(arena, sizeof(float), scales, p->key.dtype == RAPT_I8, 1);
    s->value_scale = rapt_take(arena, sizeof(float), scales, p->value.dtype == RAPT_I8, 1);
    s->part = rapt_take(arena, rapt_state_bytes(p, (int)width), plan->joins, 1, 1);
    s->rows = rapt_take(arena, sizeof(float), s->row_floats, width, 1);
    if (plan->stage_key)
        s->staged_key =
            take_staged(plan, arena, staged, p->head_dim, rapt_amx_key_bytes(p->head_dim));
    if (plan->stage_value)
        s->staged_value =
            take_staged(plan, arena, staged, p->value_dim, rapt_amx_value_bytes(p->value_dim));
    s->amx_rows = rapt_take(arena, sizeof *s->amx_rows, RAPT_AMX_ROWS, most, plan->amx);
}

void rapt_place_key_panel(const struct rapt_plan *plan, int width, struct rapt_arena *arena,
                          struct rapt_key_panel_scratch *panel) {
    const size_t size = sizeof(float);
    panel->first = rapt_take(arena, sizeof *panel->first, width, 1, 1);
    panel->last = rapt_take(arena, sizeof *panel->last, width, 1, 1);
    panel->received = rapt_take(arena, size, width, 1, 1);
    panel->scale = rapt_take(arena, size, width, 1, 1);
    panel->kernel = (struct rapt_panel){.width = width, .head_dim = plan->problem.head_dim};
    panel->kernel.query = rapt_take(arena, size, query_rows(plan), width, 1);
    panel->kernel.max = rapt_take(arena, size, width, 1, 1);
    panel->kernel.seen = rapt_take(arena, size, width, 1, 1);
}

void rapt_place_received(const struct rapt_plan *plan, struct rapt_arena *arena,
                         struct rapt_received_scratch *s) {
    const int64_t width = plan->panel_rows, channels = plan->problem.head_dim;
    struct rapt_arena one = {0};
    struct rapt_key_panel_scratch panel;
    rapt_place_key_panel(plan, (int)width, &one, &panel);
    s->rows = rapt_take(arena, sizeof(float), width, channels, 1);
    s->queries = take_staged(plan, arena, plan->key_block, channels, rapt_amx_key_bytes(channels));
    s->scores = take_scores(plan, arena);
    s->bias = rapt_take(arena, sizeof(float), plan->key_block, width, 1);
    s->first = rapt_take(arena, sizeof(float), width, 1, 1);
    s->last = rapt_take(arena, sizeof(float), width, 1, 1);
    s->slope = rapt_take(arena, sizeof(float), width, 1, 1);
    s->position = rapt_take(arena, sizeof(float), width, 1, 1);
    s->panel_bytes = one.used;
    s->panels = rapt_take(arena, one.used, plan->received.panels, 1, 1);
}

void rapt_measure_scratch(struct rapt_plan *plan) {
    const struct rapt_problem *p = &plan->problem;
    struct rapt_arena one_panel = {0}, one_set = {0}, first = {0}, received = {0};
    struct rapt_panel_scratch panel;
    struct rapt_few few = {.head_dim = p->head_dim, .value_dim = p->value_dim}, part;
    struct rapt_scratch scratch;
    struct rapt_received_scratch received_scratch;
    rapt_place_panel(plan, plan->panel_rows, &one_panel, &panel);
    rapt_place_few(plan, &one_set, &few, &part);
    plan->panel_bytes = one_panel.used;
    plan->few_bytes = one_set.used;
    rapt_place_scratch(plan, &first, &scratch);
    if (plan->received.tasks > 0)
        rapt_place_received(plan, &received, &received_scratch);
    plan->scratch_bytes = first.used > received.used ? first.used : received.used;
}
