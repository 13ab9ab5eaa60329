/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/parallel.h"

#include <pthread.h>

#include "src/run/team.h"

#ifdef _OPENMP
#    include <ctype.h>
#    include <omp.h>
#    include <stdatomic.h>
#    include <stdint.h>
#    include <stdlib.h>

#    include "src/run/host.h"
#    include "src/run/spin.h"

/* Functions with a region. Compilers ask the runtime at their start which thread it is. In a forked
 * process the runtime's lock may be held for ever. */
#    define ALONE __attribute__((noinline))

/* In ns, but for the last two. */
enum {
    WAIT_MOST = 1000 * 1000,         /* for threads of OpenMP that have no CPU to come to an end */
    PAUSE_FIRST = 100 * 1000 * 1000, /* of OpenMP after such a wait; doubled each time */
    PAUSE_DOUBLINGS = 6,             /* at most */
    STACK_LEAST = 64 << 10,          /* bytes that a call needs */
};

/* Until when OpenMP isn't used, and how often that has been so in a row. */
static atomic_int_fast64_t pause_end;
static atomic_int pauses;

/* An OpenMP region ends when all its threads have come to its end. A thread without a CPU holds up
 * the caller until it gets one, and those that spin for it keep it from that. Then the other CPUs
 * are busy, and the library's own threads are better. */
static void note_wait(int64_t begin, int64_t own_end, int64_t end) {
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

/* Bytes of stack that OpenMP gives its threads by the environment; 0: the system's default. */
static size_t region_stack(void) {
    const char *const names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        char *end;
        const unsigned long long number = text ? strtoull(text, &end, 10) : 0;
        if (number == 0)
            continue;
        while (isspace((unsigned char)*end))
            end++;
        const int unit = toupper((unsigned char)*end);
        const int shift = unit == 'B' ? 0 : unit == 'M' ? 20 : unit == 'G' ? 30 : 10;
        return number > SIZE_MAX >> shift ? SIZE_MAX : (size_t)number << shift;
    }
    return 0;
}

/*
 * Makes sure that OpenMP has so many threads for this one, since it ends the process for want of
 * them. One thread of the process does so at a time. Threads that have ended are counted for a
 * while, hence twice as many are tried.
 */
ALONE static bool can_have(int threads) {
    static _Thread_local int had;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (threads <= had)
        return true;
    pthread_mutex_lock(&lock);
    const size_t stack = region_stack();
    const bool can =
        (stack == 0 || stack >= STACK_LEAST) && rapt_team_can_start(2 * (threads - 1), stack);
    if (can) {
#    pragma omp parallel num_threads(threads)
        {}
        had = threads;
    }
    pthread_mutex_unlock(&lock);
    return can;
}

/* A forked process asks nothing of OpenMP, nor of the loader, whose lock its parent may have held.
 */
static bool use_openmp(int threads) {
    return !rapt_team_is_forked() && rapt_host_uses_openmp() &&
           rapt_spin_clock() >= atomic_load_explicit(&pause_end, memory_order_relaxed) &&
           can_have(threads);
}

ALONE static void run_region(int threads, void (*work)(void *context, int thread), void *context) {
    int64_t own_end = 0;
    const int64_t begin = rapt_spin_clock();
#    pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        work(context, thread);
        if (thread == 0)
            own_end = rapt_spin_clock();
    }
    note_wait(begin, own_end, rapt_spin_clock());
}
#endif

static void run(int threads, void (*work)(void *context, int thread), void *context) {
#ifdef _OPENMP
    if (!rapt_team_is_forked() && omp_in_parallel()) {
        work(context, 0);
        return;
    }
    if (use_openmp(threads)) {
        run_region(threads, work, context);
        return;
    }
#endif
    rapt_team_run(threads - 1, work, context);
}

void rapt_parallel(int threads, void (*work)(void *context, int thread), void *context) {
    if (threads <= 1) {
        work(context, 0);
        return;
    }
    int cancel; /* other threads use this one's stack, which must not go before they do */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    run(threads, work, context);
    pthread_setcancelstate(cancel, &cancel);
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
    static atomic_int known; /* in the parent of a forked process */
    /* clang's runtime takes a lock for it, gcc's does not. */
#    ifdef __clang__
    if (rapt_team_is_forked())
        return atomic_load_explicit(&known, memory_order_relaxed);
#    endif
    const int most = omp_get_max_threads();
    atomic_store_explicit(&known, most, memory_order_relaxed);
    return most;
#else
    return 0;
#endif
}
