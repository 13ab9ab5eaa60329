/* SPDX-License-Identifier: Apache-2.0 */
/* The input of a model's first layer: rows of its tables of tokens, positions and the like. */
#ifndef RAPT_EMBED_H
#define RAPT_EMBED_H

#include <stdint.h>

#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sums rows of `count` tables: out[b][s] is the sum of row ids[i][b * S + s] of each table i. The
 * sum is in f32 and in the tables' order, so the bits are the same on every machine. Tables are
 * (1, 1, rows, channels), out is (B, 1, S, channels), each f32, f16 or bf16. Results are rounded to
 * out's type, to nearest even. ids[i] are B * S numbers of 0 to rows - 1. NULL stands for 0 to
 * S - 1, as for a table of positions. Nothing is allocated; on an error nothing is written.
 * Thread-safe.
 */
RAPT_API rapt_status rapt_embed(int count, const rapt_tensor *tables, const int64_t *const *ids,
                                const rapt_tensor *out);

#ifdef __cplusplus
}
#endif

#endif
