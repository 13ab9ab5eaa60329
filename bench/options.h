/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `rapt bench`, and its --help. */
#ifndef RAPT_BENCH_OPTIONS_H
#define RAPT_BENCH_OPTIONS_H

#include "args.h"

/* The values of --suite, in the order of their names. */
enum suite { SUITE_NONE = -1, SUITE_QUICK, SUITE_PREFILL, SUITE_DECODE, SUITE_ENCODER, SUITE_ALL };

/* The options as they are written. */
struct request {
    struct args_ints threads;
    const char *isa, *cases, *shape, *json;
    int suite;     /* enum suite */
    float seconds; /* 0: not given */
    bool quick;
};

/* Reads them into a request with the defaults; returns what args_parse() does. */
int options_read(struct request *request, int argc, char **argv);

#endif
