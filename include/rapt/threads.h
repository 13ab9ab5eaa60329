/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads calls take. docs/threads.md tells which threads these are. */
#ifndef RAPT_THREADS_H
#define RAPT_THREADS_H

#include <rapt/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The most threads that a call with `threads` = 0 takes. That is the number that was set through
 * OpenMP (OMP_NUM_THREADS, omp_set_num_threads). Without one it is one thread for each core that
 * the calling thread may use. It is then no more than the process's control groups let it keep
 * busy. At least 1. Each call reads the affinity; the control groups are read once in a process.
 * Thread-safe.
 */
RAPT_API int rapt_default_threads(void);

#ifdef __cplusplus
}
#endif

#endif
