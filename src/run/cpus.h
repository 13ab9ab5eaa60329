/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads there are by default: decided here alone, as docs/threads.md has it. A plan may
 * take fewer, where its work isn't worth them. */
#ifndef RAPT_SRC_RUN_CPUS_H
#define RAPT_SRC_RUN_CPUS_H

#include <stdbool.h>
#include <stddef.h>

/* What the number follows from. */
struct rapt_machine {
    int cores;    /* of the CPUs that the calling thread may use; 0 if the system doesn't tell */
    double quota; /* CPUs that the process may keep busy on average; 0 without a limit */
    int openmp;   /* omp_get_max_threads(); 0 without OpenMP */
    bool told;    /* OMP_NUM_THREADS is set */
};

/* A pure function: the number of threads of a call that doesn't say how many it wants. */
int rapt_threads_on(const struct rapt_machine *machine);

/* How many threads a call gets that asks for so many, or with 0 doesn't say. */
int rapt_threads(int asked);

/* CPUs that the process's control groups and those above them allow it, 0 without a limit. `root`
 * is "" but in tests, where it holds another /proc and /sys. */
double rapt_cpu_quota(const char *root);

/* The first CPU that shares a core with this one, or itself if the system doesn't tell. */
int rapt_first_sibling(int cpu);

#if defined(__linux__)
#    include <sched.h>
/* The CPUs that the calling thread may use, for CPU_FREE(); NULL if the system doesn't tell. */
cpu_set_t *rapt_allowed_cpus(size_t *size);
#endif

#endif
