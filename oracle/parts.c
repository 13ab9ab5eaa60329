/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a case by views of its tensors, and what their merge must give. */
#include "oracle/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/compare.h"
#include "oracle/scores.h"

enum { PARTS_MAX = 4 }; /* an empty one included */

static const double unit = ORACLE_UNIT;

/* Results of some keys, dense. */
struct part {
    float *out, *lse;
    struct oracle_result oracle; /* nothing for the empty part */
};

struct split {
    int count;
    struct part parts[PARTS_MAX];
    struct part merged; /* without an oracle of its own */
    size_t rows, channels;
};

/* What is expected of a merged row. */
struct expected {
    double factor[PARTS_MAX], factor_bound[PARTS_MAX]; /* weights of the parts */
    double lse, lse_bound;
};

static bool allocate(struct part *part, const struct split *s) {
    part->out = malloc((s->rows * (s->channels + 1) + 1) * sizeof *part->out);
    part->lse = part->out ? part->out + s->rows * s->channels : NULL;
    return part->out != NULL;
}

static void free_split(struct split *s) {
    for (int p = 0; p < PARTS_MAX; p++) {
        free(s->parts[p].out);
        oracle_free(&s->parts[p].oracle);
    }
    free(s->merged.out);
}

static rapt_tensor dense(float *data, const rapt_tensor *like, int64_t channels) {
    return rapt_tensor_bhsd(data, RAPT_F32, like->shape[0], like->shape[1], like->shape[2],
                            channels);
}

static void cut(rapt_tensor *view, int dimension, int64_t first, int64_t last) {
    int64_t at[4] = {0};
    at[dimension] = first;
    if (view->dtype == RAPT_NONE)
        return;
    tensors_start_at(view, at);
    view->shape[dimension] = last - first;
}

/* The problem over keys first to last - 1: positions count from the first of them. */
static void solve(struct trial *k, const rapt_attention_args *whole, int64_t first, int64_t last,
                  bool sink, struct part *part) {
    const struct mode mode = {.what = "a part of the keys", .threads = 1};
    int64_t q_offset[CASE_BATCH_MAX], kv_len[CASE_BATCH_MAX], kv_start[CASE_BATCH_MAX];
    rapt_attention_args args = *whole;
    for (int role = 0; role < TENSOR_OUT; role++)
        if (tensors_is_of_keys(role))
            cut(tensors_view(&args, role), 2, first, last);
    if (args.mask.shape[3] > 1)
        cut(&args.mask, 3, first, last);
    for (int64_t b = 0; b < whole->query.shape[0]; b++) {
        const int64_t length = (whole->kv_len ? whole->kv_len[b] : whole->key.shape[2]) - first;
        q_offset[b] = (whole->q_offset ? whole->q_offset[b] : 0) - first;
        kv_len[b] = length < 0 ? 0 : length > last - first ? last - first : length;
        const int64_t before = (whole->kv_start ? whole->kv_start[b] : 0) - first;
        kv_start[b] = before < 0 ? 0 : before;
    }
    args.q_offset = q_offset;
    args.kv_len = kv_len;
    args.kv_start = kv_start;
    args.out = dense(part->out, &whole->query, whole->value.shape[3]);
    args.lse = dense(part->lse, &whole->query, 1);
    for (int role = TENSOR_MAX; role < TENSOR_COUNT; role++)
        *tensors_view(&args, role) = (rapt_tensor){.dtype = RAPT_NONE};
    args.segment_bounds = args.diagonal_offsets = NULL;
    if (!sink)
        args.sink = (rapt_tensor){.dtype = RAPT_NONE};
    if (trial_run(k, args, &mode) && !oracle_attention(&args, &part->oracle))
        trial_fail(k, "oracle: no memory");
}

