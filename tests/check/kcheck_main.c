/* SPDX-License-Identifier: Apache-2.0 */
/* kcheck: checks the variants of the library on this machine, and that they agree on every bit. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rapt/rapt.h>

#include "kcheck.h"

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

/* The hashes of the first variant checked, and its name. */
struct agreement {
    const char *isa[2];
    uint64_t hash[2];
};

static bool agrees(struct agreement *with, int which, const char *isa, uint64_t hash) {
    if (!with->isa[which]) {
        with->isa[which] = isa;
        with->hash[which] = hash;
    }
    if (with->hash[which] == hash)
        return true;
    fprintf(stderr, "kcheck: %s and %s differ in bits: hashes %016" PRIx64 " and %016" PRIx64 "\n",
            with->isa[which], isa, with->hash[which], hash);
    return false;
}

static bool check_variant(const char *isa, uint64_t seed, enum kcheck_level level,
                          struct agreement *agreement) {
    struct kcheck_report report;
    char name[32];
    snprintf(name, sizeof name, "%s", isa);
    const int failures = kcheck_run(isa, seed, level, &report, on_case, name);
    if (failures < 0)
        return false;
    printf("%-8s %5zu cases, %zu failed, largest error %.2e, %.1f %% of its bound at most, "
           "hash %016" PRIx64 "\n",
           isa, report.cases, report.failures, report.error, 100 * report.bound_share, report.hash);
    printf("         closest to its bound: %s\n", report.worst);
    fflush(stdout);
    const bool quick = agrees(agreement, KCHECK_QUICK, isa, report.quick_hash);
    const bool full = level == KCHECK_QUICK || agrees(agreement, KCHECK_FULL, isa, report.hash);
    return quick && full && failures == 0;
}

static bool check_all(uint64_t seed, enum kcheck_level level) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    struct agreement agreement = {{NULL, NULL}, {0, 0}};
    bool passed = true;
    for (size_t i = 0; i < count; i++) {
        if (!list[i].available)
            continue;
        const bool slow = list[i].lanes == 1 && agreement.isa[KCHECK_QUICK] != NULL;
        passed &= check_variant(list[i].name, seed, slow ? KCHECK_QUICK : level, &agreement);
    }
    return passed;
}

static bool parse_seed(const char *text, uint64_t *seed) {
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv) {
    const char *isa = "all";
    enum kcheck_level level = KCHECK_FULL;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            level = KCHECK_QUICK;
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
    printf("kcheck: seed %" PRIu64 ", %s cases\n", seed, level == KCHECK_QUICK ? "quick" : "all");
    fflush(stdout);
    const rapt_isa *best;
    if (strcmp(isa, "best") == 0 && rapt_isa_choose(NULL, &best) == RAPT_OK)
        isa = best->name;
    struct agreement agreement = {{NULL, NULL}, {0, 0}};
    const bool passed = strcmp(isa, "all") == 0 ? check_all(seed, level)
                                                : check_variant(isa, seed, level, &agreement);
    return passed ? 0 : 1;
}
