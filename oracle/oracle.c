/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by its definition, in double precision, with bounds for results in f32. */
#include "oracle/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/places.h"
#include "oracle/scores.h"
#include "oracle/storage.h"

static const double unit = ORACLE_UNIT, smallest = ORACLE_SMALLEST;
static const double exp_error = 7; /* 3.5 ULP, in roundings of a unit */

/* The results of one query before they are stored, and their bounds. Arrays are as long as a row of
 * the tensor that they are for; without weights that is the longest length. */
struct oracle_row {
    double *out, *out_bound;       /* [Dv] */
    double *weight, *weight_bound; /* [columns], or scores, if weights_kind says so */
    double lse, lse_bound;
    double max, max_bound;
    double sink, sink_bound; /* the weight that a sink takes */
};

/* The scores of a query, relative to the largest one later on. Keys that are not attended have -inf
 * in all three; attended ones are finite or NaN. */
struct scores {
    double *low, *value, *high; /* [columns + 1], the last for the sink */
};

static void set_score(const struct scores *scores, int64_t j, struct interval s) {
    scores->low[j] = s.low;
    scores->value[j] = s.value;
    scores->high[j] = s.high;
}

/* Pass 1: the scores, of keys beyond the sequence's, too. */
static void find_scores(const struct scored_query *q, int64_t columns,
                        const struct scores *scores) {
    const int64_t room = places_room(q->args, q->sequence);
    for (int64_t j = 0; j < columns; j++) {
        const struct interval beyond = {-INFINITY, -INFINITY, -INFINITY};
        set_score(scores, j, j < room ? scores_at(q, j, RAPT_WEIGHTS_MASKED) : beyond);
    }
    set_score(scores, columns, scores_of_sink(q));
}

/* NaN if there is one. */
static double largest(const double *numbers, int64_t count) {
    double max = -INFINITY;
    for (int64_t j = 0; j < count; j++) {
        if (isnan(numbers[j]))
            return NAN;
        max = numbers[j] > max ? numbers[j] : max;
    }
    return max;
}

static void find_max(const struct scores *scores, int64_t keys, struct oracle_row *row) {
    row->max = largest(scores->value, keys);
    row->max_bound =
        fmax(largest(scores->high, keys) - row->max, row->max - largest(scores->low, keys)) +
        4 * unit * fabs(row->max);
}

/*
 * Pass 2: makes the scores, the sink's included, relative to `top`, the largest. Their intervals
 * get wider by the errors of exp, which are known now.
 */
static void subtract_top(const struct scores *scores, int64_t keys, double top) {
    double max = -INFINITY;
    int64_t records = 0;
    for (int64_t j = 0; j < keys; j++) {
        records += scores->value[j] > max;
        max = fmax(max, scores->value[j]);
    }
    const bool sink = scores->value[keys] != -INFINITY;
    const double rescalings = fmin((double)records, (double)keys / 32) + 2 + sink;
    for (int64_t j = 0; j <= keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        scores->value[j] -= top;
        const double error = unit * (exp_error * rescalings - 2 * scores->value[j]);
        scores->low[j] += -top - error;
        scores->high[j] += -top + error;
    }
}

/* Pass 3: the logarithm of the sum of exp(score). */
static double log_sum_exp(const double *scores, int64_t count) {
    const double max = largest(scores, count);
    double sum = 0;
    for (int64_t j = 0; j < count; j++)
        sum += exp(scores[j] - max);
    return max + log(sum);
}

/* Weights and LSE from pass 3. Returns the relative error of the sum of weights. */
static double find_weights(const struct scores *scores, double top, int64_t keys,
                           struct oracle_row *row) {
    const double low = log_sum_exp(scores->low, keys + 1),
                 high = log_sum_exp(scores->high, keys + 1);
    const double log_sum = log_sum_exp(scores->value, keys + 1);
    double partial = 0, partials = 0;
    for (int64_t j = 0; j <= keys; j++) {
        double *weight = j < keys ? &row->weight[j] : &row->sink;
        double *bound = j < keys ? &row->weight_bound[j] : &row->sink_bound;
        *weight = *bound = 0;
        if (scores->value[j] == -INFINITY)
            continue;
        const double p = exp(scores->value[j] - log_sum);
        *weight = p;
        *bound = fmax(fmin(1, exp(scores->high[j] - low)) - p, p - exp(scores->low[j] - high));
        if (p < ORACLE_VANISHING)
            *bound = fmax(*bound, p);
        partial += p;
        partials += partial;
    }
    const double sum_error = unit * (partials + 4);
    row->lse = top + log_sum;
    row->lse_bound =
        fmax(high - log_sum, log_sum - low) + sum_error + 4 * unit * (fabs(top) + fabs(log_sum));
    return sum_error;
}

