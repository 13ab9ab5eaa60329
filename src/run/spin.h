/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for another thread without sleeping, where that pays and harms nobody. To wake a thread
 * takes up to 0.2 ms, so one that soon has work again had better not sleep. But a thread that spins
 * takes its CPU from others that want it. So a spinner yields the CPU at each turn, and one that
 * has lost time to others sleeps at once for a while.
 */
#ifndef RAPT_SRC_RUN_SPIN_H
#define RAPT_SRC_RUN_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* In ns. */
enum {
    RAPT_SPIN_SHORT = 200 * 1000,     /* what it takes to wake a thread */
    RAPT_SPIN_LONG = 8 * 1000 * 1000, /* about what libgomp does: the host works between calls */
};

/* What a thread knows of the time that it lost; all 0 at first. */
struct rapt_spinner {
    int64_t wall, cpu; /* when that was asked for last */
    int64_t debt;      /* time lost to others, less what may be lost in the time that has passed */
};

/* The thread begins to be awake: until then it had no need of a CPU. */
void rapt_spin_wake(struct rapt_spinner *spinner);

/* Returns when is_over(context), or after so many ns, or at once on a CPU that others want.
 * rapt_spin_wake() comes before, and the thread hasn't slept since. */
void rapt_spin(struct rapt_spinner *spinner, int64_t most, bool (*is_over)(const void *),
               const void *context);

/* A clock that only goes forward, in ns. */
int64_t rapt_spin_clock(void);

#endif
