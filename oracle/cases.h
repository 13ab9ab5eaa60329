/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases that every variant is checked on: sweeps of sizes over tiles and tails, every feature
 * alone, every pair of features, and a random set. A seed gives the same list on any machine.
 */
#ifndef RAPT_ORACLE_CASES_H
#define RAPT_ORACLE_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rapt/attention.h>

enum { CASE_BATCH_MAX = 4 };

/* How the tensors lie in memory. Outputs take BHSD where theirs would overlap, q8_0 what is nearest
 * to it with whole blocks. */
enum layout {
    LAYOUT_BHSD,
    LAYOUT_BSHD,
    LAYOUT_PACKED,     /* query, key and value of a position side by side, as one buffer */
    LAYOUT_REVERSED,   /* negative strides */
    LAYOUT_SPREAD,     /* channels 2 apart, and a gap after each row */
    LAYOUT_TRANSPOSED, /* positions densest */
    LAYOUT_PAGES,      /* rows a multiple of 4096 bytes apart */
    LAYOUT_SHARED,     /* all batches and heads in one place, stride 0 */
    LAYOUT_ODD,        /* rows an odd number of elements apart: 2 bytes are all that is aligned */
    LAYOUT_COUNT
};

/* What query, key, value, out and an additive mask are stored as. */
enum storage {
    STORAGE_F32,
    STORAGE_F16,
    STORAGE_BF16,
    STORAGE_CACHE_F16,  /* keys, values and mask; the rest f32 */
    STORAGE_CACHE_BF16, /* keys and values, and out */
    STORAGE_QUERY_F16,  /* out and mask bf16, the rest f32 */
    STORAGE_OUT_F16,    /* the rest f32 */
    STORAGE_MIX_F32,    /* every input another, out f32 */
    STORAGE_MIX_F16,    /* out f16 */
    STORAGE_I8,         /* keys and values; the rest f32 */
    STORAGE_Q8_0,       /* likewise */
    STORAGE_KEY_I8,     /* values and query bf16, out f32 */
    STORAGE_VALUE_I8,   /* keys and out f16 */
    STORAGE_MIX_Q8_0,   /* keys q8_0, values int8, out bf16 */
    STORAGE_VALUE_Q8_0, /* keys f32, query f16 */
    STORAGE_COUNT,
    /* Of copies only: int8 alone, whose scales are applied to sums, isn't the same stored as f32.
     */
    STORAGE_ONLY_KEY_I8 = STORAGE_COUNT,
    STORAGE_ONLY_VALUE_I8,
    STORAGE_ALL
};

enum mask_kind {
    MASK_NONE,
    MASK_BOOL,       /* (B, Hq, Sq, Skv), with rows that attend nothing */
    MASK_BOOL_KEYS,  /* (B, 1, 1, Skv) */
    MASK_BOOL_ROWS,  /* (1, 1, Sq, 1) */
    MASK_BIAS,       /* (B, Hq, Sq, Skv), finite */
    MASK_BIAS_HEADS, /* (1, Hq, Sq, Skv), with rows of -inf */
    MASK_BIAS_KEYS,  /* (1, 1, 1, Skv) */
    MASK_INFINITE,   /* (B, Hq, Sq, Skv), with -inf and +inf */
    MASK_LOWEST,     /* (B, 1, Sq, Skv), with the lowest finite number, also for whole rows */
    MASK_NAN,        /* (B, 1, Sq, Skv), with -inf and NaN */
    MASK_ONE,        /* (1, 1, 1, 1) */
    MASK_TREE,       /* (B, 1, Sq, Skv), bool: the last keys are the queries, which form a tree */
    MASK_PIECES, /* (B, 1, Sq, Skv): 0, -inf or other numbers for many keys at once, rows of -inf */
    MASK_BOOL_PIECES, /* (1, Hq, Sq, Skv), likewise */
    MASK_COUNT
};

/* Where a mask starts, and how many columns it has if it counts keys at all. */
enum start_kind {
    START_NONE,   /* NULL */
    START_NARROW, /* 0, and half as many columns as keys */
    START_END,    /* kv_len - Sq, and as many columns as queries */
    START_VARIED, /* another for each batch, columns beyond the keys */
    START_PAST,   /* behind the last key */
    START_COUNT
};

/* Which tensors have sequences end to end, whose lengths differ. */
enum ragged_kind { RAGGED_NONE, RAGGED_QUERIES, RAGGED_KEYS, RAGGED_BOTH, RAGGED_COUNT };

