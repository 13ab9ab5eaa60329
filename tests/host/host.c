/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts as they are: programs that fork, that are short of threads or memory, that have small
 * stacks, and that compute beside each other. `host WAY` is one of them; exit status 0 means that
 * each result had the bits of one thread, or was an error that says why.
 */
#include <rapt/rapt.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADS = 8, TOKENS = 160, DIM = 32, WIDTH = HEADS * DIM, THREADS = 4 };
enum { COUNT = TOKENS * WIDTH };

static float input[COUNT], weight[WIDTH][WIDTH];
static float expected[3][COUNT]; /* of one thread */
static rapt_plan *plan;

static rapt_attention_args attention_args(float *out, int threads) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = args.key = args.value = rapt_tensor_bshd(input, RAPT_F32, 1, HEADS, TOKENS, DIM);
    args.out = rapt_tensor_bshd(out, RAPT_F32, 1, HEADS, TOKENS, DIM);
    args.causal = true;
    args.threads = threads;
    return args;
}

static rapt_status run_attention(float *out, int threads) {
    const rapt_attention_args args = attention_args(out, threads);
    return rapt_attention(&args);
}

static rapt_status run_linear(float *out, int threads) {
    rapt_linear_args args = rapt_linear_defaults();
    args.input = rapt_tensor_bhsd(input, RAPT_F32, 1, 1, TOKENS, WIDTH);
    args.out = rapt_tensor_bhsd(out, RAPT_F32, 1, 1, TOKENS, WIDTH);
    args.weight = rapt_tensor_bhsd(weight, RAPT_F32, 1, 1, WIDTH, WIDTH);
    args.threads = threads;
    return rapt_linear(&args, NULL, 0);
}

static rapt_status run_layer(float *out, int threads) {
    rapt_mha_args args = rapt_mha_defaults();
    const rapt_tensor square = rapt_tensor_bhsd(weight, RAPT_F32, 1, 1, WIDTH, WIDTH);
    args.model_dim = WIDTH;
    args.q_heads = args.kv_heads = HEADS;
    args.w_query = args.w_key = args.w_value = args.w_out = square;
    args.threads = threads;
    rapt_mha *layer;
    rapt_status status = rapt_mha_create(&args, &layer);
    if (status != RAPT_OK)
        return status;
    rapt_mha_run_args run = rapt_mha_run_defaults();
    run.input = rapt_tensor_bhsd(input, RAPT_F32, 1, 1, TOKENS, WIDTH);
    run.out = rapt_tensor_bhsd(out, RAPT_F32, 1, 1, TOKENS, WIDTH);
    status = rapt_mha_run(layer, &run, NULL, 0);
    rapt_mha_destroy(layer);
    return status;
}

/* A plan made by whoever came first, possibly a parent. */
static rapt_status run_plan(float *out, int threads) {
    const rapt_attention_data data = {.query = input, .key = input, .value = input, .out = out};
    (void)threads;
    return rapt_plan_run(plan, &data, NULL, 0);
}

static rapt_status (*const calls[])(float *, int) = {run_attention, run_linear, run_layer,
                                                     run_plan};
enum { CALLS = 4 };

static int fail(const char *what, int call) {
    fprintf(stderr, "host: call %d: %s\n", call, what);
    return 1;
}

/* All calls on so many threads. A lack of memory is an answer, if it is said. */
static int run_all(int threads, bool may_lack) {
    for (int i = 0; i < CALLS; i++) {
        float *out = calloc(COUNT, sizeof *out);
        if (!out)
            return may_lack ? 0 : fail("no memory", i);
        const rapt_status status = calls[i](out, threads);
        const bool same = memcmp(out, expected[i == 3 ? 0 : i], COUNT * sizeof *out) == 0;
        free(out);
        if (status == RAPT_OUT_OF_MEMORY && may_lack && *rapt_last_error())
            continue;
        if (status != RAPT_OK)
            return fail(rapt_last_error(), i);
        if (!same)
            return fail("other bits than one thread has", i);
    }
    return 0;
}

static void prepare(void) {
    for (int i = 0; i < COUNT; i++)
        input[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < WIDTH * WIDTH; i++)
        weight[i / WIDTH][i % WIDTH] = (float)(i * 53 % 97) / 800 - 0.06f;
    const rapt_attention_args planned = attention_args(input, THREADS);
    if (rapt_plan_create(&planned, &plan) != RAPT_OK || run_attention(expected[0], 1) != RAPT_OK ||
        run_linear(expected[1], 1) != RAPT_OK || run_layer(expected[2], 1) != RAPT_OK) {
        fprintf(stderr, "host: %s\n", rapt_last_error());
        exit(2);
    }
}

/* A child computes as its parent did, and so does its own child. */
static int fork_once(int depth) {
    alarm(120); /* a hang ends so */
    if (run_all(THREADS, false) != 0)
        return 1;
    if (depth == 0)
        return 0;
    const pid_t child = fork();
    if (child == 0)
        _exit(fork_once(depth - 1));
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return fail("the child failed", depth);
    return run_all(THREADS, false);
}

