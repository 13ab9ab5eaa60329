/* SPDX-License-Identifier: Apache-2.0 */
/* Scores step by step, each with the error that f32 may add. */
#include "oracle/scores.h"

#include <float.h>
#include <math.h>

#include "oracle/oracle.h"
#include "oracle/places.h"
#include "oracle/storage.h"

static const double unit = ORACLE_UNIT, smallest = ORACLE_SMALLEST;
static const double log2_e = 1.4426950408889634;
static const double score_max = FLT_MAX / 1.4426950408889634;

static const struct interval hidden = {-INFINITY, -INFINITY, -INFINITY};

static double element(const rapt_tensor *t, const int64_t *at) {
    return (double)storage_number(t, storage_offset(t, at), 1);
}

int64_t scores_key_head(const rapt_attention_args *args, int64_t head) {
    return head / (args->query.shape[1] / args->key.shape[1]);
}

void scores_read_row(const rapt_tensor *t, const rapt_tensor *scales, const int64_t *at,
                     double *row) {
    const int64_t first = storage_offset(t, at);
    double scale = 1; /* of int8, whose products don't round */
    if (t->dtype == RAPT_I8)
        scale = (double)storage_read(RAPT_F32, storage_at(scales, storage_offset(scales, at)));
    for (int64_t c = 0; c < t->shape[3]; c++)
        row[c] = (double)storage_number(t, first + c * t->stride[3], 1) * scale;
}

void scores_read_query(const struct scored_query *q) {
    int64_t at[4] = {0, q->head, 0, 0};
    places_query(q->args, q->sequence, q->query, at);
    scores_read_row(&q->args->query, NULL, at, q->row);
}

/* Row j of the head's: of `rows` if they are read, or read to `row`. */
static const double *row_of(const struct scored_query *q, const rapt_tensor *t,
                            const rapt_tensor *scales, const double *rows, int64_t j, double *row) {
    int64_t at[4] = {0, scores_key_head(q->args, q->head), 0, 0};
    if (rows)
        return rows + j * t->shape[3];
    places_key(q->args, q->sequence, j, at);
    scores_read_row(t, scales, at, row);
    return row;
}

const double *scores_key(const struct scored_query *q, int64_t j, double *row) {
    return row_of(q, &q->args->key, &q->args->key_scale, q->rows->key, j, row);
}

const double *scores_value(const struct scored_query *q, int64_t j, double *row) {
    return row_of(q, &q->args->value, &q->args->value_scale, q->rows->value, j, row);
}

/* The mask's column for a key: -1 for keys that it lets pass, its number of columns for those that
 * it doesn't reach. */
static int64_t mask_column(const rapt_attention_args *args, int64_t b, int64_t j) {
    if (!args->mask_start)
        return j;
    const int64_t start = args->mask_start[b];
    const int64_t columns = args->mask.shape[3];
    return j < start ? -1 : j - start < columns ? j - start : columns;
}

/* What an additive mask adds; of a bool one, 0 or -inf. */
static double mask_bias(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i,
                        int64_t j) {
    int64_t at[4];
    const int64_t column = mask_column(args, b, j);
    if (args->mask.dtype == RAPT_NONE || column < 0)
        return 0;
    if (args->mask_start && column == args->mask.shape[3])
        return -INFINITY;
    places_mask(args, b, h, i, column, at);
    if (args->mask.dtype != RAPT_BOOL)
        return element(&args->mask, at);
    const unsigned char *truth = storage_at(&args->mask, storage_offset(&args->mask, at));
    return *truth ? 0 : -INFINITY;
}

static int64_t position_of(const rapt_attention_args *args, int64_t b, int64_t i) {
    return i + (args->q_offset ? args->q_offset[b] : 0);
}

bool oracle_attends(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t position = position_of(args, b, i);
    if (j >= places_keys(args, b) || (args->kv_start && j < args->kv_start[b]))
        return false;
    if (args->causal && j > position)
        return false;
    if (args->window_left >= 0 && position - j > args->window_left)
        return false;
    if (args->window_right >= 0 && j - position > args->window_right)
        return false;
    return mask_bias(args, b, h, i, j) != -INFINITY;
}

