/* SPDX-License-Identifier: Apache-2.0 */
/* Memory between two pages that may not be touched: an access past either end is a crash. */
#ifndef RAPT_ORACLE_GUARD_H
#define RAPT_ORACLE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Which end of the data lies right at a forbidden page; the other has up to a page of slack. */
enum guard_side { GUARD_BEFORE, GUARD_AFTER };

/* Pieces of memory at equal distances, each between forbidden pages. */
struct guard {
    unsigned char *data; /* the first piece */
    size_t size, count;  /* of a piece; pieces */
    size_t stride;       /* bytes from one to the next */
    unsigned char *map;  /* all of it: forbidden page, data and slack, forbidden page, … */
    size_t map_size;
};

/* All bytes get the value `fill`. On failure everything is zero and there's nothing to free. */
bool guard_alloc(struct guard *guard, size_t size, enum guard_side side, unsigned char fill);

/* So many pieces, at a distance that is a multiple of `unit`. */
bool guard_alloc_pieces(struct guard *guard, size_t size, size_t count, size_t unit,
                        enum guard_side side, unsigned char fill);

/* A piece of them. */
unsigned char *guard_piece(const struct guard *guard, size_t index);

/* Whether the slack still has the value it was filled with. */
bool guard_intact(const struct guard *guard);

/* Fine for zeroed memory too. */
void guard_free(struct guard *guard);

#endif
