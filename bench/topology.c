/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's processors and the cores that they are threads of. */
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int bench_cpus_online(void) {
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

#if defined(__linux__)
/* The processors that this process may use, to be freed; NULL if the system doesn't tell. */
static cpu_set_t *usable_set(size_t *size) {
    /* The kernel refuses a mask smaller than its own, and doesn't tell how large that is. */
    for (int bits = 1024; bits <= 1 << 20; bits *= 2) {
        cpu_set_t *set = CPU_ALLOC(bits);
        *size = CPU_ALLOC_SIZE(bits);
        if (set && sched_getaffinity(0, *size, set) == 0)
            return set;
        CPU_FREE(set);
    }
    return NULL;
}

/* The first of the processors that share a core with this one, or itself if that isn't known. */
static int first_sibling(int cpu) {
    char path[96];
    int first = cpu;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "r");
    if (!file)
        return cpu;
    if (fscanf(file, "%d", &first) != 1 || first < 0)
        first = cpu;
    fclose(file);
    return first;
}
#endif

int bench_cpus_usable(void) {
#if defined(__linux__)
    size_t size;
    cpu_set_t *set = usable_set(&size);
    const int n = set ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (n > 0)
        return n;
#endif
    return bench_cpus_online();
}

int bench_cores_usable(void) {
#if defined(__linux__)
    size_t size;
    cpu_set_t *set = usable_set(&size), *cores = set ? malloc(size) : NULL;
    int n = 0;
    if (cores) {
        CPU_ZERO_S(size, cores);
        for (int cpu = 0; cpu < (int)(8 * size); cpu++)
            if (CPU_ISSET_S((size_t)cpu, size, set))
                CPU_SET_S((size_t)first_sibling(cpu), size, cores);
        n = CPU_COUNT_S(size, cores);
    }
    free(cores);
    CPU_FREE(set);
    if (n > 0)
        return n;
#endif
    return bench_cpus_usable();
}
