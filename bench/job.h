/* SPDX-License-Identifier: Apache-2.0 */
/* A case as a problem that is ready to run. */
#ifndef RAPT_BENCH_JOB_H
#define RAPT_BENCH_JOB_H

#include <rapt/attention.h>

#include "bench/data.h"
#include "bench/shapes.h"

struct bench_job {
    struct bench_shape shape;
    rapt_attention_args args; /* on the first copy of the keys */
    int64_t *numbers;         /* what args points to */
    int32_t *block_table;     /* NULL unless paged */
    float *observed;          /* the outputs of shape.observed */
    float *mask;              /* that hides keys, or NULL */
    float *heads;             /* a slope of ALiBi and a sink for each query head */
    rapt_plan *plan;
    void *workspace;
    size_t workspace_size;
    size_t tensor_bytes, scales; /* see struct bench_copies */
    int64_t copies, turn;        /* the copy that the next run reads, modulo copies */
};

/*
 * The case in this shape, which may be a part of its own. False with the reason on stderr; to be
 * destroyed in any case.
 */
bool bench_job_create(struct bench_job *job, const struct bench_case *bench_case,
                      const struct bench_shape *shape, const char *isa, int threads,
                      const struct bench_data *data);
void bench_job_destroy(struct bench_job *job);

/* Runs once and moves the turn on. False with the reason on stderr. */
bool bench_job_run(struct bench_job *job);

/* Where query i of sequence b and head h is, in elements of query or out. */
int64_t bench_job_query(const struct bench_job *job, const rapt_tensor *t, int64_t b, int64_t h,
                        int64_t i);
/* Where key j of sequence b and head h is, in elements of key, value or a scale. */
int64_t bench_job_key(const struct bench_job *job, const rapt_tensor *t, int64_t b, int64_t h,
                      int64_t j);

#endif
