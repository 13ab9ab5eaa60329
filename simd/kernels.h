/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between the portable code and the instruction-set variants; README.md explains it.
 * A variant is one `struct rapt_kernels`: its functions together with the sizes they want.
 */
#ifndef RAPT_SIMD_KERNELS_H
#define RAPT_SIMD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rapt/attention.h>

#include "simd/dtype.def"
#include "simd/strict.h"

/* Scratch starts at a multiple of this many bytes, and each array in it at one of a vector. */
enum { RAPT_ALIGN = 64 };

/* No variant's panels have more rows. */
enum { RAPT_PANEL_ROWS_MAX = 64 };

/* Weights are summed by so many keys at a time, so a block's first key is a multiple of it. */
enum { RAPT_SUMMED_KEYS = 4 };

/* A survey of a mask goes by pieces of so many keys, and a chunk has at most so many pieces. */
enum { RAPT_MASK_KEYS = 32, RAPT_MASK_PIECES_MAX = 63 };

/* No variant takes more than so many times few_rows as a few queries. */
enum { RAPT_FEW_SETS = 4 };

/* ---- amx: sizes ---- */

/*
 * amx takes bf16 keys and values in groups of RAPT_AMX_KEYS keys, in the layout of its tiles. A
 * block starts with a group, and zeros fill the last one. simd/amx*.inc alone know the layout;
 * callers need only its sizes.
 */
enum {
    RAPT_AMX_KEYS = 32,   /* of a group */
    RAPT_AMX_BLOCK = 128, /* the most keys of a block */
    RAPT_AMX_ROWS = 32,   /* the most rows of a panel */
    RAPT_AMX_SCORES = 3,  /* scratch of a block, as a multiple of its scores */
};
static inline int64_t rapt_amx_key_bytes(int64_t head_dim) { /* of a group */
    return (head_dim + 31) / 32 * 2048;
}
static inline int64_t rapt_amx_value_bytes(int64_t value_dim) { /* of a group */
    return (value_dim + 15) / 16 * 1024 + 64;
}
static inline int64_t rapt_amx_query_rows(int64_t head_dim) { /* of [width] floats */
    return (head_dim + 31) / 32 * 16;
}

/* ---- queries and their state ---- */

/*
 * What is observed about the weights of a panel's queries. Each field may be absent (NULL, 0). Sums
 * belong to the state, and `finish` turns them into results in place. The largest weights don't
 * belong to the state: chunks share them, because blocks have to come in the order of the keys.
 */
struct rapt_observed {
    float *entropy;  /* [width], sum of exp2(score - max) * (score - max) so far */
    float *distance; /* [width], minus the sum of exp2(score - max) * |query's - key's position| */
    int segments;
    const int64_t *bounds; /* [segments + 1]: segment s has keys bounds[s] <= key < bounds[s + 1] */
    float *mass;           /* [segments][width], sum of exp2(score - max) of a segment's keys */
    int diagonals;
    const int64_t *offsets; /* [diagonals]: key's less query's position, at most 2^20 */
    float *diagonal;        /* [diagonals][width], exp2(score - max) of that key */
    int top;
    float *top_weight; /* [top][width], the largest scores so far, then their weights */
    float *top_key;    /* [top][width], their keys: the bits of an int32, or of -1 for none */
};

/*
 * A panel: up to panel_rows queries that share their keys, one query per SIMD lane. `width` is the
 * number of lanes in use, a multiple of the variant's `lanes`. Arrays with a second dimension are
 * row-major [n][width]. Lanes beyond the last query repeat it, so no lane is ever special.
 */
struct rapt_panel {
    int width;
    int64_t head_dim, value_dim;
    float *query; /* [head_dim][width], multiplied by rapt_query_factor(); of amx, as pack_lanes */
    float *out;   /* [value_dim][width], the sum of weight * value so far */
    float *max;   /* [width], largest score so far in units of log2 */
    float *sum;   /* [width], sum of exp2(score - max) so far */
    float *seen;  /* [width], 1 where the query has attended a key, else 0 */
    struct rapt_observed observed;
};

/* Few queries (decode), at most few_rows: the same state in another shape. */
struct rapt_few {
    int rows;
    int64_t head_dim, value_dim;
    float *query;                  /* [head_dim][few_rows], the last repeated up to a power of 2 */
    float *out;                    /* [rows][value_dim] */
    float *sums;                   /* [rows][value_dim rounded up to lanes]: scratch */
    float *max, *sum, *seen;       /* [lanes], those beyond the rows are any numbers */
    struct rapt_observed observed; /* [lanes] in the place of [width] */
};

/* ---- a block of keys ---- */

/* Memory to prefetch. The kernel prefetches some lines of each while it scores, so that memory and
 * multiply-adds are at work at the same time. */
