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

/* Masks are looked at by so many keys at a time, of a chunk that has at most so many of these. */
enum { RAPT_MASK_KEYS = 32, RAPT_MASK_PIECES_MAX = 63 };

/*
 * A variant with a matrix unit takes keys and values of bf16 packed, if the queries are of bf16,
 * too: in groups of RAPT_AMX_KEYS, the last one filled with zeros, which packed blocks start
 * with. The kernels alone know how; below is how much room it takes. RAPT_AMX_BLOCK is the most
 * keys of such a block, and RAPT_AMX_SCORES how many times as much scratch as scores it needs.
 */
enum {
    RAPT_AMX_KEYS = 32,
    RAPT_AMX_BLOCK = 128,
    RAPT_AMX_ROWS = 32, /* of a panel, at most */
    RAPT_AMX_SCORES = 3,
};
static inline int64_t rapt_amx_key_bytes(int64_t head_dim) { /* of a group */
    return (head_dim + 31) / 32 * 2048;
}
static inline int64_t rapt_amx_value_bytes(int64_t value_dim) {
    return (value_dim + 15) / 16 * 1024 + 64;
}
static inline int64_t rapt_amx_query_rows(int64_t head_dim) { /* of [width] floats */
    return (head_dim + 31) / 32 * 16;
}

/*
 * What is learnt about the weights of a panel's queries on the way, each or nothing (NULL, 0). Sums
 * belong to the state, and `finish` turns them into results in place. The largest weights don't: no
 * order of blocks but that of the keys will do, and chunks share them.
 */
struct rapt_observed {
    float *entropy;  /* [width], sum of exp2(score - max) * (score - max) so far */
    float *distance; /* [width], minus the sum of exp2(score - max) * |query's - key's position| */
    int segments;
    const int64_t *bounds; /* [segments + 1]: which keys are a segment's */
    float *mass;           /* [segments][width], sum of exp2(score - max) of these */
    int diagonals;
    const int64_t *offsets; /* [diagonals]: of keys from the query, of at most 2^20 */
    float *diagonal;        /* [diagonals][width], exp2(score - max) of these keys */
    int top;
    float *top_weight; /* [top][width], the largest scores so far, then their weights */
    float *top_key;    /* [top][width], their keys, int32 by their bits, or -1 */
};

/*
 * A panel: up to panel_rows queries that share their keys, one query per SIMD lane. `width` is the
 * number of lanes in use, a multiple of the variant's `lanes`; arrays with a second dimension are
 * row-major [n][width]. Lanes beyond the last query repeat it, so no lane is ever special.
 */
struct rapt_panel {
    int width;
    int64_t head_dim, value_dim;
    float *query; /* [head_dim][width], already multiplied by scale * log2(e); or packed */
    float *out;   /* [value_dim][width], the sum of weight * value so far */
    float *max;   /* [width], largest score so far in units of log2 */
    float *sum;   /* [width], sum of exp2(score - max) so far */
    float *seen;  /* [width], 1 where the query has attended a key, else 0 */
    struct rapt_observed observed;
};

/* No variant takes more than so many times few_rows as a few queries. */
enum { RAPT_FEW_SETS = 4 };

/* A few queries, at most few_rows: the same state in another shape. */
struct rapt_few {
    int rows;
    int64_t head_dim, value_dim;
    float *query;                  /* [head_dim][few_rows], the last repeated up to a power of 2 */
    float *out;                    /* [rows][value_dim] */
    float *sums;                   /* [rows][value_dim rounded up to lanes]: scratch */
    float *max, *sum, *seen;       /* [lanes], those beyond the rows are any numbers */
    struct rapt_observed observed; /* [lanes] in the place of [width] */
};

/*
 * Keys or values of a block as they are stored, for a few queries: channels are dense, and rows lie
 * at one distance from each other within groups. Keys' groups have all their rows: the last key is
 * repeated.
 */
enum { RAPT_GROUP_ROWS = 16, RAPT_GROUPS_MAX = 12 };
struct rapt_rows {
    rapt_dtype dtype;
    ptrdiff_t bytes, step;    /* of a row, and from one row of a group to the next */
    const char *const *group; /* first rows */
    int groups;
};

