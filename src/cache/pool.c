/* SPDX-License-Identifier: Apache-2.0 */
#include "src/cache/pool.h"

#include <stdlib.h>
#include <string.h>

bool rapt_pool_init(struct rapt_pool *pool) {
    pool->length = calloc((size_t)pool->sequences, sizeof *pool->length);
    pool->table = calloc((size_t)pool->sequences * (size_t)pool->row, sizeof *pool->table);
    pool->readers = calloc((size_t)pool->pages, sizeof *pool->readers);
    pool->free = calloc((size_t)pool->pages, sizeof *pool->free);
    if (!pool->length || !pool->table || !pool->readers || !pool->free)
        return false;
    for (int64_t i = 0; i < pool->pages; i++)
        if (pool->fixed)
            pool->table[i] = (int32_t)i;
        else /* the first page is on top */
            pool->free[pool->free_count++] = (int32_t)(pool->pages - 1 - i);
    return true;
}

void rapt_pool_free(struct rapt_pool *pool) {
    free(pool->length);
    free(pool->table);
    free(pool->readers);
    free(pool->free);
}

static int64_t pages_of(const struct rapt_pool *pool, int64_t tokens) {
    return pool->fixed ? 1 : (tokens + pool->page_size - 1) / pool->page_size;
}

/* Whether the next token of a sequence goes to a page that others read. */
static bool last_is_shared(const struct rapt_pool *pool, int64_t sequence) {
    const int64_t length = pool->length[sequence];
    if (length % pool->page_size == 0)
        return false;
    return pool->readers[pool->table[sequence * pool->row + length / pool->page_size]] > 1;
}

int64_t rapt_pool_needs(const struct rapt_pool *pool, int64_t sequence, int64_t n) {
    const int64_t length = pool->length[sequence];
    if (n == 0)
        return 0;
    return pages_of(pool, length + n) - pages_of(pool, length) + last_is_shared(pool, sequence);
}

static int32_t take_page(struct rapt_pool *pool) {
    const int32_t page = pool->free[--pool->free_count];
    pool->readers[page] = 1;
    return page;
}

static void leave_page(struct rapt_pool *pool, int32_t page) {
    if (--pool->readers[page] == 0)
        pool->free[pool->free_count++] = page;
}

struct rapt_page_copy rapt_pool_grow(struct rapt_pool *pool, int64_t sequence, int64_t n) {
    int32_t *table = pool->table + sequence * pool->row;
    const int64_t length = pool->length[sequence], last = length / pool->page_size;
    struct rapt_page_copy copy = {0, 0, 0};
    if (n > 0 && last_is_shared(pool, sequence)) {
        copy.from = table[last];
        copy.to = take_page(pool);
        copy.tokens = length % pool->page_size;
        leave_page(pool, copy.from);
        table[last] = copy.to;
    }
    for (int64_t i = pages_of(pool, length); i < pages_of(pool, length + n); i++)
        table[i] = take_page(pool);
    pool->length[sequence] = length + n;
    return copy;
}

void rapt_pool_truncate(struct rapt_pool *pool, int64_t sequence, int64_t length) {
    const int32_t *table = pool->table + sequence * pool->row;
    for (int64_t i = pages_of(pool, pool->length[sequence]); i > pages_of(pool, length); i--)
        leave_page(pool, table[i - 1]);
    pool->length[sequence] = length;
}

struct rapt_page_copy rapt_pool_share(struct rapt_pool *pool, int64_t from, int64_t to) {
    const int64_t length = pool->length[from], count = pages_of(pool, length);
    rapt_pool_truncate(pool, to, 0);
    pool->length[to] = length;
    if (pool->fixed)
        return (struct rapt_page_copy){(int32_t)from, (int32_t)to, length};
    const int32_t *shared = pool->table + from * pool->row;
    for (int64_t i = 0; i < count; i++)
        pool->readers[shared[i]]++;
    memcpy(pool->table + to * pool->row, shared, (size_t)count * sizeof *shared);
    return (struct rapt_page_copy){0, 0, 0};
}
