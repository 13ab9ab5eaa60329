/* SPDX-License-Identifier: Apache-2.0 */
/* kcheck: checks the variants of the library on this machine, and that they agree on every bit. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rapt/rapt.h>

#include "oracle/verify.h"

enum { SKIPPED = 77 }; /* what test runners call it: this machine doesn't have the variant */

static const char usage[] =
    "usage: kcheck [--isa NAME|best|all] [--seed N] [--quick]\n"
    "Checks each variant (default all) against an oracle, and all for the same bits.\n"
    "--quick takes fewer cases, for emulators; so does a variant of one lane beside others.\n";

/* What runs, for the handler of a crash. */
static char current[256];

static void on_crash(int signal_number) {
    static const char text[] = "kcheck: touched memory outside a tensor: ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, current, strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(128 + signal_number);
}

static void on_case(void *context, const char *name, size_t done, size_t total) {
    (void)done;
    (void)total;
    snprintf(current, sizeof current, "%s, case \"%s\"", (const char *)context, name);
}

/* Installs on_crash, unless a sanitizer or a debugger has a handler that tells more. */
static void catch_crashes(void) {
    const int signals[] = {SIGSEGV, SIGBUS};
    for (int i = 0; i < 2; i++) {
        struct sigaction old, action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_crash;
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}

/* A variant at work in a process of its own, and what it found, which comes by a pipe. */
struct worker {
    const char *isa;
    enum verify_level level;
    int from;
    struct verify_report report;
};

/* Nothing is written if it couldn't start, as if it had crashed. */
static void work(const struct worker *w, uint64_t seed, int to) {
    struct verify_report report;
    char name[32];
    snprintf(name, sizeof name, "%s", w->isa);
    const int failures = verify_run(w->isa, seed, w->level, &report, on_case, name);
    const bool told = failures >= 0 && write(to, &report, sizeof report) == (ssize_t)sizeof report;
    exit(told ? 0 : 1);
}

static bool start(struct worker *w, uint64_t seed) {
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0)
        work(w, seed, ends[1]);
    close(ends[1]);
    w->from = ends[0];
    return child > 0;
}

/* with: the first variant, whose bits this one's ought to be. */
static bool finish(struct worker *w, const struct worker *with) {
    const struct verify_report *r = &w->report;
    const bool told = read(w->from, &w->report, sizeof w->report) == (ssize_t)sizeof w->report;
    close(w->from);
    wait(NULL);
    if (!told)
        return false;
    printf("%-8s %5zu cases, %zu failed, largest error %.2e, %.1f %% of its bound at most, "
           "hashes %016" PRIx64 " %016" PRIx64 "\n",
           w->isa, r->cases, r->failures, r->error, 100 * r->bound_share, r->others.all,
           r->bf16.all);
    printf("         closest to its bound: %s\n", r->worst);
    const bool same = verify_agrees(w->isa, r, &with->report, w->level);
    if (!same)
        fprintf(stderr, "kcheck: %s and %s differ in bits\n", with->isa, w->isa);
    return same && r->failures == 0;
}

/* Variants side by side: one process each. */
static bool check_variants(const char *isa, uint64_t seed, enum verify_level level) {
    enum { MOST = 8 };
    struct worker worker[MOST];
    const rapt_isa *list;
    const size_t known = rapt_isa_list(&list);
    bool passed = true;
    int count = 0;
    if (strcmp(isa, "all") != 0)
        worker[count++] = (struct worker){.isa = isa, .level = level};
    for (size_t i = 0; strcmp(isa, "all") == 0 && i < known && count < MOST; i++)
        if (list[i].available) {
            const bool slow = list[i].lanes == 1 && count > 0;
            worker[count++] =
                (struct worker){.isa = list[i].name, .level = slow ? VERIFY_QUICK : level};
        }
    int started = 0;
    while (started < count && start(&worker[started], seed))
        started++;
    for (int i = 0; i < started; i++)
        passed &= finish(&worker[i], &worker[0]);
    return passed && started == count;
}

static bool parse_seed(const char *text, uint64_t *seed) {
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv) {
    const char *isa = "all";
    enum verify_level level = VERIFY_FULL;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            level = VERIFY_QUICK;
        } else if (strcmp(argv[i], "--isa") == 0 && value) {
            isa = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && value && parse_seed(value, &seed)) {
            i++;
        } else {
            fprintf(stderr, "kcheck: argument \"%s\": not understood, or its value is missing\n%s",
                    argv[i], usage);
            return 2;
        }
    }
    catch_crashes();
    printf("kcheck: seed %" PRIu64 ", %s cases\n", seed, level == VERIFY_QUICK ? "quick" : "all");
    fflush(stdout);
    const rapt_isa *best;
    if (strcmp(isa, "best") == 0 && rapt_isa_choose(NULL, &best) == RAPT_OK)
        isa = best->name;
    if (strcmp(isa, "all") != 0 && rapt_isa_choose(isa, &best) != RAPT_OK) {
        fprintf(stderr, "kcheck: %s\n", rapt_last_error());
        return SKIPPED;
    }
    return check_variants(isa, seed, level) ? 0 : 1;
}
