/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/host.h"

#if defined(__linux__)
#    include <dlfcn.h>
#    include <link.h>
#    include <stdatomic.h>
#    include <stdint.h>
#    include <string.h>

/* A search through what is loaded, and how much has been loaded ever. */
struct search {
    const char *library; /* NULL: only counts */
    bool found;
    unsigned long long loads;
};

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool holds(const struct dl_phdr_info *object, const void *address) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const uintptr_t offset = (uintptr_t)address - object->dlpi_addr - part->p_vaddr;
        if (part->p_type == PT_LOAD && offset < part->p_memsz)
            return true;
    }
    return false;
}

/* Whether the object was linked to a library of that name. */
static bool needs(const struct dl_phdr_info *object, const char *library) {
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    ElfW(Addr) strings = 0;
    for (const ElfW(Dyn) *d = dynamic; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_STRTAB)
            strings = d->d_un.d_ptr;
    if (!strings)
        return false;
    if (strings < object->dlpi_addr)
        strings += object->dlpi_addr; /* not every system's loader adds that */
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && strcmp((const char *)(strings + d->d_un.d_val), library) == 0)
            return true;
    return false;
}

static int visit_object(struct dl_phdr_info *object, size_t size, void *context) {
    struct search *search = context;
    (void)size;
    search->loads = object->dlpi_adds;
    if (!search->library)
        return 1;
    search->found =
        !holds(object, (const void *)(uintptr_t)visit_object) && needs(object, search->library);
    return search->found;
}

bool rapt_host_uses(void (*function)(void)) {
    /* What was loaded when that was asked for last, and the answer in the lowest bit. */
    static atomic_ullong known;
    struct search search = {0};
    dl_iterate_phdr(visit_object, &search);
    const unsigned long long before = atomic_load_explicit(&known, memory_order_relaxed);
    if (before >> 1 == search.loads)
        return before & 1;
    Dl_info library;
    if (!dladdr((const void *)(uintptr_t)function, &library) || !library.dli_fname)
        return true;
    search.library = name_of(library.dli_fname);
    dl_iterate_phdr(visit_object, &search);
    atomic_store_explicit(&known, search.loads << 1 | search.found, memory_order_relaxed);
    return search.found;
}

#else

bool rapt_host_uses(void (*function)(void)) {
    (void)function;
    return true;
}

#endif
