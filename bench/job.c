/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/job.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include <rapt/rapt.h>

#include "cli/base/args.h"
#include "cli/base/random.h"

enum { ALIGNMENT = 64 };

static int64_t pages_of(const struct bench_shape *s) {
    return (s->kv_len + BENCH_PAGE_SIZE - 1) / BENCH_PAGE_SIZE;
}

/* A tensor of a dense shape's batch. */
static rapt_tensor dense_view(const struct bench_shape *s, const void *data, rapt_dtype dtype,
                              int64_t heads, int64_t positions, int64_t channels) {
    return (s->bshd ? rapt_tensor_bshd : rapt_tensor_bhsd)(data, dtype, s->batch, heads, positions,
                                                           channels);
}

/* The dimensions that keys and values have in memory, but for the channels. */
static rapt_tensor key_view(const struct bench_shape *s, int64_t all_keys, const void *data,
                            rapt_dtype dtype, int64_t channels) {
    switch (s->form) {
    case BENCH_PAGED:
        return rapt_tensor_bhsd(data, dtype, s->batch * pages_of(s), s->kv_heads, BENCH_PAGE_SIZE,
                                channels);
    case BENCH_RAGGED:
        return rapt_tensor_bhsd(data, dtype, 1, s->kv_heads, all_keys, channels);
    default:
        return dense_view(s, data, dtype, s->kv_heads, s->kv_len, channels);
    }
}

/* Offsets, lengths and cumulative lengths. */
static bool set_numbers(struct bench_job *job) {
    const struct bench_shape *s = &job->shape;
    rapt_attention_args *a = &job->args;
    const bool ragged = s->form == BENCH_RAGGED, cache = s->form == BENCH_CACHE;
    int64_t *offset = calloc(4 * (size_t)s->batch + 2, sizeof *offset);
    job->numbers = offset;
    if (!offset)
        return false;
    int64_t *kv_len = offset + s->batch, *cu_q = kv_len + s->batch, *cu_k = cu_q + s->batch + 1;
    for (int64_t b = 0; b < s->batch; b++) {
        const struct bench_length length = bench_shape_length(s, b);
        offset[b] = bench_shape_offset(s, b);
        kv_len[b] = length.kv_len;
        cu_q[b + 1] = cu_q[b] + length.q_len;
        cu_k[b + 1] = cu_k[b] + length.kv_len;
    }
    a->sequences = s->batch;
    a->q_offset = offset;
    a->kv_len = cache || s->form == BENCH_PAGED ? kv_len : NULL;
    a->cu_q = ragged || cache ? cu_q : NULL;
    a->cu_k = ragged ? cu_k : NULL;
    return true;
}

/* The pages of all sequences in random order (Fisher and Yates). */
static bool set_pages(struct bench_job *job) {
    const struct bench_shape *s = &job->shape;
    const int64_t pages = s->batch * pages_of(s);
    uint64_t state = 3;
    if (s->form != BENCH_PAGED)
        return true;
    int32_t *table = job->block_table = malloc((size_t)pages * sizeof *table);
    for (int64_t i = 0; table && i < pages; i++) {
        const int64_t other = (int64_t)(random_bits(&state) % (uint64_t)(i + 1));
        table[i] = table[other];
        table[other] = (int32_t)i;
    }
    job->args.block_table = table;
    job->args.block_table_stride = pages_of(s);
    return table != NULL;
}

/*
 * ALiBi's slopes are those of its paper, from 2^(-8/heads) to 2^-8. A sink's logit is about that of
 * a random key, so that it takes some of the weight but not all.
 */
static bool set_heads(struct bench_job *job) {
    const struct bench_shape *s = &job->shape;
    rapt_attention_args *a = &job->args;
    float *slope = job->heads = malloc(2 * (size_t)s->q_heads * sizeof *slope);
    float *sink = slope + s->q_heads;
    if (!slope)
        return false;
    for (int64_t h = 0; h < s->q_heads; h++) {
        slope[h] = exp2f(-8 * (float)(h + 1) / (float)s->q_heads);
        sink[h] = (float)(h % 5 - 2) / 2;
    }
    if (s->alibi)
        a->alibi = rapt_tensor_bhsd(slope, RAPT_F32, 1, s->q_heads, 1, 1);
    if (s->sinks)
        a->sink = rapt_tensor_bhsd(sink, RAPT_F32, 1, s->q_heads, 1, 1);
    return true;
}

/* Room and views for observed outputs: maximum, entropy, top weights and keys, or received. */
static bool set_observed(struct bench_job *job) {
    enum { TOP = 8 };
    const struct bench_shape *s = &job->shape;
    rapt_attention_args *a = &job->args;
    const int64_t b = s->batch, h = s->q_heads, q = s->q_len;
    if (s->observed == BENCH_NOTHING)
        return true;
    const int64_t rows = b * h * q, each = s->observed == BENCH_TOP ? 2 + 2 * TOP : 0;
    float *at = job->observed = calloc((size_t)(rows * each + b * h * s->kv_len), sizeof *at);
    if (s->observed == BENCH_TOP) {
        a->max = rapt_tensor_bhsd(at, RAPT_F32, b, h, q, 1);
        a->entropy = rapt_tensor_bhsd(at + rows, RAPT_F32, b, h, q, 1);
        a->top_weight = rapt_tensor_bhsd(at + 2 * rows, RAPT_F32, b, h, q, TOP);
        a->top_key = rapt_tensor_bhsd(at + (2 + TOP) * rows, RAPT_I32, b, h, q, TOP);
    } else {
        a->received = rapt_tensor_bhsd(at, RAPT_F32, b, h, 1, s->kv_len);
    }
    return at != NULL;
}

