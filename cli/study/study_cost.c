/* SPDX-License-Identifier: Apache-2.0 */
/* The lesson of cost: work, depth and time of attention and of a recurrence, by length. */
#include "cli/base/clock.h"
#include "cli/base/statistics.h"
#include "cli/study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 64, LOG_DIM = 6, LEAST_LENGTH = 128, MOST_LENGTH = 4096, QUICK_LENGTH = 512 };
enum { LEAST_RUNS = 3, MOST_RUNS = 100 };
static const double least_seconds = 0.05; /* of runs whose median is taken */

enum {
    LENGTH,
    ATTENTION_MFLOP,
    RECURRENCE_MFLOP,
    WORK_RATIO,
    ATTENTION_DEPTH,
    RECURRENCE_DEPTH,
    WORK_COLUMNS
};

static const struct study_column work_columns[WORK_COLUMNS] = {
    [LENGTH] = {"length", "length\nn", 0},
    [ATTENTION_MFLOP] = {"attention_mflop", "attention\nMFLOP", 2},
    [RECURRENCE_MFLOP] = {"recurrence_mflop", "recurrence\nMFLOP", 2},
    [WORK_RATIO] = {"work_ratio", "times as\nmuch", 1},
    [ATTENTION_DEPTH] = {"attention_depth", "attention\ndepth", 0},
    [RECURRENCE_DEPTH] = {"recurrence_depth", "recurrence\ndepth", 0},
};

enum { TIME_LENGTH, ONE_THREAD, ALL_THREADS, RECURRENCE, RATE, RECURRENCE_RATE, TIME_COLUMNS };

static const struct study_column time_columns[TIME_COLUMNS] = {
    [TIME_LENGTH] = {"length", "length\nn", 0},
    [ONE_THREAD] = {"attention_ms", "attention ms,\n1 thread", -3},
    [ALL_THREADS] = {"attention_threads_ms", "attention ms,\nall threads", -3},
    [RECURRENCE] = {"recurrence_ms", "recurrence ms,\n1 thread", -3},
    [RATE] = {"attention_gflops", "attention\nGFLOP/s", -3},
    [RECURRENCE_RATE] = {"recurrence_gflops", "recurrence\nGFLOP/s", -3},
};

/* Inputs of both: queries, keys and values of attention; inputs and matrix of the recurrence. */
struct trial {
    float *query, *key, *value, *out;
    float matrix[DIM][DIM]; /* [from][to] */
    rapt_attention_args args;
    int length;
    rapt_status status;
};

static bool trial_create(struct trial *trial, const struct study_options *options) {
    const size_t size = (size_t)MOST_LENGTH * DIM;
    float *numbers = malloc(4 * size * sizeof *numbers);
    *trial = (struct trial){.query = numbers, .args = rapt_attention_defaults()};
    if (!numbers)
        return false;
    trial->key = numbers + size;
    trial->value = numbers + 2 * size;
    trial->out = numbers + 3 * size;
    trial->args.isa = options->isa;
    uint64_t state = options->seed;
    study_normal(&state, numbers, 3 * size);
    study_normal(&state, trial->matrix[0], (size_t)DIM * DIM);
    for (int i = 0; i < DIM * DIM; i++)
        trial->matrix[i / DIM][i % DIM] /= sqrtf(DIM);
    return true;
}

static void run_attention(struct trial *trial) {
    rapt_attention_args *args = &trial->args;
    args->query = rapt_tensor_bhsd(trial->query, RAPT_F32, 1, 1, trial->length, DIM);
    args->key = rapt_tensor_bhsd(trial->key, RAPT_F32, 1, 1, trial->length, DIM);
    args->value = rapt_tensor_bhsd(trial->value, RAPT_F32, 1, 1, trial->length, DIM);
    args->out = rapt_tensor_bhsd(trial->out, RAPT_F32, 1, 1, trial->length, DIM);
    rapt_status status = rapt_attention(args);
    trial->status = status == RAPT_OK ? trial->status : status;
}

/* state <- tanh(matrix state + input), token by token: each waits for the one before. */
static void run_recurrence(struct trial *trial) {
    float state[DIM] = {0};
    for (int t = 0; t < trial->length; t++) {
        float next[DIM];
        memcpy(next, trial->value + (size_t)t * DIM, sizeof next);
        for (int from = 0; from < DIM; from++)
            for (int to = 0; to < DIM; to++)
                next[to] += trial->matrix[from][to] * state[from];
        for (int to = 0; to < DIM; to++)
            state[to] = tanhf(next[to]);
        memcpy(trial->out + (size_t)t * DIM, state, sizeof state);
    }
}

