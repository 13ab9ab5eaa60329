/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's processors and the cores that they are threads of. The usable ones are read once,
 * since a thread that is bound to one of them later doesn't know the others.
 */
#include "bench/topology.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/run/cpus.h"

int topology_cpus_online(void) {
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* The processors that this process may use, and the first one of each one's core. */
struct topology {
    int *cpus, *cores;
    int count;
};

#if defined(__linux__)
static struct topology ask(void) {
    struct topology t = {0};
    size_t size;
    cpu_set_t *set = rapt_allowed_cpus(&size);
    const int count = set ? CPU_COUNT_S(size, set) : 0;
    t.cpus = malloc(2 * (size_t)count * sizeof *t.cpus + 1);
    t.cores = t.cpus ? t.cpus + count : NULL;
    for (int cpu = 0; t.cpus && t.count < count; cpu++)
        if (CPU_ISSET_S((size_t)cpu, size, set)) {
            t.cpus[t.count] = cpu;
            t.cores[t.count++] = rapt_first_sibling(cpu);
        }
    CPU_FREE(set);
    return t;
}
#else
static struct topology ask(void) {
    return (struct topology){0};
}
#endif

static const struct topology *known(void) {
    static struct topology t;
    static bool asked;
    if (!asked)
        t = ask();
    asked = true;
    return &t;
}

int topology_cpus_usable(void) {
    return known()->count ? known()->count : topology_cpus_online();
}

/* The core of a processor. */
static int core_of(int cpu) {
    const struct topology *t = known();
    for (int i = 0; i < t->count; i++)
        if (t->cpus[i] == cpu)
            return t->cores[i];
    return cpu;
}

int topology_cores_of(const int *cpus, int count) {
    int own = 0;
    for (; own < count; own++)
        for (int i = 0; i < own; i++)
            if (core_of(cpus[i]) == core_of(cpus[own]))
                return own;
    return own;
}

void topology_order(int *cpus, const int *cores, int count) {
    int *round = malloc((size_t)count * sizeof *round + 1); /* how many of its core come before */
    int *ordered = malloc((size_t)count * sizeof *ordered + 1);
    int done = 0;
    for (int i = 0; round && i < count; i++) {
        round[i] = 0;
        for (int k = 0; k < i; k++)
            round[i] += cores[k] == cores[i];
    }
    for (int r = 0; round && ordered && done < count; r++)
        for (int i = 0; i < count; i++)
            if (round[i] == r)
                ordered[done++] = cpus[i];
    if (done == count)
        memcpy(cpus, ordered, (size_t)count * sizeof *cpus);
    free(round);
    free(ordered);
}

int *topology_cpus_ordered(int *count) {
    const struct topology *t = known();
    int *cpus = t->count ? malloc((size_t)t->count * sizeof *cpus) : NULL;
    *count = cpus ? t->count : 0;
    if (!cpus)
        return NULL;
    memcpy(cpus, t->cpus, (size_t)t->count * sizeof *cpus);
    topology_order(cpus, t->cores, t->count);
    return cpus;
}

int topology_cores_usable(void) {
    int count;
    int *cpus = topology_cpus_ordered(&count);
    const int cores = cpus ? topology_cores_of(cpus, count) : topology_cpus_usable();
    free(cpus);
    return cores;
}
