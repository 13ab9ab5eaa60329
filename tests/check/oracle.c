/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by its definition, in double precision, with bounds for results in f32. */
#include "oracle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double unit = 0x1p-24;      /* relative error of one f32 rounding */
static const double smallest = 0x1p-149; /* the least f32 above 0 */
static const double log2_e = 1.4426950408889634;
static const double score_max = FLT_MAX / 1.4426950408889634;
static const double exp_error = 7; /* 3.5 ULP, in roundings of a unit */

/* The scores of a query: what they are, and the interval where f32 may put them. Keys that are not
 * attended have -inf in all three; attended ones are finite or NaN. */
struct scores {
    double *low, *value, *high; /* [Skv] */
};

struct interval {
    double low, value, high;
};

static int64_t offset(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    return (t->shape[0] == 1 ? 0 : b * t->stride[0]) + (t->shape[1] == 1 ? 0 : h * t->stride[1]) +
           (t->shape[2] == 1 ? 0 : s * t->stride[2]) + (t->shape[3] == 1 ? 0 : c * t->stride[3]);
}

static float element(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    return ((const float *)t->data)[offset(t, b, h, s, c)];
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
    if (args->mask.dtype == RAPT_F32)
        return element(&args->mask, b, h, i, j) != -INFINITY;
    return true;
}

static double saturated(double score) {
    return score > score_max ? score_max : score < -score_max ? -score_max : score;
}

static struct interval around(double value, double error) {
    return (struct interval){value - error, value, value + error};
}

/* scale * query . key */
static struct interval scaled_product(const rapt_attention_args *args, int64_t b, int64_t h,
                                      int64_t i, int64_t j) {
    const rapt_tensor *query = &args->query, *key = &args->key;
    const int64_t channels = query->shape[3];
    const float *q = (const float *)query->data + offset(query, b, h, i, 0);
    const float *k = (const float *)key->data + offset(key, b, key_head(args, h), j, 0);
    const double scale = args->scale > 0 ? (double)args->scale : 1 / sqrt((double)channels);
    double sum = 0, partials = 0, size = 0, key_size = 0;
    for (int64_t c = 0; c < channels; c++) {
        const double product = (double)q[c * query->stride[3]] * (double)k[c * key->stride[3]];
        sum += product;
        partials += fabs(sum);
        size += fabs(product);
        key_size += fabs((double)k[c * key->stride[3]]);
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

static struct interval biased(struct interval s, double bias) {
    /* A score at the end of the range swallows it. */
    if (fabs(s.value) >= score_max && fabs(bias) < 1e30)
        return s;
    const double error = isfinite(bias) ? 2 * unit * (fabs(bias) + fabs(s.value)) : 0;
    return (struct interval){saturated(s.low) + bias - error, saturated(s.value) + bias,
                             saturated(s.high) + bias + error};
}

/* Pass 1: the scores. */
static void find_scores(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                        const struct scores *scores) {
    for (int64_t j = 0; j < args->key.shape[2]; j++) {
        struct interval s = {-INFINITY, -INFINITY, -INFINITY};
        if (oracle_attends(args, b, h, i, j)) {
            s = scaled_product(args, b, h, i, j);
            if (args->softcap > 0)
                s = capped(s, args->softcap);
            if (args->mask.dtype == RAPT_F32)
                s = biased(s, element(&args->mask, b, h, i, j));
            s = (struct interval){saturated(s.low), saturated(s.value), saturated(s.high)};
        }
        scores->low[j] = s.low;
        scores->value[j] = s.value;
        scores->high[j] = s.high;
    }
}

/*
 * Pass 2: the maximum, -inf without a key. Scores become relative to it, and their intervals wider
 * by the errors of exp, which are known now.
 */
static double find_max(const struct scores *scores, int64_t keys) {
    double max = -INFINITY;
    int64_t records = 0;
    for (int64_t j = 0; j < keys; j++) {
        if (isnan(scores->value[j]))
            return NAN;
        if (scores->value[j] > max) {
            max = scores->value[j];
            records++;
        }
    }
    const double rescalings = fmin((double)records, (double)keys / 32) + 2;
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        scores->value[j] -= max;
        const double error = unit * (exp_error * rescalings - 2 * scores->value[j]);
        scores->low[j] += -max - error;
        scores->high[j] += -max + error;
    }
    return max;
}

/* Pass 3: the logarithm of the sum of exp(score). */
static double log_sum_exp(const double *scores, int64_t keys) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++)
        max = fmax(max, scores[j]);
    for (int64_t j = 0; j < keys; j++)
        sum += exp(scores[j] - max);
    return max + log(sum);
}

