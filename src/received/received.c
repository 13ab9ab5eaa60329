/* SPDX-License-Identifier: Apache-2.0 */
#include "src/received/received.h"

#include <float.h>

#include "src/base/convert.h"
#include "src/panel/worker.h"

/* Some keys of a sequence and head, as lanes. */
struct key_panel {
    struct rapt_panel kernel; /* its queries are the keys */
    int keys;
    int64_t first_key;
    int64_t *first, *last;     /* [width]: the queries that attend each key */
    struct rapt_range queries; /* that attend any of them */
    struct rapt_range whole;   /* that attend all of them */
    float *received;           /* [width] */
    float *scale;              /* [width]: of int8 keys */
};

/* A thread at work on a task. */
struct receiver {
    const struct rapt_plan *plan;
    int64_t batch, head;
    const float *statistics; /* of the head's queries: max and factor */
    struct rapt_received_scratch scratch;
    int count;
    struct key_panel panel[RAPT_PANELS_MAX];
};

/* Elements from the data of keys to one of a panel's. */
static int64_t key_row(const struct receiver *r, const struct key_panel *panel, int lane) {
    int64_t last;
    return rapt_key_row(&r->plan->problem, &r->plan->problem.key, r->batch,
                        r->head / r->plan->problem.group, panel->first_key + lane, &last);
}

/* The keys of a panel in its lanes; the last one stands for those that it could still have. */
static void read_keys(struct receiver *r, struct key_panel *panel) {
    const struct rapt_problem *p = &r->plan->problem;
    const int64_t channels = p->head_dim;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        rows[lane] = r->scratch.rows + rapt_min(lane, panel->keys - 1) * channels;
        if (lane < panel->keys)
            rapt_read_row(r->plan->kernels, r->scratch.rows + lane * channels, &p->key,
                          key_row(r, panel, lane), rapt_key_factor(p), channels);
    }
    r->plan->kernels->gather(panel->kernel.query, panel->kernel.width, rows, 1, channels);
}

static void pack_keys(struct receiver *r, struct key_panel *panel) {
    const struct rapt_problem *p = &r->plan->problem;
    const uint16_t *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < panel->kernel.width; lane++)
        rows[lane] = lane < panel->keys
                         ? rapt_dense_row(&p->key, key_row(r, panel, lane),
                                          (uint16_t *)(void *)r->scratch.rows + lane * p->head_dim)
                         : rows[lane - 1];
    r->plan->kernels->pack_lanes(panel->kernel.query, panel->kernel.width, rows, p->head_dim,
                                 false);
}

/* The scales of int8 keys, in the same way. */
static void read_scales(struct receiver *r, struct key_panel *panel) {
    const struct rapt_problem *p = &r->plan->problem;
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        const int64_t key = panel->first_key + rapt_min(lane, panel->keys - 1);
        int64_t last;
        const int64_t at = rapt_key_row(p, &p->key_scale, r->batch, r->head / p->group, key, &last);
        panel->scale[lane] = ((const float *)r->plan->problem.key_scale.data)[at];
    }
}

static void find_queries(const struct receiver *r, struct key_panel *panel) {
    panel->queries = (struct rapt_range){INT64_MAX, 0};
    panel->whole = (struct rapt_range){0, INT64_MAX};
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        const int64_t key = panel->first_key + rapt_min(lane, panel->keys - 1);
        const struct rapt_range queries = rapt_query_range(&r->plan->problem, r->batch, key);
        panel->first[lane] = queries.first;
        panel->last[lane] = queries.last;
        panel->queries = rapt_join(panel->queries, queries);
        panel->whole.first = rapt_max(panel->whole.first, queries.first);
        panel->whole.last = rapt_min(panel->whole.last, queries.last);
    }
}

/* Sets up a panel of keys in its scratch. */
static void open_panel(struct receiver *r, struct key_panel *panel, int64_t first_key, int keys,
                       char *scratch) {
    const struct rapt_plan *plan = r->plan;
    const int width = rapt_panel_width(plan, (struct rapt_range){0, keys});
    struct rapt_arena arena = {.memory = scratch};
    struct rapt_key_panel_scratch placed;
    rapt_place_key_panel(plan, width, &arena, &placed);
    panel->keys = keys;
    panel->first_key = first_key;
    panel->first = placed.first;
    panel->last = placed.last;
    panel->received = placed.received;
    panel->scale = placed.scale;
    panel->kernel = placed.kernel;
    for (int lane = 0; lane < width; lane++) {
        panel->kernel.max[lane] = -FLT_MAX;
        panel->kernel.seen[lane] = panel->received[lane] = 0;
    }
    if (plan->amx)
        pack_keys(r, panel);
    else
        read_keys(r, panel);
    if (plan->problem.key.dtype == RAPT_I8)
        read_scales(r, panel);
    find_queries(r, panel);
}