/* Memory that is touched soon. While a kernel scores it prefetches some lines of each now and then,
 * so that memory and multiply-adds are at work at the same time. */
enum { RAPT_PREFETCH_MOST = 3 };
struct rapt_prefetch {
    const void *first;
    int64_t bytes; /* may be 0 */
};

/*
 * Up to key_block consecutive keys, and what keeps a query from some of them. [width] is one number
 * per lane of a panel, and of a few queries one per row.
 */
struct rapt_block {
    int keys;
    bool begins;                                 /* a panel's state: its `out` is written anew */
    int64_t number;                              /* of the first, for what is observed */
    const float *key, *value;                    /* for a panel: row-major, channels dense */
    ptrdiff_t key_row, value_row;                /* floats from one row to the next */
    struct rapt_rows keys_stored, values_stored; /* for a few queries */
    struct rapt_rows keys_next;                  /* come after; there may be no groups */
    int stretch;                                 /* of keys, whole groups: prefetched while as many
                                                    are at work */
    bool amx;                                    /* for a matrix unit, as are the queries */
    const void *amx_key, *amx_value;             /* then, for a panel: groups of them */
    float amx_scale; /* and what scores are multiplied by, which packed queries aren't */
    /*
     * Of int8, [keys], and repeated as those are: what a key's scores and a value's weights are
     * multiplied by; or NULL. Keys are then the numbers times 2^24, which is what a byte is at the
     * top of a word, and queries the rest. For `receive`, key_scale is [width].
     */
    const float *key_scale, *value_scale;
    const float *first, *last; /* [width]: a lane attends keys first <= i < last, or NULL */
    const float *bias;         /* [keys][width]: added, -inf masks; or NULL */
    ptrdiff_t bias_row;        /* with a few queries, the bias is [rows][bias_row] */
    float softcap;             /* in units of log2; 0 for none */
    float softcap_inverse;     /* of the score as it comes from `query` */
    const float *slope;        /* [width]: ALiBi's, in units of log2, or NULL */
    const float *position;     /* [width]: of the queries, from that of key 0 of the block; for
                                  ALiBi, distances and diagonals */
    float start;               /* keys before `key`, in the same block */
    struct rapt_prefetch prefetch[RAPT_PREFETCH_MOST]; /* for a panel */
    float *const *kept; /* for a few queries, [rows][keys]: where their scores go that weights are
                           made of, -inf behind a mask; or NULL */
};

struct rapt_kernels {
    const char *name;
    int lanes;
    int panel_rows;
    int tile_rows;
    int few_rows; /* of one call */
    int few_most; /* rows up to which calls for some at a time are faster than a panel */

    /* dst[i][lane] = rows[lane][i * step] for i < n: puts rows into lanes. */
    void (*gather)(float *dst, int width, const float *const *rows, ptrdiff_t step, int64_t n);
    /* rows[lane][i * step] = src[i][lane] for the first `count` lanes. */
    void (*scatter)(float *const *rows, ptrdiff_t step, int count, const float *src, int width,
                    int64_t n);

    /* x = x * factor, saturating: makes queries from what gather gave. */
    void (*scale)(float *x, float factor, int64_t n);
    /* Empties the panel's state, but for `out`, which its first block or the caller sets. */
    void (*clear)(const struct rapt_panel *panel);
    /* Takes a block of keys into the state. `scores` is scratch, [keys][width]. */
    void (*attend)(const struct rapt_panel *panel, const struct rapt_block *block, float *scores);
    /* The same for a few queries. `scores` is [few_rows][keys rounded up to lanes], and as many
     * [lanes] again if anything is observed. */
    void (*attend_few)(const struct rapt_few *few, const struct rapt_block *block, float *scores);
    /* Takes the state of `part`, of the same queries and later keys, into that of `total`. */
    void (*join)(const struct rapt_panel *total, const struct rapt_panel *part);
    void (*join_few)(const struct rapt_few *total, const struct rapt_few *part);
    /*
     * Turns the state into results: `out` normalised, `sum` into the factor of weights, `max` in
     * natural units into top, LSE; what is observed into what it is for. Each of these two may be
     * NULL, and so may sink: [width], a logit that joins the sum.
     */
    void (*finish)(const struct rapt_panel *panel, const float *sink, float *lse, float *top);
    /* After finish: the weights of a block, [keys][width], exactly 0 behind a mask, or scores. */
    void (*weights)(const struct rapt_panel *panel, const struct rapt_block *block,
                    rapt_weights_kind kind, float *weights);
    /* The same for n scores that a row kept, and its max and factor: softmax or masked, in place.
     */
    void (*weights_of_kept)(float *row, int64_t n, rapt_weights_kind kind, float max, float factor);

