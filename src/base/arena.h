/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays laid out one after the other. The function that lays them out runs twice: in an arena
 * without memory it finds the size, in one with memory it finds the arrays. So the two can't
 * differ.
 */
#ifndef RAPT_SRC_BASE_ARENA_H
#define RAPT_SRC_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/kernels.h"

struct rapt_arena {
    char *memory; /* at a multiple of RAPT_ALIGN; NULL to find the size alone */
    size_t used;
    bool too_large; /* for an address space: nothing more is taken */
};

enum { RAPT_PAGE_BYTES = 4096 };

/* An arena in memory of any alignment, or NULL. */
static inline struct rapt_arena rapt_arena_in(void *memory) {
    char *at = memory;
    return (struct rapt_arena){.memory = at ? at + (-(uintptr_t)at % RAPT_ALIGN) : NULL};
}

/* Bytes that the arena needs of memory of any alignment. SIZE_MAX if no address space has them. */
static inline size_t rapt_arena_bytes(const struct rapt_arena *arena) {
    return arena->too_large ? SIZE_MAX : arena->used + RAPT_ALIGN - 1;
}

/*
 * Room for an array of a * b * c elements, at a multiple of RAPT_ALIGN; NULL without memory. An
 * array of a page or more has a cache line behind it. Without the line, what follows could compete
 * with it for the same sets of the L1 cache.
 */
static inline void *rapt_take(struct rapt_arena *arena, size_t size, int64_t a, int64_t b,
                              int64_t c) {
    size_t bytes = size * (size_t)a * (size_t)b * (size_t)c;
    char *at = arena->memory ? arena->memory + arena->used : NULL;
    /* What has memory has been found to fit. */
    if (!at && (arena->too_large || __builtin_mul_overflow(size, (size_t)a, &bytes) ||
                __builtin_mul_overflow(bytes, (size_t)b, &bytes) ||
                __builtin_mul_overflow(bytes, (size_t)c, &bytes) || bytes > PTRDIFF_MAX / 2 ||
                bytes + arena->used > PTRDIFF_MAX / 2)) {
        arena->too_large = true;
        return NULL;
    }
    bytes = (bytes + RAPT_ALIGN - 1) / RAPT_ALIGN * RAPT_ALIGN;
    arena->used += bytes + (bytes >= RAPT_PAGE_BYTES ? RAPT_ALIGN : 0);
    return at;
}

#endif
