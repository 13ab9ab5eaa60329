/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/summary.h"

#include <stdio.h>
#include <string.h>

const struct bench_result *summary_at(const struct summary *s, size_t isa, int threads,
                                      size_t case_index) {
    return &s->results[(isa * (size_t)s->threads.count + (size_t)threads) * s->case_count +
                       case_index];
}

double summary_speedup(const struct summary *s, size_t isa, int threads, size_t case_index) {
    const struct bench_result *r = summary_at(s, isa, threads, case_index),
                              *base = summary_at(s, isa, 0, case_index);
    return r->correct && base->correct ? r->rate / base->rate : 0;
}

static void isa_row(const struct summary *s, int t, size_t c, int name_width) {
    const struct bench_result *best = summary_at(s, 0, t, c);
    printf("%-*s %-7s", name_width, best->of->name, best->of->memory ? "GB/s" : "GFLOP/s");
    for (size_t i = 0; i < s->isa_count; i++) {
        const struct bench_result *r = summary_at(s, i, t, c);
        if (r->correct)
            printf(" %8.1f%c%7.1f %5.1f%%", r->rate, r->cut ? '*' : ' ', r->limit.median,
                   100 * r->share);
        else
            printf(" %23s", "WRONG");
    }
    printf("\n");
    for (size_t i = 0; i < s->isa_count; i++) {
        const struct bench_result *r = summary_at(s, i, t, c);
        if (!r->correct)
            printf("  %s is WRONG: %s\n", r->isa, r->failure);
    }
}

void summary_isa(const struct summary *s) {
    int name_width = 0;
    for (size_t c = 0; c < s->case_count; c++) {
        const int width = (int)strlen(s->results[c].of->name);
        name_width = width > name_width ? width : name_width;
    }
    for (int t = 0; t < s->threads.count; t++) {
        const int threads = summary_at(s, 0, t, 0)->threads;
        char title[32];
        snprintf(title, sizeof title, "%d thread%s", threads, threads == 1 ? "" : "s");
        printf("\n%-*s", name_width + 8, title);
        for (size_t i = 0; i < s->isa_count; i++)
            printf(" %23s", summary_at(s, i, t, 0)->isa);
        printf("\n%-*s", name_width + 8, "case");
        for (size_t i = 0; i < s->isa_count; i++)
            printf(" %8s %7s %6s", "rate", "limit", "share");
        printf("\n");
        for (size_t c = 0; c < s->case_count; c++)
            isa_row(s, t, c, name_width);
    }
}

/* What so many threads run on. */
static const char *place(int threads, int cores, int cpus) {
    return threads <= cores ? "cores" : threads <= cpus ? "SMT" : "shared";
}

static void scaling_row(const struct summary *s, size_t isa, int t, size_t c, const char *on) {
    const struct bench_result *r = summary_at(s, isa, t, c);
    const double speedup = summary_speedup(s, isa, t, c);
    printf("%7d %-6s", r->threads, on);
    if (!r->correct) {
        printf(" WRONG: %s\n", r->failure);
        return;
    }
    const double ideal = (double)r->threads / (double)s->threads.value[0],
                 ms = 1e3 * r->time.median;
    printf(" %8.*f%c %7.1f ", ms < 10 ? 3 : 2, ms, r->cut ? '*' : ' ', r->rate);
    if (speedup > 0)
        printf("%8.2f %6.2f %9.1f%%", speedup, ideal, 100 * speedup / ideal);
    else
        printf("%8s %6.2f %10s", "-", ideal, "-");
    printf(" %7.1f %5.1f%%\n", r->limit.median, 100 * r->share);
}

void summary_scaling(const struct summary *s) {
    for (size_t c = 0; c < s->case_count; c++)
        for (size_t i = 0; i < s->isa_count; i++) {
            const struct bench_result *first = summary_at(s, i, 0, c);
            const bool memory = first->of->memory;
            printf("\n%s, %s\n", first->of->name, first->isa);
            printf("threads on           ms  %7s speed-up  ideal efficiency %7s  share\n",
                   memory ? "GB/s" : "GFLOP/s", memory ? "limit" : "peak");
            for (int t = 0; t < s->threads.count; t++)
                scaling_row(s, i, t, c, place((int)s->threads.value[t], s->cores, s->cpus));
        }
}
