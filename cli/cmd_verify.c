/* SPDX-License-Identifier: Apache-2.0 */
/* rapt verify: every variant that this machine has against the oracle. */
#include "cli/base/args.h"
#include "cli/base/commands.h"

#include "oracle/verify.h"

#include <rapt/rapt.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The cursor stays at the start of the line, so that a message in between overwrites it. */
static void show_progress(void *context, const char *name, size_t done, size_t total) {
    enum { STEP = 20 };
    (void)name;
    if (done % STEP == 0)
        fprintf(stderr, "%s: %zu of %zu cases\033[K\r", (const char *)context, done, total);
}

/* Checks one variant and prints its line. Returns an exit code. */
static int verify(const rapt_isa *isa, int64_t seed, enum verify_level level,
                  struct verify_report *report) {
    const bool terminal = isatty(STDERR_FILENO);
    char name[16];
    snprintf(name, sizeof name, "%s", isa->name);
    const int failures =
        verify_run(isa->name, (uint64_t)seed, level, report, terminal ? show_progress : NULL, name);
    if (terminal)
        fprintf(stderr, "\033[K");
    if (failures < 0)
        return ARGS_ERROR;
    printf("%-8s  %6zu  %6zu  %13.2g  %9.1f %%\n", isa->name, report->cases, report->failures,
           report->error, 100 * report->bound_share);
    fflush(stdout); /* the next variant may take a while */
    return failures ? ARGS_FAILED : ARGS_OK;
}

static int verify_all(const char *name, int64_t seed, enum verify_level level) {
    struct verify_report report, first;
    const rapt_isa *list, *chosen = NULL;
    const size_t count = rapt_isa_list(&list);
    if (strcmp(name, "all") != 0 && rapt_isa_choose(name, &chosen) != RAPT_OK)
        return args_fail("verify", "%s", rapt_last_error());

    printf("variant    cases  failed  largest error    of bound   (seed %" PRId64 ")\n", seed);
    int code = ARGS_OK, verified = 0;
    bool same = true;
    for (size_t i = 0; i < count && !ferror(stdout); i++) {
        if (chosen ? &list[i] != chosen : !list[i].available)
            continue;
        const int result = verify(&list[i], seed, level, &report);
        if (result == ARGS_ERROR)
            return result;
        code = result == ARGS_OK ? code : result;
        if (verified++ == 0)
            first = report;
        same = same && verify_agrees(list[i].name, &report, &first, level);
    }
    if (verified > 1)
        printf(same ? "All of them give the same bits.\n"
                    : "FAILED: they give different bits, expected the same.\n");
    return same ? code : ARGS_FAILED;
}

int cmd_verify(int argc, char **argv) {
    const char *isa = "all";
    int64_t seed = 1;
    bool quick = false;
    const struct args_option options[] = {
        {"isa", ARGS_STRING, &isa, "all|NAME",
         .help = "The variant to check (default: all that this machine has)."},
        {"seed", ARGS_INT, &seed, "N", .help = "Seed of the random cases and numbers (default 1)."},
        {"quick", ARGS_ON, &quick, .help = "Check a few cases only."},
    };
    const struct args_command command = {
        .name = "verify",
        .about = "Checks the results of every instruction set against a double-precision oracle, "
                 "over shapes, tails, layouts, masks and numbers of all kinds, and that all "
                 "of them give the same bits. The largest error is that of outputs of size 1; the "
                 "bound is what rounding can explain.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .examples = "rapt verify\nrapt verify --isa avx2 --seed 7\n",
        .failure = "a result is wrong; stderr says which",
    };
    const int code = args_parse(&command, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    return verify_all(isa, seed, quick ? VERIFY_QUICK : VERIFY_FULL);
}
