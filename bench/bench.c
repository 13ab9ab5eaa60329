/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: measures cases by instruction set and threads. */
#include "cli/base/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rapt/rapt.h>

#include "bench/changes.h"
#include "bench/csv.h"
#include "bench/html.h"
#include "bench/json.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/options.h"
#include "bench/pin.h"
#include "bench/roofline.h"
#include "bench/select.h"
#include "bench/summary.h"
#include "bench/table.h"
#include "bench/topology.h"
#include "bench/warn.h"
#include "cli/base/args.h"
#include "cli/base/outputs.h"
#include "cli/base/system.h"
#include "simd/dispatch.h"

/* As much of a name as leaves a line of progress on one line. */
enum { NAME_SHOWN = 30 };

/* One line on a terminal that is written over and over; nothing elsewhere. */
static void progress(const struct selection *s, size_t done, const char *isa, int threads,
                     const char *name) {
    if (!isatty(STDERR_FILENO))
        return;
    static const char bar[] = "####################";
    enum { WIDTH = sizeof bar - 1 };
    const size_t all = s->case_count * s->isa_count * (size_t)s->threads.count;
    fprintf(stderr, "\r\033[K");
    if (name)
        fprintf(stderr, "[%-*.*s] %zu/%zu %s, %d thread%s: %.*s", WIDTH, (int)(WIDTH * done / all),
                bar, done + 1, all, isa, threads, threads == 1 ? "" : "s", NAME_SHOWN, name);
    fflush(stderr);
}

/* How many of the cases from the first on are timed in turns. */
static size_t turns(const struct bench_case *cases, size_t count) {
    size_t n = 1;
    while (n < count && n < MEASURE_MOST_TURNS && cases[n].base &&
           strcmp(cases[n].base, cases[0].name) == 0)
        n++;
    return n;
}

/* All cases on one instruction set with one number of threads. False if that isn't possible. */
static bool run_group(const struct selection *s, const struct bench_data *data,
                      const struct rapt_isa *isa, int t, int name_width,
                      struct bench_result *results, size_t done) {
    const int threads = (int)s->threads.value[t];
    const struct bench_case *all = select_cases_of(s, t);
    const char *refusal;
    const struct rapt_kernels *kernels = rapt_kernels_find(isa->name, &refusal);
    if (!kernels) {
        args_fail("bench", "--isa: the system refuses what \"%s\" needs (%s): %s", isa->name,
                  isa->needs, refusal);
        return false;
    }
    struct bench_reader memory = bench_data_reader(data, kernels->probe_read, threads);
    const struct bench_limits limits = {bench_probe_create(kernels->probe_fma, threads),
                                        kernels->probe_read,
                                        s->view == VIEW_ROOFLINE ? &memory : NULL};
    struct bench_result *group = results + done;
    const bool tables = s->view == VIEW_TABLES;
    if (tables)
        table_title(isa->name, threads);
    for (size_t i = 0, n; i < s->case_count; i += n) {
        const struct bench_case *cases = &all[i];
        n = turns(cases, s->case_count - i);
        fflush(stdout);
        progress(s, done + i, isa->name, threads, cases->name);
        const bool measured =
            bench_measure(cases, (int)n, isa, &limits, &s->effort, data, &group[i]);
        progress(s, done + i, NULL, 0, NULL);
        if (!measured)
            return false;
        if (tables && (i == 0 || cases->memory != cases[-1].memory))
            table_head(cases->memory, name_width);
        for (size_t k = 0; tables && k < n; k++)
            table_row(&group[i + k], name_width);
    }
    return true;
}

static int longest_name(const struct selection *s) {
    int longest = 0;
    for (size_t i = 0; i < s->case_count; i++) {
        const int width = (int)strlen(s->cases[i].name);
        longest = width > longest ? width : longest;
    }
    return longest;
}

static bool run_groups(const struct selection *s, const struct bench_data *data,
                       struct bench_result *results) {
    char cpu[128];
    int pinned_count;
    const int name_width = longest_name(s);
    size_t done = 0;
    system_cpu_model(cpu, sizeof cpu);
    printf("rapt %s on %s, %d CPUs of %d cores", rapt_version(), cpu, topology_cpus_usable(),
           topology_cores_usable());
    const int *pinned = pin_list(&pinned_count);
    for (int i = 0; i < pinned_count; i++)
        printf("%s%d", i ? ", " : "; threads on CPUs ", pinned[i]);
    printf("\n");
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++, done += s->case_count)
            if (!run_group(s, data, s->isas[i], t, name_width, results, done))
                return false;
    return true;
}

static const char roofline_notes[] =
    "FLOP/byte: of compulsory traffic: queries, keys and values read once, outputs written once;\n"
    "GB/s: of reading the case's keys and values where its runs find them, memory or a cache;\n"
    "roof: the lesser of the peak and FLOP/byte times GB/s; share: GFLOP/s of the roof;\n"
    "peak and GB/s were measured between the runs\n";

/* What the reader of the tables should know. */
static void explain(const struct selection *s, const struct bench_result *results, size_t count) {
    bool cut = false, fewer = false, flops = false, memory = false;
    for (size_t i = 0; i < count; i++) {
        cut = cut || results[i].cut;
        fewer = fewer || results[i].threads_used < results[i].threads;
        flops = flops || !results[i].of->memory;
        memory = memory || results[i].of->memory;
    }
    printf("\n");
    if (flops && s->view != VIEW_ROOFLINE)
        printf("peak: of fused multiply-adds, measured between the runs; share: GFLOP/s of it;\n");
    if (memory && s->view != VIEW_ROOFLINE)
        printf(
            "limit: of reading the same memory, measured between the runs; share: GB/s of it;\n");
    if (s->view == VIEW_ROOFLINE)
        printf("%s", roofline_notes);
    if (s->view == VIEW_TABLES)
        printf("spread: (slowest - fastest) / median, the outer tenths left out;\n"
               "error: the largest against the oracle\n");
    if (s->view == VIEW_SCALING)
        printf("%sspeed-up: over the fewest threads; ideal: if each thread added as much;\n"
               "on: cores while each thread can have its own, SMT where cores run two or more,\n"
               "shared beyond the CPUs\n",
               s->weak ? "weak: as many times the batch as there are threads;\n" : "");
    if (fewer)
        printf("Some runs used fewer threads than they had; their peak is still that of all.\n");
    if (cut)
        printf("* only so many of the case's queries, with all of its keys: more would take too "
               "long\n");
}

