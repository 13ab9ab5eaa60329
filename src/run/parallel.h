/* SPDX-License-Identifier: Apache-2.0 */
/* One piece of work on several threads: the one place that knows OpenMP, and chooses. */
#ifndef RAPT_SRC_RUN_PARALLEL_H
#define RAPT_SRC_RUN_PARALLEL_H

#include <stdbool.h>

/*
 * Calls work(context, thread) on at most so many threads at once, each with its own number from 0
 * on. The caller is number 0 and there may be no others, so work is taken off a counter.
 * docs/threads.md says which threads these are.
 */
void rapt_parallel(int threads, void (*work)(void *context, int thread), void *context);

/* Whether the host uses the OpenMP that the library was built with; false without OpenMP. */
bool rapt_host_uses_openmp(void);

/* omp_get_max_threads(); 0 without OpenMP. */
int rapt_openmp_threads(void);

#endif
