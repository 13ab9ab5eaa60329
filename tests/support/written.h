/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes outputs in a process of its own, in which one call to the file system goes wrong, or meets
 * a signal. The linker sends these calls here (--wrap).
 */
#ifndef RAPT_TESTS_SUPPORT_WRITTEN_H
#define RAPT_TESTS_SUPPORT_WRITTEN_H

#include "cli/base/outputs.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FILES = 3 };
static const char *const file_names[MOST_FILES] = {"a", "b", "c"};

/* What a file system lacks. */
enum { NO_UNNAMED = 1, NO_EXCHANGE = 2, NO_LINKS = 4 };

/* What happens at one of the calls. */
enum event { NOTHING, FAIL, SIGNAL_BEFORE, SIGNAL_AFTER, FOLDER_IN_THE_WAY };

struct plan {
    int files, existing; /* outputs, and bits of those that replace a file */
    int lacking;
    enum event event;
    int at, number; /* which call; the error or signal, or whose place the folder takes */
};

#if defined(__SANITIZE_ADDRESS__)
/* The sanitizer would catch faults for itself. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "handle_segv=0:handle_sigbus=0";
}
#endif

static struct plan plan;
static int calls;
static bool folder_failed; /* the call that failed was to bring a folder to the disk */

/* Whether the call is to fail. errno is set then. */
static inline bool event_before(bool may_fail, int lacking, int reason) {
    const bool now = calls++ == plan.at;
    if (now && plan.event == SIGNAL_BEFORE)
        kill(getpid(), plan.number);
    if (now && plan.event == FOLDER_IN_THE_WAY) {
        remove(file_names[plan.number]);
        if (mkdir(file_names[plan.number], 0700) != 0)
            abort();
    }
    const bool fails = now && plan.event == FAIL && may_fail;
    errno = plan.lacking & lacking ? reason : plan.number;
    return fails || (plan.lacking & lacking);
}

static inline void event_after(void) {
    if (calls == plan.at + 1 && plan.event == SIGNAL_AFTER)
        kill(getpid(), plan.number);
}

#define WRAPPED(name, parameters, arguments, may_fail, lacking, reason)                            \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters {                                                                 \
        if (event_before(may_fail, lacking, reason)) {                                             \
            event_after();                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        const int result = __real_##name arguments;                                                \
        const int kept = errno;                                                                    \
        event_after();                                                                             \
        errno = kept;                                                                              \
        return result;                                                                             \
    }

/* Files get their names from /proc where they had none, which isn't what NO_LINKS is about. */
WRAPPED(linkat, (int from, const char *old, int to, const char *name, int flags),
        (from, old, to, name, flags), true, flags ? 0 : NO_LINKS, EPERM)
WRAPPED(renameat, (int from, const char *old, int to, const char *name), (from, old, to, name),
        true, 0, 0)
WRAPPED(renameat2, (int from, const char *old, int to, const char *name, unsigned flags),
        (from, old, to, name, flags), true, NO_EXCHANGE, EINVAL)
WRAPPED(unlinkat, (int folder, const char *name, int flags), (folder, name, flags), false, 0, 0)

/* Whether the disk has it can't be seen from here, and waiting for it takes most of the time. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    struct stat status;
    const bool fails = event_before(true, 0, 0);
    if (fails) {
        folder_failed = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
        errno = plan.number;
    } else {
        event_after();
    }
    return fails ? -1 : 0;
}

static mode_t opened_with; /* the mode of the file that was created last */

#define OPENAT(name)                                                                               \
    int __real_##name(int folder, const char *path, int flags, ...);                               \
    int __wrap_##name(int folder, const char *path, int flags, ...);                               \
    int __wrap_##name(int folder, const char *path, int flags, ...) {                              \
        mode_t mode = 0;                                                                           \
        if (flags & O_WRONLY) {                                                                    \
            va_list arguments;                                                                     \
            va_start(arguments, flags);                                                            \
            opened_with = mode = va_arg(arguments, mode_t);                                        \
            va_end(arguments);                                                                     \
        }                                                                                          \
        const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;                                     \
        if (event_before(flags & O_WRONLY, unnamed ? NO_UNNAMED : 0, EOPNOTSUPP)) {                \
            event_after();                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        const int fd = __real_##name(folder, path, flags, mode);                                   \
        const int kept = errno;                                                                    \
        event_after();                                                                             \
        errno = kept;                                                                              \
        return fd;                                                                                 \
    }
