/* SPDX-License-Identifier: Apache-2.0 */
/* The problems that are timed: their shapes, names and amount of work. */
#ifndef RAPT_BENCH_SHAPES_H
#define RAPT_BENCH_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_shape {
    int64_t batch, q_heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    int64_t q_offset; /* position of the first query, for causal */
};

struct bench_case {
    char name[96];
    struct bench_shape shape;
};

/* The cases that a plain `rapt bench` runs. */
size_t bench_case_list(const struct bench_case **list);

/*
 * Reads "B,Hq,Hkv,Sq,Skv,D[,causal]" and makes it a case of that name; causal aligns the last query
 * with the last key. False if the text is no such shape, with what was `expected`.
 */
bool bench_case_parse(const char *text, struct bench_case *out, char *expected, size_t size);

/*
 * The shape with only its middle q_len queries. Causal queries in the middle see as many keys as
 * all of them on average, so the work per query stays what it was.
 */
struct bench_shape bench_shape_cut(struct bench_shape shape, int64_t q_len);

/* Floating-point operations: 4 * head_dim (two products, two sums) per score that exists. */
double bench_shape_flops(const struct bench_shape *shape);

#endif
