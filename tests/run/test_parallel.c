/* SPDX-License-Identifier: Apache-2.0 */
/* Work on several threads: the library's own and OpenMP's, what a fork leaves, and no threads. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rapt/threads.h>

#include "tests/support/helpers.h"
#include "src/run/parallel.h"
#include "src/run/team.h"

enum { MOST = 64 };

/* What the threads of one call leave: who has been there, and how many at once at most. */
struct visit {
    atomic_int next, tasks;
    int count;
    atomic_int visits[MOST];
    atomic_bool over; /* the call has returned */
    atomic_int late;  /* work that began after that */
};

static void take_tasks(void *context, int thread) {
    struct visit *v = context;
    if (atomic_load(&v->over))
        atomic_fetch_add(&v->late, 1);
    atomic_fetch_add(&v->visits[thread], 1);
    while (atomic_fetch_add(&v->next, 1) < v->count)
        atomic_fetch_add(&v->tasks, 1);
}

static void check_visit(struct visit *v, int threads) {
    atomic_store(&v->over, true);
    cr_expect_eq(atomic_load(&v->tasks), v->count);
    cr_expect_eq(atomic_load(&v->visits[0]), 1, "the caller is one of them");
    for (int i = 1; i < MOST; i++)
        cr_expect(atomic_load(&v->visits[i]) <= (i < threads), "thread %d", i);
}

Test(parallel, all_tasks_are_done_by_at_most_so_many) {
    static struct visit visits[4 * 50];
    int used = 0;
    for (int round = 0; round < 50; round++) {
        const int threads[] = {1, 2, 5, 40};
        for (int i = 0; i < 4; i++) {
            struct visit *v = &visits[used++];
            v->count = 1000;
            rapt_parallel(threads[i], take_tasks, v);
            check_visit(v, threads[i]);
        }
    }
    for (int i = 0; i < used; i++)
        cr_expect_eq(atomic_load(&visits[i].late), 0, "work began after its call had returned");
}

/* The threads meet, so there must be as many. */
struct meeting {
    atomic_int arrived;
    int threads;
};

static void meet(void *context, int thread) {
    struct meeting *m = context;
    (void)thread;
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->threads)
        sched_yield();
}

Test(parallel, threads_work_at_the_same_time) {
    for (int threads = 1; threads <= 9; threads += 4) {
        struct meeting m = {.threads = threads};
        rapt_parallel(threads, meet, &m);
        cr_expect_eq(atomic_load(&m.arrived), threads);
    }
}

static void *call_often(void *argument) {
    (void)argument;
    for (int i = 0; i < 200; i++) {
        struct visit v = {.count = 30};
        rapt_parallel(3, take_tasks, &v);
        check_visit(&v, 3);
    }
    return NULL;
}

Test(parallel, many_callers_at_once) {
    pthread_t callers[8];
    for (int i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&callers[i], NULL, call_often, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(callers[i], NULL);
}

/* Waits for a child, which has to end by itself: a hang is killed by its own alarm. */
static void expect_end(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

static int meet_in_child(void) {
    alarm(60);
    struct meeting m = {.threads = 4};
    rapt_parallel(4, meet, &m);
    return atomic_load(&m.arrived) == 4 && rapt_team_is_forked() ? 0 : 1;
}

Test(parallel, forked_processes_have_threads_of_their_own) {
    struct meeting m = {.threads = 4};
    rapt_parallel(4, meet, &m);
    const pid_t child = fork();
    cr_assert_neq(child, -1);
    if (child == 0) {
        const int failed = meet_in_child();
        const pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(meet_in_child());
        int status;
        _exit(failed || waitpid(grandchild, &status, 0) != grandchild || status != 0);
    }
    expect_end(child);
    m = (struct meeting){.threads = 4};
    rapt_parallel(4, meet, &m);
    cr_expect_eq(atomic_load(&m.arrived), 4, "the parent goes on");
}

/* The address sanitizer's allocator doesn't survive a fork while another thread allocates: a lock
 * of its own then stays locked in the child. */
#if defined(__SANITIZE_ADDRESS__)
#    define FORKS_ANY_TIME false
#elif defined(__has_feature)
#    define FORKS_ANY_TIME !__has_feature(address_sanitizer)
#else
#    define FORKS_ANY_TIME true
#endif

/* Forks while other threads are in calls, with their locks held at times. */
Test(parallel, a_fork_at_any_time, .disabled = !FORKS_ANY_TIME) {
    pthread_t callers[3];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&callers[i], NULL, call_often, NULL), 0);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        cr_assert_neq(child, -1);
        if (child == 0)
            _exit(meet_in_child());
        expect_end(child);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(callers[i], NULL);
}