/* Pass 4: the weighted sum of the values. Adds to the weights' bounds what concerns no output. */
static void find_out(const struct scored_query *q, int64_t keys, double *room,
                     const struct scores *scores, double sum_error, struct oracle_row *row) {
    const int64_t channels = q->args->value.shape[3];
    /* A weight times a subnormal scale rounds before an int8 multiplies it. */
    const double most = q->args->value.dtype == RAPT_I8 ? 128 : 1;
    double *out = row->out, *bound = row->out_bound;
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        const double weight = row->weight[j];
        const double *v = scores_value(q, j, room);
        for (int64_t c = 0; c < channels; c++) {
            out[c] += weight * v[c];
            bound[c] += unit * (fabs(out[c]) + 16 * weight * fabs(v[c])) +
                        4 * smallest * (fabs(v[c]) + most);
        }
    }
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        const double weight_bound = row->weight_bound[j];
        const double *v = scores_value(q, j, room);
        for (int64_t c = 0; c < channels; c++)
            bound[c] += weight_bound * fabs(v[c] - out[c]);
        row->weight_bound[j] += sum_error * row->weight[j] + 4 * smallest;
    }
    for (int64_t c = 0; c < channels; c++)
        bound[c] += (sum_error + row->sink_bound) * fabs(out[c]);
    row->sink_bound += sum_error * row->sink;
}

/* Pass 5: scores in the place of weights, if they are asked for. */
static void show_scores(const struct scored_query *q, int64_t columns, struct oracle_row *row) {
    const bool shown = q->args->weights_kind != RAPT_WEIGHTS_SOFTMAX;
    for (int64_t j = 0; shown && j < columns; j++) {
        const struct interval s = scores_shown(q, j);
        row->weight[j] = s.value;
        row->weight_bound[j] = scores_shown_bound(s);
    }
}

static void clear(const rapt_attention_args *args, int64_t columns, struct oracle_row *row) {
    const int64_t channels = args->value.shape[3];
    memset(row->out, 0, (size_t)channels * sizeof *row->out);
    memset(row->out_bound, 0, (size_t)channels * sizeof *row->out_bound);
    memset(row->weight, 0, (size_t)columns * sizeof *row->weight);
    memset(row->weight_bound, 0, (size_t)columns * sizeof *row->weight_bound);
    row->lse = -INFINITY;
    row->lse_bound = row->sink = row->sink_bound = 0;
}

/* Computes one query. False if there is no memory. */
static bool solve(const rapt_attention_args *args, const struct head_rows *head, int64_t b,
                  int64_t h, int64_t i, struct oracle_row *row) {
    const int64_t columns = places_columns(args), head_dim = args->query.shape[3];
    const size_t score_count = (size_t)columns + 1;
    const size_t row_count = (size_t)(2 * head_dim + args->value.shape[3]);
    double *rows = malloc((row_count + 3 * score_count) * sizeof *rows);
    if (!rows)
        return false;
    double *low = rows + row_count;
    const struct scores scores = {low, low + score_count, low + 2 * score_count};
    const struct scored_query q = {args, head, b, h, i, rows, rows + head_dim};
    clear(args, columns, row);
    scores_read_query(&q);
    find_scores(&q, columns, &scores);
    find_max(&scores, columns, row);
    const double top = largest(scores.value, columns + 1);
    if (top != -INFINITY) {
        subtract_top(&scores, columns, top);
        const double sum_error = find_weights(&scores, top, columns, row);
        if (row->max != -INFINITY)
            find_out(&q, columns, rows + 2 * head_dim, &scores, sum_error, row);
    }
    show_scores(&q, columns, row);
    free(rows);
    return true;
}

static void store(const rapt_tensor *out, struct oracle_row *row) {
    for (int64_t c = 0; c < out->shape[3]; c++)
        storage_round(out->dtype, &row->out[c], &row->out_bound[c]);
}

