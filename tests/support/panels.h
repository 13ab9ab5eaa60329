/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at the level of the kernel table: panels opened, fed block by block, and closed. */
#ifndef RAPT_TESTS_SUPPORT_PANELS_H
#define RAPT_TESTS_SUPPORT_PANELS_H

#include "tests/support/helpers.h"
#include "simd/kernels.h"

/* One key head in plain dense rows. */
struct head {
    int rows, keys;
    int64_t head_dim, value_dim;
    float *query, *key, *value; /* [rows][head_dim], [keys][head_dim], [keys][value_dim] */
    float *bias;                /* [rows][keys] or NULL */
    int *first, *last;          /* [rows]: keys first <= i < last, or NULL */
    float *slope;               /* [rows]: ALiBi's, or NULL */
    float *key_scale,
        *value_scale; /* [keys]: of int8, whose keys are numbers times 2^24; or NULL */
    int position;     /* of the first row */
    float scale, softcap;
};

struct result {
    float *out, *lse, *weights; /* [rows][value_dim], [rows], [rows][keys] */
};

/* How the work is divided. Panels are `width` lanes wide. */
struct division {
    int width, block;
    bool interleaved; /* each block goes to all panels before the next, else panel by panel */
};

/* A panel at work. */
struct work {
    struct rapt_panel panel;
    const struct head *head;
    int first_row, rows;
    float *memory, *scores, *bias, *bounds, *slopes, *lse;
};

