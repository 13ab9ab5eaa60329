/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by its definition, in double precision, with bounds for results in f32. */
#include "oracle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage.h"

static const double unit = 0x1p-24;      /* relative error of one f32 rounding */
static const double smallest = 0x1p-149; /* the least f32 above 0 */
static const double log2_e = 1.4426950408889634;
static const double score_max = FLT_MAX / 1.4426950408889634;
static const double exp_error = 7; /* 3.5 ULP, in roundings of a unit */

/* The scores of a query: what they are, and the interval where f32 may put them. Keys that are not
 * attended have -inf in all three; attended ones are finite or NaN. */
struct scores {
    double *low, *value, *high; /* [Skv + 1], the last for the sink */
};

struct interval {
    double low, value, high;
};

static int64_t offset(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    return (t->shape[0] == 1 ? 0 : b * t->stride[0]) + (t->shape[1] == 1 ? 0 : h * t->stride[1]) +
           (t->shape[2] == 1 ? 0 : s * t->stride[2]) + (t->shape[3] == 1 ? 0 : c * t->stride[3]);
}

static const void *place(const rapt_tensor *t, int64_t at) {
    return (const char *)t->data + at * (int64_t)storage_size(t->dtype);
}

static double element(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    return (double)storage_read(t->dtype, place(t, offset(t, b, h, s, c)));
}

static int64_t key_head(const rapt_attention_args *args, int64_t h) {
    return h / (args->query.shape[1] / args->key.shape[1]);
}

bool oracle_attends(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t position = i + (args->q_offset ? args->q_offset[b] : 0);
    if (args->kv_len && j >= args->kv_len[b])
        return false;
    if (args->causal && j > position)
        return false;
    if (args->window_left >= 0 && position - j > args->window_left)
        return false;
    if (args->window_right >= 0 && j - position > args->window_right)
        return false;
    if (args->mask.dtype == RAPT_BOOL)
        return ((const unsigned char *)args->mask.data)[offset(&args->mask, b, h, i, j)] != 0;
    return args->mask.dtype == RAPT_NONE || element(&args->mask, b, h, i, j) != -INFINITY;
}

static double saturated(double score) {
    return score > score_max ? score_max : score < -score_max ? -score_max : score;
}

static struct interval around(double value, double error) {
    return (struct interval){value - error, value, value + error};
}

/* The channels of a row. */
static void read_row(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, double *row) {
    const char *at = place(t, offset(t, b, h, s, 0));
    const int64_t step = t->stride[3] * (int64_t)storage_size(t->dtype);
    for (int64_t c = 0; c < t->shape[3]; c++)
        row[c] = (double)storage_read(t->dtype, at + c * step);
}

/* scale * query . key */
static struct interval scaled_product(const rapt_attention_args *args, const double *query,
                                      const double *key) {
    const int64_t channels = args->query.shape[3];
    const double scale = args->scale > 0 ? (double)args->scale : 1 / sqrt((double)channels);
    double sum = 0, partials = 0, size = 0, key_size = 0;
    for (int64_t c = 0; c < channels; c++) {
        sum += query[c] * key[c];
        partials += fabs(sum);
        size += fabs(query[c] * key[c]);
        key_size += fabs(key[c]);
    }
    if (!isfinite(sum))
        return around(saturated(scale * sum), 0);
    if (scale * size * log2_e * 1.001 > FLT_MAX && fabs(sum) < size * (1 - 1e-12))
        return (struct interval){-score_max, scale * sum, score_max};
    return around(scale * sum,
                  scale * unit * (5 * size + partials) + smallest * (key_size + (double)channels));
}

static struct interval capped(struct interval s, double cap) {
    const double before = 3 * unit * fabs(s.value);
    const struct interval t = {cap * tanh((s.low - before) / cap), cap * tanh(s.value / cap),
                               cap * tanh((s.high + before) / cap)};
    const double after = 6 * unit * fabs(t.value) + cap * 0x1p-126;
    return (struct interval){t.low - after, t.value, t.high + after};
}

