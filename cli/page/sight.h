/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a query sees. */
#ifndef RAPT_CLI_PAGE_SIGHT_H
#define RAPT_CLI_PAGE_SIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* The position of query i is offset + i, a key's its index, as in rapt_attention_args. */
struct sight {
    int64_t queries, keys;
    int64_t offset;
    bool causal;
    int64_t left, right; /* the window, or -1 */
};

/* Keys from first to before end. */
struct sight_range {
    int64_t first, end;
};

static inline struct sight_range sight_of(const struct sight *sight, int64_t query) {
    const int64_t position = sight->offset + query;
    int64_t first = sight->left < 0 ? 0 : position - sight->left;
    int64_t last = sight->causal ? position : sight->keys - 1;
    if (sight->right >= 0 && position + sight->right < last)
        last = position + sight->right;
    if (first < 0)
        first = 0;
    if (last > sight->keys - 1)
        last = sight->keys - 1;
    return (struct sight_range){first, last < first ? first : last + 1};
}

#endif
