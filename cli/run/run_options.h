/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `rapt run`. */
#ifndef RAPT_CLI_RUN_RUN_OPTIONS_H
#define RAPT_CLI_RUN_RUN_OPTIONS_H

#include "cli/base/args.h"
#include "cli/run/inputs.h"

/* How the output is stored, in the order of --out-type. */
enum out_type { LIKE_QUERY = -1, OUT_F32, OUT_F16, OUT_BF16 };

struct run_options {
    struct input_options in;
    const char *out, *lse, *max, *weights, *isa;
    const char *entropy, *top_weights, *top_keys, *distance, *segments, *diagonals, *received;
    struct args_ints segment_bounds, diagonal_offsets;
    int64_t top;      /* weights of each query in top_weights */
    int out_type;     /* enum out_type */
    int weights_kind; /* rapt_weights_kind, -1 if not given */
    float scale, softcap;
    bool causal;
    struct args_ints window;
    int64_t threads;
};

/* Reads them from the command line. Returns what args_parse() does. */
int run_options_read(int argc, char **argv, struct run_options *options);

#endif
