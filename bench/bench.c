/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: measures cases by instruction set and threads. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rapt/rapt.h>

#include "args.h"
#include "cmd.h"
#include "dispatch.h"
#include "outputs.h"
#include "options.h"
#include "select.h"

/* One line on a terminal that is written over and over; nothing elsewhere. */
static void progress(const struct selection *s, size_t done, const char *isa, int threads,
                     const char *name) {
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K");
    if (name)
        fprintf(stderr, "[%zu/%zu] %s, %d thread%s: %s ", done + 1,
                s->case_count * s->isa_count * (size_t)s->threads.count, isa, threads,
                threads == 1 ? "" : "s", name);
    fflush(stderr);
}

/* How far the limits of one kind lie apart, on one instruction set with one number of threads. */
struct drift {
    const struct bench_result *run; /* one of them */
    double low, high;
};

static void include_limits(struct drift *drift, const struct bench_result *r) {
    drift->low = drift->low > 0 && drift->low < r->limit.min ? drift->low : r->limit.min;
    drift->high = drift->high > r->limit.max ? drift->high : r->limit.max;
}

/* Looks for the limits that moved most: peaks in a group, bandwidths in a case. */
static struct drift worst_drift(const struct bench_result *results, size_t count,
                                size_t group_size) {
    struct drift worst = {results, 1, 1};
    for (size_t i = 0; i < count; i++) {
        const struct bench_result *r = &results[i], *group = &results[i - i % group_size];
        struct drift drift = {r, 0, 0};
        if (!r->correct)
            continue;
        include_limits(&drift, r);
        for (size_t j = 0; !r->of->memory && j < group_size; j++)
            if (group[j].correct && !group[j].of->memory)
                include_limits(&drift, &group[j]);
        if (drift.low * worst.high < worst.low * drift.high)
            worst = drift;
    }
    return worst;
}

/* Warns if the machine was busy, or was not the same all the time. */
static void warn(const struct bench_result *results, size_t count, size_t group_size,
                 double others) {
    const struct drift drift = worst_drift(results, count, group_size);
    const bool memory = drift.run->of->memory;
    if (drift.low < 0.9 * drift.high)
        fprintf(stderr,
                "rapt bench: warning: the %s of %s with %d thread%s moved between %.1f and %.1f "
                "%s; trust the shares rather than the times\n",
                memory ? "bandwidth" : "peak", drift.run->isa, drift.run->threads,
                drift.run->threads == 1 ? "" : "s", drift.low, drift.high,
                memory ? "GB/s" : "GFLOP/s");
    if (others > 0.05)
        fprintf(stderr,
                "rapt bench: warning: others took %.0f%% of the machine's CPU time; expect better "
                "figures when it's idle\n",
                100 * others);
}

/* How many of the cases from the first on are timed in turns. */
static size_t turns(const struct bench_case *cases, size_t count) {
    size_t n = 1;
    while (n < count && n < BENCH_MOST_TURNS && cases[n].base &&
           strcmp(cases[n].base, cases[0].name) == 0)
        n++;
    return n;
}

/* All cases on one instruction set with one number of threads. False if that isn't possible. */
static bool run_group(const struct selection *s, const struct bench_data *data,
                      const struct rapt_isa *isa, int threads, int name_width,
                      struct bench_result *results, size_t done) {
    const struct rapt_kernels *kernels = rapt_kernels_find(isa->name);
    const struct bench_limits limits = {bench_probe_create(kernels->probe_fma, threads),
                                        kernels->probe_read};
    struct bench_result *group = results + done;
    bench_table_title(isa->name, threads);
    for (size_t i = 0, n; i < s->case_count; i += n) {
        const struct bench_case *cases = &s->cases[i];
        n = turns(cases, s->case_count - i);
        fflush(stdout);
        progress(s, done + i, isa->name, threads, cases->name);
        const bool measured =
            bench_measure(cases, (int)n, isa, &limits, &s->effort, data, &group[i]);
        progress(s, done + i, NULL, 0, NULL);
        if (!measured)
            return false;
        if (i == 0 || cases->memory != cases[-1].memory)
            bench_table_head(cases->memory, name_width);
        for (size_t k = 0; k < n; k++)
            bench_table_row(&group[i + k], name_width);
    }
    return true;
}