enum { RAPT_PREFETCH_MOST = 3 };
struct rapt_prefetch {
    const void *first;
    int64_t bytes; /* may be 0 */
};

/*
 * Keys and values of a block for a panel: rows of f32, channels dense; for amx, groups in the
 * layout of its tiles.
 */
struct rapt_block_panel {
    bool begins; /* the state's first block: it writes `out` rather than adding to it */
    const float *key, *value;
    ptrdiff_t key_row, value_row; /* floats from one row to the next */
    const void *amx_key, *amx_value;
    struct rapt_prefetch prefetch[RAPT_PREFETCH_MOST];
};

/*
 * Rows as they are stored, for few queries (decode): channels are dense, and rows of a group lie at
 * one distance from each other. Groups of keys have all their rows: the last key is repeated.
 */
enum { RAPT_GROUP_ROWS = 16, RAPT_GROUPS_MAX = 12 };
struct rapt_rows {
    rapt_dtype dtype;
    ptrdiff_t bytes, step;    /* of a row, and from one row of a group to the next */
    const char *const *group; /* first rows */
    int groups;
};

/* Keys and values of a block for few queries (decode). */
struct rapt_block_few {
    struct rapt_rows keys, values;
    struct rapt_rows next_keys; /* of the next block, to prefetch; there may be no groups */
    int stretch;                /* keys, whole groups: while the kernel works on so many, it
                                   prefetches the next as many */
    ptrdiff_t bias_row;         /* the bias is [rows][bias_row] */
    float *const *kept;         /* [rows][keys]: the kernel stores scores here, from which weights
                                   are made later, -inf behind a mask; or NULL */
};

/*
 * Up to key_block consecutive keys, and what keeps a query from some of them. [width] is one number
 * per lane of a panel, and for few queries one per row.
 */
struct rapt_block {
    int keys;
    int64_t number; /* of the first key, for what is observed */
    struct rapt_block_panel panel;
    struct rapt_block_few few;

    bool amx;        /* keys, values and queries are in amx's layout; few queries: are of bf16 */
    float amx_scale; /* of scores: queries in amx's layout aren't multiplied by it */

    /*
     * For int8, [keys], and repeated as the keys are: factors of a key's scores, and of a value's
     * weights; or NULL. Keys are then the numbers times 2^24, which is a byte at the top of a word,
     * and queries are times 2^-24. For `receive`, key_scale is [width].
     */
    const float *key_scale, *value_scale;

    const float *first, *last; /* [width]: a lane attends keys first <= i < last, or NULL */
    const float *bias;         /* [keys][width], in natural units: added, -inf masks; or NULL */
    float softcap;             /* in units of log2; 0 for none */
    float softcap_inverse;     /* in natural units, which queries are in with a softcap */
    const float *slope;        /* [width]: of ALiBi, in units of log2, or NULL */
    const float *position;     /* [width]: the queries', less that of key 0 of the whole block; for
                                  ALiBi, distances and diagonals */
    float start;               /* this block's first key, less key 0 of the whole block */
};

/* ---- a variant ---- */

struct rapt_kernels {
    const char *name;
    int lanes;
    int panel_rows;
    int tile_rows;
    int few_rows; /* of one call */
    int few_most; /* up to so many rows, calls of attend_few are faster than a panel */

    /* -- queries and their state -- */

    /* dst[i][lane] = rows[lane][i * step] for i < n: puts rows into lanes. */
    void (*gather)(float *dst, int width, const float *const *rows, ptrdiff_t step, int64_t n);
    /* rows[lane][i * step] = src[i][lane] for the first `count` lanes. */
    void (*scatter)(float *const *rows, ptrdiff_t step, int count, const float *src, int width,
                    int64_t n);
    /* x = x * factor, saturating: makes queries from what gather gave. */
    void (*scale)(float *x, float factor, int64_t n);
    /* Empties the panel's state, but for `out`, which its first block or the caller sets. */
    void (*clear)(const struct rapt_panel *panel);

    /* -- a panel's blocks -- */

    /* Takes a block of keys into the state. `scores` is scratch, [keys][width]. */
    void (*attend)(const struct rapt_panel *panel, const struct rapt_block *block, float *scores);
    /* Takes the state of `part`, of the same queries and later keys, into that of `total`. */
    void (*join)(const struct rapt_panel *total, const struct rapt_panel *part);

    /* -- few queries (decode) -- */

    /* As attend. `scores` is [few_rows][keys rounded up to lanes], and as many [lanes] again if
     * anything is observed. */
    void (*attend_few)(const struct rapt_few *few, const struct rapt_block *block, float *scores);
    /* As join. */
    void (*join_few)(const struct rapt_few *total, const struct rapt_few *part);
    /* Weights from n scores that a row kept, with its max and factor: softmax or masked, in place.
     */
    void (*weights_of_kept)(float *row, int64_t n, rapt_weights_kind kind, float max, float factor);