enum offset_kind {
    OFFSET_NONE, /* NULL */
    OFFSET_END,  /* kv_len - Sq */
    OFFSET_NEGATIVE,
    OFFSET_PAST,
    OFFSET_VARIED, /* another for each batch */
    OFFSET_FAR,    /* beyond all keys, in both directions */
    OFFSET_COUNT
};

enum length_kind {
    LENGTH_NONE, /* NULL; for ragged and paged keys as different as can be, one of them 0 */
    LENGTH_ALL,
    LENGTH_SOME, /* another for each batch */
    LENGTH_ZERO, /* none in the first batch */
    LENGTH_COUNT
};

/* The first key that exists. */
enum first_kind {
    FIRST_NONE,   /* NULL */
    FIRST_VARIED, /* another for each batch, in the middle of the keys */
    FIRST_PAST,   /* behind the last key in the first batch, the second key in the others */
    FIRST_COUNT
};

/* (1, Hq, 1, 1), or (B, Hq, 1, 1) where batches differ */
enum alibi_kind {
    ALIBI_NONE,
    ALIBI_HEADS,    /* 1/2, 1/4, ... */
    ALIBI_BATCHES,  /* the same, and 0 */
    ALIBI_NEGATIVE, /* of both signs */
    ALIBI_HUGE,     /* of both signs, up to FLT_MAX */
    ALIBI_COUNT
};

enum sink_kind {
    SINK_NONE,
    SINK_ZERO,    /* (1, Hq, 1, 1) */
    SINK_BATCHES, /* (B, Hq, 1, 1), -50 to 50 */
    SINK_ABSENT,  /* -inf for some heads */
    SINK_HUGE,    /* up to infinity */
    SINK_NAN,     /* for some heads */
    SINK_COUNT
};

/* What is observed of the weights. */
enum observe_kind {
    OBSERVE_NONE,
    OBSERVE_SUMS, /* entropy, distance, segments, diagonals */
    OBSERVE_ALL,  /* also the largest, and what keys receive */
    OBSERVE_COUNT
};
enum { CASE_TOP = 3, CASE_SEGMENTS = 4, CASE_DIAGONALS = 3 };

enum fill {
    FILL_NORMAL,
    FILL_LARGE,     /* scores of about 1e4 */
    FILL_OVERFLOW,  /* scores that overflow f32, in both directions */
    FILL_EQUAL,     /* all scores the same */
    FILL_SUBNORMAL, /* scores and values */
    FILL_TIES,      /* values halfway between two numbers of out's type */
    FILL_TOP,       /* values about the largest number of out's type */
    FILL_SCALES,    /* of int8 and q8_0: 0, negative, subnormal, large */
    FILL_HIDDEN,    /* NaN and infinity wherever no query attends */
    FILL_NAN_QUERY,
    FILL_NAN_KEY,
    FILL_NAN_VALUE,
    FILL_INF_VALUE,
    FILL_COUNT
};

struct attention_case {
    char name[224]; /* sizes, and all that differs from the plain case */
    uint64_t seed;  /* of its numbers */
    int batch, q_heads, kv_heads, q_len, kv_len, head_dim, value_dim;
    enum layout layout;
    enum storage storage;
    enum ragged_kind ragged;
    int page_size; /* of keys and values, 0 if they have no pages */
    enum mask_kind mask;
    enum start_kind start;
    enum alibi_kind alibi;
    enum sink_kind sink;
    bool causal;
    enum offset_kind offset;
    int64_t window_left, window_right;
    enum length_kind lengths;
    enum first_kind first;
    float scale, softcap;
    bool lse, max, weights;
    rapt_weights_kind weights_kind;
    enum observe_kind observed;
    enum fill fill;
    bool quick; /* one of the few for slow variants and emulators */
};

struct case_list {
    struct attention_case *items;
    size_t count, capacity;
};

/* All cases, or the quick ones only. False if there's no memory; then there's nothing to free. */
bool cases_make(struct case_list *list, uint64_t seed, bool quick_only);
void cases_free(struct case_list *list);

/* Lengths of a sequence. */
int64_t cases_queries(const struct attention_case *c, int b);
int64_t cases_keys(const struct attention_case *c, int b);

/* Writes the case's name from all that is set. */
void cases_name(struct attention_case *c);

/* A generator of random numbers (SplitMix64: Steele, Lea and Flood 2014) that needs no libm. */
uint64_t cases_random(uint64_t *state);

#endif
