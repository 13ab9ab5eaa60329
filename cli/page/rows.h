/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of weights, some queries of one head at a time. */
#ifndef RAPT_CLI_PAGE_ROWS_H
#define RAPT_CLI_PAGE_ROWS_H

#include "cli/page/page.h"

/* One head of a text, with what its queries see. */
struct rows {
    const struct page *page;
    const struct page_text *text;
    const struct page_layer *layer;
    int64_t head;
    struct sight sight;
    float *weights; /* [query][key] of those that were read; room for rows_room() */
};

/* How many queries are read at once, and how many floats that takes. */
int64_t rows_at_once(const struct sight *sight);
size_t rows_room(const struct sight *sight);

/*
 * Reads the weights of `count` queries: those that were given, checked, or computed from queries
 * and keys. On failure the error says why.
 */
rapt_status rows_read(const struct rows *rows, int64_t first, int64_t count,
                      char error[PAGE_ERROR_SIZE]);

/* Whether somebody wants to end the page's making, which rows_read() then does. */
bool rows_interrupted(const struct page *page);

/* Copies weights that were given, without a look at them. */
void rows_copy(const struct rows *rows, int64_t first, int64_t count);

#endif