static double saturated(double score) {
    return score > score_max ? score_max : score < -score_max ? -score_max : score;
}

static struct interval around(double value, double error) {
    return (struct interval){value - error, value, value + error};
}

/* scale * query . key */
static struct interval scaled_product(const rapt_attention_args *args, const double *query,
                                      const double *key) {
    const int64_t channels = args->query.shape[3];
    const double scale = args->scale > 0 ? (double)args->scale : 1 / sqrt((double)channels);
    double sum = 0, partials = 0, size = 0, key_size = 0, query_size = 0;
    bool is_number = true;
    for (int64_t c = 0; c < channels; c++) {
        const double product = query[c] * key[c];
        sum += product;
        partials += fabs(sum);
        size += isfinite(product) ? fabs(product) : 0;
        key_size += fabs(key[c]);
        query_size = fmax(query_size, fabs(query[c]));
        is_number = is_number && !isnan(query[c]) && !isnan(key[c]);
    }
    const double most = FLT_MAX / (scale * log2_e * 1.001);
    const bool both_signs = isinf(sum) || fabs(sum) < size * (1 - 1e-12);
    /* Infinite queries are among those that overflow. */
    if (is_number && (query_size > most || (!isnan(sum) && size > most && both_signs)))
        return (struct interval){-score_max, isnan(sum) ? 0 : saturated(scale * sum), score_max};
    if (!isfinite(sum))
        return around(saturated(scale * sum), 0);
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

static double alibi(const struct scored_query *q, int64_t j) {
    int64_t at[4];
    const int64_t position = position_of(q->args, q->sequence, q->query);
    places_head(&q->args->alibi, q->sequence, q->head, at);
    return -element(&q->args->alibi, at) * fabs((double)(position - j));
}

struct interval scores_at(const struct scored_query *q, int64_t j, rapt_weights_kind step) {
    const rapt_attention_args *args = q->args;
    const bool last = step == RAPT_WEIGHTS_MASKED || step == RAPT_WEIGHTS_SOFTMAX;
    if (last && !oracle_attends(args, q->sequence, q->head, q->query, j))
        return hidden;
    struct interval s = scaled_product(args, q->row, scores_key(q, j, q->key));
    if (args->softcap > 0 && step != RAPT_WEIGHTS_SCALED)
        s = capped(s, args->softcap);
    if (args->alibi.dtype != RAPT_NONE && last)
        s = biased(s, alibi(q, j), 5);
    if (args->mask.dtype != RAPT_NONE && args->mask.dtype != RAPT_BOOL && last)
        s = biased(s, mask_bias(args, q->sequence, q->head, q->query, j), 2);
    return (struct interval){saturated(s.low), saturated(s.value), saturated(s.high)};
}

struct interval scores_of_sink(const struct scored_query *q) {
    int64_t at[4];
    if (q->args->sink.dtype == RAPT_NONE)
        return hidden;
    places_head(&q->args->sink, q->sequence, q->head, at);
    const double sink = element(&q->args->sink, at);
    const bool in_range = fabs(sink) < score_max;
    return around(sink == -INFINITY ? sink : saturated(sink), in_range ? 2 * unit * fabs(sink) : 0);
}

struct interval scores_shown(const struct scored_query *q, int64_t j) {
    const rapt_weights_kind kind = q->args->weights_kind;
    if (j >= places_room(q->args, q->sequence))
        return kind == RAPT_WEIGHTS_MASKED ? hidden : around(0, 0);
    const struct interval s = scores_at(q, j, RAPT_WEIGHTS_SCALED);
    if (kind != RAPT_WEIGHTS_MASKED && isnan(scores_shown_bound(s)))
        return s;
    return scores_at(q, j, kind);
}

double scores_shown_bound(struct interval s) {
    if (s.low <= -score_max && s.high >= score_max)
        return NAN;
    if (isinf(s.value))
        return 0;
    return fmax(s.high - s.value, s.value - s.low) + 4 * unit * fabs(s.value) +
           (s.low < s.high ? smallest : 0);
}
