/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison of outputs, element by element. */
#include "oracle/compare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "oracle/storage.h"

bool compare_number(struct trial *k, rapt_dtype dtype, const void *got, double expected,
                    double bound) {
    const double number = (double)storage_read(dtype, got);
    if (isnan(expected))
        return storage_bits(dtype, got) == storage_nan(dtype);
    if (isnan(bound)) /* anything goes */
        return true;
    if (isinf(expected))
        return number == expected;
    const double error = fabs(number - expected);
    if (!(error <= bound))
        return false;
    /* The share of the bound is reported only where it means something. It means nothing where the
     * whole number may be lost, or half a unit in the last place of a smaller type, or the order of
     * two scores. */
    const bool telling =
        dtype == RAPT_F32 && bound < 0.01 * fabs(expected) && k->c->alibi != ALIBI_HUGE;
    if (telling && error > k->report->bound_share * bound) {
        k->report->bound_share = error / bound;
        memcpy(k->report->worst, k->c->name, sizeof k->report->worst);
    }
    return true;
}

/* Whether out is of size 1 and no larger number has rounded. */
static bool is_typical(const struct attention_case *c) {
    const bool steep =
        c->alibi == ALIBI_HUGE || (c->alibi && (c->offset == OFFSET_FAR || c->kv_len > 130));
    return c->fill == FILL_NORMAL && !(c->scale > 0) && !steep && c->mask != MASK_LOWEST;
}

/* amx makes 0 of subnormal numbers and sums. */
static double flushed(const struct trial *k, enum tensor_role role) {
    return k->own_bits && role != TENSOR_WEIGHTS ? 0x1p-125 : 0;
}

static void compare_output(struct trial *k, const struct outputs *outputs, enum tensor_role role,
                           const double *expected, const double *bound) {
    char place[96];
    const rapt_dtype dtype = outputs->dtype[role];
    const bool typical = role == TENSOR_OUT && dtype == RAPT_F32 && is_typical(k->c);
    for (size_t n = 0; n < outputs->count[role]; n++) {
        const float got = outputs_number(outputs, role, n);
        if (!compare_number(k, dtype, outputs->data[role] + n * storage_size(dtype), expected[n],
                            bound[n] + flushed(k, role))) {
            trial_fail(k, "%s: got %.9g (0x%" PRIx32 "), expected %.9g within %.3g",
                       trial_place(k, role, n, place, sizeof place), (double)got,
                       outputs_bits(outputs, role, n), expected[n], bound[n]);
            return;
        }
        const double error = fabs((double)got - expected[n]);
        if (typical && error > k->report->error)
            k->report->error = error;
    }
}

/* Each row of weights has a sum of 1, less the sink's, or of 0 if it has no key. */
static void compare_sums(struct trial *k, const struct outputs *outputs,
                         const struct oracle_result *oracle) {
    char place[96];
    const size_t keys = (size_t)k->c->kv_len;
    if (k->c->weights_kind != RAPT_WEIGHTS_SOFTMAX)
        return;
    for (size_t n = 0; n < outputs->count[TENSOR_WEIGHTS]; n += keys) {
        const size_t row = n / keys;
        const double expected = oracle->max[row] == -INFINITY ? 0 : 1 - oracle->sink[row];
        double sum = 0;
        for (size_t j = 0; j < keys; j++)
            sum += (double)outputs_number(outputs, TENSOR_WEIGHTS, n + j);
        /* Half of what a straight sum of that many roundings can lose, and a few more. */
        const double bound = 0x1p-24 * ((double)keys / 2 + 32) + oracle->sink_bound[row];
        if (!isnan(oracle->lse[row]) && !(fabs(sum - expected) <= bound)) {
            trial_fail(k, "row of %s: the sum is %.9g, expected %g within %.3g",
                       trial_place(k, TENSOR_WEIGHTS, n, place, sizeof place), sum, expected,
                       bound);
            return;
        }
    }
}

void compare_oracle(struct trial *k, const struct outputs *outputs,
                    const struct oracle_result *oracle) {
    compare_output(k, outputs, TENSOR_OUT, oracle->out, oracle->out_bound);
    compare_output(k, outputs, TENSOR_LSE, oracle->lse, oracle->lse_bound);
    compare_output(k, outputs, TENSOR_MAX, oracle->max, oracle->max_bound);
    compare_output(k, outputs, TENSOR_WEIGHTS, oracle->weights, oracle->weights_bound);
    compare_sums(k, outputs, oracle);
}

/* Whether query i is in the comparison. */
static bool is_compared(const struct comparison *how, int64_t i) {
    for (int n = 0; n < how->count; n++)
        if (how->queries[n] == i)
            return true;
    return how->count == 0;
}

static uint32_t canary(rapt_dtype dtype) {
    unsigned char canaries[sizeof(uint32_t)];
    memset(canaries, CANARY_BYTE, sizeof canaries);
    return storage_bits(dtype, canaries);
}

static void compare_output_bits(struct trial *k, const struct outputs *first,
                                const struct outputs *other, const struct comparison *how,
                                enum tensor_role role) {
    char place[96];
    const size_t channels = other->rows ? other->count[role] / other->rows : 0;
    for (size_t n = 0; n < other->count[role]; n++) {
        const struct trial_row row = trial_row_of(k->c, n / channels);
        const bool beyond =
            role == TENSOR_WEIGHTS && (int64_t)(n % channels) >= cases_keys(k->c, row.sequence);
        const bool is_in = is_compared(how, row.query);
        const uint32_t expected = is_in ? outputs_bits(first, role, n) : canary(first->dtype[role]);
        const uint32_t got = outputs_bits(other, role, n);
        if (got != expected && !(beyond && how->lengths_only)) {
            trial_fail(k, "%s: %s is %.9g (0x%" PRIx32 "), expected the bits 0x%" PRIx32 " (%s)",
                       how->what, trial_place(k, role, n, place, sizeof place),
                       (double)outputs_number(other, role, n), got, expected,
                       is_in ? "one thread, all at once" : "not to be written");
            return;
        }
    }
}

void compare_bits(struct trial *k, const struct outputs *first, const struct outputs *other,
                  const struct comparison *how) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        if (first->count[role] && other->count[role])
            compare_output_bits(k, first, other, how, role);
}
