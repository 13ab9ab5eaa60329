/* SPDX-License-Identifier: Apache-2.0 */
/* Writes pages of `rapt bench --html` from made-up results: bench_pages NAME >FILE. Without a name
 * it lists them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/html.h"
#include "cli/base/statistics.h"

enum { MOST_CASES = 130, MOST_THREADS = 10, MOST_ISAS = 4 };

struct made_page {
    const char *name;
    int cases, isas;
    int64_t threads[MOST_THREADS]; /* until 0 */
    int cores, cpus;
    double rates[2];   /* in GFLOP/s or GB/s with one thread: of even cases, and of odd ones */
    double limits[2];  /* the peak and the bandwidth */
    double efficiency; /* of each thread but the first */
    int wrong;         /* each case of so many has a wrong result */
    bool long_names, alike, roofs;
};

#define USUAL {40, 15}, {100, 20}, 0.9
#define TWO                                                                                        \
    { 1, 2 }
static const struct made_page pages[] = {
    {"usual", 12, 4, TWO, 2, 2, USUAL, 0, false, false, true},
    {"bars", 12, 4, TWO, 2, 2, USUAL, 0, false, false, false},
    {"one", 1, 1, {1}, 1, 1, USUAL, 0, false, false, true},
    {"one thread count", 7, 3, {16}, 16, 16, USUAL, 0, false, false, true},
    {"slow", 12, 4, TWO, 2, 2, {1e-5, 2e-5}, {3e-5, 1e-5}, 0.5, 0, false, false, true},
    {"fast", 12, 4, TWO, 2, 2, {1e6, 9.9994e5}, {2e6, 1e6}, 1, 0, false, false, true},
    {"far below the limit", 12, 4, TWO, 2, 2, {1e-5, 1e-4}, {1e6, 1e6}, 1, 0, false, false, true},
    {"far above the limit", 12, 4, TWO, 2, 2, {1e6, 1e4}, {1e3, 10}, 1, 0, false, false, true},
    {"both", 12, 4, TWO, 2, 2, {1e-5, 1e6}, {1e-5, 1e6}, 1, 0, false, false, true},
    {"speed-ups", 4, 4, {1, 2, 128}, 64, 128, {40, 15}, {100, 20}, 1e5, 0, false, false, true},
    {"slow-downs", 4, 4, {1, 2, 128}, 64, 128, {10, 20}, {90, 20}, 1e-7, 0, false, false, true},
    {"many threads",
     4,
     2,
     {1, 2, 3, 4, 8, 16, 32, 64, 126, 128},
     127,
     128,
     USUAL,
     0,
     false,
     false,
     true},
    {"most threads", 2, 2, {1, 1024, 99999, 100000}, 99999, 99999, USUAL, 0, false, false, true},
    {"shared cores", 4, 2, {1, 2, 3, 4, 7, 8}, 7, 7, USUAL, 0, false, false, true},
    {"one core", 4, 2, {1, 2, 3, 4, 7, 8}, 1, 8, USUAL, 0, false, false, true},
    {"wrong", 12, 4, TWO, 2, 2, USUAL, 3, false, false, true},
    {"all wrong", 12, 4, TWO, 2, 2, USUAL, 1, false, false, true},
    {"many cases", MOST_CASES, 2, {2}, 2, 2, USUAL, 0, false, false, true},
    {"many alike", MOST_CASES, 2, {2}, 2, 2, USUAL, 0, false, true, true},
    {"long names", 12, 4, TWO, 2, 2, USUAL, 5, true, false, true},
};
enum { PAGES = sizeof pages / sizeof *pages };

static struct bench_case make_case(const struct made_page *page, int at) {
    const bool memory = at % 2;
    struct bench_case c = {.memory = memory,
                           .shape = {.batch = 1,
                                     .q_heads = 8,
                                     .kv_heads = 8,
                                     .q_len = memory ? 1 : 64,
                                     .kv_len = 64 << (page->alike ? 1 : at % 12),
                                     .head_dim = 64,
                                     .kv_type = RAPT_F32}};
    snprintf(c.name, sizeof c.name, "%s-%d", memory ? "decode" : "prefill", at);
    if (page->long_names) { /* with and without places to break them */
        memset(c.name, "w1,"[at % 3], sizeof c.name - 1);
        c.name[sizeof c.name - 1] = '\0';
    }
    return c;
}

/* Instruction sets differ by a third of the best one's figures, and cases a little. */
static struct bench_result make_result(const struct made_page *page, const struct bench_case *c,
                                       int at, int isa, int64_t threads) {
    static const char *const isas[MOST_ISAS] = {"avx512", "avx2", "scalar", "neon"};
    const double times = 1 + page->efficiency * (double)(threads - 1);
    const double part = (MOST_ISAS - isa) / 4.0, some = page->alike ? 1 : 1 + at % 7 / 10.0;
    const double peak = page->limits[0] * part * times, bandwidth = page->limits[1] * part * times;
    const double limit = c->memory ? bandwidth : peak;
    const double rate = page->rates[c->memory] * part * times * some;
    const double work = c->memory ? bench_shape_bytes(&c->shape) : bench_shape_flops(&c->shape);
    struct bench_result r = {.of = c,
                             .shape = c->shape,
                             .cut = at % 5 == 4,
                             .isa = isas[isa],
                             .threads = (int)threads,
                             .threads_used = (int)threads,
                             .correct = !page->wrong || at % page->wrong > 0};
    if (!r.correct)
        return r;
    r.time = (struct statistics){5, 1e-9 * work / rate, 1e-9 * work / rate, 0, 0.1};
    r.limit = (struct statistics){5, limit, limit, limit, 0};
    r.rate = rate;
    r.share = rate / limit;
    if (page->roofs)
        r.roof = (struct bench_roof){peak, c->memory ? bandwidth : 9 * bandwidth, bandwidth};
    return r;
}

static int write_page(const struct made_page *page) {
    static struct bench_case cases[MOST_CASES];
    static struct bench_result results[MOST_ISAS * MOST_THREADS * MOST_CASES];
    struct summary s = {.results = results,
                        .case_count = (size_t)page->cases,
                        .isa_count = (size_t)page->isas,
                        .cores = page->cores,
                        .cpus = page->cpus};
    size_t at = 0;
    while (s.threads.count < MOST_THREADS && page->threads[s.threads.count]) {
        s.threads.value[s.threads.count] = page->threads[s.threads.count];
        s.threads.count++;
    }
    for (int c = 0; c < page->cases; c++)
        cases[c] = make_case(page, c);
    for (int isa = 0; isa < page->isas; isa++)
        for (int t = 0; t < s.threads.count; t++)
            for (int c = 0; c < page->cases; c++)
                results[at++] = make_result(page, &cases[c], c, isa, s.threads.value[t]);
    return html_write(stdout, &s, 0.5) && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    for (int i = 0; i < PAGES; i++)
        if (argc < 2)
            printf("%s\n", pages[i].name);
        else if (strcmp(argv[1], pages[i].name) == 0)
            return write_page(&pages[i]);
    return argc < 2 ? 0 : 2;
}