static bool run_groups(const struct selection *s, const struct bench_data *data,
                       struct bench_result *results) {
    char cpu[128];
    int name_width = 0;
    size_t done = 0;
    for (size_t i = 0; i < s->case_count; i++) {
        const int width = (int)strlen(s->cases[i].name);
        name_width = width > name_width ? width : name_width;
    }
    bench_cpu_model(cpu, sizeof cpu);
    printf("rapt %s on %s, %d CPUs\n", rapt_version(), cpu, bench_cpus_usable());
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++, done += s->case_count)
            if (!run_group(s, data, s->isas[i], (int)s->threads.value[t], name_width, results,
                           done))
                return false;
    return true;
}

/* What the reader of the table should know. Returns whether every result was right. */
static bool conclude(const struct bench_result *results, size_t count) {
    bool correct = true, cut = false, fewer = false, flops = false, memory = false;
    for (size_t i = 0; i < count; i++) {
        correct = correct && results[i].correct;
        cut = cut || results[i].cut;
        fewer = fewer || results[i].threads_used < results[i].threads;
        flops = flops || !results[i].of->memory;
        memory = memory || results[i].of->memory;
    }
    printf("\n");
    if (flops)
        printf("peak: of fused multiply-adds, measured between the runs; share: GFLOP/s of it;\n");
    if (memory)
        printf(
            "limit: of reading the same memory, measured between the runs; share: GB/s of it;\n");
    printf("spread: (slowest - fastest) / median, the outer tenths left out;\n"
           "error: the largest against the oracle\n");
    if (fewer)
        printf("Some runs used fewer threads than they had; their peak is still that of all.\n");
    if (cut)
        printf("* only so many of the case's queries, with all of its keys: more would take too "
               "long\n");
    return correct;
}

static bool write_report(struct outputs *outputs, const struct bench_result *results, size_t count,
                         double others) {
    const struct output *output = &outputs->list[0];
    if (!bench_json_write(output->file, results, count, others))
        return outputs_fail(outputs, output);
    return outputs_commit(outputs);
}

/* Measures it all, and writes the report if there is a place for it. */
static int run(const struct selection *s, struct outputs *outputs) {
    const size_t count = s->case_count * s->isa_count * (size_t)s->threads.count;
    struct bench_data data;
    struct bench_result *results = calloc(count, sizeof *results);
    if (!results)
        return args_fail("bench", "no memory for the results");
    const double bytes = bench_data_size(s->cases, s->case_count);
    if (bytes >= bench_memory_available() || !bench_data_create(&data, s->cases, s->case_count)) {
        free(results);
        return args_fail("bench", "no memory for tensors of %.0f bytes", bytes);
    }
    const struct bench_load before = bench_load_now();
    int code = ARGS_ERROR;
    if (run_groups(s, &data, results)) {
        const double others = bench_load_others(before, bench_load_now());
        code = conclude(results, count) ? ARGS_OK : ARGS_FAILED;
        fflush(stdout);
        warn(results, count, s->case_count, others);
        if (outputs->count && !write_report(outputs, results, count, others))
            code = ARGS_ERROR;
    }
    bench_data_destroy(&data);
    free(results);
    return code;
}

int cmd_bench(int argc, char **argv) {
    struct request request;
    int code = options_read(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct selection selection = {0};
    struct outputs outputs = {.command = "bench"};
    const bool ready = select_make(&request, &selection) &&
                       (!request.json || outputs_add(&outputs, "json", request.json));
    code = ready ? run(&selection, &outputs) : ARGS_ERROR;
    outputs_close(&outputs);
    select_free(&selection);
    return code;
}
