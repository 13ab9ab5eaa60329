/* SPDX-License-Identifier: Apache-2.0 */
/* The input files of `rapt run`, as the library's views of them: no layout costs a copy. */
#ifndef RAPT_CLI_RUN_INPUTS_H
#define RAPT_CLI_RUN_INPUTS_H

#include "cli/run/input.h"

#include <rapt/rapt.h>

enum layout { LAYOUT_NOT_GIVEN = -1, LAYOUT_BHSD, LAYOUT_BSHD };

/* The options that name an input file, or can. */
enum input_name {
    INPUT_QUERY,
    INPUT_KEY,
    INPUT_VALUE,
    INPUT_KEY_SCALE,
    INPUT_VALUE_SCALE,
    INPUT_MASK,
    INPUT_MASK_START,
    INPUT_ALIBI,
    INPUT_SINKS,
    INPUT_CU_Q,
    INPUT_CU_K,
    INPUT_BLOCK_TABLE,
    INPUT_KV_LEN,
    INPUT_KV_START,
    INPUT_Q_OFFSET,
    INPUTS,
};

/* The options of inputs. Texts are NULL where an option wasn't given. */
struct input_options {
    int layout; /* enum layout */
    bool bf16;  /* uint16 arrays are bf16 */
    bool q8_0;  /* uint8 arrays of keys and values are q8_0 */
    const char *text[INPUTS];
};

struct inputs {
    struct input list[INPUTS];
};

/*
 * Reads the files and sets the input tensors, lengths, offsets and pages of args, which point into
 * `inputs`. On an error it has printed a line and returns false. Free the inputs in both cases.
 */
bool inputs_load(const struct input_options *options, struct inputs *inputs,
                 rapt_attention_args *args);

void inputs_free(struct inputs *inputs);

#endif
