/* SPDX-License-Identifier: Apache-2.0 */
/* The problems that are timed: their shapes, names and amount of work. */
#ifndef RAPT_BENCH_SHAPES_H
#define RAPT_BENCH_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rapt/tensor.h>

/* How the sequences of a batch lie in memory. */
enum bench_form {
    BENCH_DENSE,  /* one behind the other, all of one length */
    BENCH_PAGED,  /* the same queries, keys in pages that are in no order */
    BENCH_RAGGED, /* queries and keys end to end: cu_q and cu_k */
    BENCH_CACHE,  /* queries end to end, keys in a cache with room for the longest: cu_q, kv_len */
};

enum { BENCH_PAGE_SIZE = 16 };

struct bench_length {
    int64_t q_len, kv_len;
};

/* What a case observes besides the output. */
enum bench_observed {
    BENCH_NOTHING,
    BENCH_TOP,      /* entropy, maximum and the 8 largest weights */
    BENCH_RECEIVED, /* what keys receive, in a second pass */
};

/* What a mask is, the same for all heads and of f32. */
enum bench_mask {
    BENCH_NO_MASK,
    BENCH_MASK_ANY,       /* any numbers */
    BENCH_MASK_CAUSAL,    /* hides later keys */
    BENCH_MASK_DOCUMENTS, /* hides keys of other documents, which are BENCH_DOCUMENT long */
};
enum { BENCH_DOCUMENT = 512 };

struct bench_shape {
    int64_t batch, q_heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    int64_t q_offset; /* position of the first query, for causal and masks that hide */
    int64_t window;   /* a causal query's own key and those before it, together; 0 for all */
    float softcap;    /* 0 for none */
    bool sinks, alibi;
    enum bench_mask mask; /* for dense shapes */
    bool bshd;            /* the heads of a position lie together in memory; for dense shapes */
    enum bench_observed observed;
    rapt_dtype kv_type; /* of keys and values; all else is f32 */
    bool qkv;           /* but queries, which are of it, too; f16 or bf16 */
    enum bench_form form;
    const struct bench_length *lengths; /* [batch], where q_len and kv_len are only the largest, and
                                           causal aligns the last query with the last key */
};

/* When a case is run. */
enum bench_use {
    BENCH_NAMED, /* only by its name or suite */
    BENCH_USUAL, /* also without --case, --suite and --shape */
    BENCH_QUICK, /* also with --quick */
};

/* What a case is an example of. */
enum bench_suite { BENCH_PREFILL, BENCH_DECODE, BENCH_ENCODER, BENCH_GROWTH, BENCH_FEATURES };

struct bench_case {
    char name[128];
    struct bench_shape shape;
    enum bench_suite suite;
    enum bench_use use;
    bool memory;      /* the limit is the memory's bandwidth, not the FMA peak */
    bool warm;        /* a bound by memory reads the same keys again and again */
    const char *base; /* the case that it is timed in turns with, and compared to; or NULL */
};

/* All cases. Those with a base follow it. */
size_t bench_case_list(const struct bench_case **list);

/*
 * Reads "B,Hq,Hkv,Sq,Skv,D[,flags]" and makes it a case of that name; causal aligns the last query
 * with the last key, and a window is causal. False if the text is no such shape, with what was
 * `expected`.
 */
bool bench_case_parse(const char *text, struct bench_case *out, char *expected, size_t size);

/*
 * The shape with only its middle q_len queries; for dense shapes. On average these see as many
 * causal keys as all queries do, so the work per query stays. With a window it grows at most by
 * what the first queries lack.
 */
struct bench_shape bench_shape_cut(struct bench_shape shape, int64_t q_len);

/* Whether a shape's mask lets the query at a position attend a key. */
bool bench_mask_shows(const struct bench_shape *shape, int64_t position, int64_t key);

/* The lengths of sequence b and the position of its first query. */
struct bench_length bench_shape_length(const struct bench_shape *shape, int64_t b);
int64_t bench_shape_offset(const struct bench_shape *shape, int64_t b);

/* Floating-point operations: 4 * head_dim (two products, two sums) per score that exists. */
double bench_shape_flops(const struct bench_shape *shape);

/* Scores that exist, of all heads. */
double bench_shape_scores(const struct bench_shape *shape);

/* Bytes of the keys and values that a query attends, and of their scales. */
double bench_shape_bytes(const struct bench_shape *shape);

/* Compulsory traffic: those bytes and the queries, read once, and the outputs, written once. */
double bench_shape_traffic(const struct bench_shape *shape);

/* "f32", "bf16", "f16" or "int8". */
const char *bench_type_name(rapt_dtype dtype);

#endif
