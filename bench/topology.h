/* SPDX-License-Identifier: Apache-2.0 */
/* The processors of this machine and the cores that they belong to. */
#ifndef RAPT_BENCH_TOPOLOGY_H
#define RAPT_BENCH_TOPOLOGY_H

/* The processors that this process may use, and all that are switched on. */
int topology_cpus_usable(void);
int topology_cpus_online(void);

/* The cores of the usable processors: fewer than these where a core is two processors (SMT). */
int topology_cores_usable(void);

/* The usable processors, first one of each core and then their siblings, to be freed; NULL if the
 * system doesn't tell. */
int *topology_cpus_ordered(int *count);

/* Puts processors in that order. cores: anything that is the same for those of one core. */
void topology_order(int *cpus, const int *cores, int count);

/* How many of a list, from its start, have a core of their own. */
int topology_cores_of(const int *cpus, int count);

#endif