/* Queries as amx's groups of keys; infinite ones are the largest number, as in the first pass. */
static void pack_queries(const struct receiver *r, int64_t first, int64_t count) {
    const struct rapt_problem *p = &r->plan->problem;
    const int64_t channels = p->head_dim;
    char *group = (char *)r->scratch.queries;
    for (int64_t i = 0; i < count; i += RAPT_AMX_KEYS) {
        const uint16_t *rows[RAPT_AMX_KEYS];
        const int some = (int)rapt_min(RAPT_AMX_KEYS, count - i);
        for (int k = 0; k < some; k++) {
            uint16_t *copy = (uint16_t *)(void *)r->scratch.rows + k * channels;
            const uint16_t *row = rapt_dense_row(
                &p->query, rapt_row_offset(&p->query, r->batch, r->head, first + i + k), copy);
            for (int64_t c = 0; c < channels; c++)
                copy[c] = row[c] - ((row[c] & 0x7fff) == 0x7f80);
            rows[k] = copy;
        }
        r->plan->kernels->pack_keys(group, rows, some, channels);
        group += rapt_amx_key_bytes(channels);
    }
}

/* The queries of a block as the first pass has them. */
static void read_queries(const struct receiver *r, struct rapt_range block) {
    const struct rapt_problem *p = &r->plan->problem;
    const int64_t channels = p->head_dim, first = rapt_q_first(p, r->batch);
    const int64_t count = block.last - block.first;
    if (r->plan->amx) {
        pack_queries(r, first + block.first, count);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        rapt_read_row(r->plan->kernels, r->scratch.queries + i * channels, &p->query,
                      rapt_row_offset(&p->query, r->batch, r->head, first + block.first + i), 1,
                      channels);
    r->plan->kernels->scale(r->scratch.queries, rapt_query_factor(p), count * channels);
}

/* Where the mask has what is for a panel's keys, and elements from its data to those of the first
 * query. */
static struct rapt_columns find_columns(const struct receiver *r, const struct key_panel *panel,
                                        int64_t *at) {
    const struct rapt_problem *p = &r->plan->problem;
    const struct rapt_range keys = {panel->first_key, panel->first_key + panel->keys};
    const struct rapt_columns c = rapt_mask_columns(p, r->batch, keys);
    *at = rapt_row_offset(&p->mask, r->batch, r->head, rapt_q_first(p, r->batch)) +
          c.column * p->mask.stride[3];
    return c;
}

static void fill_bias(const struct receiver *r, const struct key_panel *panel,
                      struct rapt_range queries) {
    const rapt_tensor *mask = &r->plan->problem.mask;
    int64_t at;
    const struct rapt_columns c = find_columns(r, panel, &at);
    const int width = panel->kernel.width;
    float *bias = r->scratch.bias;
    for (int64_t i = queries.first; i < queries.last; i++, bias += width) {
        for (int lane = 0; lane < width; lane++)
            bias[lane] = 0;
        if (c.count > 0)
            rapt_read_row(r->plan->kernels, bias + c.open, mask, at + i * mask->stride[2], 1,
                          c.count);
    }
}

/* Whether the mask lets some query of a block attend a key of a panel, and whether it changes any
 * score. */
static bool survey(const struct receiver *r, const struct key_panel *panel,
                   struct rapt_range queries, bool *biased) {
    const rapt_tensor *mask = &r->plan->problem.mask;
    uint64_t hides = ~(uint64_t)0, shows = ~(uint64_t)0;
    *biased = false;
    if (mask->dtype == RAPT_NONE)
        return true;
    int64_t at;
    const struct rapt_columns c = find_columns(r, panel, &at);
    const int64_t last = mask->stride[2] == 0 ? queries.first + 1 : queries.last;
    if (c.open > 0)
        hides = 0;
    if (c.count > 0)
        for (int64_t i = queries.first; i < last && (~hides == 0 || ~shows == 0); i++)
            rapt_survey_row(r->plan, at + i * mask->stride[2], 0, c.count, &hides, &shows);
    *biased = ~shows != 0;
    return ~hides != 0;
}

static void fill_alibi(const struct receiver *r, const struct key_panel *panel, int64_t query,
                       struct rapt_block *block) {
    const struct rapt_problem *p = &r->plan->problem;
    float *slope = r->scratch.slope, *position = r->scratch.position;
    const int64_t at = rapt_row_offset(&p->alibi, r->batch, r->head, 0);
    const int64_t origin = query + (p->q_offset ? p->q_offset[r->batch] : 0);
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        slope[lane] = rapt_slope(((const float *)r->plan->problem.alibi.data)[at]);
        position[lane] = (float)(panel->first_key + lane - origin);
    }
    block->slope = slope;
    block->position = position;
}

