/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/ending.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* A handler may run on any thread: whoever leaves RUNNING first decides what happens. */
enum state { RUNNING, HOLDING, DYING };

static atomic_int state = RUNNING;
static atomic_int waiting; /* the signal that came while it was held, or 0 */

static struct {
    _Atomic(const char *) name; /* NULL: none */
    int folder;
} noted[ENDING_MOST];

static void remove_noted(void) {
    for (int i = 0; i < ENDING_MOST; i++) {
        const char *name = atomic_load(&noted[i].name);
        if (name)
            unlinkat(noted[i].folder, name, 0);
    }
}

/* Ends the process as the signal does by default. */
static void die(int signal_number) {
    sigset_t only;
    remove_noted();
    signal(signal_number, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
}

static bool leave_running(enum state next) {
    int expected = RUNNING;
    return atomic_compare_exchange_strong(&state, &expected, (int)next);
}

static void end(int signal_number) {
    /* Noted first: if it is held now, the release will find it. */
    atomic_store(&waiting, signal_number);
    if (leave_running(DYING))
        die(signal_number);
}

/* A fault of the program itself can't wait. */
static void end_at_once(int signal_number) {
    die(signal_number);
}

static void install(int signal_number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    /* What is ignored, as under nohup, stays so. */
    if (sigaction(signal_number, NULL, &before) == 0 && !(before.sa_flags & SA_SIGINFO) &&
        before.sa_handler == SIG_DFL)
        sigaction(signal_number, &action, NULL);
}

static bool is_in(int number, const int *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return true;
    return false;
}

/* Every signal that ends a process by default. */
static void catch_all(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
    static const int harmless[] = {
        SIGCHLD,  SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGKILL, SIGSTOP, SIGPIPE,
#ifdef SIGWINCH
        SIGWINCH,
#endif
    };
#ifdef SIGRTMAX
    const int last = SIGRTMAX;
#else
    const int last = NSIG - 1;
#endif
    for (int number = 1; number <= last; number++)
        if (!is_in(number, harmless, sizeof harmless / sizeof *harmless))
            install(number,
                    is_in(number, faults, sizeof faults / sizeof *faults) ? end_at_once : end);
    atexit(remove_noted);
}

void ending_hold(void) {
    static bool caught;
    if (!caught)
        catch_all();
    caught = true;
    while (!leave_running(HOLDING))
        pause(); /* another thread is ending the process */
}

void ending_release(void) {
    atomic_store(&state, RUNNING);
    const int signal_number = atomic_load(&waiting);
    if (signal_number && leave_running(DYING))
        die(signal_number);
}

void ending_note(int folder, const char *name) {
    for (int i = 0; i < ENDING_MOST; i++) {
        if (!atomic_load(&noted[i].name)) {
            noted[i].folder = folder;
            atomic_store(&noted[i].name, name);
            return;
        }
    }
}

void ending_forget(const char *name) {
    for (int i = 0; i < ENDING_MOST; i++)
        if (atomic_load(&noted[i].name) == name)
            atomic_store(&noted[i].name, NULL);
}
