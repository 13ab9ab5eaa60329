/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the caller's that use the library at the same time: the first calls of the process,
 * one plan that all of them run, and one-shot calls. Plain C, so that it runs under a thread
 * sanitizer; every thread must get the bits that one thread alone gets.
 */
#include <rapt/rapt.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 6, ROUNDS = 20, HEADS = 4, TOKENS = 70, HEAD_DIM = 24 };
enum { COUNT = HEADS * TOKENS * HEAD_DIM };

static float query[COUNT], key[COUNT], value[COUNT], expected[COUNT];
static rapt_plan *plan;
static pthread_barrier_t start;

static rapt_attention_args make_args(float *out) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(query, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.key = rapt_tensor_bhsd(key, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.value = rapt_tensor_bhsd(value, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.out = rapt_tensor_bhsd(out, RAPT_F32, 1, HEADS, TOKENS, HEAD_DIM);
    args.causal = true;
    return args;
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
        const rapt_attention_args args = make_args(out);
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

static void *run(void *unused) {
    (void)unused;
    pthread_barrier_wait(&start); /* before the library's own first detection */
    const char *error = first_calls();
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start); /* the plan is made in between */
    const size_t size = rapt_plan_workspace_size(plan);
    float *out = malloc(sizeof expected);
    void *workspace = malloc(size);
    if (!error)
        error = out && workspace ? rounds(out, workspace, size) : "no memory";
    if (error)
        fprintf(stderr, "threads: %s\n", error);
    free(workspace);
    free(out);
    return (void *)(uintptr_t)(error != NULL);
}

int main(void) {
    for (int i = 0; i < COUNT; i++) {
        query[i] = (float)(i * 7919 % 1000) / 250 - 2;
        key[i] = (float)(i * 4241 % 1000) / 250 - 2;
        value[i] = (float)(i * 6007 % 1000) / 250 - 2;
    }
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0) {
            fprintf(stderr, "threads: can't start thread %d\n", i);
            return EXIT_FAILURE;
        }
    }
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start);
    const rapt_attention_args args = make_args(expected);
    int failed = rapt_attention(&args) != RAPT_OK || rapt_plan_create(&args, &plan) != RAPT_OK;
    if (failed)
        fprintf(stderr, "threads: %s\n", rapt_last_error());
    pthread_barrier_wait(&start);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed |= result != NULL;
    }
    rapt_plan_destroy(plan);
    pthread_barrier_destroy(&start);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
