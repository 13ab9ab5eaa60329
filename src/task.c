/* SPDX-License-Identifier: Apache-2.0 */
#include "task.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor.h"

static const float log2_e = 0x1.715476p+0f;

enum { CHUNK = 64 }; /* elements that are made dense at a time */

/* A panel at work: the kernel's view of it, and which rows and keys it stands for. */
struct work_panel {
    struct rapt_panel kernel;
    int64_t *first, *last;   /* [width]: keys that each lane attends */
    struct rapt_range rows;  /* of the batch and key head */
    struct rapt_range keys;  /* that any lane attends */
    struct rapt_range whole; /* that every lane attends */
};

struct worker {
    const struct rapt_plan *plan;
    const rapt_attention_data *data;
    const struct rapt_task *task;
    float *scores, *bias;
    float *first, *last, *slope, *position; /* [width]: of a block, or results of a panel */
    float *rows;                            /* [width][scratch.row_floats] */
    float *staged_key, *staged_value;
    int64_t staged_first; /* the key that the staged rows begin with */
    int64_t panels;
    struct work_panel panel[RAPT_PANELS_MAX];
};

static int64_t lane_row(const struct work_panel *panel, int lane) {
    return rapt_min(panel->rows.first + lane, panel->rows.last - 1);
}

/* Elements from a tensor's data to the row that a lane stands for. */
static int64_t lane_offset(const struct worker *w, const struct work_panel *panel, int lane,
                           const rapt_tensor *t) {
    const int64_t group = w->plan->problem.group, row = lane_row(panel, lane);
    return rapt_row_offset(t, w->task->batch, w->task->kv_head * group + row % group, row / group);
}

/* n elements of a tensor, from `at` on along its last dimension, as dense f32. */
static void read_row(const struct worker *w, float *dst, const rapt_tensor *t, const void *data,
                     int64_t at, int64_t n) {
    const size_t size = (size_t)rapt_dtype_size(t->dtype);
    const char *from = (const char *)data + at * (int64_t)size;
    const int64_t step = t->stride[3] * (int64_t)size;
    if (n == 1 || t->stride[3] == 1) {
        w->plan->kernels->widen(dst, from, t->dtype, n);
        return;
    }
    _Alignas(float) char dense[CHUNK * sizeof(float)];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t count = rapt_min(CHUNK, n - i);
        for (int64_t k = 0; k < count; k++, from += step)
            memcpy(dense + (size_t)k * size, from, size);
        w->plan->kernels->widen(dst + i, dense, t->dtype, count);
    }
}

/* The reverse of read_row. */
static void write_row(const struct worker *w, const float *src, const rapt_tensor *t, void *data,
                      int64_t at, int64_t n) {
    const size_t size = (size_t)rapt_dtype_size(t->dtype);
    char *to = (char *)data + at * (int64_t)size;
    const int64_t step = t->stride[3] * (int64_t)size;
    if (n == 1 || t->stride[3] == 1) {
        w->plan->kernels->narrow(to, src, t->dtype, n);
        return;
    }
    _Alignas(float) char dense[CHUNK * sizeof(float)];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t count = rapt_min(CHUNK, n - i);
        w->plan->kernels->narrow(dense, src + i, t->dtype, count);
        for (int64_t k = 0; k < count; k++, to += step)
            memcpy(to, dense + (size_t)k * size, size);
    }
}

/* n elements of the rows of all lanes, from `at` on in each, to lanes[n][width]. */
static void gather_rows(const struct worker *w, const struct work_panel *panel,
                        const rapt_tensor *t, const void *data, int64_t at, int64_t n,
                        float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int width = panel->kernel.width;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < width; lane++) {
        const int64_t from = lane_offset(w, panel, lane, t) + at;
        float *row = w->rows + lane * w->plan->scratch.row_floats;
        rows[lane] = direct ? (const float *)data + from : row;
        if (!direct)
            read_row(w, row, t, data, from, n);
    }
    w->plan->kernels->gather(lanes, width, rows, direct ? t->stride[3] : 1, n);
}

