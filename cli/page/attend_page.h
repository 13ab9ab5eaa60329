/* SPDX-License-Identifier: Apache-2.0 */
/* rapt attend --html: the page as a file. */
#ifndef RAPT_CLI_PAGE_ATTEND_PAGE_H
#define RAPT_CLI_PAGE_ATTEND_PAGE_H

#include "cli/sentences/samples.h"

/* What the command line says of it. */
struct attend_page {
    const char *path;
    int64_t beside; /* the second sentence, from 1, or 0 */
    bool given;     /* queries and keys of the user's: one view, and a long text shares cells */
    bool causal;    /* with given: that view is causal */
};

/*
 * Writes the page of that sentence, and of the second one, and says so, or says why it couldn't;
 * returns the exit code.
 */
int attend_page(const struct attend_page *options, const struct samples *samples,
                const struct sample *sentence, const char *isa, int threads);

#endif