/* Weights and LSE from pass 3. Returns the relative error of the sum of weights. */
static double find_weights(const struct scores *scores, double max, int64_t keys,
                           struct oracle_row *row) {
    const double low = log_sum_exp(scores->low, keys), high = log_sum_exp(scores->high, keys);
    const double log_sum = isnan(max) ? NAN : log_sum_exp(scores->value, keys);
    double partial = 0, partials = 0;
    for (int64_t j = 0; j < keys; j++) {
        row->weight[j] = row->weight_bound[j] = 0;
        if (scores->value[j] == -INFINITY)
            continue;
        const double p = exp(scores->value[j] - log_sum);
        row->weight[j] = p;
        row->weight_bound[j] =
            fmax(fmin(1, exp(scores->high[j] - low)) - p, p - exp(scores->low[j] - high));
        partial += p;
        partials += partial;
    }
    const double sum_error = unit * (partials + 4);
    row->lse = max + log_sum;
    row->lse_bound =
        fmax(high - log_sum, log_sum - low) + sum_error + 4 * unit * (fabs(max) + fabs(log_sum));
    return sum_error;
}

/* Pass 4: the weighted sum of the values. Adds to the weights' bounds what concerns no output. */
static void find_out(const rapt_attention_args *args, int64_t b, int64_t h,
                     const struct scores *scores, double sum_error, struct oracle_row *row) {
    const rapt_tensor *value = &args->value;
    const int64_t keys = value->shape[2], channels = value->shape[3];
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        for (int64_t c = 0; c < channels; c++) {
            const double v = (double)element(value, b, key_head(args, h), j, c);
            row->out[c] += row->weight[j] * v;
            row->out_bound[c] += unit * (fabs(row->out[c]) + 16 * row->weight[j] * fabs(v)) +
                                 4 * smallest * (fabs(v) + 1);
        }
    }
    for (int64_t j = 0; j < keys; j++) {
        if (scores->value[j] == -INFINITY)
            continue;
        for (int64_t c = 0; c < channels; c++) {
            const double v = (double)element(value, b, key_head(args, h), j, c);
            row->out_bound[c] += row->weight_bound[j] * fabs(v - row->out[c]);
        }
        row->weight_bound[j] += sum_error * row->weight[j] + 4 * smallest;
    }
    for (int64_t c = 0; c < channels; c++)
        row->out_bound[c] += sum_error * fabs(row->out[c]);
}

bool oracle_solve(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                  struct oracle_row *row) {
    const int64_t keys = args->key.shape[2], channels = args->value.shape[3];
    double *memory = malloc(3 * (size_t)keys * sizeof *memory);
    if (!memory)
        return false;
    const struct scores scores = {memory, memory + keys, memory + 2 * keys};
    memset(row->out, 0, (size_t)channels * sizeof *row->out);
    memset(row->out_bound, 0, (size_t)channels * sizeof *row->out_bound);
    memset(row->weight, 0, (size_t)keys * sizeof *row->weight);
    memset(row->weight_bound, 0, (size_t)keys * sizeof *row->weight_bound);
    row->lse = -INFINITY;
    row->lse_bound = 0;
    find_scores(args, b, h, i, &scores);
    const double max = find_max(&scores, keys);
    if (max != -INFINITY) {
        const double sum_error = find_weights(&scores, max, keys, row);
        find_out(args, b, h, &scores, sum_error, row);
    }
    free(memory);
    return true;
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
    free(weights);
    return solved;
}

bool oracle_attention(const rapt_attention_args *args, struct oracle_result *result) {
    const int64_t heads = args->query.shape[1], queries = args->query.shape[2];
    const int64_t rows = args->query.shape[0] * heads * queries;
    const int64_t keys = args->key.shape[2], channels = args->value.shape[3];
    double *memory = malloc(2 * (size_t)(rows * (channels + keys + 1)) * sizeof *memory);
    memset(result, 0, sizeof *result);
    if (!memory)
        return false;
    result->out = memory;
    result->out_bound = result->out + rows * channels;
    result->weights = result->out_bound + rows * channels;
    result->weights_bound = result->weights + rows * keys;
    result->lse = result->weights_bound + rows * keys;
    result->lse_bound = result->lse + rows;
    for (int64_t r = 0; r < rows; r++) {
        struct oracle_row row = {.out = result->out + r * channels,
                                 .out_bound = result->out_bound + r * channels,
                                 .weight = result->weights + r * keys,
                                 .weight_bound = result->weights_bound + r * keys};
        if (!oracle_solve(args, r / queries / heads, r / queries % heads, r % queries, &row)) {
            oracle_free(result);
            return false;
        }
        result->lse[r] = row.lse;
        result->lse_bound[r] = row.lse_bound;
    }
    return true;
}

void oracle_free(struct oracle_result *result) {
    free(result->out); /* the start of all arrays */
    memset(result, 0, sizeof *result);
}