OPENAT(openat)
OPENAT(openat64)

static char scratch[1024];

/* Files in memory where there are some: thousands are written. */
static inline void enter(void) {
    const char *folder = getenv("TMPDIR"), *memory = "/dev/shm";
    if (!folder)
        folder = access(memory, W_OK | X_OK) == 0 ? memory : P_tmpdir;
    snprintf(scratch, sizeof scratch, "%s/rapt-outputs-XXXXXX", folder);
    cr_assert(mkdtemp(scratch) && chdir(scratch) == 0);
}

/* The names in the folder; removes them if asked to. */
static inline int count_names(bool clear) {
    DIR *folder = opendir(".");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            if (clear)
                cr_assert(remove(entry->d_name) == 0, "%s: %s", entry->d_name, strerror(errno));
        }
    closedir(folder);
    return count;
}

static inline void leave(void) {
    count_names(true);
    cr_expect(chdir("/") == 0 && rmdir(scratch) == 0);
}

static inline bool put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* Whether a file has just that text. */
static inline bool holds(const char *path, const char *text) {
    char found[256] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    fclose(file);
    return strcmp(found, text) == 0;
}

static inline bool write_name(FILE *file, int i, const void *context) {
    (void)context;
    return fprintf(file, "new %s\n", file_names[i]) > 0;
}

/* The end of the process that wrote: its status, and what it tells if it came to an end itself. */
enum { WRITTEN = 1, REACHED = 2, FOLDER_FAILED = 4, REFUSED = 8 };

static inline int write_files(const struct plan *asked) {
    struct outputs outputs = {.command = "test"};
    bool done = true;
    plan = *asked;
    calls = 0;
    for (int i = 0; done && i < plan.files; i++)
        done = outputs_add(&outputs, "option", file_names[i], OUTPUT_TEXT);
    const bool opened = done;
    done = done && outputs_write(&outputs, write_name, NULL);
    outputs_close(&outputs);
    return (done ? WRITTEN : 0) | (calls > plan.at ? REACHED : 0) |
           (folder_failed ? FOLDER_FAILED : 0) | (opened ? 0 : REFUSED);
}

/* Runs something in a process of its own, where Criterion must not be called. */
static inline int run_apart(int (*action)(const void *), const void *context) {
    int status;
    fflush(NULL);
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        /* Whoever runs the tests may ignore some, as shells do for what runs behind them. */
        for (int number = 1; number < NSIG; number++)
            signal(number, SIG_DFL);
        const int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDERR_FILENO);
        _exit(action(context));
    }
    cr_assert(waitpid(child, &status, 0) == child);
    return status;
}

static inline int write_planned(const void *asked) {
    return write_files(asked);
}

/* Clears the folder, has old files there, and writes. */
static inline int write_apart(const struct plan *asked) {
    count_names(true);
    for (int i = 0; i < asked->files; i++)
        if (asked->existing >> i & 1)
            cr_assert(put(file_names[i], "old\n"));
    return run_apart(write_planned, asked);
}

/* All of the files are new ones, or all are as they were before. */
static inline bool all_new(const struct plan *asked) {
    for (int i = 0; i < asked->files; i++) {
        char text[16];
        snprintf(text, sizeof text, "new %s\n", file_names[i]);
        if (!holds(file_names[i], text))
            return false;
    }
    return true;
}

static inline bool is_old(const struct plan *asked, int i) {
    return asked->existing >> i & 1 ? holds(file_names[i], "old\n")
                                    : access(file_names[i], F_OK) != 0;
}

static inline bool all_old(const struct plan *asked) {
    for (int i = 0; i < asked->files; i++)
        if (!is_old(asked, i))
            return false;
    return true;
}

static inline int count_expected(const struct plan *asked, bool new) {
    return new ? asked->files : __builtin_popcount((unsigned)asked->existing);
}

#endif
