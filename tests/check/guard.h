/* SPDX-License-Identifier: Apache-2.0 */
/* Memory between two pages that may not be touched: an access past either end is a crash. */
#ifndef RAPT_CHECK_GUARD_H
#define RAPT_CHECK_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Which end of the data lies right at a forbidden page; the other has up to a page of slack. */
enum guard_side { GUARD_BEFORE, GUARD_AFTER };

struct guard {
    unsigned char *data;
    size_t size;
    unsigned char *map; /* all of it: forbidden page, data and slack, forbidden page */
    size_t map_size;
};

/* All bytes get the value `fill`. On failure everything is zero and there's nothing to free. */
bool guard_alloc(struct guard *guard, size_t size, enum guard_side side, unsigned char fill);

/* Whether the slack still has the value it was filled with. */
bool guard_intact(const struct guard *guard);

/* Fine for zeroed memory too. */
void guard_free(struct guard *guard);

#endif
