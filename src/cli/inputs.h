/* SPDX-License-Identifier: Apache-2.0 */
/* The input files of `rapt run`, as the library's views of them. */
#ifndef RAPT_CLI_INPUTS_H
#define RAPT_CLI_INPUTS_H

#include "npy.h"

#include <rapt/rapt.h>

enum layout { LAYOUT_BHSD, LAYOUT_BSHD };

/* What the user asked for. Paths are NULL where an option wasn't given. */
struct input_options {
    int layout; /* enum layout */
    bool bf16;  /* uint16 arrays are bf16 */
    const char *query, *key, *value, *mask, *alibi, *sinks, *kv_len;
    const char *q_offset; /* a number, "end", or a path */
};

struct inputs {
    struct npy_array query, key, value, mask, alibi, sinks, kv_len, q_offset; /* data owned */
    bool q_offset_is_file;
};

/*
 * Reads the files and sets the input tensors, q_offset and kv_len of args, which point into
 * `inputs`. On an error it has printed a line and returns false. Free the inputs in both cases.
 */
bool inputs_load(const struct input_options *options, struct inputs *inputs,
                 rapt_attention_args *args);

void inputs_free(struct inputs *inputs);

#endif