/* Cuts the keys at random, puts an empty part somewhere, and solves them all. */
static void solve_all(struct trial *k, const rapt_attention_args *args, struct split *s) {
    uint64_t state = k->c->seed;
    const int64_t keys = args->key.shape[2];
    const int solved = keys < 3 ? (int)keys : 2 + (int)(cases_random(&state) % 2);
    const int empty = (int)(cases_random(&state) % (uint64_t)(solved + 1));
    const int with_sink = (int)(cases_random(&state) % (uint64_t)solved);
    int64_t first = 0;
    s->count = solved + 1;
    for (int p = 0, n = 0; p < s->count && !k->failed; p++) {
        struct part *part = &s->parts[p];
        if (!allocate(part, s)) {
            trial_fail(k, "parts: no memory");
        } else if (p == empty) {
            memset(part->out, 0xff, s->rows * s->channels * sizeof *part->out);
            for (size_t r = 0; r < s->rows; r++)
                part->lse[r] = -INFINITY;
        } else {
            const int64_t most = keys - first - (solved - 1 - n);
            const int64_t some = 1 + (int64_t)(cases_random(&state) % (uint64_t)most);
            const int64_t last = n == solved - 1 ? keys : first + some;
            solve(k, args, first, last, n == with_sink, part);
            first = last;
            n++;
        }
    }
}

static bool merge(struct trial *k, const rapt_attention_args *args, struct split *s) {
    rapt_tensor outs[PARTS_MAX], lses[PARTS_MAX];
    if (!allocate(&s->merged, s)) {
        trial_fail(k, "parts: no memory");
        return false;
    }
    for (int p = 0; p < s->count; p++) {
        outs[p] = dense(s->parts[p].out, &args->query, (int64_t)s->channels);
        lses[p] = dense(s->parts[p].lse, &args->query, 1);
    }
    const rapt_tensor out = dense(s->merged.out, &args->query, (int64_t)s->channels);
    const rapt_tensor lse = dense(s->merged.lse, &args->query, 1);
    const rapt_status status = rapt_merge(s->count, outs, lses, &out, &lse);
    if (status != RAPT_OK)
        trial_fail(k, "merge: %s (%s)", rapt_status_text(status), rapt_last_error());
    return status == RAPT_OK;
}

/* An empty part gives nothing; any other's NaN shows, however small its weight. */
static bool part_is_empty(const struct split *s, int p, size_t r) {
    return !s->parts[p].oracle.lse || s->parts[p].oracle.lse[r] == -INFINITY;
}

static double log_sum_exp(const double *x, int count) {
    double top = -INFINITY, sum = 0;
    for (int p = 0; p < count; p++)
        top = isnan(x[p]) || x[p] > top ? x[p] : top;
    for (int p = 0; p < count; p++)
        sum += exp(x[p] - top);
    return top == -INFINITY ? top : top + log(sum);
}

/* The parts' weights from their LSEs, each somewhere in an interval: as in the oracle. */
static struct expected expect_factors(const struct split *s, size_t r) {
    struct expected e = {.lse_bound = 0};
    double low[PARTS_MAX], value[PARTS_MAX], high[PARTS_MAX];
    for (int p = 0; p < s->count; p++)
        value[p] = part_is_empty(s, p, r) ? -INFINITY : s->parts[p].oracle.lse[r];
    e.lse = log_sum_exp(value, s->count);
    for (int p = 0; p < s->count; p++) {
        low[p] = high[p] = value[p] == -INFINITY ? value[p] : value[p] - e.lse;
        if (value[p] != -INFINITY) {
            const double error = s->parts[p].oracle.lse_bound[r] + unit * (12 + 4 * fabs(low[p]));
            low[p] -= error;
            high[p] += error;
        }
    }
    const double least = log_sum_exp(low, s->count), most = log_sum_exp(high, s->count);
    for (int p = 0; p < s->count; p++) {
        const double f = value[p] == -INFINITY ? 0 : exp(value[p] - e.lse);
        e.factor[p] = f;
        e.factor_bound[p] = 0;
        if (value[p] != -INFINITY)
            e.factor_bound[p] = fmax(fmin(1, exp(high[p] - least)) - f, f - exp(low[p] - most));
        if (f < ORACLE_VANISHING)
            e.factor_bound[p] = fmax(e.factor_bound[p], f);
    }
    e.lse_bound = fmax(most, -least) + 8 * unit * (1 + fabs(e.lse));
    return e;
}

