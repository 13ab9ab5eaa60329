/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded memory from mmap: readable pieces between pages without any rights. */
#include "oracle/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLACK = 0x5c };

static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The readable bytes of a piece: whole pages. */
static size_t readable(size_t size) {
    const size_t page = page_size();
    return size == 0 ? page : (size + page - 1) / page * page;
}

/* The least multiple of both a page and the unit that leaves room for a forbidden page. */
static size_t distance(size_t size, size_t unit) {
    const size_t page = page_size();
    size_t step = page;
    while (step % unit != 0)
        step += page;
    return (readable(size) + page + step - 1) / step * step;
}

static unsigned char *first_readable(const struct guard *guard, size_t index) {
    return guard->map + page_size() + index * guard->stride;
}

unsigned char *guard_piece(const struct guard *guard, size_t index) {
    return guard->data + index * guard->stride;
}

bool guard_alloc_pieces(struct guard *guard, size_t size, size_t count, size_t unit,
                        enum guard_side side, unsigned char fill) {
    const size_t middle = readable(size), stride = distance(size, unit);
    const size_t map_size = page_size() + count * stride;
    memset(guard, 0, sizeof *guard);
    void *map = mmap(NULL, map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    *guard = (struct guard){
        .size = size, .count = count, .stride = stride, .map = map, .map_size = map_size};
    guard->data = first_readable(guard, 0) + (side == GUARD_AFTER ? middle - size : 0);
    for (size_t n = 0; n < count; n++) {
        if (mprotect(first_readable(guard, n), middle, PROT_READ | PROT_WRITE) != 0) {
            guard_free(guard);
            return false;
        }
        memset(first_readable(guard, n), SLACK, middle);
        memset(guard_piece(guard, n), fill, size);
    }
    return true;
}

bool guard_alloc(struct guard *guard, size_t size, enum guard_side side, unsigned char fill) {
    return guard_alloc_pieces(guard, size, 1, 1, side, fill);
}

bool guard_intact(const struct guard *guard) {
    for (size_t n = 0; n < guard->count; n++) {
        const unsigned char *first = first_readable(guard, n), *piece = guard_piece(guard, n);
        const unsigned char *last = first + readable(guard->size);
        for (const unsigned char *at = first; at < piece; at++)
            if (*at != SLACK)
                return false;
        for (const unsigned char *at = piece + guard->size; at < last; at++)
            if (*at != SLACK)
                return false;
    }
    return true;
}

void guard_free(struct guard *guard) {
    if (guard->map)
        munmap(guard->map, guard->map_size);
    memset(guard, 0, sizeof *guard);
}