static bool all_correct(const struct bench_result *results, size_t count) {
    bool correct = true;
    for (size_t i = 0; i < count; i++)
        correct = correct && results[i].correct;
    return correct;
}

/* The outputs are the reports, in the order in which they were added. */
enum report { JSON, CSV, HTML, REPORTS };

struct reports {
    enum report list[REPORTS];
    const struct summary *summary;
    size_t count;
    double others;
};

static bool write_report(FILE *file, int i, const void *context) {
    const struct reports *r = context;
    switch (r->list[i]) {
    case JSON:
        return json_write(file, r->summary->results, r->count, r->others);
    case CSV:
        return csv_write(file, r->summary->results, r->count);
    case HTML:
    case REPORTS:
        break;
    }
    return html_write(file, r->summary, r->others);
}

static bool write_reports(const struct request *request, struct outputs *outputs,
                          const struct summary *summary, size_t count, double others) {
    const char *const paths[REPORTS] = {request->json, request->csv, request->html};
    struct reports reports = {.summary = summary, .count = count, .others = others};
    for (int i = 0, at = 0; i < REPORTS; i++)
        if (paths[i])
            reports.list[at++] = (enum report)i;
    return outputs_write(outputs, write_report, &reports);
}

static bool add_outputs(const struct request *request, struct outputs *outputs) {
    return (!request->json || outputs_add(outputs, "json", request->json, OUTPUT_TEXT)) &&
           (!request->csv || outputs_add(outputs, "csv", request->csv, OUTPUT_TEXT)) &&
           (!request->html || outputs_add(outputs, "html", request->html, OUTPUT_TEXT));
}

/* Shows what was measured and writes it down; returns the exit code. */
static int conclude(const struct request *request, const struct selection *s,
                    struct outputs *outputs, const struct old_report *old,
                    const struct bench_result *results, size_t count, double others) {
    const struct summary summary = {results,    s->case_count, s->isa_count,
                                    s->threads, pin_cores(),   pin_cpus()};
    int code = all_correct(results, count) ? ARGS_OK : ARGS_FAILED;
    if (s->view == VIEW_ISA)
        summary_isa(&summary);
    if (s->view == VIEW_SCALING)
        summary_scaling(&summary);
    if (s->view == VIEW_ROOFLINE)
        roofline_print(&summary);
    explain(s, results, count);
    if (request->compare && changes_print(old, results, count) > 0)
        code = ARGS_FAILED;
    fflush(stdout);
    warn_after(results, count, s->case_count, others);
    return write_reports(request, outputs, &summary, count, others) ? code : ARGS_ERROR;
}

/* Measures it all. */
static int run(const struct request *request, const struct selection *s, struct outputs *outputs,
               const struct old_report *old) {
    const size_t count = s->case_count * s->isa_count * (size_t)s->threads.count;
    const size_t case_total = select_case_total(s);
    struct bench_data data;
    struct bench_result *results = calloc(count, sizeof *results);
    if (!results)
        return args_fail("bench", "no memory for the results");
    const double cache = s->view == VIEW_ROOFLINE ? bench_cold_bytes() : 0;
    const double bytes = bench_data_size(s->cases, case_total, cache);
    if (bytes >= machine_memory_available() ||
        !bench_data_create(&data, s->cases, case_total, cache)) {
        free(results);
        return args_fail("bench", "no memory for tensors of %.0f bytes", bytes);
    }
    int code = ARGS_ERROR;
    warn_before();
    const struct machine_load before = machine_load_now();
    if (run_groups(s, &data, results)) {
        const double others = machine_load_others(before, machine_load_now());
        code = conclude(request, s, outputs, old, results, count, others);
    }
    bench_data_destroy(&data);
    free(results);
    return code;
}

/* Whether something that will be measured is in the old report. */
static bool check_overlap(const struct selection *s, const struct old_report *old,
                          const char *path) {
    for (size_t i = 0; i < s->case_count; i++)
        for (size_t k = 0; k < s->isa_count; k++)
            for (int t = 0; t < s->threads.count; t++)
                if (changes_has(old, s->cases[i].name, s->isas[k]->name, (int)s->threads.value[t]))
                    return true;
    args_fail("bench",
              "--compare: %s has none of the runs asked for (the same case, instruction set and "
              "threads)",
              path);
    return false;
}

int cmd_bench(int argc, char **argv) {
    struct request request;
    int code = options_read(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct selection selection = {0};
    struct outputs outputs = {.command = "bench"};
    struct old_report old = {0};
    const char *compare = request.compare;
    const bool ready =
        (!request.pin || pin_start(request.pin)) && select_make(&request, &selection) &&
        add_outputs(&request, &outputs) &&
        (!compare || (changes_read(&old, compare) && check_overlap(&selection, &old, compare)));
    code = ready ? run(&request, &selection, &outputs, &old) : ARGS_ERROR;
    changes_free(&old);
    outputs_close(&outputs);
    select_free(&selection);
    pin_stop();
    return code;
}