/* units: how many roundings the bias itself has. */
static struct interval biased(struct interval s, double bias, double units) {
    /* A score at the end of the range swallows it. */
    if (fabs(s.value) >= score_max && fabs(bias) < 1e30)
        return s;
    const double error = isfinite(bias) ? units * unit * (fabs(bias) + fabs(s.value)) : 0;
    return (struct interval){saturated(s.low) + bias - error, saturated(s.value) + bias,
                             saturated(s.high) + bias + error};
}

static double alibi(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t position = i + (args->q_offset ? args->q_offset[b] : 0);
    return -element(&args->alibi, b, h, 0, 0) * fabs((double)(position - j));
}

static struct interval sink_score(const rapt_attention_args *args, int64_t b, int64_t h) {
    if (args->sink.dtype == RAPT_NONE)
        return around(-INFINITY, 0);
    const double sink = element(&args->sink, b, h, 0, 0);
    const bool in_range = fabs(sink) < score_max;
    return around(sink == -INFINITY ? sink : saturated(sink), in_range ? 2 * unit * fabs(sink) : 0);
}

static void set_score(const struct scores *scores, int64_t j, struct interval s) {
    scores->low[j] = s.low;
    scores->value[j] = s.value;
    scores->high[j] = s.high;
}

/* Pass 1: the scores. */
static void find_scores(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                        double *rows, const struct scores *scores) {
    double *query = rows, *key = rows + args->query.shape[3];
    read_row(&args->query, b, h, i, query);
    for (int64_t j = 0; j < args->key.shape[2]; j++) {
        struct interval s = {-INFINITY, -INFINITY, -INFINITY};
        if (oracle_attends(args, b, h, i, j)) {
            read_row(&args->key, b, key_head(args, h), j, key);
            s = scaled_product(args, query, key);
            if (args->softcap > 0)
                s = capped(s, args->softcap);
            if (args->alibi.dtype != RAPT_NONE)
                s = biased(s, alibi(args, b, h, i, j), 5);
            if (args->mask.dtype != RAPT_NONE && args->mask.dtype != RAPT_BOOL)
                s = biased(s, element(&args->mask, b, h, i, j), 2);
            s = (struct interval){saturated(s.low), saturated(s.value), saturated(s.high)};
        }
        set_score(scores, j, s);
    }
    set_score(scores, args->key.shape[2], sink_score(args, b, h));
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
 * Pass 2: makes the scores, the sink's included, relative to `top`, the largest, and their
 * intervals wider by the errors of exp, which are known now.
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
static void find_out(const rapt_attention_args *args, int64_t b, int64_t h, double *v,
                     const struct scores *scores, double sum_error, struct oracle_row *row) {
    const rapt_tensor *value = &args->value;
    const int64_t keys = value->shape[2], channels = value->shape[3];
    double *out = row->out, *bound = row->out_bound;
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        const double weight = row->weight[j];
        read_row(value, b, key_head(args, h), j, v);
        for (int64_t c = 0; c < channels; c++) {
            out[c] += weight * v[c];
            bound[c] +=
                unit * (fabs(out[c]) + 16 * weight * fabs(v[c])) + 4 * smallest * (fabs(v[c]) + 1);
        }
    }
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        const double weight_bound = row->weight_bound[j];
        read_row(value, b, key_head(args, h), j, v);
        for (int64_t c = 0; c < channels; c++)
            bound[c] += weight_bound * fabs(v[c] - out[c]);
        row->weight_bound[j] += sum_error * row->weight[j] + 4 * smallest;
    }
    for (int64_t c = 0; c < channels; c++)
        bound[c] += (sum_error + row->sink_bound) * fabs(out[c]);
    row->sink_bound += sum_error * row->sink;
}

