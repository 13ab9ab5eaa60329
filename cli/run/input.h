/* SPDX-License-Identifier: Apache-2.0 */
/* One input file of `rapt run`: reading it, and saying which option it came from if it is wrong. */
#ifndef RAPT_CLI_RUN_INPUT_H
#define RAPT_CLI_RUN_INPUT_H

#include "cli/base/npy.h"

/* Why an array isn't what was expected; room for two shapes. */
enum { INPUT_REASON_SIZE = NPY_MESSAGE_SIZE };

struct input {
    const char *option, *text; /* as the user wrote them; the text is NULL without that option */
    struct npy_array array;    /* data owned */
};

/* Prints "--option: path: reason". All functions here that return false have printed why. */
bool input_fail(const struct input *input, const char *reason);

/* The same for an array that has another shape: "shape (2, 3), expected " and the text. */
bool input_fail_shape(const struct input *input, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads the file: an array of one of the dtypes, of so many dimensions, none of them 0. */
bool input_load(struct input *input, unsigned dtypes, int least_rank, int most_rank);

/* Reads int32 or int64 numbers of any order and rank: then they are int64, in C order. */
bool input_load_integers(struct input *input);

/* Gives an input that is no file memory for so many int64 numbers. */
bool input_make_integers(struct input *input, int64_t count);

#endif
