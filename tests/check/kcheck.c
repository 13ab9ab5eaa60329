/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases on one variant and compares. */
#include "kcheck.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rapt/rapt.h>

#include "cases.h"
#include "oracle.h"
#include "tensors.h"

enum { WORKSPACE_BYTE = 0xff }; /* what a run finds in its workspace: NaN */

static const uint32_t quiet_nan = 0x7fc00000;

/* One case on its way. */
struct check {
    const char *isa;
    uint64_t seed;
    const struct attention_case *c;
    struct kcheck_report *report;
    bool failed; /* and has said so */
};

/* How a run is made. */
struct mode {
    const char *what;
    int threads;
    bool planned; /* with a plan without pointers, and a guarded workspace */
};

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

__attribute__((format(printf, 2, 3))) static void fail(struct check *k, const char *format, ...) {
    if (k->failed)
        return;
    k->failed = true;
    k->report->failures++;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "kcheck: %s, seed %" PRIu64 ", case \"%s\": ", k->isa, k->seed, k->c->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* The position of a dense index in an output, as "out[b,h,i,c]". */
static const char *place_name(const struct check *k, enum tensor_role role, size_t index,
                              char *text, size_t size) {
    const size_t channels = role == TENSOR_OUT       ? (size_t)k->c->value_dim
                            : role == TENSOR_WEIGHTS ? (size_t)k->c->kv_len
                                                     : 1;
    const size_t row = index / channels, queries = (size_t)k->c->q_len;
    const size_t head = row / queries, q_heads = (size_t)k->c->q_heads;
    snprintf(text, size, "%s[%zu,%zu,%zu,%zu]", tensors_name(role), head / q_heads, head % q_heads,
             row % queries, index % channels);
    return text;
}

/* ---- running ---- */

static rapt_status run_planned(const rapt_attention_args *args, bool *intact) {
    rapt_attention_args form = *args;
    for (int role = 0; role < TENSOR_COUNT; role++)
        tensors_view(&form, role)->data = NULL;
    const rapt_attention_data data = {args->query.data,  args->key.data, args->value.data,
                                      args->mask.data,   args->out.data, args->lse.data,
                                      args->weights.data};
    rapt_plan *plan;
    rapt_status status = rapt_plan_create(&form, &plan);
    if (status != RAPT_OK)
        return status;
    struct guard workspace;
    const size_t size = rapt_plan_workspace_size(plan);
    if (guard_alloc(&workspace, size, GUARD_AFTER, WORKSPACE_BYTE)) {
        status = rapt_plan_run(plan, &data, workspace.data, size);
        *intact = guard_intact(&workspace);
        guard_free(&workspace);
    } else {
        status = RAPT_OUT_OF_MEMORY;
    }
    rapt_plan_destroy(plan);
    return status;
}

static bool run(struct check *k, rapt_attention_args args, const struct mode *mode) {
    bool intact = true;
    args.isa = k->isa;
    args.threads = mode->threads;
    const rapt_status status = mode->planned ? run_planned(&args, &intact) : rapt_attention(&args);
    if (status != RAPT_OK)
        fail(k, "%s: %s (%s)", mode->what, rapt_status_text(status), rapt_last_error());
    else if (!intact)
        fail(k, "%s: wrote before its workspace", mode->what);
    return status == RAPT_OK && intact;
}

/* Takes the outputs of the runs since the inputs' checksum was `before`. */
static bool collect(struct check *k, struct tensors *t, uint64_t before, const char *what,
                    struct outputs *outputs) {
    if (tensors_checksum(t) != before)
        fail(k, "%s: an input was modified", what);
    else if (!tensors_collect(t, outputs))
        fail(k, "%s: no memory", what);
    else if (!tensors_outputs_intact(t))
        fail(k, "%s: wrote between or beside the elements of an output", what);
    return !k->failed;
}

static bool run_all(struct check *k, struct tensors *t, const struct mode *mode,
                    struct outputs *outputs) {
    const uint64_t before = tensors_checksum(t);
    tensors_clear_outputs(t);
    return run(k, t->args, mode) && collect(k, t, before, mode->what, outputs);
}

/* ---- against the oracle ---- */

static bool is_close(struct check *k, float got, double expected, double bound) {
    if (isnan(expected))
        return bits_of(got) == quiet_nan;
    if (isinf(expected))
        return (double)got == expected;
    const double error = fabs((double)got - expected);
    if (!(error <= bound))
        return false;
    if (error > k->report->bound_share * bound) {
        k->report->bound_share = error / bound;
        memcpy(k->report->worst, k->c->name, sizeof k->report->worst);
    }
    return true;
}

static void compare(struct check *k, const struct outputs *outputs, enum tensor_role role,
                    const double *expected, const double *bound) {
    char place[96];
    const float *got = outputs->data[role];
    const bool typical = role == TENSOR_OUT && k->c->fill == FILL_NORMAL && !(k->c->scale > 0);
    for (size_t n = 0; got && n < outputs->count[role]; n++) {
        if (!is_close(k, got[n], expected[n], bound[n])) {
            fail(k, "%s: got %.9g (0x%08" PRIx32 "), expected %.9g within %.3g",
                 place_name(k, role, n, place, sizeof place), (double)got[n], bits_of(got[n]),
                 expected[n], bound[n]);
            return;
        }
        const double error = fabs((double)got[n] - expected[n]);
        if (typical && error > k->report->error)
            k->report->error = error;
    }
}

/* Each row of weights has a sum of 1, or of 0 if it has no key; its bound is the row's sum. */
static void compare_sums(struct check *k, const struct outputs *outputs,
                         const struct oracle_result *oracle) {
    char place[96];
    const size_t keys = (size_t)k->c->kv_len;
    const float *got = outputs->data[TENSOR_WEIGHTS];
    for (size_t n = 0; got && n < outputs->count[TENSOR_WEIGHTS]; n += keys) {
        const double lse = oracle->lse[n / keys], expected = lse == -INFINITY ? 0 : 1;
        double sum = 0;
        for (size_t j = 0; j < keys; j++)
            sum += (double)got[n + j];
        /* Half of what a straight sum of that many roundings can lose, and a few more. */
        const double bound = 0x1p-24 * ((double)keys / 2 + 32);
        if (!isnan(lse) && !(fabs(sum - expected) <= bound)) {
            fail(k, "row of %s: the sum is %.9g, expected %g within %.3g",
                 place_name(k, TENSOR_WEIGHTS, n, place, sizeof place), sum, expected, bound);
            return;
        }
    }
}

static void check_oracle(struct check *k, const struct tensors *t, const struct outputs *outputs) {
    struct oracle_result oracle;
    if (!oracle_attention(&t->args, &oracle)) {
        fail(k, "oracle: no memory");
        return;
    }
    compare(k, outputs, TENSOR_OUT, oracle.out, oracle.out_bound);
    compare(k, outputs, TENSOR_LSE, oracle.lse, oracle.lse_bound);
    compare(k, outputs, TENSOR_WEIGHTS, oracle.weights, oracle.weights_bound);
    compare_sums(k, outputs, &oracle);
    oracle_free(&oracle);
}

/* ---- against other runs ---- */

/* Whether query i is in the comparison. */
static bool in_rows(const int *rows, int count, int i) {
    for (int n = 0; n < count; n++)
        if (rows[n] == i)
            return true;
    return count == 0;
}

/* The bits of `other` must be those of `first` in the given queries (all if count is 0), and
 * canaries in the rest. */
static void compare_bits(struct check *k, const struct outputs *first, const struct outputs *other,
                         const int *rows, int count, const char *what) {
    char place[96];
    const size_t all_rows = (size_t)k->c->batch * (size_t)k->c->q_heads * (size_t)k->c->q_len;
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++) {
        for (size_t n = 0; n < first->count[role]; n++) {
            const size_t row = n / (first->count[role] / all_rows);
            const bool is_in = in_rows(rows, count, (int)(row % (size_t)k->c->q_len));
            const uint32_t expected = is_in ? bits_of(first->data[role][n]) : CANARY_BITS;
            const uint32_t got = bits_of(other->data[role][n]);
            if (got != expected) {
                fail(k, "%s: %s is %.9g (0x%08" PRIx32 "), expected the bits 0x%08" PRIx32 " (%s)",
                     what, place_name(k, role, n, place, sizeof place),
                     (double)other->data[role][n], got, expected,
                     is_in ? "one thread, all at once" : "not to be written");
                return;
            }
        }
    }
}

