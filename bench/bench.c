/* SPDX-License-Identifier: Apache-2.0 */
/* The command `rapt bench`: reads its options and measures cases by instruction set and threads. */
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

enum { MAX_THREADS = 4096 };

/* What is to be measured. */
struct selection {
    struct bench_case *cases;
    size_t case_count;
    const struct rapt_isa **isas;
    size_t isa_count;
    struct args_ints threads;
    struct bench_effort effort;
};

/* The options as they are written. */
struct request {
    struct args_ints threads;
    const char *isa, *cases, *shape, *json;
    float seconds; /* 0: not given */
    bool quick;
};

/* Appends a case unless it is there already. */
static void add_case(struct selection *s, const struct bench_case *c) {
    for (size_t i = 0; i < s->case_count; i++)
        if (strcmp(s->cases[i].name, c->name) == 0)
            return;
    s->cases[s->case_count++] = *c;
}

/* Adds the cases of a list of names; `list` holds all there are. */
static bool add_named_cases(struct selection *s, const char *names, const struct bench_case *list,
                            size_t count) {
    for (const char *at = names;;) {
        const size_t length = strcspn(at, ",");
        size_t i = 0;
        while (i < count &&
               (strlen(list[i].name) != length || strncmp(list[i].name, at, length) != 0))
            i++;
        if (i == count) {
            char known[512] = "";
            for (size_t k = 0, used = 0; k < count && used < sizeof known; k++)
                used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                         k ? ", " : "names out of ", list[k].name);
            args_fail_value("bench", "case", names, known);
            return false;
        }
        add_case(s, &list[i]);
        if (!at[length])
            return true;
        at += length + 1;
    }
}

static bool select_cases(const struct request *request, struct selection *s) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    s->cases = calloc(count + 1, sizeof *s->cases);
    if (!s->cases) {
        args_fail("bench", "no memory for the list of cases");
        return false;
    }
    if (request->cases && !add_named_cases(s, request->cases, list, count))
        return false;
    if (request->shape) {
        struct bench_case c;
        char expected[128];
        if (!bench_case_parse(request->shape, &c, expected, sizeof expected)) {
            args_fail_value("bench", "shape", request->shape, expected);
            return false;
        }
        add_case(s, &c);
    }
    for (size_t i = 0; !request->cases && !request->shape && i < count; i++)
        add_case(s, &list[i]);
    return true;
}

static bool select_isas(const struct request *request, struct selection *s) {
    const struct rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    s->isas = calloc(count, sizeof *s->isas);
    if (!s->isas) {
        args_fail("bench", "no memory for the list of instruction sets");
        return false;
    }
    if (strcmp(request->isa, "all") != 0) {
        s->isa_count = 1;
        if (rapt_isa_choose(request->isa, &s->isas[0]) == RAPT_OK)
            return true;
        args_fail("bench", "--%s", rapt_last_error()); /* it starts with "isa: " */
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].available)
            s->isas[s->isa_count++] = &list[i];
    return true;
}

static void select_threads(const struct request *request, struct selection *s) {
    struct args_ints wanted = request->threads;
    if (!wanted.count)
        wanted = (struct args_ints){.value = {1, bench_cpus_usable()}, .count = 2};
    for (int i = 0; i < wanted.count; i++) {
        bool seen = false;
        for (int j = 0; j < s->threads.count; j++)
            seen |= s->threads.value[j] == wanted.value[i];
        if (!seen)
            s->threads.value[s->threads.count++] = wanted.value[i];
    }
}

static bool make_selection(const struct request *request, struct selection *s) {
    s->effort = request->quick ? (struct bench_effort){0.1, 3, 3} : (struct bench_effort){1, 5, 5};
    if (request->seconds > 0)
        s->effort.seconds = (double)request->seconds;
    select_threads(request, s);
    return select_cases(request, s) && select_isas(request, s);
}

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

/* How far the peaks of one instruction set and thread count lie apart. */
struct drift {
    const struct bench_result *run; /* one of them */
    double low, high;
};

/* Looks for the group of runs whose peaks moved most. */
static struct drift worst_drift(const struct bench_result *results, size_t count,
                                size_t group_size) {
    struct drift worst = {results, 1, 1};
    for (size_t i = 0; i < count; i += group_size) {
        struct drift drift = {&results[i], 0, 0};
        for (const struct bench_result *r = drift.run; r < drift.run + group_size; r++) {
            if (!r->correct)
                continue;
            drift.low = drift.low > 0 && drift.low < r->peak.min ? drift.low : r->peak.min;
            drift.high = drift.high > r->peak.max ? drift.high : r->peak.max;
        }
        if (drift.low * worst.high < worst.low * drift.high)
            worst = drift;
    }
    return worst;
}

/* Warns if the machine was busy, or was not the same all the time. */
static void warn(const struct bench_result *results, size_t count, size_t group_size,
                 double others) {
    const struct drift drift = worst_drift(results, count, group_size);
    if (drift.low < 0.9 * drift.high)
        fprintf(stderr,
                "rapt bench: warning: the peak of %s with %d thread%s moved between %.1f and %.1f "
                "GFLOP/s; trust the shares rather than the times\n",
                drift.run->isa, drift.run->threads, drift.run->threads == 1 ? "" : "s", drift.low,
                drift.high);
    if (others > 0.05)
        fprintf(stderr,
                "rapt bench: warning: others took %.0f%% of the machine's CPU time; expect better "
                "figures when it's idle\n",
                100 * others);
}

