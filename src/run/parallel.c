/* SPDX-License-Identifier: Apache-2.0 */
#include "parallel.h"

#include "team.h"

#ifdef _OPENMP
#    include <omp.h>
#    include <stdatomic.h>
#    include <stdbool.h>
#    include <stdint.h>

#    include "host.h"
#    include "spin.h"

/* In ns. */
enum {
    WAIT_MOST = 1000 * 1000,         /* for threads of OpenMP that have no CPU to come to an end */
    PAUSE_FIRST = 100 * 1000 * 1000, /* of OpenMP after such a wait; doubled each time */
    PAUSE_DOUBLINGS = 6,             /* at most */
};

/* Until when OpenMP isn't used, and how often that has been so in a row. */
static atomic_int_fast64_t pause_end;
static atomic_int pauses;

/* An OpenMP region ends when all its threads have come to its end: one that has no CPU holds up the
 * caller until it gets one, and what spins for it meanwhile keeps it from that. Then the other CPUs
 * are busy, and the library's own threads are better. */
static void watch(int64_t begin, int64_t own_end, int64_t end) {
    const int64_t waited = end - own_end;
    if (waited < WAIT_MOST || waited < (own_end - begin) / 2) {
        if (end > atomic_load_explicit(&pause_end, memory_order_relaxed) + PAUSE_FIRST)
            atomic_store_explicit(&pauses, 0, memory_order_relaxed);
        return;
    }
    const int count = atomic_load_explicit(&pauses, memory_order_relaxed);
    atomic_store_explicit(&pauses, count < PAUSE_DOUBLINGS ? count + 1 : count,
                          memory_order_relaxed);
    atomic_store_explicit(&pause_end, end + ((int64_t)PAUSE_FIRST << count), memory_order_relaxed);
}

/* Whether a region of so many threads would not end the process, as OpenMP does for want of them.
 * Threads that have ended are counted for a while, hence twice as many. */
static bool can_have(int threads) {
    static atomic_int had;
    if (threads <= atomic_load_explicit(&had, memory_order_relaxed))
        return true;
    if (!rapt_team_can_start(2 * (threads - 1)))
        return false;
    atomic_store_explicit(&had, threads, memory_order_relaxed);
    return true;
}

static bool use_openmp(int threads) {
    return rapt_host_uses_openmp() && !rapt_team_is_forked() &&
           rapt_spin_clock() >= atomic_load_explicit(&pause_end, memory_order_relaxed) &&
           can_have(threads);
}

static void run_region(int threads, void (*work)(void *context, int thread), void *context) {
    int64_t own_end = 0;
    const int64_t begin = rapt_spin_clock();
#    pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        work(context, thread);
        if (thread == 0)
            own_end = rapt_spin_clock();
    }
    watch(begin, own_end, rapt_spin_clock());
}
#endif

void rapt_parallel(int threads, void (*work)(void *context, int thread), void *context) {
    if (threads > 1) {
#ifdef _OPENMP
        if (omp_in_parallel()) {
            work(context, 0);
            return;
        }
        if (use_openmp(threads)) {
            run_region(threads, work, context);
            return;
        }
#endif
        rapt_team_run(threads - 1, work, context);
    } else {
        work(context, 0);
    }
}

bool rapt_host_uses_openmp(void) {
#ifdef _OPENMP
    return rapt_host_uses((void (*)(void))omp_get_max_threads);
#else
    return false;
#endif
}

int rapt_openmp_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 0;
#endif
}
