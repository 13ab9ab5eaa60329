/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `rapt bench`, and its --help. */
#ifndef RAPT_BENCH_OPTIONS_H
#define RAPT_BENCH_OPTIONS_H

#include "cli/base/args.h"

/* The values of --suite, in the order of their names. */
enum suite {
    SUITE_NONE = -1,
    SUITE_QUICK,
    SUITE_PREFILL,
    SUITE_DECODE,
    SUITE_ENCODER,
    SUITE_GROWTH,
    SUITE_FEATURES,
    SUITE_ALL
};

/* What is shown: a table for each group of runs; instruction sets or threads side by side; the
 * cases between their roofs. */
enum view { VIEW_TABLES, VIEW_ISA, VIEW_SCALING, VIEW_ROOFLINE };

/* The options as they are written. */
struct request {
    enum view view;
    struct args_ints threads;
    const char *isa, *cases, *shape; /* NULL: not given */
    const char *json, *csv, *html, *compare, *pin;
    int suite;     /* enum suite */
    float seconds; /* 0: not given */
    bool quick, weak;
};

/* Reads them into a request with the defaults; returns what args_parse() does. */
int options_read(struct request *request, int argc, char **argv);

#endif
