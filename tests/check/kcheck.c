/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases on one variant and compares. */
#include "kcheck.h"

#include <stdio.h>

#include <rapt/rapt.h>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "parts.h"
#include "tensors.h"
#include "trial.h"

static void check_mode(struct trial *k, struct tensors *t, const struct outputs *first,
                       const struct mode *mode) {
    struct outputs other = {0};
    if (trial_run_all(k, t, mode, &other))
        compare_bits(k, first, &other, NULL, 0, mode->what);
    outputs_free(&other);
}

/* The same numbers in another layout, and at the other end of their guarded memory; for some stored
 * as f32: since storage is all that a type is for, the results are the same before out rounds. */
static void check_copy(struct trial *k, const struct tensors *t, const struct outputs *first,
                       const struct mode *mode) {
    struct attention_case c = *k->c;
    const bool rounding = c.fill == FILL_TIES || c.fill == FILL_TOP;
    const bool one_type = c.layout == LAYOUT_PACKED; /* which isn't what the storage says */
    c.layout = c.layout == LAYOUT_BHSD ? LAYOUT_BSHD : LAYOUT_BHSD;
    if (rounding || one_type || c.seed >> 8 & 1)
        c.storage = STORAGE_F32;
    struct tensors copy;
    struct outputs other = {0};
    if (!tensors_copy(&copy, t, &c, GUARD_BEFORE)) {
        trial_fail(k, "%s: no memory", mode->what);
        return;
    }
    if (trial_run_all(k, &copy, mode, &other)) {
        outputs_round(&other, TENSOR_OUT, first->dtype[TENSOR_OUT]);
        compare_bits(k, first, &other, NULL, 0, mode->what);
    }
    outputs_free(&other);
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

static void check_items(struct trial *k, struct tensors *t, const struct outputs *first) {
    const struct mode mode = {"batch items one by one", 1, false, 0};
    const uint64_t before = tensors_checksum(t);
    struct outputs other = {0};
    tensors_clear_outputs(t);
    for (int b = 0; b < k->c->batch; b++) {
        rapt_attention_args args = narrowed(t->args, 0, b);
        args.q_offset = args.q_offset ? args.q_offset + b : NULL;
        args.kv_len = args.kv_len ? args.kv_len + b : NULL;
        if (!trial_run(k, args, &mode))
            return;
    }
    if (trial_collect(k, t, before, mode.what, &other))
        compare_bits(k, first, &other, NULL, 0, mode.what);
    outputs_free(&other);
}

static void check_rows(struct trial *k, struct tensors *t, const struct outputs *first) {
    const struct mode mode = {"queries one by one", 1, false, 0};
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
        if (!trial_run(k, args, &mode))
            return;
    }
    if (trial_collect(k, t, before, mode.what, &other))
        compare_bits(k, first, &other, rows, count, mode.what);
    outputs_free(&other);
}

static uint64_t hash_bits(uint64_t hash, const struct outputs *outputs) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        for (size_t n = 0; n < outputs->count[role]; n++)
            hash = (hash ^ outputs_bits(outputs, role, n)) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

/* Every case has all of these but the last two, which the case's seed deals out. */
static void check_runs(struct trial *k, struct tensors *t, const struct outputs *first,
                       bool planned) {
    static const int slices[] = {2, 3, 7};
    const uint64_t seed = k->c->seed;
    const struct mode elsewhere = {"another layout", 1, planned, 0};
    const struct mode threads = {"several threads", 2 + (int)(seed % 2), !planned, 0};
    const struct mode sliced = {"slices", 1, true, slices[seed % 3]};
    check_copy(k, t, first, &elsewhere);
    check_items(k, t, first);
    check_rows(k, t, first);
    check_mode(k, t, first, seed >> 4 & 1 ? &threads : &sliced);
}

static void check_case(struct trial *k) {
    const bool planned = k->c->seed >> 5 & 1;
    const struct mode once = {"1 thread", 1, planned, 0};
    struct tensors t;
    struct outputs first = {0};
    struct oracle_result oracle = {0};
    if (!tensors_make(&t, k->c, GUARD_AFTER)) {
        trial_fail(k, "no memory for the tensors");
        return;
    }
    if (!oracle_attention(&t.args, &oracle)) {
        trial_fail(k, "oracle: no memory");
    } else if (trial_run_all(k, &t, &once, &first)) {
        k->report->hash = hash_bits(k->report->hash, &first);
        if (k->c->quick)
            k->report->quick_hash = hash_bits(k->report->quick_hash, &first);
        compare_oracle(k, &first, &oracle);
        check_runs(k, &t, &first, planned);
        if (k->c->seed % 5 < 2 && k->c->offset != OFFSET_FAR)
            parts_check(k, &t, &oracle);
    }
    oracle_free(&oracle);
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
        struct trial k = {variant->name, seed, &list.items[n], report, false};
        if (progress)
            progress(context, list.items[n].name, n, list.count);
        check_case(&k);
        report->cases++;
    }
    cases_free(&list);
    return (int)report->failures;
}