    /*
     * The second pass with the roles changed: the panel's lanes are keys, as they come, and the
     * block's keys are scaled queries. Adds the weights that these give to received, [width].
     * results: [keys][2], max and factor of each query. `scores` is scratch, [keys][width]; of the
     * state, only max (-FLT_MAX) and seen are looked at.
     */
    void (*receive)(const struct rapt_panel *panel, const struct rapt_block *block,
                    const float *results, float *scores, float *received);

    /* Runs independent chains of fused multiply-adds and returns the flops done. */
    double (*probe_fma)(int64_t rounds);
    /* n elements to f32, int8 times scale, a bool to 0 or (false) -inf; and to f32, f16 or bf16, to
     * nearest even. */
    void (*widen)(float *dst, const void *src, rapt_dtype dtype, float scale, int64_t n);
    void (*narrow)(void *dst, const float *src, rapt_dtype dtype, int64_t n);
    /*
     * Looks at n dense elements of a row of a mask, for keys from `at` on. A bit stands for
     * RAPT_MASK_KEYS keys: *hides loses those of which the row lets any be attended, *shows those
     * of whose scores it changes any. Where both bits are lost already nothing is read.
     */
    void (*survey)(const void *row, rapt_dtype dtype, int64_t at, int64_t n, uint64_t *hides,
                   uint64_t *shows);

    /* sum += factor * part, and out = canonical(out * factor), over n floats. */
    void (*accumulate)(float *sum, const float *part, float factor, int64_t n);
    void (*rescale)(float *out, float factor, int64_t n);
    /* y = exp2(x) for x <= 0, as the softmax evaluates it, and y = log(x). */
    void (*exp2)(float *y, const float *x, int64_t n);
    void (*log)(float *y, const float *x, int64_t n);

    /* Sine and cosine of angles of at most pi. */
    void (*sincos)(float *sines, float *cosines, const float *angles, int64_t n);
    /*
     * Turns n pairs of numbers, each by its angle. `apart` is how far the second of a pair is from
     * the first: pairs that are neighbours (1) follow each other, else all first ones come in a row
     * and all second ones in a row.
     */
    void (*rotate)(float *x, int64_t apart, const float *sines, const float *cosines, int64_t n);

    /* Reads n floats as fast as memory gives them; the largest, -inf if there's none. */
    double (*probe_read)(const float *data, int64_t n);

    /*
     * out[i][lane] = bias[i] + sum over c of weight[i][c] * x[c][lane] for i < rows: a chain of
     * fused multiply-adds over the channels from zero, then the bias. x is [channels][width], out
     * [rows][width], weight_row the floats from one row of weights to the next; bias may be NULL.
     */
    void (*project)(float *out, const float *x, int width, int64_t channels, const float *weight,
                    ptrdiff_t weight_row, const float *bias, int rows);
    /* x = gelu(x), the exact one, over n floats. */
    void (*gelu)(float *x, int64_t n);

    /*
     * Of a variant with a matrix unit, else NULL. A thread opens it before it works on packed
     * blocks and closes it when it is done, or its registers would be saved at each switch.
     * pack_lanes: a panel's queries, or a few with a width of `lanes`; clamp: infinite ones become
     * the largest. pack_keys and pack_values: a group. Rows are dense; of a group there are
     * `count`.
     */
    void (*open)(bool few);
    void (*close)(void);
    void (*pack_lanes)(float *pairs, int width, const uint16_t *const *rows, int64_t head_dim,
                       bool clamp);
    void (*pack_keys)(void *group, const uint16_t *const *rows, int count, int64_t head_dim);
    void (*pack_values)(void *group, const uint16_t *const *rows, int count, int64_t value_dim);
};

#endif