/* Less and less address space, with more threads asked for than it has room for. */
static int lack_memory(void) {
    for (size_t mebibytes = 512; mebibytes >= 1; mebibytes /= 2) {
        const pid_t child = fork();
        if (child == 0) {
            char line[64] = "";
            FILE *file = fopen("/proc/self/statm", "r");
            if (!file || !fgets(line, sizeof line, file))
                _exit(3);
            fclose(file);
            const rlim_t used = strtoul(line, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
            const struct rlimit limit = {used + (mebibytes << 20), used + (mebibytes << 20)};
            if (setrlimit(RLIMIT_AS, &limit) != 0)
                _exit(3);
            _exit(run_all(64, true));
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return fail("with little memory", (int)mebibytes);
    }
    return 0;
}

/* As many threads as the user has, and none more. Root is not limited, so it becomes nobody. */
static int lack_threads(void) {
    const struct rlimit limit = {1, 1};
    if (getuid() == 0 && setuid(65534) != 0)
        return fail("can't leave root", 0);
    return setrlimit(RLIMIT_NPROC, &limit) != 0 ? fail("no limit", 0) : run_all(64, false);
}

static void *run_on_small_stack(void *result) {
    for (int threads = 1; threads <= THREADS; threads += THREADS - 1)
        *(int *)result |= run_all(threads, false);
    return NULL;
}

static int have_small_stack(void) {
    int failed = 0;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, 64 << 10) != 0 ||
        pthread_create(&thread, &attributes, run_on_small_stack, &failed) != 0)
        return fail("no thread with 64 KiB of stack", 0);
    pthread_join(thread, NULL);
    return failed;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The mean of a call in ms, for some time; the host and its neighbours print it. */
static double mean_call(int tokens, int threads, double seconds) {
    const size_t n = (size_t)12 * (size_t)tokens * 64;
    float *q = calloc(2 * n, sizeof *q);
    rapt_attention_args args = rapt_attention_defaults();
    rapt_plan *busy;
    for (size_t i = 0; q && i < 2 * n; i++)
        q[i] = (float)(i * 37 % 101) / 50 - 1;
    args.query = args.key = args.value = rapt_tensor_bhsd(q, RAPT_F32, 1, 12, tokens, 64);
    args.out = rapt_tensor_bhsd(q + n, RAPT_F32, 1, 12, tokens, 64);
    args.threads = threads;
    if (!q || rapt_plan_create(&args, &busy) != RAPT_OK)
        exit(2);
    const size_t size = rapt_plan_workspace_size(busy);
    void *workspace = malloc(size);
    int64_t count = 0;
    const double start = now();
    double end;
    do {
        if (!workspace || rapt_plan_run(busy, NULL, workspace, size) != RAPT_OK)
            exit(2);
        count++;
        end = now();
    } while (end < start + seconds);
    free(workspace);
    rapt_plan_destroy(busy);
    free(q);
    return 1e3 * (end - start) / (double)count;
}

/* The slowest mean of so many processes at once. They never computed before they forked. */
static double slowest(int processes, int tokens, int threads) {
    double most = 0;
    int ends[2];
    if (pipe(ends) != 0)
        exit(2);
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            const double mean = mean_call(tokens, threads, 1);
            _exit(write(ends[1], &mean, sizeof mean) != sizeof mean);
        }
    for (int i = 0; i < processes; i++) {
        double mean;
        int status;
        if (wait(&status) < 0 || status != 0 || read(ends[0], &mean, sizeof mean) != sizeof mean)
            exit(2);
        most = mean > most ? mean : most;
    }
    close(ends[0]);
    close(ends[1]);
    return most;
}

/* A table for a person: how many processes share this machine's CPUs. */
static int be_busy(void) {
    static const int all_tokens[] = {32, 64, 128, 256};
    printf("ms of a call, the mean of the slowest of so many processes; %d threads by default\n",
           rapt_default_threads());
    printf("%8s %10s %12s %16s %7s\n", "tokens", "processes", "one thread", "default threads",
           "ratio");
    for (int i = 0; i < 4; i++)
        for (int processes = 1; processes <= 4; processes++) {
            const double one = slowest(processes, all_tokens[i], 1);
            const double some = slowest(processes, all_tokens[i], 0);
            printf("%8d %10d %12.3f %16.3f %7.2f\n", all_tokens[i], processes, one, some,
                   some / one);
            fflush(stdout);
        }
    return 0;
}

int main(int argc, char **argv) {
    const char *way = argc == 2 ? argv[1] : "";
    if (strcmp(way, "busy") == 0)
        return be_busy();
    prepare();
    if (strcmp(way, "fork") == 0)
        return fork_once(2);
    if (strcmp(way, "memory") == 0)
        return lack_memory();
    if (strcmp(way, "threads") == 0)
        return lack_threads();
    if (strcmp(way, "stack") == 0)
        return have_small_stack();
    if (strcmp(way, "compute") == 0) /* under limits that the caller has set */
        return run_all(64, true);
    if (strcmp(way, "default") == 0) {
        printf("%d\n", rapt_default_threads());
        return 0;
    }
    fprintf(stderr, "usage: host fork|memory|threads|stack|compute|default|busy\n");
    return 2;
}
