/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the caller's that use the library at the same time. They make the first calls of the
 * process, run one plan, call in one shot, and run slices of one run. Every thread must get the
 * bits that one thread alone gets. This is plain C, so that it runs under a thread sanitizer.
 */
#include <rapt/rapt.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 6, ROUNDS = 20, HEADS = 4, TOKENS = 200, HEAD_DIM = 24 };
enum { COUNT = HEADS * TOKENS * HEAD_DIM };

static float query[COUNT], key[COUNT], value[COUNT], expected[COUNT];
static float received[HEADS * TOKENS], received_expected[HEADS * TOKENS]; /* by the first slices */
static rapt_plan *plan;
static pthread_barrier_t start, slices_start;

/* A few queries against many keys, which the slices divide. */
enum { FEW_HEADS = 8, KV_HEADS = 2, FEW = 2, KEYS = 3000, FEW_DIM = 64 };
enum { FEW_COUNT = FEW_HEADS * FEW * FEW_DIM, CACHE_COUNT = KV_HEADS * KEYS * FEW_DIM };

static float few_query[FEW_COUNT], keys[CACHE_COUNT], values[CACHE_COUNT];
static float few_expected[FEW_COUNT];

/* Two problems that all threads run in slices, in turn, each in one workspace. */
static struct shared {
    rapt_plan *plan;
    rapt_attention_data data; /* with numbers of the run */
    int64_t length;
    void *workspace;
    size_t size;
    float out[(int)FEW_COUNT > (int)COUNT ? (int)FEW_COUNT : (int)COUNT];
    const float *expected;
    size_t bytes;
} shared[2];

static rapt_attention_args make_args(float *out) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(query, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.key = rapt_tensor_bhsd(key, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.value = rapt_tensor_bhsd(value, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.out = rapt_tensor_bhsd(out, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.causal = true;
    return args;
}

static rapt_attention_args make_few_args(float *out) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(few_query, RAPT_F32, 1, FEW_HEADS, FEW, FEW_DIM);
    args.key = rapt_tensor_bhsd(keys, RAPT_F32, 1, KV_HEADS, KEYS, FEW_DIM);
    args.value = rapt_tensor_bhsd(values, RAPT_F32, 1, KV_HEADS, KEYS, FEW_DIM);
    args.out = rapt_tensor_bhsd(out, RAPT_F32, 1, FEW_HEADS, FEW, FEW_DIM);
    return args;
}

static const char *make_shared(struct shared *s, rapt_attention_args args, const float *bits,
                               size_t bytes) {
    args.threads = THREADS;
    args.out.data = s->out;
    if (rapt_plan_create(&args, &s->plan) != RAPT_OK)
        return rapt_last_error();
    s->length = args.key.shape[2];
    s->data = rapt_attention_data_of(&args);
    s->data.kv_len = &s->length;
    s->size = rapt_plan_slices_workspace_size(s->plan, THREADS);
    s->workspace = calloc(1, s->size);
    s->expected = bits;
    s->bytes = bytes;
    return s->workspace ? NULL : "no memory";
}

static const char *first_calls(void) {
    const rapt_isa *chosen, *list;
    if (rapt_isa_list(&list) == 0 || rapt_isa_choose(NULL, &chosen) != RAPT_OK)
        return "no instruction set";
    if (rapt_isa_choose("none such", &chosen) != RAPT_ISA_UNAVAILABLE ||
        !strstr(rapt_last_error(), "none such"))
        return "the message of this thread's own error is missing";
    return NULL;
}

static const char *rounds(float *out, void *workspace, size_t size) {
    for (int i = 0; i < ROUNDS; i++) {
        const rapt_attention_data data = {.query = query, .key = key, .value = value, .out = out};
        rapt_attention_args args = make_args(out);
        args.threads = 1 + i % 4; /* which the library's own threads are shared for */
        memset(out, 0xff, sizeof expected);
        const rapt_status status =
            i % 2 ? rapt_attention(&args) : rapt_plan_run(plan, &data, workspace, size);
        if (status != RAPT_OK)
            return rapt_last_error();
        if (memcmp(out, expected, sizeof expected) != 0)
            return "the bits differ from those of one thread";
    }
    return NULL;
}

/* One slice of each run: all threads work on one problem while it lasts. */
static const char *slices(int slice) {
    const char *error = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        struct shared *s = &shared[i % 2];
        if (slice == 0) {
            memset(s->out, 0xff, s->bytes);
            memset(received, 0xff, sizeof received);
        }
        pthread_barrier_wait(&slices_start);
        const rapt_attention_data *data = i & 2 ? &s->data : NULL;
        if (rapt_plan_run_slice(s->plan, data, slice, THREADS, s->workspace, s->size) != RAPT_OK)
            error = rapt_last_error();
        pthread_barrier_wait(&slices_start);
        if (memcmp(s->out, s->expected, s->bytes) != 0 ||
            (i % 2 == 0 && memcmp(received, received_expected, sizeof received) != 0))
            error = "the bits of slices differ from those of one thread";
        pthread_barrier_wait(&slices_start);
    }
    return error;
}

static void *run(void *context) {
    const int number = (int)(uintptr_t)context;
    pthread_barrier_wait(&start); /* before the library's own first detection */
    const char *error = first_calls();
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start); /* the plan is made in between */
    const size_t size = rapt_plan_workspace_size(plan);
    float *out = malloc(sizeof expected);
    void *workspace = malloc(size);
    if (!error)
        error = out && workspace ? rounds(out, workspace, size) : "no memory";
    const char *slices_error = slices(number);
    error = error ? error : slices_error;
    if (error)
        fprintf(stderr, "threads: %s\n", error);
    free(workspace);
    free(out);
    return (void *)(uintptr_t)(error != NULL);
}

static void fill(float *numbers, int count, int step) {
    for (int i = 0; i < count; i++)
        numbers[i] = (float)((int64_t)i * step % 1000) / 250 - 2;
}

/* What all threads run, and the bits that one thread gets. */
static const char *prepare(void) {
    rapt_attention_args args = make_args(expected), few = make_few_args(few_expected);
    few.threads = 1;
    if (rapt_plan_create(&args, &plan) != RAPT_OK)
        return rapt_last_error();
    args.received = rapt_tensor_bhsd(received_expected, RAPT_F32, 1, HEADS, 1, TOKENS);
    if (rapt_attention(&args) != RAPT_OK || rapt_attention(&few) != RAPT_OK)
        return rapt_last_error();
    args.received.data = received;
    const char *error = make_shared(&shared[0], args, expected, sizeof expected);
    return error ? error : make_shared(&shared[1], few, few_expected, sizeof few_expected);
}

int main(void) {
    fill(query, COUNT, 7919);
    fill(key, COUNT, 4241);
    fill(value, COUNT, 6007);
    fill(few_query, FEW_COUNT, 7919);
    fill(keys, CACHE_COUNT, 4241);
    fill(values, CACHE_COUNT, 6007);
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_barrier_init(&slices_start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i) != 0) {
            fprintf(stderr, "threads: can't start thread %d\n", i);
            return EXIT_FAILURE;
        }
    }
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start);
    const char *error = prepare();
    if (error) {
        fprintf(stderr, "threads: %s\n", error);
        return EXIT_FAILURE;
    }
    pthread_barrier_wait(&start);
    int failed = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed |= result != NULL;
    }
    for (int i = 0; i < 2; i++) {
        rapt_plan_destroy(shared[i].plan);
        free(shared[i].workspace);
    }
    rapt_plan_destroy(plan);
    pthread_barrier_destroy(&start);
    pthread_barrier_destroy(&slices_start);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