/* Adds what the queries of a block give to a panel's keys. */
static void receive(const struct receiver *r, struct key_panel *panel, struct rapt_range queries,
                    bool biased) {
    const struct rapt_problem *p = &r->plan->problem;
    const int width = panel->kernel.width;
    struct rapt_block block = rapt_new_block(p, queries);
    block.panel.key = r->scratch.queries;
    block.panel.key_row = p->head_dim;
    if (r->plan->amx) {
        block.amx = true;
        block.panel.amx_key = r->scratch.queries;
        block.amx_scale = rapt_query_factor(p);
    }
    if (p->key.dtype == RAPT_I8)
        block.key_scale = panel->scale;
    if (queries.first < panel->whole.first || queries.last > panel->whole.last) {
        float *first = r->scratch.first, *last = r->scratch.last;
        for (int lane = 0; lane < width; lane++) {
            first[lane] = (float)rapt_min(block.keys, panel->first[lane] - queries.first);
            last[lane] = (float)rapt_min(block.keys, panel->last[lane] - queries.first);
        }
        block.first = first;
        block.last = last;
    }
    if (biased) {
        fill_bias(r, panel, queries);
        block.bias = r->scratch.bias;
    }
    if (p->alibi.dtype != RAPT_NONE)
        fill_alibi(r, panel, queries.first, &block);
    r->plan->kernels->receive(&panel->kernel, &block, r->statistics + 2 * queries.first,
                              r->scratch.scores, panel->received);
}

/* Writes columns of the output; keys that don't exist have received nothing. */
static void write_received(const struct receiver *r, int64_t first, int64_t last) {
    const rapt_tensor *t = &r->plan->problem.received;
    float *row = (float *)r->plan->problem.received.data + rapt_row_offset(t, r->batch, r->head, 0);
    for (int i = 0; i < r->count; i++) {
        const struct key_panel *panel = &r->panel[i];
        r->plan->kernels->rescale(panel->received, 1, panel->keys);
        for (int lane = 0; lane < panel->keys; lane++)
            row[first++ * t->stride[3]] = panel->received[lane];
    }
    while (first < last)
        row[first++ * t->stride[3]] = 0;
}

static void start_receiver(struct receiver *r, const struct rapt_plan *plan, int64_t task,
                           void *scratch, const float *statistics) {
    const struct rapt_problem *p = &plan->problem;
    const int64_t head = task / plan->received.tasks_per_head;
    struct rapt_arena arena = rapt_arena_in(scratch);
    r->plan = plan;
    r->batch = head / p->q_heads;
    r->head = head % p->q_heads;
    r->statistics = statistics + rapt_statistics_at(p, r->batch, r->head, 0);
    r->count = 0;
    rapt_place_received(plan, &arena, &r->scratch);
}

/* Takes a block of queries through all panels, unless no key of them is attended. */
static void receive_block(struct receiver *r, struct rapt_range block) {
    bool is_read = false;
    for (int k = 0; k < r->count; k++) {
        struct key_panel *panel = &r->panel[k];
        bool biased;
        if (block.first >= panel->queries.last || block.last <= panel->queries.first ||
            !survey(r, panel, block, &biased))
            continue;
        if (!is_read)
            read_queries(r, block);
        is_read = true;
        receive(r, panel, block, biased);
    }
}

void rapt_received_run(const struct rapt_plan *plan, int64_t task, void *scratch,
                       const float *statistics) {
    const struct rapt_problem *p = &plan->problem;
    struct receiver r;
    start_receiver(&r, plan, task, scratch, statistics);
    const int64_t width = plan->panel_rows, each = plan->received.panels * width;
    const int64_t first = task % plan->received.tasks_per_head * each;
    const int64_t last = rapt_min(first + each, p->received.shape[3]);
    const int64_t keys = rapt_min(last, rapt_kv_len(p, r.batch));
    struct rapt_range all = {INT64_MAX, 0};
    char *at = r.scratch.panels;
    for (int64_t key = first; key < keys; key += width, at += r.scratch.panel_bytes) {
        struct key_panel *panel = &r.panel[r.count++];
        open_panel(&r, panel, key, (int)rapt_min(width, keys - key), at);
        all = rapt_join(all, panel->queries);
    }
    const int64_t step = plan->key_block;
    if (plan->amx)
        plan->kernels->open(false);
    for (int64_t i = all.first / step * step; i < all.last; i += step) {
        const struct rapt_range block = {i, rapt_min(i + step, rapt_q_len(p, r.batch))};
        receive_block(&r, block);
    }
    if (plan->amx)
        plan->kernels->close();
    write_received(&r, first, last);
}
