/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison of what is observed: sums, diagonals, the largest weights, and what keys receive. */
#include "oracle/observed.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/compare.h"
#include "oracle/places.h"
#include "oracle/scores.h"
#include "oracle/storage.h"

static const double unit = ORACLE_UNIT, smallest = ORACLE_SMALLEST;

/* The weights of one query. */
struct row {
    size_t index;
    int64_t keys, position;
    const double *weight, *bound;
    bool nan;     /* all results are */
    bool unknown; /* nothing is known of them */
};

static struct row row_of(const struct trial *k, const rapt_attention_args *args,
                         const struct oracle_result *oracle, size_t index) {
    const struct trial_row at = trial_row_of(k->c, index);
    const size_t columns = (size_t)places_columns(args);
    const int64_t offset = args->q_offset ? args->q_offset[at.sequence] : 0;
    struct row row = {.index = index,
                      .keys = places_keys(args, at.sequence),
                      .position = offset + at.query,
                      .weight = oracle->weights + index * columns,
                      .bound = oracle->weights_bound + index * columns};
    row.nan = isnan(oracle->lse[index]) && oracle->max[index] != -INFINITY;
    for (int64_t j = 0; j < row.keys; j++)
        row.unknown = row.unknown || (!row.nan && isnan(row.bound[j]));
    return row;
}

static void expect(struct trial *k, const struct outputs *outputs, enum tensor_role role,
                   size_t index, const struct row *row, double expected, double bound) {
    char place[96];
    const void *got = outputs->data[role] + index * sizeof(float);
    if (row->unknown || compare_number(k, RAPT_F32, got, row->nan ? NAN : expected, bound))
        return;
    trial_fail(k, "%s: got %.9g, expected %.9g within %.3g",
               trial_place(k, role, index, place, sizeof place),
               (double)outputs_number(outputs, role, index), row->nan ? NAN : expected, bound);
}

/* The error of -w log(w) if w is off by its bound: the slope at the least possible weight. If that
 * is 0, a few times the value at the bound. */
static double entropy_error(double w, double bound) {
    return bound > 0 ? 4 * bound * (2 + fabs(log(fmax(w, bound)))) : 0;
}

static void compare_sums(struct trial *k, const rapt_attention_args *args,
                         const struct outputs *outputs, const struct row *row) {
    const double sums = unit * ((double)row->keys + 64);
    double entropy = 0, entropy_bound = 0, distance = 0, distance_bound = 0;
    for (int64_t j = 0; j < row->keys; j++) {
        const double w = row->weight[j], b = row->bound[j];
        const double far = fabs((double)(row->position - j));
        entropy -= w > 0 ? w * log(w) : 0;
        entropy_bound += b + entropy_error(w, b);
        distance += w * far;
        distance_bound += b * far;
    }
    expect(k, outputs, TENSOR_ENTROPY, row->index, row, entropy,
           entropy_bound + sums * (entropy + 1));
    expect(k, outputs, TENSOR_DISTANCE, row->index, row, distance,
           distance_bound + sums * distance + smallest);
    for (size_t s = 0; s < CASE_SEGMENTS; s++) {
        double mass = 0, bound = 0;
        for (int64_t j = args->segment_bounds[s]; j < args->segment_bounds[s + 1] && j < row->keys;
             j++) {
            mass += row->weight[j];
            bound += row->bound[j];
        }
        expect(k, outputs, TENSOR_SEGMENTS, row->index * CASE_SEGMENTS + s, row, mass,
               bound + sums * mass + smallest);
    }
}

static void compare_diagonals(struct trial *k, const rapt_attention_args *args,
                              const struct outputs *outputs, const struct row *row) {
    for (size_t d = 0; d < CASE_DIAGONALS; d++) {
        const int64_t j = row->position + args->diagonal_offsets[d];
        const bool exists = j >= 0 && j < row->keys;
        expect(k, outputs, TENSOR_DIAGONALS, row->index * CASE_DIAGONALS + d, row,
               exists ? row->weight[j] : 0, exists ? row->bound[j] : 0);
    }
}

static bool is_among(const int32_t *keys, int count, int64_t key) {
    for (int n = 0; n < count; n++)
        if (keys[n] == key)
            return true;
    return false;
}

/* The largest weights: each is its key's weight, none comes twice, and no other key has a larger
 * one than the least of them. */
