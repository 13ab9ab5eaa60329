/* SPDX-License-Identifier: Apache-2.0 */
/* The sequences of a batch: where they begin and end, their pages, and the positions in them. */
#ifndef RAPT_CLI_RUN_SEQUENCES_H
#define RAPT_CLI_RUN_SEQUENCES_H

#include "cli/run/inputs.h"

/* Loads --cu-q, --cu-k, --block-table, --kv-len and --kv-start, once args has the tensors. */
bool sequences_load(struct inputs *inputs, rapt_attention_args *args);

/* Loads --q-offset and --mask-start, once args has the sequences. */
bool sequences_load_positions(struct inputs *inputs, rapt_attention_args *args);

/* The number of sequences, and how many keys the longest one has. */
int64_t sequences_count(const rapt_attention_args *args);
int64_t sequences_longest(const rapt_attention_args *args);

#endif