static inline struct head new_head(int rows, int keys, int64_t head_dim, int64_t value_dim,
                                   uint64_t seed) {
    struct head h = {rows, keys, head_dim, value_dim, .scale = 0.7f};
    const size_t sizes[] = {(size_t)rows * (size_t)head_dim, (size_t)keys * (size_t)head_dim,
                            (size_t)keys * (size_t)value_dim};
    float **arrays[] = {&h.query, &h.key, &h.value};
    for (int i = 0; i < 3; i++) {
        /* Of exactly that size, so that a sanitizer sees reads beyond it. */
        *arrays[i] = malloc(sizes[i] * sizeof(float));
        cr_assert_not_null(*arrays[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            (*arrays[i])[k] = random_float(&seed);
    }
    return h;
}

static inline void add_bias(struct head *h, uint64_t seed) {
    h->bias = malloc((size_t)h->rows * (size_t)h->keys * sizeof(float));
    cr_assert_not_null(h->bias);
    for (int i = 0; i < h->rows * h->keys; i++)
        h->bias[i] = next_random(&seed) % 4 ? 2 * random_float(&seed) : -INFINITY;
}

/* Each row gets some range of keys; every fifth an empty one. */
static inline void add_bounds(struct head *h, uint64_t seed) {
    h->first = malloc((size_t)h->rows * sizeof(int));
    h->last = malloc((size_t)h->rows * sizeof(int));
    cr_assert(h->first && h->last);
    for (int i = 0; i < h->rows; i++) {
        const int a = (int)(next_random(&seed) % (uint32_t)(h->keys + 1));
        const int b = (int)(next_random(&seed) % (uint32_t)(h->keys + 1));
        h->first[i] = a < b ? a : b;
        h->last[i] = i % 5 == 2 ? h->first[i] : a < b ? b : a;
    }
}

/* Slopes of either sign; the positions begin among the keys. */
static inline void add_slopes(struct head *h, uint64_t seed) {
    h->slope = malloc((size_t)h->rows * sizeof(float));
    cr_assert_not_null(h->slope);
    for (int i = 0; i < h->rows; i++)
        h->slope[i] = random_float(&seed) / 4;
    h->position = h->keys / 3;
}

static inline void free_head(struct head *h) {
    free(h->query);
    free(h->key);
    free(h->value);
    free(h->bias);
    free(h->first);
    free(h->last);
    free(h->slope);
    free(h->key_scale);
    free(h->value_scale);
}

static inline struct result new_result(const struct head *h) {
    const size_t rows = (size_t)h->rows;
    struct result r = {allocate(rows * (size_t)h->value_dim * sizeof(float)),
                       allocate(rows * sizeof(float)),
                       allocate(rows * (size_t)h->keys * sizeof(float))};
    return r;
}

static inline void free_result(struct result *r) {
    free(r->out);
    free(r->lse);
    free(r->weights);
}

static inline bool same_row(const struct head *h, const struct result *a, const struct result *b,
                            int row) {
    const size_t channels = (size_t)h->value_dim, keys = (size_t)h->keys, at = (size_t)row;
    return memcmp(a->out + at * channels, b->out + at * channels, channels * sizeof(float)) == 0 &&
           memcmp(a->weights + at * keys, b->weights + at * keys, keys * sizeof(float)) == 0 &&
           memcmp(a->lse + at, b->lse + at, sizeof(float)) == 0;
}

static inline bool same_result(const struct head *h, const struct result *a,
                               const struct result *b) {
    for (int row = 0; row < h->rows; row++)
        if (!same_row(h, a, b, row))
            return false;
    return true;
}

static inline int lane_row(const struct work *w, int lane) {
    return w->first_row + (lane < w->rows ? lane : w->rows - 1);
}

/* What its queries are multiplied by. */
static inline float query_factor(const struct head *h) {
    const float factor = h->key_scale ? h->scale * 0x1p-24f : h->scale;
    return h->softcap > 0 ? factor : factor * 0x1.715476p+0f;
}

static inline struct work open_panel(const struct rapt_kernels *kernels, const struct head *h,
                                     int first_row, int width, int block) {
    struct work w = {.head = h, .first_row = first_row};
    w.rows = h->rows - first_row < width ? h->rows - first_row : width;
    width = (w.rows + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
    const int64_t parts[] = {
        h->head_dim * width,    h->value_dim * width,   width,     width,     width,
        (int64_t)block * width, (int64_t)block * width, 2 * width, 2 * width, width};
    float **pointers[] = {&w.panel.query, &w.panel.out, &w.panel.max, &w.panel.sum, &w.panel.seen,
                          &w.scores,      &w.bias,      &w.bounds,    &w.slopes,    &w.lse};
    size_t floats = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (int i = 0; i < 10; i++) {
            if (pass)
                *pointers[i] = w.memory + at;
            at += ((size_t)parts[i] + 15) / 16 * 16;
        }
        floats = at;
        if (!pass)
            w.memory = allocate(floats * sizeof(float));
    }
    memset(w.memory, CANARY, floats * sizeof(float));
    w.panel.width = width;
    w.panel.head_dim = h->head_dim;
    w.panel.value_dim = h->value_dim;
    const float *rows[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < width; lane++)
        rows[lane] = h->query + lane_row(&w, lane) * h->head_dim;
    kernels->gather(w.panel.query, width, rows, 1, h->head_dim);
    kernels->scale(w.panel.query, query_factor(h), h->head_dim * width);
    kernels->clear(&w.panel);
    memset(w.panel.out, 0, (size_t)(width * h->value_dim) * sizeof(float));
    return w;
}

/* The kernel's view of keys first <= i < last. */
static inline struct rapt_block make_block(const struct work *w, int first, int last) {
    const struct head *h = w->head;
    const int width = w->panel.width, keys = last - first;
    struct rapt_block b = {
        .keys = keys,
        .panel.key = h->key + first * h->head_dim,
        .panel.value = h->value + first * h->value_dim,
        .panel.key_row = h->head_dim,
        .panel.value_row = h->value_dim,
        .key_scale = h->key_scale ? h->key_scale + first : NULL,
        .value_scale = h->value_scale ? h->value_scale + first : NULL,
        .softcap = h->softcap * 0x1.715476p+0f,
        .softcap_inverse = h->softcap > 0 ? 1 / h->softcap : 0,
    };
    for (int lane = 0; lane < width; lane++) {
        const int row = lane_row(w, lane);
        if (h->first) {
            w->bounds[lane] = (float)(h->first[row] - first);
            w->bounds[width + lane] = (float)(h->last[row] - first);
        }
        if (h->slope) {
            w->slopes[lane] = h->slope[row] * 0x1.715476p+0f;
            w->slopes[width + lane] = (float)(h->position + row - first);
        }
        for (int i = 0; h->bias && i < keys; i++)
            w->bias[i * width + lane] = h->bias[row * h->keys + first + i];
    }
    b.first = h->first ? w->bounds : NULL;
    b.last = h->first ? w->bounds + width : NULL;
    b.bias = h->bias ? w->bias : NULL;
    b.slope = h->slope ? w->slopes : NULL;
    b.position = h->slope ? w->slopes + width : NULL;
    return b;
}

static inline void feed_block(const struct rapt_kernels *kernels, const struct work *w, int first,
                              int last) {
    const struct rapt_block block = make_block(w, first, last);
    kernels->attend(&w->panel, &block, w->scores);
}

static inline void close_panel(const struct rapt_kernels *kernels, struct work *w, int block,
                               struct result *result) {
    const struct head *h = w->head;
    float *rows[RAPT_PANEL_ROWS_MAX];
    kernels->finish(&w->panel, NULL, w->lse, w->scores); /* the scores are used up */
    memcpy(result->lse + w->first_row, w->lse, (size_t)w->rows * sizeof(float));
    for (int lane = 0; lane < w->rows; lane++)
        rows[lane] = result->out + (w->first_row + lane) * h->value_dim;
    kernels->scatter(rows, 1, w->rows, w->panel.out, w->panel.width, h->value_dim);
    for (int first = 0; first < h->keys; first += block) {
        const int last = first + block < h->keys ? first + block : h->keys;
        const struct rapt_block keys = make_block(w, first, last);
        kernels->weights(&w->panel, &keys, RAPT_WEIGHTS_SOFTMAX, w->scores);
        for (int lane = 0; lane < w->rows; lane++)
            rows[lane] = result->weights + (ptrdiff_t)(w->first_row + lane) * h->keys + first;
        kernels->scatter(rows, 1, w->rows, w->scores, w->panel.width, last - first);
    }
    free(w->memory);
}

static inline struct result run_head(const struct rapt_kernels *kernels, const struct head *h,
                                     struct division d) {
    struct result result = new_result(h);
    const int panels = (h->rows + d.width - 1) / d.width;
    struct work *work = malloc((size_t)panels * sizeof *work);
    cr_assert_not_null(work);
    for (int p = 0; p < panels; p++)
        work[p] = open_panel(kernels, h, p * d.width, d.width, d.block);
    const int blocks = (h->keys + d.block - 1) / d.block;
    for (int i = 0; i < panels * blocks; i++) {
        const int p = d.interleaved ? i % panels : i / blocks;
        const int first = (d.interleaved ? i / panels : i % blocks) * d.block;
        feed_block(kernels, &work[p], first, first + d.block < h->keys ? first + d.block : h->keys);
    }
    for (int p = 0; p < panels; p++)
        close_panel(kernels, &work[p], d.block, &result);
    free(work);
    return result;
}

#endif
