/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/changes.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/args.h"
#include "cli/base/files.h"
#include "cli/base/system.h"

enum { LARGEST_REPORT = 64 << 20 };
static const double least_noise = 0.03;

static bool read_number(const cJSON *run, const char *key, double *value) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(run, key);
    *value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return cJSON_IsNumber(item) && isfinite(*value);
}

static const char *read_string(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* The figures of a run; false if it has none, as one whose result was wrong. */
static bool read_figures(const cJSON *run, struct changes_figures *f) {
    const bool rated = read_number(run, "gflops", &f->rate) || read_number(run, "gbps", &f->rate);
    read_number(run, "limit_spread", &f->limit_spread); /* 0 in reports from before it was there */
    return rated && read_number(run, "share", &f->share) &&
           read_number(run, "spread", &f->spread) && f->rate > 0 && f->share > 0 && f->spread >= 0;
}

bool changes_read(struct old_report *old, const char *path) {
    size_t size;
    FILE *file = files_open("bench", "compare", path);
    char *text = file ? files_read(file, LARGEST_REPORT, &size) : NULL;
    if (file && !text)
        args_fail("bench", "--compare: %s: %s", path, strerror(errno));
    files_close(file);
    if (!text)
        return false;
    old->path = path;
    old->report = cJSON_ParseWithLength(text, size);
    free(text);
    if (cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(old->report, "runs")))
        return true;
    args_fail_value("bench", "compare", path, "a report that rapt bench --json wrote");
    return false;
}

void changes_free(struct old_report *old) {
    cJSON_Delete(old->report);
}

/* Finds a run; false if the report has none with figures. */
static bool find(const struct old_report *old, const char *name, const char *isa, int threads,
                 struct changes_figures *figures) {
    const cJSON *run;
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(old->report, "runs")) {
        const char *run_name = read_string(run, "case"), *run_isa = read_string(run, "isa");
        double run_threads;
        if (run_name && run_isa && strcmp(run_name, name) == 0 && strcmp(run_isa, isa) == 0 &&
            read_number(run, "threads", &run_threads) && fabs(run_threads - threads) < 0.5)
            return read_figures(run, figures);
    }
    return false;
}

bool changes_has(const struct old_report *old, const char *name, const char *isa, int threads) {
    struct changes_figures figures;
    return find(old, name, isa, threads, &figures);
}

enum changes_verdict changes_judge(const struct changes_figures *before,
                                   const struct changes_figures *now, double *noise) {
    *noise = fmax((before->spread + now->spread) / 2, least_noise);
    const double limit_noise = *noise + (before->limit_spread + now->limit_spread) / 2;
    const double rate = now->rate / before->rate, share = now->share / before->share;
    if (rate * (1 + *noise) < 1 && share * (1 + limit_noise) < 1)
        return CHANGES_SLOWER;
    if (rate > 1 + *noise && share > 1 + limit_noise)
        return CHANGES_FASTER;
    return CHANGES_SAME;
}

static void print_change(const struct bench_result *r, const struct changes_figures *before,
                         const struct changes_figures *now, enum changes_verdict verdict,
                         double noise) {
    printf("%s: %s, %s, %d thread%s: %.1f to %.1f %s (%+.1f%%), %.1f%% to %.1f%% of the limit; "
           "noise %.1f%%\n",
           verdict == CHANGES_SLOWER ? "slower" : "faster", r->of->name, r->isa, r->threads,
           r->threads == 1 ? "" : "s", before->rate, now->rate, r->of->memory ? "GB/s" : "GFLOP/s",
           100 * (now->rate / before->rate - 1), 100 * before->share, 100 * now->share,
           100 * noise);
}

size_t changes_print(const struct old_report *old, const struct bench_result *results,
                     size_t count) {
    const cJSON *machine = cJSON_GetObjectItemCaseSensitive(old->report, "machine");
    const char *old_cpu = read_string(machine, "cpu"), *date = read_string(machine, "date");
    char cpu[256];
    size_t counts[3] = {0}, missing = 0;
    system_cpu_model(cpu, sizeof cpu);
    printf("\nAgainst %s%s%s:\n", old->path, date ? " of " : "", date ? date : "");
    if (old_cpu && strcmp(old_cpu, cpu) != 0)
        printf("It's from another machine: %s\n", old_cpu);
    for (size_t i = 0; i < count; i++) {
        const struct bench_result *r = &results[i];
        const struct changes_figures now = {r->rate, r->share, r->time.spread, r->limit.spread};
        struct changes_figures before;
        double noise;
        if (!r->correct || !find(old, r->of->name, r->isa, r->threads, &before)) {
            missing++;
            continue;
        }
        const enum changes_verdict verdict = changes_judge(&before, &now, &noise);
        counts[verdict]++;
        if (verdict != CHANGES_SAME)
            print_change(r, &before, &now, verdict, noise);
    }
    printf("%zu slower, %zu faster, %zu the same within the noise", counts[CHANGES_SLOWER],
           counts[CHANGES_FASTER], counts[CHANGES_SAME]);
    if (missing)
        printf(", %zu not in both", missing);
    printf("\n");
    return counts[CHANGES_SLOWER];
}