static void expect_out(const struct split *s, size_t r, size_t c, const struct expected *e,
                       double *out, double *bound) {
    *out = *bound = 0;
    for (int p = 0; p < s->count; p++)
        if (!part_is_empty(s, p, r))
            *out += e->factor[p] * s->parts[p].oracle.out[r * s->channels + c];
    for (int p = 0; p < s->count; p++) {
        if (part_is_empty(s, p, r))
            continue;
        const double part = s->parts[p].oracle.out[r * s->channels + c];
        const double part_bound = s->parts[p].oracle.out_bound[r * s->channels + c];
        *bound += (e->factor[p] + e->factor_bound[p]) * part_bound +
                  e->factor_bound[p] * fabs(part - *out) +
                  8 * unit * (e->factor[p] * fabs(part) + fabs(*out)) +
                  8 * 0x1p-149 * (1 + fabs(part));
    }
}

/* The only part of a row that isn't empty, or -1. */
static int only_part(const struct split *s, size_t r) {
    int only = -1;
    for (int p = 0; p < s->count; p++) {
        if (s->parts[p].lse[r] == -INFINITY)
            continue;
        if (only >= 0)
            return -1;
        only = p;
    }
    return only;
}

/* The oracle's own whole and parts are the same, unless an LSE is too large for its last digits. */
static void compare_oracles(struct trial *k, size_t n, double lse, double merged, double whole,
                            double bound) {
    char place[96];
    if (fabs(lse) < 1e9 && isfinite(whole) && !(fabs(merged - whole) <= bound))
        trial_fail(k, "oracle: %s is %.17g as a whole and %.17g in parts",
                   trial_place(k, TENSOR_OUT, n, place, sizeof place), whole, merged);
}

static void compare_row(struct trial *k, const struct split *s, size_t r,
                        const struct oracle_result *whole) {
    char place[96];
    const struct expected e = expect_factors(s, r);
    const float *got = s->merged.out + r * s->channels;
    const int only = only_part(s, r);
    if (only >= 0 && !isnan(s->merged.lse[r]) &&
        (memcmp(got, s->parts[only].out + r * s->channels, s->channels * sizeof *got) != 0 ||
         memcmp(&s->merged.lse[r], &s->parts[only].lse[r], sizeof *got) != 0))
        trial_fail(k, "merge: %s has other bits than its only part that isn't empty",
                   trial_place(k, TENSOR_LSE, r, place, sizeof place));
    if (!compare_number(k, RAPT_F32, &s->merged.lse[r], e.lse, e.lse_bound))
        trial_fail(k, "merge: %s is %.9g, expected %.9g within %.3g",
                   trial_place(k, TENSOR_LSE, r, place, sizeof place), (double)s->merged.lse[r],
                   e.lse, e.lse_bound);
    for (size_t c = 0; c < s->channels && !k->failed; c++) {
        const size_t n = r * s->channels + c;
        double expected, bound;
        expect_out(s, r, c, &e, &expected, &bound);
        if (!compare_number(k, RAPT_F32, got + c, expected, bound))
            trial_fail(k, "merge: %s is %.9g, expected %.9g within %.3g",
                       trial_place(k, TENSOR_OUT, n, place, sizeof place), (double)got[c], expected,
                       bound);
        compare_oracles(k, n, e.lse, expected, whole->out[n], whole->out_bound[n]);
    }
}

bool parts_can_be_cut(const struct attention_case *c) {
    return c->kv_len > 0 && !c->ragged && !c->page_size && !c->start && c->offset != OFFSET_FAR;
}

void parts_check(struct trial *k, const struct tensors *t, const struct oracle_result *whole) {
    struct split s = {.rows = (size_t)k->c->batch * (size_t)k->c->q_heads * (size_t)k->c->q_len,
                      .channels = (size_t)k->c->value_dim};
    solve_all(k, &t->args, &s);
    if (!k->failed && merge(k, &t->args, &s))
        for (size_t r = 0; r < s.rows && !k->failed; r++)
            compare_row(k, &s, r, whole);
    free_split(&s);
}