static void check_mode(struct check *k, struct tensors *t, const struct outputs *first,
                       const struct mode *mode) {
    struct outputs other = {0};
    if (run_all(k, t, mode, &other))
        compare_bits(k, first, &other, NULL, 0, mode->what);
    outputs_free(&other);
}

/* The same numbers in another layout, and at the other end of their guarded memory. */
static void check_layout(struct check *k, const struct tensors *t, const struct outputs *first,
                         enum layout layout, const struct mode *mode) {
    struct tensors copy;
    if (!tensors_copy(&copy, t, k->c, layout, GUARD_BEFORE)) {
        fail(k, "%s: no memory", mode->what);
        return;
    }
    check_mode(k, &copy, first, mode);
    tensors_free(&copy);
}

/* Narrows a dimension of all tensors that have it to one index. A broadcast mask stays. */
static rapt_attention_args narrowed(rapt_attention_args args, int dimension, int64_t index) {
    for (int role = 0; role < TENSOR_COUNT; role++) {
        rapt_tensor *view = tensors_view(&args, role);
        const bool has_it = dimension == 0 || (role != TENSOR_KEY && role != TENSOR_VALUE);
        int64_t at[4] = {0};
        at[dimension] = index;
        if (view->dtype == RAPT_NONE || !has_it || view->shape[dimension] == 1)
            continue;
        view->data = tensors_element(view, at);
        view->shape[dimension] = 1;
    }
    return args;
}

