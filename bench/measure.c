/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements: the check of the results, then repetitions in turns with limits in between. */
#include "bench/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rapt/rapt.h>

#include "bench/job.h"
#include "bench/pin.h"
#include "bench/verify.h"
#include "cli/base/args.h"
#include "cli/base/clock.h"
#include "cli/base/statistics.h"

enum { MOST_REPETITIONS = 2000 }; /* between two limits */

/* A case is cut if one run would take longer than this and than a quarter of the time there is. */
static const double longest_run = 0.25;

/* What is measured around and between the runs. */
enum limit { PEAK, BANDWIDTH, MEMORY, LIMITS };

/* A case under measurement. */
struct run {
    struct bench_job job;
    struct bench_result *result;
    double *samples;
    double *limits[LIMITS]; /* NULL for what isn't measured */
    double first;           /* seconds of the run that was checked */
    int count;              /* of samples */
    double spent;           /* the sum of samples */
};

/*
 * Fewer queries if one run would take too long even at the peak: full panels of them, as many as
 * leave time for all repetitions.
 */
static struct bench_shape affordable(const struct bench_shape *shape, double peak, int panel_rows,
                                     const struct bench_effort *effort) {
    const double wanted = bench_shape_flops(shape) / peak;
    if (wanted <= fmax(effort->seconds / 4, longest_run))
        return *shape;
    const double given = effort->seconds / effort->repetitions;
    const int64_t panels = (int64_t)((double)shape->q_len * given / wanted) / panel_rows;
    return bench_shape_cut(*shape, panels > 0 ? panels * panel_rows : panel_rows);
}

/*
 * Bytes per second of reading a job's keys and values. Keys in a cache are read many times over,
 * since one pass may be too short for the clock.
 */
static double measure_bandwidth(const struct bench_limits *limits, struct bench_job *job) {
    static const double least_bytes = 4e6; /* for each thread */
    struct bench_reader reader = {.read = limits->read,
                                  .threads = limits->probe.threads,
                                  .data = job->args.key.data,
                                  .size = 2 * job->tensor_bytes,
                                  .copies = job->copies,
                                  .turn = job->turn};
    if (job->copies == 1)
        reader.more = (int64_t)(least_bytes * reader.threads / (double)reader.size);
    const double bandwidth = bench_reader_bandwidth(&reader);
    job->turn = reader.turn;
    return bandwidth;
}

/* GFLOP/s or GB/s. Waits first, since OpenMP's threads go on spinning for a while after a run. */
static bool measure_limit(const struct bench_limits *limits, enum limit which, struct run *run,
                          double *limit) {
    const struct bench_probe *probe = &limits->probe;
    if (probe->threads > 1)
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    if (which == PEAK)
        *limit = 1e-9 * bench_probe_peak(probe, run->first);
    else if (which == BANDWIDTH)
        *limit = 1e-9 * measure_bandwidth(limits, &run->job);
    else
        *limit = 1e-9 * bench_reader_bandwidth(limits->memory);
    if (*limit > 0)
        return true;
    args_fail("bench", "--threads: %d threads can't be started", probe->threads);
    return false;
}

/* Runs in turns until each run has spent `until` seconds and has `least` samples. */
static bool repeat(struct run *runs, int count, double until, int least) {
    int most[MEASURE_MOST_TURNS];
    for (int i = 0; i < count; i++)
        most[i] = runs[i].count + MOST_REPETITIONS;
    for (bool done = false; !done;) {
        done = true;
        for (int i = 0; i < count; i++) {
            struct run *run = &runs[i];
            if (!run->result->correct || run->count == most[i] ||
                (run->count >= least && run->spent >= until))
                continue;
            pin_team(run->result->threads_used);
            const double start = clock_now();
            if (!bench_job_run(&run->job))
                return false;
            run->samples[run->count] = clock_since(start);
            run->spent += run->samples[run->count++];
            done = false;
        }
    }
    return true;
}

static bool measure_limits(const struct bench_limits *limits, struct run *runs, int count, int at) {
    for (int i = 0; i < count; i++)
        for (int which = 0; runs[i].result->correct && which < LIMITS; which++)
            if (runs[i].limits[which] &&
                !measure_limit(limits, (enum limit)which, &runs[i], &runs[i].limits[which][at]))
                return false;
    return true;
}

/*
 * The clock of a machine drifts with its temperature, and a virtual machine also slows with its
 * neighbours. So the limit is measured before, between and after the repetitions, in spans as long
 * as theirs. The medians of both then saw the same machine.
 */