/* All cases on one instruction set with one number of threads. False if that isn't possible. */
static bool run_group(const struct selection *s, const struct bench_data *data,
                      const struct rapt_isa *isa, int threads, int name_width,
                      struct bench_result *results, size_t done) {
    const struct rapt_kernels *kernels = rapt_kernels_find(isa->name);
    const struct bench_probe probe = bench_probe_create(kernels->probe_fma, threads);
    struct bench_result *group = results + done;
    bench_table_head(isa->name, threads, name_width);
    for (size_t i = 0; i < s->case_count; i++) {
        fflush(stdout);
        progress(s, done + i, isa->name, threads, s->cases[i].name);
        const bool measured = bench_measure(&s->cases[i], isa, &probe, &s->effort, data, &group[i]);
        progress(s, done + i, NULL, 0, NULL);
        if (!measured)
            return false;
        bench_table_row(&group[i], name_width);
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
    printf("rapt %s, f32, on %s, %d CPUs\n", rapt_version(), cpu, bench_cpus_usable());
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++, done += s->case_count)
            if (!run_group(s, data, s->isas[i], (int)s->threads.value[t], name_width, results,
                           done))
                return false;
    return true;
}

/* What the reader of the table should know. Returns whether every result was right. */
static bool conclude(const struct bench_result *results, size_t count) {
    bool correct = true, cut = false, fewer = false;
    for (size_t i = 0; i < count; i++) {
        correct = correct && results[i].correct;
        cut = cut || results[i].cut;
        fewer = fewer || results[i].threads_used < results[i].threads;
    }
    printf("\npeak: of fused multiply-adds, measured between the runs; share: GFLOP/s of it;\n"
           "spread: (slowest - fastest) / median, the outer tenths left out;\n"
           "error: the largest against the oracle\n");
    if (fewer)
        printf("Some runs used fewer threads than they had; their peak is still that of all.\n");
    if (cut)
        printf("* only so many of the case's queries, with all of its keys: it's a slow variant\n");
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
    double bytes;
    struct bench_result *results = calloc(count, sizeof *results);
    if (!results)
        return args_fail("bench", "no memory for the results");
    if (!bench_data_create(&data, s->cases, s->case_count, &bytes)) {
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

/* Reads the options into a request that holds the defaults; returns what args_parse() does. */
static int read_request(struct request *r, int argc, char **argv) {
    const struct args_option options[] = {
        {.name = "threads",
         .kind = ARGS_INTS,
         .to = &r->threads,
         .metavar = "N,...",
         .least = 1,
         .most = MAX_THREADS,
         .help = "Thread counts (default 1 and the number of usable CPUs)"},
        {.name = "isa",
         .kind = ARGS_STRING,
         .to = &r->isa,
         .metavar = "all|NAME",
         .help = "Instruction sets (default all that the machine has)"},
        {.name = "case",
         .kind = ARGS_STRING,
         .to = &r->cases,
         .metavar = "NAME,...",
         .help = "Cases (default all)"},
        {.name = "shape",
         .kind = ARGS_STRING,
         .to = &r->shape,
         .metavar = "SHAPE",
         .help = "A case of your own: B,Hq,Hkv,Sq,Skv,D[,causal] for batches, query and key "
                 "heads, queries, keys and channels; causal aligns the last query with the last "
                 "key"},
        {.name = "quick",
         .kind = ARGS_ON,
         .to = &r->quick,
         .help = "Fewer repetitions: seconds instead of a minute"},
        {.name = "time",
         .kind = ARGS_POSITIVE,
         .to = &r->seconds,
         .metavar = "SECONDS",
         .help = "How long to repeat each measurement (default 1, quick 0.1)"},
        {.name = "json",
         .kind = ARGS_STRING,
         .to = &r->json,
         .metavar = "FILE",
         .help = "Write the results there too"},
    };
    const struct args_command command = {
        .name = "bench",
        .about = "Times attention for each instruction set and thread count, next to the peak of "
                 "fused multiply-adds that this machine reaches at the same time. Every result is "
                 "checked before it is timed. A variant too slow for a case, such as scalar, is "
                 "timed on fewer of its queries.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .notes = "Cases: prefill-2048-d128, -d64 and -d32 (8 heads, 2048 queries and keys), and\n"
                 "each with -causal behind its name.\n",
        .examples = "rapt bench --quick\n"
                    "rapt bench --isa avx2 --threads 1,2,4 --json bench.json\n"
                    "rapt bench --shape 1,32,8,512,4096,128,causal\n",
        .failure = "a result was wrong",
    };
    return args_parse(&command, argc, argv);
}

int cmd_bench(int argc, char **argv) {
    struct request request = {.isa = "all"};
    int code = read_request(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct selection selection = {0};
    struct outputs outputs = {.command = "bench"};
    const bool ready = make_selection(&request, &selection) &&
                       (!request.json || outputs_add(&outputs, "json", request.json));
    code = ready ? run(&selection, &outputs) : ARGS_ERROR;
    outputs_close(&outputs);
    free(selection.cases);
    free(selection.isas);
    return code;
}