static void compare_top(struct trial *k, const struct outputs *outputs, const struct row *row) {
    char place[96];
    const size_t first = row->index * CASE_TOP;
    int32_t keys[CASE_TOP];
    double least = 1;
    memcpy(keys, outputs->data[TENSOR_TOP_KEY] + first * sizeof *keys, sizeof keys);
    for (int n = 0; n < CASE_TOP && !row->unknown; n++) {
        const bool none = keys[n] == -1, exists = keys[n] >= 0 && keys[n] < row->keys;
        if (!(none || (exists && !row->nan)) || (exists && is_among(keys, n, keys[n])))
            trial_fail(k, "%s: got %" PRId32 " of %" PRId64 " keys",
                       trial_place(k, TENSOR_TOP_KEY, first + (size_t)n, place, sizeof place),
                       keys[n], row->keys);
        else
            expect(k, outputs, TENSOR_TOP_WEIGHT, first + (size_t)n, row,
                   exists ? row->weight[keys[n]] : 0, exists ? row->bound[keys[n]] : 0);
        if (k->failed)
            return;
        least = (double)outputs_number(outputs, TENSOR_TOP_WEIGHT, first + (size_t)n);
    }
    for (int64_t j = 0; j < row->keys && !row->unknown && !row->nan; j++)
        if (!is_among(keys, CASE_TOP, j) &&
            row->weight[j] - row->bound[j] > least * (1 + 4 * unit) + smallest)
            trial_fail(k, "%s: key %" PRId64 " with %.9g is missing, the least is %.9g",
                       trial_place(k, TENSOR_TOP_KEY, first, place, sizeof place), j,
                       row->weight[j], least);
}

void observed_compare(struct trial *k, const rapt_attention_args *args,
                      const struct outputs *outputs, const struct oracle_result *oracle) {
    for (size_t r = 0; r < outputs->rows; r++) {
        const struct row row = row_of(k, args, oracle, r);
        compare_sums(k, args, outputs, &row);
        compare_diagonals(k, args, outputs, &row);
        if (outputs->count[TENSOR_TOP_KEY])
            compare_top(k, outputs, &row);
    }
}

/* A key's sum over the queries whose rows follow `first`. */
static void compare_key(struct trial *k, const rapt_attention_args *args,
                        const struct oracle_result *oracle, size_t first, size_t queries, int64_t j,
                        float got) {
    double sum = 0, bound = smallest;
    for (size_t r = first; r < first + queries; r++) {
        const struct row row = row_of(k, args, oracle, r);
        const double w = j < row.keys ? row.weight[j] : 0, b = j < row.keys ? row.bound[j] : 0;
        /* What is masked has no weight, not even of a row that is NaN. */
        sum += w;
        bound += row.unknown ? NAN : b;
    }
    bound += unit * ((double)queries + 8) * sum;
    if (!compare_number(k, RAPT_F32, &got, sum, bound))
        trial_fail(k,
                   "received[rows from %zu, key %" PRId64 "]: got %.9g, expected %.9g within "
                   "%.3g",
                   first, j, (double)got, sum, bound);
}

static void compare_received(struct trial *k, const rapt_attention_args *args,
                             const struct oracle_result *oracle, const float *received) {
    const int64_t columns = args->received.shape[3];
    size_t row = 0;
    for (int64_t b = 0; b < places_sequences(args); b++) {
        const size_t queries = (size_t)places_queries(args, b);
        for (int64_t h = 0; h < args->query.shape[1]; h++, row += queries, received += columns)
            for (int64_t j = 0; j < columns && !k->failed; j++)
                compare_key(k, args, oracle, row, queries, j, received[j]);
    }
}

void observed_received(struct trial *k, const rapt_attention_args *args,
                       const struct oracle_result *oracle) {
    static const struct mode once = {"received", 1, false, 0};
    static const struct mode others[] = {{"received by threads", 3, false, 0},
                                         {"received in slices", 2, true, 3}};
    rapt_attention_args a = *args;
    const int64_t sequences = places_sequences(args), columns = places_columns(args);
    const size_t count = (size_t)(sequences * args->query.shape[1] * columns);
    float *received = malloc((2 * count + 1) * sizeof *received), *again = received + count;
    if (!received) {
        trial_fail(k, "received: no memory");
        return;
    }
    a.received = rapt_tensor_bhsd(received, RAPT_F32, sequences, args->query.shape[1], 1, columns);
    memset(received, CANARY_BYTE, 2 * count * sizeof *received);
    if (trial_run(k, a, &once)) {
        compare_received(k, &a, oracle, received);
        for (size_t n = 0; n < count; n++)
            trial_hash(k, storage_bits(RAPT_F32, received + n));
    }
    a.received.data = again;
    for (size_t i = 0; i < sizeof others / sizeof *others && !k->failed; i++)
        if (trial_run(k, a, &others[i]) && memcmp(received, again, count * sizeof *received) != 0)
            trial_fail(k, "%s: other bits", others[i].what);
    free(received);
}
