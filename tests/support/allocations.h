/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the library and of the test, sent here by the linker: counted, and refused.
 */
#ifndef RAPT_TESTS_SUPPORT_ALLOCATIONS_H
#define RAPT_TESTS_SUPPORT_ALLOCATIONS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_int allocations;

/* So many more succeed, and then none does; -1 for no end. */
static atomic_int allocations_left = -1;

static inline bool may_allocate(void) {
    allocations++;
    return allocations_left < 0 || allocations_left-- > 0;
}

#define COUNTED(type, name, parameters, arguments, none)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        return may_allocate() ? __real_##name arguments : none;                                    \
    }
COUNTED(void *, malloc, (size_t size), (size), NULL)
COUNTED(void *, calloc, (size_t count, size_t size), (count, size), NULL)
COUNTED(void *, realloc, (void *memory, size_t size), (memory, size), NULL)
COUNTED(void *, reallocarray, (void *memory, size_t count, size_t size), (memory, count, size),
        NULL)
COUNTED(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
COUNTED(int, posix_memalign, (void **memory, size_t alignment, size_t size),
        (memory, alignment, size), ENOMEM)

#endif