static void check_items(struct check *k, struct tensors *t, const struct outputs *first) {
    const struct mode mode = {"batch items one by one", 1, false};
    const uint64_t before = tensors_checksum(t);
    struct outputs other = {0};
    tensors_clear_outputs(t);
    for (int b = 0; b < k->c->batch; b++) {
        rapt_attention_args args = narrowed(t->args, 0, b);
        args.q_offset = args.q_offset ? args.q_offset + b : NULL;
        args.kv_len = args.kv_len ? args.kv_len + b : NULL;
        if (!run(k, args, &mode))
            return;
    }
    if (collect(k, t, before, mode.what, &other))
        compare_bits(k, first, &other, NULL, 0, mode.what);
    outputs_free(&other);
}

static void check_rows(struct check *k, struct tensors *t, const struct outputs *first) {
    const struct mode mode = {"queries one by one", 1, false};
    const int rows[] = {0, k->c->q_len / 2, k->c->q_len - 1};
    const int count = sizeof rows / sizeof *rows;
    if (k->c->offset == OFFSET_FAR) /* offset + row would be more than is allowed */
        return;
    const uint64_t before = tensors_checksum(t);
    struct outputs other = {0};
    tensors_clear_outputs(t);
    for (int n = 0; n < count; n++) {
        int64_t q_offset[CASE_BATCH_MAX];
        for (int b = 0; b < k->c->batch; b++)
            q_offset[b] = rows[n] + (t->args.q_offset ? t->args.q_offset[b] : 0);
        rapt_attention_args args = narrowed(t->args, 2, rows[n]);
        args.q_offset = q_offset;
        if (!run(k, args, &mode))
            return;
    }
    if (collect(k, t, before, mode.what, &other))
        compare_bits(k, first, &other, rows, count, mode.what);
    outputs_free(&other);
}

/* ---- all of it ---- */

static uint64_t hash_bits(uint64_t hash, const struct outputs *outputs) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        for (size_t n = 0; n < outputs->count[role]; n++)
            hash = (hash ^ bits_of(outputs->data[role][n])) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

static void check_case(struct check *k, size_t index) {
    const bool planned = index % 2 == 0;
    const struct mode once = {"1 thread", 1, planned};
    const struct mode threads = {"several threads", 2 + (int)(index % 3 == 0), !planned};
    const struct mode elsewhere = {"another layout", 1, planned};
    struct tensors t;
    struct outputs first = {0};
    if (!tensors_make(&t, k->c, GUARD_AFTER)) {
        fail(k, "no memory for the tensors");
        return;
    }
    if (run_all(k, &t, &once, &first)) {
        k->report->hash = hash_bits(k->report->hash, &first);
        if (k->c->quick)
            k->report->quick_hash = hash_bits(k->report->quick_hash, &first);
        check_oracle(k, &t, &first);
        check_mode(k, &t, &first, &threads);
        check_layout(k, &t, &first, k->c->layout == LAYOUT_BHSD ? LAYOUT_BSHD : LAYOUT_BHSD,
                     &elsewhere);
        check_items(k, &t, &first);
        check_rows(k, &t, &first);
    }
    outputs_free(&first);
    tensors_free(&t);
}

int kcheck_run(const char *isa, uint64_t seed, enum kcheck_level level,
               struct kcheck_report *report, kcheck_progress progress, void *context) {
    const struct rapt_isa *variant;
    struct case_list list;
    *report =
        (struct kcheck_report){.hash = 0xcbf29ce484222325u, .quick_hash = 0xcbf29ce484222325u};
    if (rapt_isa_choose(isa, &variant) != RAPT_OK) {
        fprintf(stderr, "kcheck: %s\n", rapt_last_error());
        return -1;
    }
    if (!cases_make(&list, seed, level == KCHECK_QUICK)) {
        fprintf(stderr, "kcheck: no memory for the list of cases\n");
        return -1;
    }
    for (size_t n = 0; n < list.count; n++) {
        struct check k = {variant->name, seed, &list.items[n], report, false};
        if (progress)
            progress(context, list.items[n].name, n, list.count);
        check_case(&k, n);
        report->cases++;
    }
    cases_free(&list);
    return (int)report->failures;
}
