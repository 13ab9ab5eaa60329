/* SPDX-License-Identifier: Apache-2.0 */
/* One measurement: the check of the result, then repetitions with peaks in between. */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rapt/rapt.h>

#include "args.h"
#include "oracle.h"

enum {
    ALIGNMENT = 64,
    ROWS_CHECKED = 24,
    MOST_REPETITIONS = 2000, /* between two peaks */
};

/* A case is cut if one run would take longer than this and than a quarter of the time there is. */
static const double longest_run = 0.25;

/* A deterministic stream (splitmix64, Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The sum of four uniform numbers, of mean 0 and variance 1: close enough to a normal one. */
static float next_normal(uint64_t *state) {
    const uint64_t bits = next_random(state);
    const int64_t sum = (int64_t)(bits & 0xffff) + (int64_t)(bits >> 16 & 0xffff) +
                        (int64_t)(bits >> 32 & 0xffff) + (int64_t)(bits >> 48);
    return (float)(sum - 2 * 0xffff) * (1.7320508f / 65536);
}

/* Bytes of memory that this machine has; asking for more may end the process much later. */
static double physical_memory(void) {
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

static double elements(int64_t batch, int64_t heads, int64_t length, int64_t channels) {
    return (double)batch * (double)heads * (double)length * (double)channels;
}

/* Memory for so many floats, or NULL; random numbers are put there if there is a state. */
static float *create_tensor(double count, uint64_t *state) {
    const size_t bytes = ((size_t)count * sizeof(float) + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    float *tensor = aligned_alloc(ALIGNMENT, bytes);
    for (size_t i = 0; tensor && state && i < (size_t)count; i++)
        tensor[i] = next_normal(state);
    return tensor;
}

bool bench_data_create(struct bench_data *data, const struct bench_case *cases, size_t count,
                       double *size) {
    double most_q = 0, most_kv = 0;
    for (size_t i = 0; i < count; i++) {
        const struct bench_shape *s = &cases[i].shape;
        most_q = fmax(most_q, elements(s->batch, s->q_heads, s->q_len, s->head_dim));
        most_kv = fmax(most_kv, elements(s->batch, s->kv_heads, s->kv_len, s->head_dim));
    }
    uint64_t state = 1;
    *size = 2 * (most_q + most_kv) * sizeof(float);
    data->out = *size < physical_memory() ? create_tensor(most_q, NULL) : NULL;
    data->query = data->out ? create_tensor(most_q, &state) : NULL;
    data->key = data->query ? create_tensor(most_kv, &state) : NULL;
    data->value = data->key ? create_tensor(most_kv, &state) : NULL;
    if (data->value) {
        data->out_size = (size_t)most_q * sizeof(float);
        return true;
    }
    bench_data_destroy(data);
    return false;
}

void bench_data_destroy(struct bench_data *data) {
    free(data->query);
    free(data->key);
    free(data->value);
    free(data->out);
}

/* A problem that is ready to run. */
struct job {
    rapt_attention_args args;
    int64_t *q_offset; /* [batch] */
    rapt_plan *plan;
    void *workspace;
    size_t workspace_size;
};

static void job_destroy(struct job *job) {
    free(job->q_offset);
    free(job->workspace);
    rapt_plan_destroy(job->plan);
}

/* False with the reason on stderr; to be destroyed in any case. */
static bool job_create(struct job *job, const struct bench_shape *s, const char *isa, int threads,
                       const struct bench_data *data) {
    *job = (struct job){.args = rapt_attention_defaults()};
    rapt_attention_args *a = &job->args;
    a->query = rapt_tensor_bhsd(data->query, RAPT_F32, s->batch, s->q_heads, s->q_len, s->head_dim);
    a->key = rapt_tensor_bhsd(data->key, RAPT_F32, s->batch, s->kv_heads, s->kv_len, s->head_dim);
    a->value =
        rapt_tensor_bhsd(data->value, RAPT_F32, s->batch, s->kv_heads, s->kv_len, s->head_dim);
    a->out = rapt_tensor_bhsd(data->out, RAPT_F32, s->batch, s->q_heads, s->q_len, s->head_dim);
    a->causal = s->causal;
    a->threads = threads;
    a->isa = isa;
    job->q_offset = calloc((size_t)s->batch, sizeof *job->q_offset);
    if (!job->q_offset) {
        args_fail("bench", "no memory for %" PRId64 " offsets", s->batch);
        return false;
    }
    for (int64_t b = 0; b < s->batch; b++)
        job->q_offset[b] = s->q_offset;
    a->q_offset = job->q_offset;
    if (rapt_plan_create(a, &job->plan) != RAPT_OK) {
        args_fail("bench", "%s", rapt_last_error());
        return false;
    }
    job->workspace_size = rapt_plan_workspace_size(job->plan);
    const size_t rounded = (job->workspace_size + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    job->workspace = aligned_alloc(ALIGNMENT, rounded);
    if (!job->workspace)
        args_fail("bench", "no memory for a workspace of %zu bytes", job->workspace_size);
    return job->workspace != NULL;
}

static bool job_run(const struct job *job) {
    if (rapt_plan_run(job->plan, NULL, job->workspace, job->workspace_size) == RAPT_OK)
        return true;
    args_fail("bench", "%s", rapt_last_error());
    return false;
}

/* Holds row i of batch b and head h against the oracle's. False if there's no memory. */
static bool check_row(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                      double *expected, double *bound, struct bench_result *result) {
    const rapt_tensor *out = &args->out;
    const float *row =
        (const float *)out->data + b * out->stride[0] + h * out->stride[1] + i * out->stride[2];
    if (!oracle_row(args, b, h, i, expected, bound))
        return false;
    for (int64_t c = 0; c < out->shape[3]; c++) {
        const double error = fabs((double)row[c] - expected[c]);
        if (!(error <= result->max_error) && !isnan(result->max_error))
            result->max_error = error;
        if (error <= bound[c] || !result->correct)
            continue;
        result->correct = false;
        snprintf(result->failure, sizeof result->failure,
                 "out[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                 "] is %g, off by %.1e, at most %.1e",
                 b, h, i, c, (double)row[c], error, bound[c]);
    }
    return true;
}

/* Checks the first and the last row and random ones between them. False if there's no memory. */
static bool check_rows(const rapt_attention_args *args, struct bench_result *result) {
    const int64_t *shape = args->out.shape;
    const int64_t rows = shape[0] * shape[1] * shape[2];
    double *expected = malloc(2 * (size_t)shape[3] * sizeof *expected);
    bool checked = expected != NULL;
    uint64_t state = 2;
    result->correct = true;
    for (int n = 0; checked && n < ROWS_CHECKED; n++) {
        int64_t row = n == 0 ? 0 : rows - 1;
        if (n > 1)
            row = (int64_t)(next_random(&state) % (uint64_t)rows);
        checked = check_row(args, row / shape[2] / shape[1], row / shape[2] % shape[1],
                            row % shape[2], expected, expected + shape[3], result);
    }
    free(expected);
    if (!checked)
        args_fail("bench", "no memory for the oracle");
    return checked;
}

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

/* GFLOP/s. Waits first, since OpenMP's threads go on spinning for a while after a run. */
static bool measure_peak(const struct bench_probe *probe, double *gflops) {
    if (probe->threads > 1)
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    *gflops = 1e-9 * bench_probe_peak(probe);
    if (*gflops > 0)
        return true;
    args_fail("bench", "--threads: %d threads can't be started", probe->threads);
    return false;
}

/* Repeats until `until` seconds have been spent in runs and there are `least` samples. */
static bool repeat(const struct job *job, double until, int least, double *samples, int *count,
                   double *spent) {
    const int most = *count + MOST_REPETITIONS;
    while (*count < most && (*count < least || *spent < until)) {
        const double start = bench_now();
        if (!job_run(job))
            return false;
        samples[*count] = bench_now() - start;
        *spent += samples[(*count)++];
    }
    return true;
}

/*
 * The clock of a machine drifts with its temperature and, if it is a virtual one, its neighbours.
 * So the peak is measured before, between and after the repetitions, and its median is held against
 * theirs: both saw the same machine.
 */
static bool measure_times(const struct job *job, const struct bench_probe *probe,
                          const struct bench_effort *effort, double first_peak,
                          struct bench_result *result) {
    const int parts = effort->peaks - 1;
    double *samples = malloc((size_t)parts * MOST_REPETITIONS * sizeof *samples);
    double *peaks = malloc((size_t)effort->peaks * sizeof *peaks);
    bool measured = samples && peaks;
    if (!measured)
        args_fail("bench", "no memory for the samples");
    double spent = 0;
    int count = 0;
    for (int i = 0; measured && i < parts; i++) {
        const double until = effort->seconds * (i + 1) / parts;
        const int least = (effort->repetitions * (i + 1) + parts - 1) / parts;
        peaks[0] = first_peak;
        measured = repeat(job, until, least, samples, &count, &spent) &&
                   measure_peak(probe, &peaks[i + 1]);
    }
    if (measured) {
        result->time = bench_summarize(samples, count);
        result->peak = bench_summarize(peaks, effort->peaks);
    }
    free(samples);
    free(peaks);
    return measured;
}

bool bench_measure(const struct bench_case *bench_case, const struct rapt_isa *isa,
                   const struct bench_probe *probe, const struct bench_effort *effort,
                   const struct bench_data *data, struct bench_result *result) {
    double peak;
    if (!measure_peak(probe, &peak))
        return false;
    const struct bench_shape *whole = &bench_case->shape;
    *result = (struct bench_result){
        .name = bench_case->name,
        .shape = affordable(whole, 1e9 * peak, isa->panel_rows, effort),
        .isa = isa->name,
        .threads = probe->threads,
    };
    result->cut = result->shape.q_len < whole->q_len;
    memset(data->out, 0xff, data->out_size); /* NaN, so that nothing old can pass the check */

    struct job job;
    bool measured = job_create(&job, &result->shape, isa->name, probe->threads, data) &&
                    job_run(&job) && check_rows(&job.args, result);
    result->threads_used = rapt_plan_threads(job.plan);
    if (measured && result->correct)
        measured = measure_times(&job, probe, effort, peak, result);
    job_destroy(&job);
    if (measured && result->correct) {
        result->gflops = 1e-9 * bench_shape_flops(&result->shape) / result->time.median;
        result->share = result->gflops / result->peak.median;
    }
    return measured;
}
