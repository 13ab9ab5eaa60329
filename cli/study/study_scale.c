/* SPDX-License-Identifier: Apache-2.0 */
/* The lesson of the scale: what the head_dim does to scores, with 1 / sqrt(d) and without. */
#include "cli/study/study.h"

#include <math.h>
#include <stdlib.h>

enum { LEAST_DIM = 4, MOST_DIM = 1024, QUERIES = 512, QUICK_QUERIES = 128 };

enum {
    DIM,
    VARIANCE,
    RATIO,
    RAW_ENTROPY,
    SCALED_ENTROPY,
    RAW_LARGEST,
    SCALED_LARGEST,
    RAW_SLOPE,
    SCALED_SLOPE,
    COLUMNS
};

static const struct study_column columns[COLUMNS] = {
    [DIM] = {"head_dim", "d", 0},
    [VARIANCE] = {"score_variance", "variance\nof q.k", 2},
    [RATIO] = {"variance_over_dim", "over\nd", 3},
    [RAW_ENTROPY] = {"entropy_unscaled", "entropy\nq.k", 3},
    [SCALED_ENTROPY] = {"entropy_scaled", "entropy\n/sqrt d", 3},
    [RAW_LARGEST] = {"largest_weight_unscaled", "largest\nq.k", 3},
    [SCALED_LARGEST] = {"largest_weight_scaled", "largest\n/sqrt d", 3},
    [RAW_SLOPE] = {"slope_unscaled", "slope\nq.k", 3},
    [SCALED_SLOPE] = {"slope_scaled", "slope\n/sqrt d", 3},
};

/* One problem of random queries and keys, and what the library gives back. */
struct trial {
    rapt_attention_args args;
    float *query, *key, *out, *weights, *lse, *max;
    int count; /* of queries, and of keys */
};

static bool trial_create(struct trial *trial, const struct study_options *options) {
    *trial = (struct trial){.args = rapt_attention_defaults(),
                            .count = options->quick ? QUICK_QUERIES : QUERIES};
    size_t rows = (size_t)trial->count;
    trial->query = malloc(rows * MOST_DIM * sizeof(float));
    trial->key = malloc(rows * MOST_DIM * sizeof(float));
    trial->out = malloc(rows * sizeof(float));
    trial->weights = malloc(rows * rows * sizeof(float));
    trial->lse = malloc(rows * sizeof(float));
    trial->max = malloc(rows * sizeof(float));
    trial->args.threads = options->threads;
    trial->args.isa = options->isa;
    return trial->query && trial->key && trial->out && trial->weights && trial->lse && trial->max;
}

static void trial_destroy(struct trial *trial) {
    free(trial->query);
    free(trial->key);
    free(trial->out);
    free(trial->weights);
    free(trial->lse);
    free(trial->max);
}

/* Weights, or scores. The values don't matter here: a key's first channel serves. */
static rapt_status run(struct trial *trial, int dim, float scale, rapt_weights_kind kind) {
    int n = trial->count;
    rapt_attention_args *args = &trial->args;
    args->query = rapt_tensor_bhsd(trial->query, RAPT_F32, 1, 1, n, dim);
    args->key = rapt_tensor_bhsd(trial->key, RAPT_F32, 1, 1, n, dim);
    args->value = args->key;
    args->value.shape[3] = 1;
    args->out = rapt_tensor_bhsd(trial->out, RAPT_F32, 1, 1, n, 1);
    args->lse = rapt_tensor_bhsd(trial->lse, RAPT_F32, 1, 1, n, 1);
    args->max = rapt_tensor_bhsd(trial->max, RAPT_F32, 1, 1, n, 1);
    args->weights = rapt_tensor_bhsd(trial->weights, RAPT_F32, 1, 1, n, n);
    args->weights_kind = kind;
    args->scale = scale;
    return rapt_attention(args);
}

static double variance(const float *numbers, size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)numbers[i];
        squares += (double)numbers[i] * (double)numbers[i];
    }
    double mean = sum / (double)count;
    return squares / (double)count - mean * mean;
}

