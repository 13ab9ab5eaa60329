/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/spin.h"

#include <sched.h>
#include <time.h>

enum {
    LOST_PART = 20,                /* a quiet system takes less than one part of so many */
    DEBT_MOST = 10 * 1000 * 1000,  /* ns: no spinning for 0.2 s and more */
    CREDIT_MOST = 2 * 1000 * 1000, /* ns: what the system's own threads may take at a time */
};

static int64_t read_clock(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? (int64_t)t.tv_sec * 1000000000 + t.tv_nsec : 0;
}

int64_t rapt_spin_clock(void) {
    return read_clock(CLOCK_MONOTONIC);
}

/* Time passed since the thread was asked last, of which it had a CPU for `cpu`, or slept. */
static void pass(struct rapt_spinner *s, int64_t wall, int64_t lost) {
    s->debt += lost - (wall - s->wall) / LOST_PART;
    s->debt = s->debt > DEBT_MOST ? DEBT_MOST : s->debt < -CREDIT_MOST ? -CREDIT_MOST : s->debt;
    s->wall = wall;
}

void rapt_spin_wake(struct rapt_spinner *s) {
    const int64_t wall = rapt_spin_clock();
    pass(s, wall, 0);
    s->cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* How the thread fared since it was asked last, awake all the time. */
static int64_t account(struct rapt_spinner *s) {
    const int64_t cpu = read_clock(CLOCK_THREAD_CPUTIME_ID), wall = rapt_spin_clock();
    pass(s, wall, wall - s->wall - (cpu - s->cpu));
    s->cpu = cpu;
    return wall;
}

void rapt_spin(struct rapt_spinner *s, int64_t most, bool (*is_over)(const void *),
               const void *context) {
    const int64_t start = account(s);
    while (s->debt <= 0 && !is_over(context)) {
        sched_yield();
        if (account(s) - start > most)
            return;
    }
}