static void note_signals(void *context, int thread) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    ((bool *)context)[thread] = sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGUSR1);
}

static void meet_and_note(void *context, int thread) {
    static struct meeting m = {.threads = 3};
    note_signals(context, thread);
    meet(&m, thread);
}

Test(parallel, the_hosts_signals_are_the_hosts_threads) {
    bool blocked[3];
    rapt_team_run(2, meet_and_note, blocked);
    cr_expect_not(blocked[0]);
    cr_expect(blocked[1] && blocked[2]);
}

/* The first call of a process reads files, and may wait: what a cancelled thread doesn't leave at.
 */
static void *call_cancelled(void *visit) {
    struct visit *v = visit;
    pthread_cancel(pthread_self());
    v->count = rapt_default_threads() > 0 ? 1000 : 0;
    rapt_parallel(4, take_tasks, v);
    check_visit(v, 4);
    atomic_store(&v->late, -1); /* it got here */
    pthread_testcancel();
    return NULL;
}

Test(parallel, a_cancelled_thread_leaves_at_its_calls_end) {
    struct visit v = {.count = 1000};
    pthread_t thread;
    void *result;
    cr_assert_eq(pthread_create(&thread, NULL, call_cancelled, &v), 0);
    pthread_join(thread, &result);
    cr_expect_eq(atomic_load(&v.late), -1);
    cr_expect_eq(result, PTHREAD_CANCELED);
}

/* The linker sends each pthread_create() here. */
static int left = INT_MAX; /* threads that the system still gives */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    return left-- > 0 ? __real_pthread_create(thread, attributes, body, argument) : EAGAIN;
}

Test(parallel, a_system_without_threads) {
    static struct visit visits[6];
    for (int given = 0; given < 3; given++) {
        left = given;
        for (int i = 0; i < 2; i++) {
            struct visit *v = &visits[2 * given + i];
            v->count = 1000;
            rapt_team_run(30, take_tasks, v);
            check_visit(v, 31);
        }
    }
    left = 3;
    cr_expect_not(rapt_team_can_start(4, 0));
    left = 4;
    cr_expect(rapt_team_can_start(4, 0));
    left = INT_MAX;
    struct meeting m = {.threads = 5};
    rapt_team_run(4, meet, &m);
    cr_expect_eq(atomic_load(&m.arrived), 5, "there are threads again");
}

/* OPENMP_USER is a module that was linked to OpenMP, and calls it. */
#ifdef OPENMP_USER
Test(parallel, openmp_is_used_where_the_host_uses_it) {
    cr_expect_not(rapt_host_uses_openmp(), "the tests don't");
    void *user = dlopen(OPENMP_USER, RTLD_NOW | RTLD_LOCAL);
    cr_assert(user, "%s", dlerror());
    cr_expect(rapt_host_uses_openmp());
    int (*use)(int) = (int (*)(int))(intptr_t)dlsym(user, "use_openmp");
    cr_assert(use);
    cr_assert_eq(use(4), 4);
    for (int i = 0; i < 3; i++) {
        struct visit v = {.count = 1000};
        rapt_parallel(4, take_tasks, &v);
        check_visit(&v, 4);
        /* All threads of a region take part in it. Later ones may be avoided on busy CPUs. */
        for (int thread = 1; i == 0 && thread < 4; thread++)
            cr_expect_eq(atomic_load(&v.visits[thread]), 1, "thread %d", thread);
    }
    const pid_t child = fork();
    cr_assert_neq(child, -1);
    if (child == 0)
        _exit(meet_in_child());
    expect_end(child);
}

/* A region that would not get its threads ends the process. */
Test(parallel, openmp_is_not_asked_for_threads_that_the_system_lacks) {
    cr_assert(dlopen(OPENMP_USER, RTLD_NOW | RTLD_LOCAL));
    left = 4;
    struct visit v = {.count = 1000};
    rapt_parallel(4, take_tasks, &v);
    check_visit(&v, 4);
    for (int thread = 1; thread < 4; thread++)
        cr_expect_eq(atomic_load(&v.visits[thread]), 0, "thread %d: there is none", thread);
}
#endif