bool oracle_solve(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                  struct oracle_row *row) {
    const int64_t keys = args->key.shape[2], channels = args->value.shape[3];
    const size_t score_count = (size_t)keys + 1;
    const size_t row_count = 2 * (size_t)args->query.shape[3] + (size_t)channels;
    double *rows = malloc((row_count + 3 * score_count) * sizeof *rows);
    if (!rows)
        return false;
    double *low = rows + row_count;
    const struct scores scores = {low, low + score_count, low + 2 * score_count};
    memset(row->out, 0, (size_t)channels * sizeof *row->out);
    memset(row->out_bound, 0, (size_t)channels * sizeof *row->out_bound);
    memset(row->weight, 0, (size_t)keys * sizeof *row->weight);
    memset(row->weight_bound, 0, (size_t)keys * sizeof *row->weight_bound);
    row->lse = -INFINITY;
    row->lse_bound = row->sink = row->sink_bound = 0;
    find_scores(args, b, h, i, rows, &scores);
    find_max(&scores, keys, row);
    const double top = largest(scores.value, keys + 1);
    if (top != -INFINITY) {
        subtract_top(&scores, keys, top);
        const double sum_error = find_weights(&scores, top, keys, row);
        if (row->max != -INFINITY)
            find_out(args, b, h, rows, &scores, sum_error, row);
    }
    free(rows);
    return true;
}

static void store(const rapt_tensor *out, struct oracle_row *row) {
    for (int64_t c = 0; c < out->shape[3]; c++)
        storage_round(out->dtype, &row->out[c], &row->out_bound[c]);
}

bool oracle_row(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, double *out,
                double *bound) {
    const int64_t keys = args->key.shape[2], channels = args->value.shape[3];
    double *weights = malloc(2 * (size_t)keys * sizeof *weights);
    struct oracle_row row = {.out = out,
                             .out_bound = bound,
                             .weight = weights,
                             .weight_bound = weights ? weights + keys : NULL};
    const bool solved = weights && oracle_solve(args, b, h, i, &row);
    for (int64_t c = 0; !solved && c < channels; c++)
        out[c] = bound[c] = NAN;
    store(&args->out, &row);
    free(weights);
    return solved;
}

bool oracle_attention(const rapt_attention_args *args, struct oracle_result *result) {
    const int64_t heads = args->query.shape[1], queries = args->query.shape[2];
    const int64_t rows = args->query.shape[0] * heads * queries;
    const int64_t keys = args->key.shape[2], channels = args->value.shape[3];
    double *memory = malloc(2 * (size_t)(rows * (channels + keys + 3)) * sizeof *memory);
    memset(result, 0, sizeof *result);
    if (!memory)
        return false;
    result->out = memory;
    result->out_bound = result->out + rows * channels;
    result->weights = result->out_bound + rows * channels;
    result->weights_bound = result->weights + rows * keys;
    result->lse = result->weights_bound + rows * keys;
    result->lse_bound = result->lse + rows;
    result->max = result->lse_bound + rows;
    result->max_bound = result->max + rows;
    result->sink = result->max_bound + rows;
    result->sink_bound = result->sink + rows;
    for (int64_t r = 0; r < rows; r++) {
        struct oracle_row row = {.out = result->out + r * channels,
                                 .out_bound = result->out_bound + r * channels,
                                 .weight = result->weights + r * keys,
                                 .weight_bound = result->weights_bound + r * keys};
        if (!oracle_solve(args, r / queries / heads, r / queries % heads, r % queries, &row)) {
            oracle_free(result);
            return false;
        }
        store(&args->out, &row);
        result->lse[r] = row.lse;
        result->lse_bound[r] = row.lse_bound;
        result->max[r] = row.max;
        result->max_bound[r] = row.max_bound;
        result->sink[r] = row.sink;
        result->sink_bound[r] = row.sink_bound;
    }
    return true;
}

void oracle_free(struct oracle_result *result) {
    free(result->out); /* the start of all arrays */
    memset(result, 0, sizeof *result);
}