/* The median of some runs after a first one, in milliseconds. */
static double time_of(void (*run)(struct trial *), struct trial *trial) {
    double samples[MOST_RUNS], spent = 0;
    int count = 0;
    run(trial);
    while (count < LEAST_RUNS || (count < MOST_RUNS && spent < least_seconds)) {
        const double start = clock_now();
        run(trial);
        samples[count] = clock_since(start);
        spent += samples[count++];
    }
    return 1e3 * statistics_of(samples, count).median;
}

static void add_work(struct study_table *table, int length, int log_length) {
    double n = length, attention = 1e-6 * 4 * n * n * DIM, recurrence = 1e-6 * 2 * n * DIM * DIM;
    const double row[WORK_COLUMNS] = {[LENGTH] = n,
                                      [ATTENTION_MFLOP] = attention,
                                      [RECURRENCE_MFLOP] = recurrence,
                                      [WORK_RATIO] = attention / recurrence,
                                      [ATTENTION_DEPTH] = LOG_DIM + 2 * log_length,
                                      [RECURRENCE_DEPTH] = n * (LOG_DIM + 1)};
    study_add_row(table, row);
}

static void add_times(struct study_table *table, const struct study_table *work,
                      struct trial *trial, int threads) {
    int row = table->rows;
    double numbers[TIME_COLUMNS] = {[TIME_LENGTH] = trial->length};
    trial->args.threads = 1;
    numbers[ONE_THREAD] = time_of(run_attention, trial);
    trial->args.threads = threads;
    numbers[ALL_THREADS] = time_of(run_attention, trial);
    numbers[RECURRENCE] = time_of(run_recurrence, trial);
    numbers[RATE] = work->cells[ATTENTION_MFLOP][row] / numbers[ONE_THREAD];
    numbers[RECURRENCE_RATE] = work->cells[RECURRENCE_MFLOP][row] / numbers[RECURRENCE];
    study_add_row(table, numbers);
}

/* The power of the length that a time grew with over the last two doublings. */
static double power(const struct study_table *times, int column) {
    const double *cells = times->cells[column];
    int last = times->rows - 1;
    return log2(cells[last] / cells[last - 2]) / 2;
}

static void conclude(struct study_result *result, int threads) {
    const struct study_table *work = &result->tables[0], *times = &result->tables[1];
    int last = work->rows - 1;
    snprintf(result->finding, sizeof result->finding,
             "At %.0f tokens attention does %.0f times the work and took %.2g ms on one thread "
             "and %.2g on %d, the recurrence %.2g; their times last grew with the length to the "
             "power of %.1f and %.1f, but with processors enough attention waits for %.0f steps, "
             "the recurrence for %.0f.",
             work->cells[LENGTH][last], work->cells[WORK_RATIO][last],
             times->cells[ONE_THREAD][last], times->cells[ALL_THREADS][last], threads,
             times->cells[RECURRENCE][last], power(times, ONE_THREAD), power(times, RECURRENCE),
             work->cells[ATTENTION_DEPTH][last], work->cells[RECURRENCE_DEPTH][last]);
}

static struct study_plot make_plot(const struct study_table *times) {
    return (struct study_plot){.table = times,
                               .x = TIME_LENGTH,
                               .y = {ONE_THREAD, ALL_THREADS, RECURRENCE},
                               .names = {"attention, 1 thread", "all threads", "recurrence"},
                               .count = 3,
                               .horizontal = {"length n", true},
                               .vertical = {"ms", true}};
}

rapt_status study_cost(const struct study_options *options, struct study_result *result) {
    struct study_table *work = study_add_table(
        result, "work",
        "One head of 64 channels (4 n^2 d operations) beside a recurrence of 64 channels, state = "
        "tanh(W state + input) (2 n d^2). Depth: the longest chain of steps that wait for one "
        "another if processors don't run out and sums are trees, log2 d + 2 log2 n and "
        "n (log2 d + 1).",
        work_columns, WORK_COLUMNS);
    struct study_table *times = study_add_table(
        result, "times",
        "Times on this machine, medians: attention by the library, the recurrence as a loop in "
        "plain C, which no second thread can help.",
        time_columns, TIME_COLUMNS);
    struct trial trial;
    if (!trial_create(&trial, options))
        return RAPT_OUT_OF_MEMORY;
    int most = options->quick ? QUICK_LENGTH : MOST_LENGTH, log_length = 7;
    for (int length = LEAST_LENGTH; length <= most && trial.status == RAPT_OK; length *= 2) {
        trial.length = length;
        add_work(work, length, log_length++);
        add_times(times, work, &trial, options->threads);
    }
    if (trial.status == RAPT_OK)
        conclude(result, options->threads);
    result->plot = make_plot(times);
    free(trial.query);
    return trial.status;
}