    /* -- results -- */

    /*
     * Turns the state into results: `out` normalised, `sum` into the factor of weights, `max` in
     * natural units into top, the LSE into lse, and sums of what is observed into their results.
     * lse and top may be NULL, and so may sink: [width], a logit that joins the sum.
     */
    void (*finish)(const struct rapt_panel *panel, const float *sink, float *lse, float *top);
    /* After finish: the weights of a block, [keys][width], exactly 0 behind a mask, or scores. */
    void (*weights)(const struct rapt_panel *panel, const struct rapt_block *block,
                    rapt_weights_kind kind, float *weights);
    /* sum += factor * part over n floats: sums partial results. */
    void (*accumulate)(float *sum, const float *part, float factor, int64_t n);
    /* out = canonical(out * factor) over n floats. */
    void (*rescale)(float *out, float factor, int64_t n);
    /* y = exp2(x) for x <= 0, as the softmax evaluates it, and y = log(x). */
    void (*exp2)(float *y, const float *x, int64_t n);
    void (*log)(float *y, const float *x, int64_t n);

    /* -- the received pass -- */

    /*
     * Here the roles are changed: the panel's lanes are keys, as they come, and the block's keys
     * are scaled queries. Adds the weights that these give to received, [width]. results:
     * [keys][2], max and factor of each query. `scores` is scratch, [keys][width]. Of the panel's
     * state, only max (-FLT_MAX) and seen are used.
     */
    void (*receive)(const struct rapt_panel *panel, const struct rapt_block *block,
                    const float *results, float *scores, float *received);

    /* -- storage -- */

    /* n elements to f32, int8 times scale, a bool to 0 or (false) -inf. */
    void (*widen)(float *dst, const void *src, rapt_dtype dtype, float scale, int64_t n);
    /* n floats to f32, f16 or bf16, to nearest even. */
    void (*narrow)(void *dst, const float *src, rapt_dtype dtype, int64_t n);

    /* -- masks -- */

    /*
     * Looks at n dense elements of a row of a mask, for keys from `at` on. A bit stands for
     * RAPT_MASK_KEYS keys. *hides loses the bits of keys of which the row lets any be attended.
     * *shows loses those of keys of whose scores the row changes any. Where both bits are lost
     * already nothing is read.
     */
    void (*survey)(const void *row, rapt_dtype dtype, int64_t at, int64_t n, uint64_t *hides,
                   uint64_t *shows);

    /* -- projections -- */

    /*
     * out[i][lane] = bias[i] + sum over c of weight[i][c] * x[c][lane] for i < rows: a chain of
     * fused multiply-adds over the channels from zero, then the bias. x is [channels][width], out
     * [rows][width], weight_row the floats from one row of weights to the next; bias may be NULL.
     */
    void (*project)(float *out, const float *x, int width, int64_t channels, const float *weight,
                    ptrdiff_t weight_row, const float *bias, int rows);
    /* x = gelu(x), the exact one, over n floats. */
    void (*gelu)(float *x, int64_t n);

    /* -- RoPE -- */

    /* Sine and cosine of angles of at most pi. */
    void (*sincos)(float *sines, float *cosines, const float *angles, int64_t n);
    /*
     * Turns n pairs of numbers, each by its angle. `apart` is how far the second of a pair is from
     * the first. Pairs that are neighbours (1) follow each other. Else all first ones come in a row
     * and all second ones in a row.
     */
    void (*rotate)(float *x, int64_t apart, const float *sines, const float *cosines, int64_t n);

    /* -- amx; NULL in other variants -- */

    /* A thread opens the tiles before it works on blocks of amx, and closes them when it is done.
     * Else Linux would save them at each switch of threads. few: for attend_few. */
    void (*open)(bool few);
    void (*close)(void);
    /* A panel's queries, or few queries with a width of `lanes`, as pairs of channels. clamp:
     * infinite numbers become the largest. */
    void (*pack_lanes)(float *pairs, int width, const uint16_t *const *rows, int64_t head_dim,
                       bool clamp);
    /* A group of keys or of values, of `count` dense rows. */
    void (*pack_keys)(void *group, const uint16_t *const *rows, int count, int64_t head_dim);
    void (*pack_values)(void *group, const uint16_t *const *rows, int count, int64_t value_dim);

    /* -- probes -- */

    /* Runs independent chains of fused multiply-adds and returns the flops done. */
    double (*probe_fma)(int64_t rounds);
    /* Reads n floats as fast as memory gives them; the largest, -inf if there's none. */
    double (*probe_read)(const float *data, int64_t n);
};

#endif
