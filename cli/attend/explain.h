/* SPDX-License-Identifier: Apache-2.0 */
/* One row of one head, step by step with its numbers. */
#ifndef RAPT_CLI_ATTEND_EXPLAIN_H
#define RAPT_CLI_ATTEND_EXPLAIN_H

#include "cli/attend/heads_view.h"

struct explain_request {
    bool wanted;
    const char *word; /* a token's number from 0, or the token; NULL: the one with the strongest tie
                         to another word */
    bool causal;
};

/*
 * Walks through what a word of the sentence takes from the others in the one head of `view`. All is
 * computed by hand in double precision, and compared with the library's row at the end. isa and
 * threads are as in rapt_attention_args. Returns the exit code; an error is told on stderr.
 */
int explain(FILE *out, const struct heads_view *view, const struct explain_request *request,
            const char *isa, int threads);

#endif
