/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt bench` inside: its problems in every form and type, their check, and what it measures. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/job.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/table.h"
#include "bench/verify.h"
#include "cli/base/clock.h"
#include "simd/dispatch.h"

enum { LENGTHS = 4 };
static const struct bench_length lengths[LENGTHS] = {{1, 37}, {19, 19}, {1, 5}, {3, 40}};

#define SMALL .q_heads = 4, .kv_heads = 2, .head_dim = 24
#define DECODE(type, the_form)                                                                     \
    .memory = true, .warm = true,                                                                  \
    .shape = {SMALL, .batch = 3, .q_len = 1, .kv_len = 37, .kv_type = type, .form = the_form}
#define RAGGED(type, the_form)                                                                     \
    .shape = {SMALL,          .batch = LENGTHS, .q_len = 19,      .kv_len = 40,                    \
              .causal = true, .kv_type = type,  .form = the_form, .lengths = lengths}

static const struct bench_case cases[] = {
    {.name = "f32", DECODE(RAPT_F32, BENCH_DENSE)},
    {.name = "bf16", DECODE(RAPT_BF16, BENCH_DENSE), .base = "f32"},
    {.name = "int8", DECODE(RAPT_I8, BENCH_DENSE), .base = "f32"},
    {.name = "f16-bshd", DECODE(RAPT_F16, BENCH_DENSE), .shape.bshd = true, .base = "f32"},
    {.name = "paged-f32", DECODE(RAPT_F32, BENCH_PAGED), .base = "f32"},
    {.name = "paged-int8", DECODE(RAPT_I8, BENCH_PAGED), .base = "f32"},
    {.name = "ragged", RAGGED(RAPT_F32, BENCH_RAGGED), .base = "f32"},
    {.name = "ragged-int8", RAGGED(RAPT_I8, BENCH_RAGGED), .base = "f32"},
    {.name = "cache-bf16", RAGGED(RAPT_BF16, BENCH_CACHE), .base = "f32"},
};
enum { CASES = sizeof cases / sizeof *cases };

static const struct rapt_isa *best_isa(void) {
    const struct rapt_isa *isa = NULL;
    cr_assert_eq(rapt_isa_choose(NULL, &isa), RAPT_OK);
    return isa;
}

static struct bench_data create_data(void) {
    struct bench_data data;
    cr_assert(bench_data_create(&data, cases, CASES, 0));
    return data;
}

Test(measure, nothing_takes_no_time) {
    cr_expect_gt(clock_since(clock_now() - 5), 4.9);
    cr_expect_eq(clock_since(clock_now() + 1e6), 1e-9);
}

Test(measure, growth_is_told_by_score, .init = cr_redirect_stdout) {
    const struct bench_case growth = {
        .name = "growth-2k", .suite = BENCH_GROWTH, .base = "growth-1k"};
    struct bench_result r = {.of = &growth,
                             .shape.q_len = 192,
                             .correct = true,
                             .time.median = 2e-3,
                             .rate = 50,
                             .limit.median = 100,
                             .share = 0.5,
                             .workspace = 4096,
                             .score_time_ratio = 0.97};
    table_row(&r, 9);
    r.time_ratio = 1.94;
    table_row(&r, 9);
    fflush(stdout);
    cr_assert_stdout_eq_str(
        "growth-2k     192    2.000    50.0   100.0  50.0%   0.0%  0e+00  4096 bytes of scratch\n"
        "growth-2k     192    2.000    50.0   100.0  50.0%   0.0%  0e+00  4096 bytes of scratch, "
        "0.97 of growth-1k's time per score\n");
}

Test(measure, every_form_and_type_is_right) {
    const struct rapt_isa *isa = best_isa();
    const struct rapt_kernels *kernels = rapt_kernels_find(isa->name, NULL);
    const struct bench_effort effort = {0.001, 3, 2};
    struct bench_data data = create_data();
    for (int threads = 1; threads <= 2; threads++) {
        const struct bench_limits limits = {bench_probe_create(kernels->probe_fma, threads),
                                            kernels->probe_read, NULL};
        struct bench_result results[CASES];
        cr_assert_leq(CASES, MEASURE_MOST_TURNS);
        cr_assert(bench_measure(cases, CASES, isa, &limits, &effort, &data, results));
        for (int i = 0; i < CASES; i++) {
            const struct bench_result *r = &results[i];
            const double work = cases[i].memory ? bench_shape_bytes(&cases[i].shape)
                                                : bench_shape_flops(&cases[i].shape);
            cr_expect(r->correct, "%s: %s", cases[i].name, r->failure);
            cr_expect_eq(r->of, &cases[i]);
            cr_expect_geq(r->time.count, 3, "%s", cases[i].name);
            cr_expect_eq(r->limit.count, 2);
            cr_expect_gt(r->limit.min, 0, "%s", cases[i].name);
            cr_expect_float_eq(r->rate, 1e-9 * work / r->time.median, 1e-9 * r->rate);
            cr_expect_float_eq(r->share, r->rate / r->limit.median, 1e-9 * r->share);
            const double ratio = i ? r->time.median / results[0].time.median : 0;
            cr_expect_float_eq(r->time_ratio, ratio, 1e-9 * ratio);
            const double scores = bench_shape_scores(&cases[i].shape);
            cr_expect_float_eq(r->score_time_ratio * scores,
                               ratio * bench_shape_scores(&cases[0].shape), 1e-9 * ratio * scores);
            const double rates = i && cases[i].memory ? r->rate / results[0].rate : 0;
            cr_expect_float_eq(r->rate_ratio, rates, 1e-9 * rates);
        }
    }
    bench_data_destroy(&data);
}

/* The outputs of a run, to be freed. */
static float *run_once(struct bench_job *job, const struct bench_data *data) {
    float *copy = malloc(data->out_size);
    cr_assert_not_null(copy);
    memset(data->out, 0xff, data->out_size);
    cr_assert(bench_job_run(job));
    memcpy(copy, data->out, data->out_size);
    return copy;
}

static void create_job(struct bench_job *job, const struct bench_case *c,
                       const struct bench_data *data) {
    cr_assert(bench_job_create(job, c, &c->shape, best_isa()->name, 1, data), "%s", c->name);
}

Test(measure, runs_go_from_copy_to_copy) {
    struct bench_data data = create_data();
    for (int i = 0; i < 3; i++) {
        struct bench_case narrow = cases[i]; /* leaves room for a second copy */
        struct bench_job job;
        narrow.shape.kv_len = 16;
        create_job(&job, &narrow, &data);
        cr_assert_eq(job.copies, 1);
        job.copies = 2;
        float *first = run_once(&job, &data), *second = run_once(&job, &data);
        float *third = run_once(&job, &data);
        cr_expect_neq(memcmp(first, second, data.out_size), 0, "%s", narrow.name);
        cr_expect_eq(memcmp(first, third, data.out_size), 0, "%s", narrow.name);
        cr_expect_eq(job.turn, 3);
        free(first);
        free(second);
        free(third);
        bench_job_destroy(&job);
    }
    bench_data_destroy(&data);
}

Test(measure, wrong_rows_are_found) {
    struct bench_data data = create_data();
    for (int i = 0; i < CASES; i++) {
        const struct bench_shape *s = &cases[i].shape;
        struct bench_job job;
        create_job(&job, &cases[i], &data);
        cr_assert(bench_job_run(&job));
        const int64_t last_query = bench_shape_length(s, s->batch - 1).q_len - 1;
        const rapt_tensor *out = &job.args.out;
        const int64_t places[] = {
            bench_job_query(&job, out, 0, 0, 0) + s->head_dim - 1,
            bench_job_query(&job, out, s->batch - 1, s->q_heads - 1, last_query)};
        const float wrong[] = {1, NAN};
        for (size_t k = 0; k < 2; k++) {
            struct bench_result r = {0};
            const float right = data.out[places[k]];
            cr_expect(bench_verify(&job, &r));
            cr_expect(r.correct, "%s: %s", cases[i].name, r.failure);
            cr_expect_lt(r.max_error, 1e-4, "%s", cases[i].name);
            data.out[places[k]] += wrong[k];
            r = (struct bench_result){0};
            cr_expect(bench_verify(&job, &r));
            cr_expect_not(r.correct, "%s", cases[i].name);
            cr_expect_neq(r.failure[0], '\0');
            data.out[places[k]] = right;
        }
        bench_job_destroy(&job);
    }
    bench_data_destroy(&data);
}

/* The oracle has to know each flag, or it finds what the run did with it wrong. */
Test(measure, flags_of_a_shape_are_run_and_checked) {
    const char *const flags[] = {"window=9", "softcap=0.25", "sinks", "alibi", "mask"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct bench_case c;
        struct bench_data data;
        struct bench_job job;
        struct bench_result r = {0};
        char text[64], expected[128];
        snprintf(text, sizeof text, "2,4,2,21,40,24,causal,%s", flags[i]);
        cr_assert(bench_case_parse(text, &c, expected, sizeof expected));
        cr_assert(bench_data_create(&data, &c, 1, 0));
        create_job(&job, &c, &data);
        cr_assert(bench_job_run(&job));
        cr_expect(bench_verify(&job, &r));
        cr_expect(r.correct, "%s: %s", text, r.failure);
        job.shape.window = 0;
        job.shape.softcap = 0;
        job.shape.sinks = job.shape.alibi = false;
        job.shape.mask = BENCH_NO_MASK;
        r = (struct bench_result){0};
        cr_expect(bench_verify(&job, &r));
        cr_expect_not(r.correct, "%s", text);
        bench_job_destroy(&job);
        bench_data_destroy(&data);
    }
}

Test(measure, cold_cases_exceed_the_caches) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    for (size_t i = 0; i < count; i++) {
        const struct bench_copies copies = bench_copies_of(&list[i]);
        const double all = 2 * copies.count * copies.tensor_bytes;
        const double keys = 2 * (copies.tensor_bytes + copies.scales * sizeof(float));
        if (list[i].memory && !list[i].warm)
            cr_expect(all >= 4 * machine_cache_size() && all >= 1.25 * (1 << 30), "%s",
                      list[i].name);
        else
            cr_expect_eq(copies.count, 1, "%s", list[i].name);
        if (!list[i].shape.lengths && !list[i].shape.window)
            cr_expect_eq(keys, bench_shape_bytes(&list[i].shape), "%s", list[i].name);
        cr_expect_geq(bench_data_size(&list[i], 1, 0), all, "%s", list[i].name);
    }
}
