/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/run/spin.h"

enum { STACK_BYTES = 1 << 20 }; /* thread-local variables of the host's lie on it, too */

/* A call that others may join. It lies on its caller's stack and is reached under the lock. */
struct job {
    void (*work)(void *context, int thread);
    void *context;
    int helpers, joined;
    atomic_int running; /* helpers at work */
    pthread_cond_t idle;
    struct job *next;
};

/* One in each process: a forked one begins anew, since the threads are its parent's. */
struct team {
    pid_t process;
    bool forked;
    struct team *parents; /* in the memory that was copied; keeps it reachable */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *jobs;      /* that want more helpers, the oldest first */
    atomic_uint published; /* counts jobs */
    int threads, sleeping, spinning;
};

static _Atomic(struct team *) present;
static _Thread_local struct rapt_spinner callers_spinner;

/* Whether the kernel says that the process has been forked without an exec since; false where it
 * says nothing. A host may have forked before the library was loaded. */
static bool was_forked(void) {
    enum { PF_FORKNOEXEC = 0x40 };
    char line[512];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return false;
    const size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = 0;
    /* The name of the program, in brackets, may hold anything. */
    const char *after = strrchr(line, ')');
    unsigned flags;
    return after && sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
           (flags & PF_FORKNOEXEC);
}

/* The process that came first has its team without an allocation. */
static struct team first = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void) {
    first.process = getpid();
    first.forked = was_forked();
    atomic_store_explicit(&present, &first, memory_order_release);
}

/* The team of this process, or NULL without memory. */
static struct team *find_team(void) {
    pthread_once(&once, begin);
    struct team *team = atomic_load_explicit(&present, memory_order_acquire);
    const pid_t process = getpid();
    if (team->process == process)
        return team;
    struct team *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->process = process;
    made->parents = team;
    made->forked = true;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->wake, NULL);
    if (atomic_compare_exchange_strong(&present, &team, made))
        return made;
    free(made);
    return team;
}

/* Takes a place in the oldest job that has one. Under the lock. */
static struct job *join_job(struct team *team, int *thread) {
    struct job *job = team->jobs;
    if (!job)
        return NULL;
    *thread = ++job->joined;
    atomic_fetch_add_explicit(&job->running, 1, memory_order_relaxed);
    if (job->joined == job->helpers)
        team->jobs = job->next;
    return job;
}

static void leave_job(struct job *job) {
    if (atomic_fetch_sub_explicit(&job->running, 1, memory_order_release) == 1)
        pthread_cond_signal(&job->idle);
}

/* What a helper without work waits for: a job after those that it has seen. */
struct wait {
    struct team *team;
    unsigned seen;
};

static bool is_published(const void *context) {
    const struct wait *wait = context;
    return atomic_load_explicit(&wait->team->published, memory_order_acquire) != wait->seen;
}

static void *help(void *argument) {
    struct team *team = argument;
    struct rapt_spinner spinner = {0};
    int64_t most = RAPT_SPIN_SHORT;
    rapt_spin_wake(&spinner);
    pthread_mutex_lock(&team->lock);
    for (;;) {
        int thread;
        struct job *job = join_job(team, &thread);
        if (job) {
            pthread_mutex_unlock(&team->lock);
            job->work(job->context, thread);
            pthread_mutex_lock(&team->lock);
            leave_job(job);
            continue;
        }
        const struct wait wait = {team,
                                  atomic_load_explicit(&team->published, memory_order_relaxed)};
        team->spinning++;
        pthread_mutex_unlock(&team->lock);
        const int64_t start = rapt_spin_clock();
        rapt_spin(&spinner, most, is_published, &wait);
        pthread_mutex_lock(&team->lock);
        team->spinning--;
        while (!team->jobs) {
            team->sleeping++;
            pthread_cond_wait(&team->wake, &team->lock);
            team->sleeping--;
            rapt_spin_wake(&spinner);
        }
        /* Jobs that come soon after each other are worth spinning for. */
        most = rapt_spin_clock() - start < RAPT_SPIN_LONG ? RAPT_SPIN_LONG : RAPT_SPIN_SHORT;
    }
    return NULL;
}

/* Starts a thread with no signals, which are for the host's threads to take. */
static bool start(void *body(void *), void *argument, size_t stack, pthread_t *thread) {
    sigset_t all, before;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    const bool has_room = !stack || pthread_attr_setstacksize(&attributes, stack) == 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = has_room && pthread_create(thread, &attributes, body, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* Under the lock. */
static void start_helpers(struct team *team, int helpers) {
    while (team->threads < helpers) {
        pthread_t thread;
        if (!start(help, team, STACK_BYTES, &thread))
            return;
        pthread_detach(thread);
        team->threads++;
    }
}

static void publish(struct team *team, struct job *job) {
    pthread_mutex_lock(&team->lock);
    start_helpers(team, job->helpers);
    struct job **last = &team->jobs;
    while (*last)
        last = &(*last)->next;
    *last = job;
    atomic_fetch_add_explicit(&team->published, 1, memory_order_release);
    const int sleeping = team->sleeping, wanted = job->helpers - team->spinning;
    pthread_mutex_unlock(&team->lock);
    if (wanted >= sleeping && sleeping > 0)
        pthread_cond_broadcast(&team->wake);
    else
        for (int i = 0; i < wanted; i++)
            pthread_cond_signal(&team->wake);
}

static bool is_idle(const void *context) {
    const struct job *job = context;
    return atomic_load_explicit(&job->running, memory_order_acquire) == 0;
}

/* No helper joins any more; those at work are waited for. */
static void finish(struct team *team, struct job *job) {
    pthread_mutex_lock(&team->lock);
    struct job **at = &team->jobs;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
    pthread_mutex_unlock(&team->lock);
    rapt_spin(&callers_spinner, RAPT_SPIN_SHORT, is_idle, job);
    pthread_mutex_lock(&team->lock);
    while (atomic_load_explicit(&job->running, memory_order_acquire) > 0)
        pthread_cond_wait(&job->idle, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

void rapt_team_run(int helpers, void (*work)(void *context, int thread), void *context) {
    struct team *team = helpers > 0 ? find_team() : NULL;
    if (!team) {
        work(context, 0);
        return;
    }
    struct job job = {.work = work, .context = context, .helpers = helpers};
    pthread_cond_init(&job.idle, NULL);
    rapt_spin_wake(&callers_spinner);
    publish(team, &job);
    work(context, 0);
    finish(team, &job);
    pthread_cond_destroy(&job.idle);
}

bool rapt_team_is_forked(void) {
    const struct team *team = find_team();
    return team && team->forked;
}

/* What the threads of a trial wait for: that all of them have been started. */
struct trial {
    pthread_mutex_t lock;
};

static void *wait_and_end(void *argument) {
    struct trial *trial = argument;
    pthread_mutex_lock(&trial->lock);
    pthread_mutex_unlock(&trial->lock);
    return NULL;
}

bool rapt_team_can_start(int threads, size_t stack) {
    pthread_t *started = calloc((size_t)threads, sizeof *started);
    if (!started)
        return false;
    struct trial trial = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int count = 0;
    pthread_mutex_lock(&trial.lock);
    while (count < threads && start(wait_and_end, &trial, stack, &started[count]))
        count++;
    pthread_mutex_unlock(&trial.lock);
    for (int i = 0; i < count; i++)
        pthread_join(started[i], NULL);
    free(started);
    return count == threads;
}
