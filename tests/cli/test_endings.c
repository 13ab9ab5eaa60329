/* SPDX-License-Identifier: Apache-2.0 */
/* Signals at every call to the file system: files are old or new, and no other is left. */
#include "tests/support/written.h"

TestSuite(endings, .init = enter, .fini = leave, .timeout = 600);

#define DESCRIBED "%d files, existing %x, lacking %x, signal %d %s call %d"
#define DESCRIPTION(p)                                                                             \
    (p)->files, (p)->existing, (p)->lacking, (p)->number,                                          \
        (p)->event == SIGNAL_BEFORE ? "before" : "after", (p)->at

static const int signals[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2,
                              SIGXCPU, SIGVTALRM, SIGPROF, SIGIO,   SIGABRT, SIGSEGV, SIGBUS};
enum { SIGNALS = sizeof signals / sizeof *signals, HELD = 11 }; /* these wait, faults don't */

/* Files that are replaced and files that are new, where each way to give names is needed. */
static const struct plan cases[] = {
    {.files = 1, .existing = 0},
    {.files = 1, .existing = 1},
    {.files = 3, .existing = 5},
    {.files = 1, .existing = 1, .lacking = NO_UNNAMED},
    {.files = 3, .existing = 3, .lacking = NO_UNNAMED},
    {.files = 2, .existing = 3, .lacking = NO_EXCHANGE},
    {.files = 2, .existing = 3, .lacking = NO_UNNAMED | NO_EXCHANGE | NO_LINKS},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Runs a case up to every call. Returns at how many of them the signal came. */
static int meet_everywhere(struct plan p, void (*check)(const struct plan *)) {
    int met = 0;
    for (int after = 0; after < 2; after++) {
        p.event = after ? SIGNAL_AFTER : SIGNAL_BEFORE;
        for (p.at = 0;; p.at++, met++) {
            const int status = write_apart(&p);
            if (WIFEXITED(status)) {
                cr_assert(!(WEXITSTATUS(status) & REACHED), DESCRIBED, DESCRIPTION(&p));
                break;
            }
            cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == p.number, DESCRIBED,
                      DESCRIPTION(&p));
            check(&p);
        }
    }
    return met;
}

static int seen_old, seen_new;

static void expect_all_or_none(const struct plan *p) {
    const bool new = all_new(p);
    cr_expect(new || all_old(p), DESCRIBED, DESCRIPTION(p));
    cr_expect(count_names(false) == count_expected(p, new), DESCRIBED, DESCRIPTION(p));
    seen_old += !new;
    seen_new += new;
}

Test(endings, leave_all_files_or_none) {
    for (int i = 0; i < CASES; i++) {
        for (int k = 0; k < HELD; k++) {
            struct plan p = cases[i];
            p.number = signals[k];
            seen_old = seen_new = 0;
            meet_everywhere(p, expect_all_or_none);
            cr_expect(seen_old > 0 && seen_new > 0, "%d and %d", seen_old, seen_new);
        }
    }
}

/* What can't be caught, or can't wait, may come between two names: no content is lost then. */
static void expect_contents(const struct plan *p) {
    for (int i = 0; i < p->files; i++) {
        char text[16];
        snprintf(text, sizeof text, "new %s\n", file_names[i]);
        cr_expect(holds(file_names[i], text) || is_old(p, i), DESCRIBED, DESCRIPTION(p));
    }
    /* One temporary name at a time, and a name for each old file that may be needed again. */
    const int most = p->existing && p->files > 1 ? 2 * p->files : p->files + (p->existing != 0);
    cr_expect(count_names(false) <= most, DESCRIBED, DESCRIPTION(p));
}

Test(endings, at_once_lose_no_content) {
    for (int i = 0; i < CASES - 1; i++) {
        for (int k = HELD; k <= SIGNALS; k++) {
            struct plan p = cases[i];
            p.number = k < SIGNALS ? signals[k] : SIGKILL;
            if (p.number == SIGKILL && p.lacking & NO_UNNAMED)
                continue;
            cr_expect(meet_everywhere(p, expect_contents) > 0);
        }
    }
}

static void expect_nothing_else(const struct plan *p) {
    cr_expect(all_new(p) || all_old(p), DESCRIBED, DESCRIPTION(p));
    cr_expect(count_names(false) <= 1, DESCRIBED, DESCRIPTION(p));
}

/* A new file without a name until it is complete: nothing is left even by what can't be caught. */
Test(endings, of_any_kind_leave_nothing_beside_a_new_file) {
    struct plan p = cases[0];
    p.number = SIGKILL;
    cr_expect(meet_everywhere(p, expect_nothing_else) > 4);
}

/* A temporary file that has a name is removed by faults, too, while it is written. */
static bool die_writing(FILE *file, int i, const void *number) {
    fprintf(file, "%d", i);
    raise(*(const int *)number);
    return true;
}

static int end_writing(const void *number) {
    struct outputs outputs = {.command = "test"};
    plan = (struct plan){.lacking = NO_UNNAMED, .at = -1};
    if (*(const int *)number == 0)
        return outputs_add(&outputs, "option", "a", OUTPUT_TEXT) ? (exit(REFUSED), 0) : 0;
    (void)(outputs_add(&outputs, "option", "a", OUTPUT_TEXT) &&
           outputs_write(&outputs, die_writing, number));
    return 0;
}

Test(endings, leave_no_temporary_file) {
    for (int k = 0; k < SIGNALS; k++) {
        const int status = run_apart(end_writing, &signals[k]);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == signals[k], "%d", signals[k]);
        cr_expect(count_names(false) == 0, "%d", signals[k]);
    }
    /* The OpenMP runtime calls exit() where it can't start a thread. */
    cr_expect(WEXITSTATUS(run_apart(end_writing, &(const int){0})) == REFUSED);
    cr_expect(count_names(false) == 0);
}

/* What the caller has chosen to ignore, as nohup does, stays so. */
static int ignore_signal(const void *unused) {
    (void)unused;
    const struct plan p = {.files = 1, .event = SIGNAL_BEFORE, .at = 0, .number = SIGHUP};
    signal(SIGHUP, SIG_IGN);
    return write_files(&p);
}

Test(endings, ignore_what_the_caller_ignores) {
    const int status = run_apart(ignore_signal, NULL);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) & WRITTEN);
    cr_expect(holds("a", "new a\n"));
}
