/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/table.h"

#include <inttypes.h>
#include <stdio.h>

void table_title(const char *isa, int threads) {
    printf("\n%s, %d thread%s\n", isa, threads, threads == 1 ? "" : "s");
}

void table_head(bool memory, int name_width) {
    printf("%-*s %s  share spread  error\n", name_width, "case",
           memory ? "   type       ms    GB/s   limit" : "queries       ms GFLOP/s    peak");
}

void table_row(const struct bench_result *r, int name_width) {
    char text[32];
    if (r->of->memory)
        snprintf(text, sizeof text, "%s", bench_type_name(r->shape.kv_type));
    else
        snprintf(text, sizeof text, "%" PRId64 "%s", r->shape.q_len, r->cut ? "*" : "");
    printf("%-*s %7s", name_width, r->of->name, text);
    if (!r->correct) {
        printf(" WRONG: %s\n", r->failure);
        return;
    }
    const double ms = 1e3 * r->time.median;
    printf(" %8.*f %7.1f %7.1f %5.1f%% %5.1f%% %6.0e", ms < 10 ? 3 : 2, ms, r->rate,
           r->limit.median, 100 * r->share, 100 * r->time.spread, r->max_error);
    if (r->of->suite == BENCH_GROWTH)
        printf("  %zu bytes of scratch", r->workspace);
    if (r->of->suite == BENCH_GROWTH && r->time_ratio > 0)
        printf(", %.2f of %s's time per score", r->score_time_ratio, r->of->base);
    else if (r->of->suite == BENCH_FEATURES && r->rate_ratio > 0)
        printf("  %.2f of %s's GFLOP/s", r->rate_ratio, r->of->base);
    else if (r->time_ratio > 0)
        printf("  %.2f of %s's time", r->time_ratio, r->of->base);
    printf("\n");
}
