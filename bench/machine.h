/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's memory, load and description. */
#ifndef RAPT_BENCH_MACHINE_H
#define RAPT_BENCH_MACHINE_H

/* Bytes that the machine can still give, and those of the last-level cache, 0 if not known. */
double machine_memory_available(void);
double machine_cache_size(void);

/* CPU time since the start, of this process and of the whole machine. */
struct machine_load {
    double own, busy, total; /* seconds; total is 0 where the system doesn't tell */
};
struct machine_load machine_load_now(void);

/* The share of the machine that others took between two moments, from 0 to 1. */
double machine_load_others(struct machine_load before, struct machine_load after);

/* Facts about the machine and this build, as a JSON object; NULL if there is no memory. */
struct cJSON;
struct cJSON *machine_json(double others);

#endif