bool oracle_row(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, double *out,
                double *bound) {
    const int64_t columns = places_columns(args), channels = args->value.shape[3];
    double *weights = malloc(2 * (size_t)(columns + 1) * sizeof *weights);
    struct oracle_row row = {.out = out,
                             .out_bound = bound,
                             .weight = weights,
                             .weight_bound = weights ? weights + columns : NULL};
    const struct head_rows unread = {NULL, NULL};
    const bool solved = weights && solve(args, &unread, b, h, i, &row);
    for (int64_t c = 0; !solved && c < channels; c++)
        out[c] = bound[c] = NAN;
    store(&args->out, &row);
    free(weights);
    return solved;
}

/* Divides the memory of all arrays. */
static bool allocate(struct oracle_result *result, int64_t rows, int64_t channels,
                     int64_t columns) {
    double *memory = malloc(2 * (size_t)(rows * (channels + columns + 3) + 1) * sizeof *memory);
    memset(result, 0, sizeof *result);
    if (!memory)
        return false;
    result->out = memory;
    result->out_bound = result->out + rows * channels;
    result->weights = result->out_bound + rows * channels;
    result->weights_bound = result->weights + rows * columns;
    result->lse = result->weights_bound + rows * columns;
    result->lse_bound = result->lse + rows;
    result->max = result->lse_bound + rows;
    result->max_bound = result->max + rows;
    result->sink = result->max_bound + rows;
    result->sink_bound = result->sink + rows;
    return true;
}

/* Row r of the result is query i of a head and sequence. */
static bool solve_row(const rapt_attention_args *args, const struct head_rows *head, int64_t b,
                      int64_t h, int64_t i, int64_t r, struct oracle_result *result) {
    const int64_t columns = places_columns(args), channels = args->value.shape[3];
    struct oracle_row row = {.out = result->out + r * channels,
                             .out_bound = result->out_bound + r * channels,
                             .weight = result->weights + r * columns,
                             .weight_bound = result->weights_bound + r * columns};
    if (!solve(args, head, b, h, i, &row))
        return false;
    store(&args->out, &row);
    result->lse[r] = row.lse;
    result->lse_bound[r] = row.lse_bound;
    result->max[r] = row.max;
    result->max_bound[r] = row.max_bound;
    result->sink[r] = row.sink;
    result->sink_bound[r] = row.sink_bound;
    return true;
}

/* Rows are read once for all queries of their heads. */
static bool read_head(const rapt_attention_args *args, int64_t b, int64_t key_head,
                      struct head_rows *rows) {
    const int64_t room = places_room(args, b);
    const int64_t key_dim = args->key.shape[3], value_dim = args->value.shape[3];
    double *memory = malloc((size_t)(room * (key_dim + value_dim) + 1) * sizeof *memory);
    *rows = (struct head_rows){memory, memory ? memory + room * key_dim : NULL};
    for (int64_t j = 0; memory && j < room; j++) {
        int64_t at[4] = {0, key_head, 0, 0};
        places_key(args, b, j, at);
        scores_read_row(&args->key, &args->key_scale, at, rows->key + j * key_dim);
        scores_read_row(&args->value, &args->value_scale, at, rows->value + j * value_dim);
    }
    return memory;
}

bool oracle_attention(const rapt_attention_args *args, struct oracle_result *result) {
    const int64_t heads = args->query.shape[1], sequences = places_sequences(args);
    int64_t rows = 0, r = 0;
    for (int64_t b = 0; b < sequences; b++)
        rows += heads * places_queries(args, b);
    bool done = allocate(result, rows, args->value.shape[3], places_columns(args));
    struct head_rows head = {NULL, NULL};
    for (int64_t b = 0; b < sequences; b++) {
        for (int64_t h = 0; h < heads; h++) {
            const int64_t key_head = scores_key_head(args, h);
            if (h == 0 || key_head != scores_key_head(args, h - 1)) {
                free(head.key); /* the start of both */
                done = read_head(args, b, key_head, &head) && done;
            }
            for (int64_t i = 0; i < places_queries(args, b); i++)
                done = done && solve_row(args, &head, b, h, i, r++, result);
        }
    }
    free(head.key);
    if (!done)
        oracle_free(result);
    return done;
}

void oracle_free(struct oracle_result *result) {
    free(result->out); /* the start of all arrays */
    memset(result, 0, sizeof *result);
}
