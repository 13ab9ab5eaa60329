/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/roofline.h"
#include "cli/base/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct roofline_point roofline_point(const struct bench_result *r) {
    const double flops = bench_shape_flops(&r->shape);
    const double intensity = flops / bench_shape_traffic(&r->shape);
    const double slope = intensity * r->roof.bandwidth;
    const double roof = fmin(slope, r->roof.peak), rate = 1e-9 * flops / r->time.median;
    return (struct roofline_point){intensity, rate, roof, rate / roof, slope < r->roof.peak};
}

struct bench_roof roofline_of(const struct summary *s, size_t isa, int threads) {
    struct bench_roof roof = {0};
    double *peaks = malloc(2 * s->case_count * sizeof *peaks),
           *memories = peaks ? peaks + s->case_count : NULL;
    int count = 0;
    for (size_t c = 0; peaks && c < s->case_count; c++) {
        const struct bench_result *r = summary_at(s, isa, threads, c);
        if (!r->correct)
            continue;
        peaks[count] = r->roof.peak;
        memories[count++] = r->roof.memory;
    }
    if (count) {
        roof.peak = statistics_of(peaks, count).median;
        roof.bandwidth = roof.memory = statistics_of(memories, count).median;
    }
    free(peaks);
    return roof;
}

static void print_row(const struct bench_result *r, int name_width) {
    printf("%-*s", name_width, r->of->name);
    if (!r->correct) {
        printf(" WRONG: %s\n", r->failure);
        return;
    }
    const struct roofline_point p = roofline_point(r);
    printf(" %9.1f %8.1f%c%6.1f %7.1f %5.1f%% %s\n", p.intensity, p.rate, r->cut ? '*' : ' ',
           r->roof.bandwidth, p.roof, 100 * p.share, p.memory ? "memory" : "compute");
}

void roofline_print(const struct summary *s) {
    int name_width = 0;
    for (size_t c = 0; c < s->case_count; c++) {
        const int width = (int)strlen(s->results[c].of->name);
        name_width = width > name_width ? width : name_width;
    }
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++) {
            const struct bench_result *first = summary_at(s, i, t, 0);
            const struct bench_roof roof = roofline_of(s, i, t);
            printf("\n%s, %d thread%s", first->isa, first->threads, first->threads == 1 ? "" : "s");
            if (roof.memory > 0)
                printf(": peak %.1f GFLOP/s, memory %.1f GB/s, ridge at %.1f FLOP/byte", roof.peak,
                       roof.memory, roof.peak / roof.memory);
            printf("\n%-*s FLOP/byte  GFLOP/s   GB/s    roof  share bound by\n", name_width,
                   "case");
            for (size_t c = 0; c < s->case_count; c++)
                print_row(summary_at(s, i, t, c), name_width);
        }
}