/* The reverse, for the lanes that stand for rows of their own. */
static void scatter_rows(const struct worker *w, const struct work_panel *panel,
                         const rapt_tensor *t, void *data, int64_t at, int64_t n,
                         const float *lanes) {
    const bool direct = t->dtype == RAPT_F32;
    const int count = (int)(panel->rows.last - panel->rows.first);
    float *rows[RAPT_PANEL_ROWS_MAX] = {NULL};
    for (int lane = 0; lane < count; lane++)
        rows[lane] = direct ? (float *)data + lane_offset(w, panel, lane, t) + at
                            : w->rows + lane * w->plan->scratch.row_floats;
    w->plan->kernels->scatter(rows, direct ? t->stride[3] : 1, count, lanes, panel->kernel.width,
                              n);
    for (int lane = 0; !direct && lane < count; lane++)
        write_row(w, rows[lane], t, data, lane_offset(w, panel, lane, t) + at, n);
}

static void find_keys(const struct worker *w, struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    panel->keys = (struct rapt_range){INT64_MAX, 0};
    panel->whole = (struct rapt_range){0, INT64_MAX};
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        const struct rapt_range keys =
            rapt_key_range(p, w->task->batch, lane_row(panel, lane) / p->group);
        panel->first[lane] = keys.first;
        panel->last[lane] = keys.last;
        panel->whole.first = rapt_max(panel->whole.first, keys.first);
        panel->whole.last = rapt_min(panel->whole.last, keys.last);
        panel->keys = rapt_join(panel->keys, keys);
    }
    if (panel->keys.first > panel->keys.last)
        panel->keys.first = panel->keys.last;
}

static void begin_panel(struct worker *w, int64_t index, float *scratch) {
    const struct rapt_plan *plan = w->plan;
    const struct rapt_problem *p = &plan->problem;
    const struct rapt_kernels *kernels = plan->kernels;
    struct work_panel *panel = &w->panel[index];
    panel->rows = rapt_panel_rows(plan, w->task->panel + index);
    const int lanes = kernels->lanes, rows = (int)(panel->rows.last - panel->rows.first);
    const int width = (rows + lanes - 1) / lanes * lanes;

    struct rapt_panel *k = &panel->kernel;
    k->width = width;
    k->head_dim = p->head_dim;
    k->value_dim = p->value_dim;
    panel->first = (int64_t *)(void *)scratch;
    panel->last = panel->first + width;
    k->query = (float *)(void *)(panel->last + width);
    k->out = k->query + p->head_dim * width;
    k->max = k->out + p->value_dim * width;
    k->sum = k->max + width;
    k->seen = k->sum + width;

    gather_rows(w, panel, &p->query, w->data->query, 0, p->head_dim, k->query);
    kernels->begin(k, p->softcap > 0 ? p->scale : p->scale * log2_e);
    find_keys(w, panel);
}

static void stage_rows(const struct worker *w, float *dst, const void *data, const rapt_tensor *t,
                       struct rapt_range keys) {
    const int64_t channels = t->shape[3];
    for (int64_t i = keys.first; i < keys.last; i++, dst += channels)
        read_row(w, dst, t, data, rapt_row_offset(t, w->task->batch, w->task->kv_head, i),
                 channels);
}

/* Copies the keys and values of a superblock to dense rows, for all panels of the task. */
static void stage(struct worker *w, struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    w->staged_first = keys.first;
    stage_rows(w, w->staged_key, w->data->key, &p->key, keys);
    stage_rows(w, w->staged_value, w->data->value, &p->value, keys);
}

/* The mask's elements for a panel and some keys, as what is added to the scores. */
static void fill_bias(const struct worker *w, const struct work_panel *panel,
                      struct rapt_range keys) {
    const rapt_tensor *mask = &w->plan->problem.mask;
    const int width = panel->kernel.width;
    const int64_t step = mask->stride[3], count = keys.last - keys.first;
    if (mask->dtype != RAPT_BOOL) {
        gather_rows(w, panel, mask, w->data->mask, keys.first * step, count, w->bias);
        return;
    }
    for (int lane = 0; lane < width; lane++) {
        const unsigned char *keep = (const unsigned char *)w->data->mask +
                                    lane_offset(w, panel, lane, mask) + keys.first * step;
        for (int64_t i = 0; i < count; i++)
            w->bias[i * width + lane] = keep[i * step] ? 0 : -INFINITY;
    }
}