/* A mask that hides keys. */
static bool set_mask(struct bench_job *job) {
    const struct bench_shape *s = &job->shape;
    if (s->mask <= BENCH_MASK_ANY)
        return true;
    job->mask = calloc((size_t)(s->q_len * s->kv_len), sizeof *job->mask);
    for (int64_t i = 0; job->mask && i < s->q_len; i++)
        for (int64_t j = 0; j < s->kv_len; j++)
            if (!bench_mask_shows(s, s->q_offset + i, j))
                job->mask[i * s->kv_len + j] = -INFINITY;
    return job->mask != NULL;
}

static void set_tensors(struct bench_job *job, const struct bench_data *data) {
    const struct bench_shape *s = &job->shape;
    rapt_attention_args *a = &job->args;
    const int64_t all_queries = a->cu_q ? a->cu_q[s->batch] : 0;
    const int64_t keys = a->cu_k ? a->cu_k[s->batch] : 0;
    const rapt_dtype query = s->qkv ? s->kv_type : RAPT_F32;
    a->query = dense_view(s, data->query, query, s->q_heads, s->q_len, s->head_dim);
    a->out = dense_view(s, data->out, RAPT_F32, s->q_heads, s->q_len, s->head_dim);
    if (all_queries) {
        a->query = rapt_tensor_bhsd(data->query, query, 1, s->q_heads, all_queries, s->head_dim);
        a->out = rapt_tensor_bhsd(data->out, RAPT_F32, 1, s->q_heads, all_queries, s->head_dim);
    }
    if (s->mask)
        a->mask = rapt_tensor_bhsd(job->mask ? job->mask : data->mask, RAPT_F32, 1, 1, s->q_len,
                                   s->kv_len);
    a->key = key_view(s, keys, data->cache, s->kv_type, s->head_dim);
    a->value = key_view(s, keys, data->cache + job->tensor_bytes, s->kv_type, s->head_dim);
    if (s->kv_type == RAPT_I8) {
        a->key_scale = key_view(s, keys, data->scale, RAPT_F32, 1);
        a->value_scale = key_view(s, keys, data->scale + job->scales, RAPT_F32, 1);
    }
}

bool bench_job_create(struct bench_job *job, const struct bench_case *bench_case,
                      const struct bench_shape *shape, const char *isa, int threads,
                      const struct bench_data *data) {
    const struct bench_copies copies = bench_copies_of(bench_case);
    *job = (struct bench_job){.shape = *shape,
                              .args = rapt_attention_defaults(),
                              .tensor_bytes = (size_t)copies.tensor_bytes,
                              .scales = (size_t)copies.scales,
                              .copies = (int64_t)copies.count};
    job->args.causal = shape->causal;
    job->args.window_left = shape->window ? shape->window - 1 : -1;
    job->args.softcap = shape->softcap;
    job->args.threads = threads;
    job->args.isa = isa;
    if (!set_numbers(job) || !set_pages(job) || !set_heads(job) || !set_observed(job) ||
        !set_mask(job)) {
        args_fail("bench", "no memory for %" PRId64 " lengths and %" PRId64 " heads", shape->batch,
                  shape->q_heads);
        return false;
    }
    set_tensors(job, data);
    if (rapt_plan_create(&job->args, &job->plan) != RAPT_OK) {
        args_fail("bench", "%s: %s", bench_case->name, rapt_last_error());
        return false;
    }
    job->workspace_size = rapt_plan_workspace_size(job->plan);
    const size_t rounded = (job->workspace_size + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    job->workspace = aligned_alloc(ALIGNMENT, rounded);
    if (!job->workspace)
        args_fail("bench", "no memory for a workspace of %zu bytes", job->workspace_size);
    return job->workspace != NULL;
}

void bench_job_destroy(struct bench_job *job) {
    free(job->numbers);
    free(job->block_table);
    free(job->heads);
    free(job->observed);
    free(job->mask);
    free(job->workspace);
    rapt_plan_destroy(job->plan);
}

bool bench_job_run(struct bench_job *job) {
    rapt_attention_data data = rapt_attention_data_of(&job->args);
    const int64_t copy = job->turn++ % job->copies;
    data.key = (const char *)data.key + 2 * job->tensor_bytes * (size_t)copy;
    data.value = (const char *)data.value + 2 * job->tensor_bytes * (size_t)copy;
    if (job->scales) {
        data.key_scale = (const float *)data.key_scale + 2 * job->scales * (size_t)copy;
        data.value_scale = (const float *)data.value_scale + 2 * job->scales * (size_t)copy;
    }
    if (rapt_plan_run(job->plan, &data, job->workspace, job->workspace_size) == RAPT_OK)
        return true;
    args_fail("bench", "%s", rapt_last_error());
    return false;
}

int64_t bench_job_query(const struct bench_job *job, const rapt_tensor *t, int64_t b, int64_t h,
                        int64_t i) {
    const int64_t *cu_q = job->args.cu_q;
    return (cu_q ? 0 : b) * t->stride[0] + h * t->stride[1] +
           (cu_q ? cu_q[b] + i : i) * t->stride[2];
}

int64_t bench_job_key(const struct bench_job *job, const rapt_tensor *t, int64_t b, int64_t h,
                      int64_t j) {
    const rapt_attention_args *a = &job->args;
    if (a->cu_k) {
        j += a->cu_k[b];
        b = 0;
    } else if (a->block_table) {
        b = a->block_table[b * a->block_table_stride + j / BENCH_PAGE_SIZE];
        j %= BENCH_PAGE_SIZE;
    }
    return b * t->stride[0] + h * t->stride[1] + j * t->stride[2];
}
