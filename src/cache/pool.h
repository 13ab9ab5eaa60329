/* SPDX-License-Identifier: Apache-2.0 */
/* Which page holds which tokens of which sequence, and who shares it. Knows nothing of contents. */
#ifndef RAPT_SRC_CACHE_POOL_H
#define RAPT_SRC_CACHE_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct rapt_pool {
    bool fixed; /* not a pool: page i is sequence i's, forever, and has room for all of it */
    int64_t page_size, pages, sequences;
    int64_t row;      /* entries of the table per sequence */
    int64_t *length;  /* [sequences], tokens */
    int32_t *table;   /* [sequences][row], pages; what is beyond a length means nothing */
    int32_t *readers; /* [pages], sequences that hold it */
    int32_t *free;    /* [free_count], a stack */
    int64_t free_count;
};

/* Tokens of a page that must be copied to another before anything is written; often none. */
struct rapt_page_copy {
    int32_t from, to;
    int64_t tokens;
};

/* The sizes are set; false if there is no memory. Everything is empty. */
bool rapt_pool_init(struct rapt_pool *pool);
void rapt_pool_free(struct rapt_pool *pool);

/* Pages that n more tokens of a sequence take, with the copy of its last page if that is shared. */
int64_t rapt_pool_needs(const struct rapt_pool *pool, int64_t sequence, int64_t n);

/* Makes room for n more tokens, for which there must be enough free pages. */
struct rapt_page_copy rapt_pool_grow(struct rapt_pool *pool, int64_t sequence, int64_t n);

void rapt_pool_truncate(struct rapt_pool *pool, int64_t sequence, int64_t length);

/* `to`, another sequence, gives up what it has and gets what `from` has, with the same pages. */
struct rapt_page_copy rapt_pool_share(struct rapt_pool *pool, int64_t from, int64_t to);

#endif
