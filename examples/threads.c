/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine's own threads: a pool that lives as long as the engine, and takes slices of a plan. No
 * OpenMP takes part. Three layers of a decoder run on it, and give the bits of a run on one thread.
 *
 *     cc threads.c $(pkg-config --cflags --libs rapt) -lpthread -o threads
 */
#include <rapt/rapt.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS = 3,
    LAYERS = 3,
    Q_HEADS = 8,
    KV_HEADS = 2,
    QUERIES = 40,
    KEYS = 300,
    HEAD_DIM = 64
};

static float query[LAYERS][QUERIES][Q_HEADS][HEAD_DIM];
static float key[LAYERS][KEYS][KV_HEADS][HEAD_DIM];
static float value[LAYERS][KEYS][KV_HEADS][HEAD_DIM];
static float out[LAYERS][QUERIES][Q_HEADS][HEAD_DIM], expected[QUERIES][Q_HEADS][HEAD_DIM];

/* The pool: what the threads run next, and where they meet before and after. */
static struct pool {
    pthread_barrier_t start, end;
    const rapt_plan *plan; /* NULL tells the threads to return */
    rapt_attention_data data;
    void *workspace;
    size_t workspace_size;
    rapt_status status[THREADS];
    char error[THREADS][256];
} pool;

static void *work(void *argument) {
    const int slice = (int)(intptr_t)argument;
    for (;;) {
        pthread_barrier_wait(&pool.start);
        if (!pool.plan)
            return NULL;
        pool.status[slice] = rapt_plan_run_slice(pool.plan, &pool.data, slice, THREADS,
                                                 pool.workspace, pool.workspace_size);
        if (pool.status[slice] != RAPT_OK) /* the message is this thread's own */
            snprintf(pool.error[slice], sizeof pool.error[slice], "%s", rapt_last_error());
        pthread_barrier_wait(&pool.end);
    }
}

/* One run: the pool's threads do the work, this one waits. Allocates nothing. */
static rapt_status run(const rapt_plan *plan, const rapt_attention_data *data) {
    pool.plan = plan;
    pool.data = *data;
    pthread_barrier_wait(&pool.start);
    pthread_barrier_wait(&pool.end);
    for (int i = 0; i < THREADS; i++) {
        if (pool.status[i] != RAPT_OK) {
            fprintf(stderr, "slice %d: %s\n", i, pool.error[i]);
            return pool.status[i];
        }
    }
    return RAPT_OK;
}

static void fill(float *data, size_t count, size_t seed) {
    for (size_t i = 0; i < count; i++)
        data[i] = (float)((i * 37 + seed) % 101) / 50 - 1;
}

static rapt_status run_layers(const rapt_plan *plan) {
    for (int layer = 0; layer < LAYERS; layer++) {
        rapt_attention_data data = {
            .query = query[layer], .key = key[layer], .value = value[layer], .out = out[layer]};
        rapt_status status = run(plan, &data);
        data.out = expected;
        if (status == RAPT_OK)
            status = rapt_plan_run(plan, &data, NULL, 0);
        if (status != RAPT_OK)
            return status;
        if (memcmp(out[layer], expected, sizeof expected) != 0)
            exit(EXIT_FAILURE);
        printf("layer %d: %d slices give the bits of one run\n", layer, THREADS);
    }
    return RAPT_OK;
}

int main(void) {
    fill(&query[0][0][0][0], sizeof query / sizeof(float), 1);
    fill(&key[0][0][0][0], sizeof key / sizeof(float), 2);
    fill(&value[0][0][0][0], sizeof value / sizeof(float), 3);

    const int64_t q_offset = KEYS - QUERIES;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bshd(NULL, RAPT_F32, 1, Q_HEADS, QUERIES, HEAD_DIM);
    args.key = rapt_tensor_bshd(NULL, RAPT_F32, 1, KV_HEADS, KEYS, HEAD_DIM);
    args.value = rapt_tensor_bshd(NULL, RAPT_F32, 1, KV_HEADS, KEYS, HEAD_DIM);
    args.out = rapt_tensor_bshd(NULL, RAPT_F32, 1, Q_HEADS, QUERIES, HEAD_DIM);
    args.causal = true;
    args.q_offset = &q_offset;
    args.threads = THREADS;
    rapt_plan *plan;
    if (rapt_plan_create(&args, &plan) != RAPT_OK) {
        fprintf(stderr, "%s\n", rapt_last_error());
        return EXIT_FAILURE;
    }
    /* One workspace for all slices, zero before its first run. */
    pool.workspace_size = rapt_plan_slices_workspace_size(plan, THREADS);
    pool.workspace = calloc(1, pool.workspace_size);
    pthread_t threads[THREADS];
    pthread_barrier_init(&pool.start, NULL, THREADS + 1);
    pthread_barrier_init(&pool.end, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        if (!pool.workspace || pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) != 0)
            return EXIT_FAILURE;

    const rapt_status status = run_layers(plan);
    pool.plan = NULL;
    pthread_barrier_wait(&pool.start);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    free(pool.workspace);
    rapt_plan_destroy(plan);
    return status == RAPT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