/* ALiBi for a panel and some keys. Positions count from where the keys' block starts, so that a
 * distance is rounded in the same way however the block is cut. */
static void fill_alibi(const struct worker *w, const struct work_panel *panel, int64_t first_key,
                       struct rapt_block *block) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t origin = first_key / w->plan->key_block * w->plan->key_block;
    const int64_t offset = (p->q_offset ? p->q_offset[w->task->batch] : 0) - origin;
    for (int lane = 0; lane < panel->kernel.width; lane++) {
        const int64_t at = lane_offset(w, panel, lane, &p->alibi);
        const float slope = ((const float *)w->data->alibi)[at] * log2_e;
        /* Infinity times the distance 0 would be NaN. A NaN stays. */
        w->slope[lane] = slope > FLT_MAX ? FLT_MAX : slope < -FLT_MAX ? -FLT_MAX : slope;
        w->position[lane] = (float)(lane_row(panel, lane) / p->group + offset);
    }
    block->slope = w->slope;
    block->position = w->position;
    block->start = (float)(first_key - origin);
}

/* The kernel's view of some keys of one block, and what masks them for this panel. */
static struct rapt_block make_block(const struct worker *w, const struct work_panel *panel,
                                    struct rapt_range keys) {
    const struct rapt_problem *p = &w->plan->problem;
    struct rapt_block block = {.keys = (int)(keys.last - keys.first)};
    if (w->plan->stage) {
        block.key_row = p->head_dim;
        block.value_row = p->value_dim;
        block.key = w->staged_key + (keys.first - w->staged_first) * block.key_row;
        block.value = w->staged_value + (keys.first - w->staged_first) * block.value_row;
    } else {
        const int64_t b = w->task->batch, h = w->task->kv_head;
        block.key_row = p->key.stride[2];
        block.value_row = p->value.stride[2];
        block.key = (const float *)w->data->key + rapt_row_offset(&p->key, b, h, keys.first);
        block.value = (const float *)w->data->value + rapt_row_offset(&p->value, b, h, keys.first);
    }
    if (keys.first < panel->whole.first || keys.last > panel->whole.last) {
        for (int lane = 0; lane < panel->kernel.width; lane++) {
            w->first[lane] = (float)rapt_min(block.keys, panel->first[lane] - keys.first);
            w->last[lane] = (float)rapt_min(block.keys, panel->last[lane] - keys.first);
        }
        block.first = w->first;
        block.last = w->last;
    }
    if (p->mask.dtype != RAPT_NONE) {
        fill_bias(w, panel, keys);
        block.bias = w->bias;
    }
    if (p->alibi.dtype != RAPT_NONE)
        fill_alibi(w, panel, keys.first, &block);
    if (p->softcap > 0) {
        block.softcap = p->softcap * log2_e;
        block.softcap_inverse = 1 / p->softcap;
    }
    return block;
}

static struct rapt_range meet(struct rapt_range a, struct rapt_range b) {
    return (struct rapt_range){rapt_max(a.first, b.first), rapt_min(a.last, b.last)};
}

static void weigh_block(const struct worker *w, const struct work_panel *panel,
                        struct rapt_range keys) {
    const rapt_tensor *weights = &w->plan->problem.weights;
    const struct rapt_kernels *kernels = w->plan->kernels;
    const struct rapt_block block = make_block(w, panel, keys);
    kernels->weigh(&panel->kernel, &block, w->scores);
    scatter_rows(w, panel, weights, w->data->weights, keys.first * weights->stride[3], block.keys,
                 w->scores);
}