/* A row's largest weight is e^(max - lse): both are outputs of the library. */
static double mean_largest(const struct trial *trial) {
    double total = 0;
    for (int i = 0; i < trial->count; i++)
        total += exp((double)trial->max[i] - (double)trial->lse[i]);
    return total / trial->count;
}

/* The trace of the softmax's derivative, sum of w (1 - w), averaged over the rows. */
static double mean_slope(const struct trial *trial) {
    size_t count = (size_t)trial->count * (size_t)trial->count;
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        double weight = (double)trial->weights[i];
        total += weight * (1 - weight);
    }
    return total / trial->count;
}

static rapt_status measure(struct trial *trial, int dim, uint64_t *state, double *row) {
    size_t n = (size_t)trial->count;
    study_normal(state, trial->query, n * (size_t)dim);
    study_normal(state, trial->key, n * (size_t)dim);
    rapt_status status = run(trial, dim, 1, RAPT_WEIGHTS_SCALED);
    row[DIM] = dim;
    row[VARIANCE] = variance(trial->weights, n * n);
    row[RATIO] = row[VARIANCE] / dim;
    for (int scaled = 0; scaled < 2 && status == RAPT_OK; scaled++) {
        status = run(trial, dim, scaled ? 0 : 1, RAPT_WEIGHTS_SOFTMAX); /* 0 is 1 / sqrt(d) */
        row[RAW_ENTROPY + scaled] = study_mean_entropy(trial->weights, n, trial->count);
        row[RAW_LARGEST + scaled] = mean_largest(trial);
        row[RAW_SLOPE + scaled] = mean_slope(trial);
    }
    return status;
}

static void conclude(struct study_result *result, const struct study_table *table, int keys) {
    int last = table->rows - 1;
    const double(*cells)[STUDY_MOST_ROWS] = table->cells;
    snprintf(result->finding, sizeof result->finding,
             "While d grew %.0f times, the variance of q.k grew %.0f times; without the scale the "
             "entropy %s of ln %d = %.2f nats, the largest weight %s and the slope %s; divided by "
             "sqrt d they %s, %s and %s.",
             cells[DIM][last] / cells[DIM][0], cells[VARIANCE][last] / cells[VARIANCE][0],
             study_moved(cells[RAW_ENTROPY][0], cells[RAW_ENTROPY][last], 2).text, keys, log(keys),
             study_moved(cells[RAW_LARGEST][0], cells[RAW_LARGEST][last], 2).text,
             study_moved(cells[RAW_SLOPE][0], cells[RAW_SLOPE][last], 2).text,
             study_moved(cells[SCALED_ENTROPY][0], cells[SCALED_ENTROPY][last], 2).text,
             study_moved(cells[SCALED_LARGEST][0], cells[SCALED_LARGEST][last], 2).text,
             study_moved(cells[SCALED_SLOPE][0], cells[SCALED_SLOPE][last], 2).text);
}

rapt_status study_scale(const struct study_options *options, struct study_result *result) {
    struct trial trial;
    struct study_table *table = study_add_table(
        result, "scale",
        "Random queries and keys, each channel of mean 0 and variance 1, so that "
        "theory gives q.k the variance d. Entropy, largest weight and slope (sum of "
        "w(1 - w), how far weights still react to scores) are means over queries.",
        columns, COLUMNS);
    rapt_status status = trial_create(&trial, options) ? RAPT_OK : RAPT_OUT_OF_MEMORY;
    uint64_t state = options->seed;
    for (int dim = LEAST_DIM; dim <= MOST_DIM && status == RAPT_OK; dim *= 2) {
        double row[COLUMNS];
        status = measure(&trial, dim, &state, row);
        study_add_row(table, row);
    }
    if (status == RAPT_OK)
        conclude(result, table, trial.count);
    result->plot = (struct study_plot){.table = table,
                                       .x = DIM,
                                       .y = {RAW_ENTROPY, SCALED_ENTROPY},
                                       .names = {"softmax(q.k)", "softmax(q.k / sqrt d)"},
                                       .count = 2,
                                       .horizontal = {"head_dim d", true},
                                       .vertical = {"mean entropy in nats", false}};
    trial_destroy(&trial);
    return status;
}
