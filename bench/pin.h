/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binds threads to processors for as long as a benchmark runs. Thread i of the probes, and of the
 * library's team, runs on processor i of a list.
 */
#ifndef RAPT_BENCH_PIN_H
#define RAPT_BENCH_PIN_H

#include <stdbool.h>

/*
 * Starts with a list "CPU,...", or with "auto": all usable processors in the order of
 * topology_cpus_ordered(). Binds the calling thread as the first. False, with the reason on stderr,
 * if it is no such list or the system doesn't allow it.
 */
bool pin_start(const char *list);

/* Lets the calling thread and the library's go where they could before. */
void pin_stop(void);

/* The list and its length; NULL and 0 if nothing is bound. */
const int *pin_list(int *count);

/* Binds the calling thread as the one of this number, if threads are to be bound. */
void pin_thread(int number);

/* Seconds that threads of the library wait for each other to be bound: fewer may come. */
extern double pin_patience;

/* Binds the threads of the library's next run on so many, unless they are the last run's. */
void pin_team(int threads);

/* How many threads have a core of their own, and how many a processor. */
int pin_cores(void);
int pin_cpus(void);

#endif