static bool measure_times(struct run *runs, int count, const struct bench_limits *limits,
                          const struct bench_effort *effort) {
    const int parts = effort->limits - 1;
    if (!measure_limits(limits, runs, count, 0))
        return false;
    for (int i = 0; i < parts; i++) {
        const double until = effort->seconds * (i + 1) / parts;
        const int least = (effort->repetitions * (i + 1) + parts - 1) / parts;
        if (!repeat(runs, count, until, least) || !measure_limits(limits, runs, count, i + 1))
            return false;
    }
    return true;
}

/* Whether two runs have the same scores: whole cases have, or as many of their queries. */
static bool are_alike(const struct bench_result *a, const struct bench_result *b) {
    return (!a->cut && !b->cut) || (a->cut && b->cut && a->shape.q_len == b->shape.q_len &&
                                    bench_shape_flops(&a->shape) == bench_shape_flops(&b->shape));
}

/* What the samples say. */
static void conclude(struct run *run, const struct run *base, int limits) {
    struct bench_result *r = run->result;
    if (!r->correct)
        return;
    r->time = statistics_of(run->samples, run->count);
    r->limit = statistics_of(run->limits[r->of->memory ? BANDWIDTH : PEAK], limits);
    if (run->limits[MEMORY])
        r->roof = (struct bench_roof){statistics_of(run->limits[PEAK], limits).median,
                                      statistics_of(run->limits[BANDWIDTH], limits).median,
                                      statistics_of(run->limits[MEMORY], limits).median};
    const double work = r->of->memory ? bench_shape_bytes(&r->shape) : bench_shape_flops(&r->shape);
    r->rate = 1e-9 * work / r->time.median;
    r->share = r->rate / r->limit.median;
    if (run == base || !base->result->correct || !are_alike(r, base->result))
        return;
    r->time_ratio = r->time.median / base->result->time.median;
    if (r->of->memory == base->result->of->memory)
        r->rate_ratio = r->rate / base->result->rate;
    r->score_time_ratio =
        r->time_ratio * bench_shape_scores(&base->result->shape) / bench_shape_scores(&r->shape);
}

/* Makes a case ready and checks its result. False, with the reason on stderr, if that fails. */
static bool run_create(struct run *run, const struct bench_case *bench_case,
                       const struct rapt_isa *isa, double peak, const struct bench_limits *limits,
                       const struct bench_effort *effort, const struct bench_data *data) {
    struct bench_result *r = run->result;
    *r = (struct bench_result){.of = bench_case,
                               .shape = bench_case->shape,
                               .isa = isa->name,
                               .threads = limits->probe.threads};
    if (!bench_case->shape.lengths)
        r->shape = affordable(&bench_case->shape, peak, isa->panel_rows, effort);
    r->cut = r->shape.q_len < bench_case->shape.q_len;
    run->samples = malloc((size_t)(effort->limits - 1) * MOST_REPETITIONS * sizeof *run->samples);
    bool room = run->samples != NULL;
    for (int which = 0; which < LIMITS; which++)
        if (limits->memory || which == (bench_case->memory ? BANDWIDTH : PEAK)) {
            run->limits[which] = malloc((size_t)effort->limits * sizeof *run->limits[which]);
            room = room && run->limits[which];
        }
    if (!room) {
        args_fail("bench", "no memory for the samples");
        return false;
    }
    memset(data->out, 0xff, data->out_size); /* NaN, so that nothing old can pass the check */
    if (!bench_job_create(&run->job, bench_case, &r->shape, isa->name, r->threads, data))
        return false;
    r->threads_used = rapt_plan_threads(run->job.plan);
    r->workspace = run->job.workspace_size;
    pin_team(r->threads_used);
    const double start = clock_now();
    if (!bench_job_run(&run->job))
        return false;
    run->first = clock_since(start);
    return bench_verify(&run->job, r);
}

static void run_destroy(struct run *run) {
    bench_job_destroy(&run->job);
    free(run->samples);
    for (int which = 0; which < LIMITS; which++)
        free(run->limits[which]);
}

bool bench_measure(const struct bench_case *cases, int count, const struct rapt_isa *isa,
                   const struct bench_limits *limits, const struct bench_effort *effort,
                   const struct bench_data *data, struct bench_result *results) {
    struct run runs[MEASURE_MOST_TURNS] = {0};
    const double peak = bench_probe_peak(&limits->probe, 0);
    bool measured = true;
    for (int i = 0; measured && i < count; i++) {
        runs[i].result = &results[i];
        measured = run_create(&runs[i], &cases[i], isa, peak, limits, effort, data);
    }
    measured = measured && measure_times(runs, count, limits, effort);
    for (int i = 0; i < count; i++) {
        if (measured)
            conclude(&runs[i], &runs[0], effort->limits);
        run_destroy(&runs[i]);
    }
    return measured;
}