/* Calls visit for every block of keys that a panel attends, superblock by superblock. */
static void visit_blocks(struct worker *w,
                         void (*visit)(const struct worker *, const struct work_panel *,
                                       struct rapt_range)) {
    const struct rapt_plan *plan = w->plan;
    const int64_t block = plan->key_block, super = plan->superblock;
    struct rapt_range all = {INT64_MAX, 0};
    for (int64_t i = 0; i < w->panels; i++)
        all = rapt_join(all, w->panel[i].keys);
    for (int64_t at = all.first / super * super; at < all.last; at += super) {
        const struct rapt_range shared = meet(all, (struct rapt_range){at, at + super});
        if (plan->stage)
            stage(w, shared);
        for (int64_t i = 0; i < w->panels; i++) {
            const struct rapt_range own = meet(shared, w->panel[i].keys);
            for (int64_t k = own.first / block * block; k < own.last; k += block)
                visit(w, &w->panel[i], meet(own, (struct rapt_range){k, k + block}));
        }
    }
}

static void attend_block(const struct worker *w, const struct work_panel *panel,
                         struct rapt_range keys) {
    const struct rapt_block block = make_block(w, panel, keys);
    w->plan->kernels->attend(&panel->kernel, &block, w->scores);
}

/* A result of every row of a panel, if it is asked for. */
static void write_statistic(const struct worker *w, const struct work_panel *panel,
                            const rapt_tensor *t, void *data, const float *lanes) {
    if (t->dtype == RAPT_NONE)
        return;
    for (int lane = 0; lane < panel->rows.last - panel->rows.first; lane++)
        ((float *)data)[lane_offset(w, panel, lane, t)] = lanes[lane];
}

static void write_panel(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    float *sink = w->first, *lse = w->last, *top = w->slope;
    for (int lane = 0; p->sink.dtype != RAPT_NONE && lane < panel->kernel.width; lane++)
        sink[lane] = ((const float *)w->data->sink)[lane_offset(w, panel, lane, &p->sink)];
    w->plan->kernels->finish(&panel->kernel, p->sink.dtype == RAPT_NONE ? NULL : sink, lse, top);
    scatter_rows(w, panel, &p->out, w->data->out, 0, p->value_dim, panel->kernel.out);
    write_statistic(w, panel, &p->lse, w->data->lse, lse);
    write_statistic(w, panel, &p->max, w->data->max, top);
}

/* The weights of keys that no block of this panel covers. */
static void clear_weights(const struct worker *w, const struct work_panel *panel) {
    const struct rapt_problem *p = &w->plan->problem;
    const int64_t step = p->weights.stride[3];
    const int count = (int)(panel->rows.last - panel->rows.first);
    for (int lane = 0; lane < count; lane++) {
        float *row = (float *)w->data->weights + lane_offset(w, panel, lane, &p->weights);
        for (int64_t i = 0; i < panel->keys.first; i++)
            row[i * step] = 0;
        for (int64_t i = panel->keys.last; i < p->kv_len; i++)
            row[i * step] = 0;
    }
}

void rapt_task_run(const struct rapt_plan *plan, const rapt_attention_data *data,
                   const struct rapt_task *task, float *scratch) {
    const struct rapt_scratch *s = &plan->scratch;
    struct worker w = {
        .plan = plan,
        .data = data,
        .task = task,
        .scores = scratch + s->scores,
        .bias = scratch + s->bias,
        .first = scratch + s->bounds,
        .last = scratch + s->bounds + plan->kernels->panel_rows,
        .slope = scratch + s->bounds + 2 * plan->kernels->panel_rows,
        .position = scratch + s->bounds + 3 * plan->kernels->panel_rows,
        .rows = scratch + s->rows,
        .staged_key = scratch + s->staged_key,
        .staged_value = scratch + s->staged_value,
        .panels = rapt_min(plan->panels_per_task, plan->panels - task->panel),
    };
    for (int64_t i = 0; i < w.panels; i++)
        begin_panel(&w, i, scratch + s->panels + (size_t)i * s->panel_floats);
    visit_blocks(&w, attend_block);
    for (int64_t i = 0; i < w.panels; i++)
        write_panel(&w, &w.panel[i]);
    if (plan->problem.weights.dtype == RAPT_NONE)
        return;
    for (int64_t i = 0; i < w.panels; i++)
        clear_weights(&w, &w.panel[i]);
    visit_blocks(&w, weigh_block);
}
