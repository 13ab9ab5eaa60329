/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be measured, from the options as they are written. */
#ifndef RAPT_BENCH_SELECT_H
#define RAPT_BENCH_SELECT_H

#include "bench/measure.h"
#include "bench/options.h"
#include "bench/result.h"
#include "cli/base/args.h"

struct selection {
    enum view view;
    bool weak;                /* the batch grows with the threads */
    struct bench_case *cases; /* case_count, if weak so many for each number of threads */
    size_t case_count;
    const struct rapt_isa **isas;
    size_t isa_count;
    struct args_ints threads; /* fewest first, each once */
    struct bench_effort effort;
};

/* False with the reason on stderr; to be freed in any case. Leaves out cases that memory is too
 * short for, with a note on stderr, unless that would be all. */
bool select_make(const struct request *request, struct selection *selection);

/* The cases for one of the numbers of threads, and how many there are for all of them. */
const struct bench_case *select_cases_of(const struct selection *selection, int threads);
size_t select_case_total(const struct selection *selection);

void select_free(struct selection *selection);

#endif
