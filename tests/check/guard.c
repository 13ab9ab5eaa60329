/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded memory from mmap: a readable middle between two pages without any rights. */
#include "guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLACK = 0x5c };

static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool guard_alloc(struct guard *guard, size_t size, enum guard_side side, unsigned char fill) {
    const size_t page = page_size();
    const size_t middle = (size + page - 1) / page * page + (size == 0 ? page : 0);
    memset(guard, 0, sizeof *guard);
    void *map = mmap(NULL, middle + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    guard->map = map;
    guard->map_size = middle + 2 * page;
    if (mprotect(guard->map + page, middle, PROT_READ | PROT_WRITE) != 0) {
        guard_free(guard);
        return false;
    }
    guard->data = guard->map + page + (side == GUARD_AFTER ? middle - size : 0);
    guard->size = size;
    memset(guard->map + page, SLACK, middle);
    memset(guard->data, fill, size);
    return true;
}

bool guard_intact(const struct guard *guard) {
    const size_t page = page_size();
    const unsigned char *last = guard->map + guard->map_size - page;
    for (const unsigned char *at = guard->map + page; at < guard->data; at++)
        if (*at != SLACK)
            return false;
    for (const unsigned char *at = guard->data + guard->size; at < last; at++)
        if (*at != SLACK)
            return false;
    return true;
}

void guard_free(struct guard *guard) {
    if (guard->map)
        munmap(guard->map, guard->map_size);
    memset(guard, 0, sizeof *guard);
}
