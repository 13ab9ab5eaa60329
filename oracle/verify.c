/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases on one variant and compares. */
#include "oracle/verify.h"

#include <stdio.h>

#include <rapt/rapt.h>

#include "oracle/cases.h"
#include "oracle/compare.h"
#include "oracle/oracle.h"
#include "oracle/parts.h"
#include "oracle/tensors.h"
#include "oracle/trial.h"
#include "oracle/variations.h"
#include "oracle/observed.h"

static void hash_outputs(struct trial *k, const struct outputs *outputs) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        for (size_t n = 0; n < outputs->count[role]; n++)
            trial_hash(k, outputs_bits(outputs, role, n));
}

static bool is_bf16(const rapt_attention_args *args) {
    return args->query.dtype == RAPT_BF16 && args->key.dtype == RAPT_BF16 &&
           args->value.dtype == RAPT_BF16;
}

static bool has_own_bits(const char *isa) {
    const rapt_isa *variant;
    return rapt_isa_choose(isa, &variant) == RAPT_OK && variant->by_name;
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
    k->hashes = is_bf16(&t.args) ? &k->report->bf16 : &k->report->others;
    k->own_bits = is_bf16(&t.args) && has_own_bits(k->isa);
    if (!oracle_attention(&t.args, &oracle)) {
        trial_fail(k, "oracle: no memory");
    } else if (trial_run_all(k, &t, &once, &first)) {
        hash_outputs(k, &first);
        compare_oracle(k, &first, &oracle);
        if (k->c->observed != OBSERVE_NONE)
            observed_compare(k, &t.args, &first, &oracle);
        if (k->c->observed == OBSERVE_ALL)
            observed_received(k, &t.args, &oracle);
        variations_check(k, &t, &first, planned);
        const bool flushed = k->own_bits && k->c->fill == FILL_SUBNORMAL;
        if (k->c->seed % 5 < 2 && parts_can_be_cut(k->c) && !flushed)
            parts_check(k, &t, &oracle);
    }
    oracle_free(&oracle);
    outputs_free(&first);
    tensors_free(&t);
}

static bool are_same(const struct verify_hashes *a, const struct verify_hashes *b,
                     enum verify_level level) {
    return a->quick == b->quick && (level == VERIFY_QUICK || a->all == b->all);
}

bool verify_agrees(const char *isa, const struct verify_report *report,
                   const struct verify_report *with, enum verify_level level) {
    return are_same(&report->others, &with->others, level) &&
           (has_own_bits(isa) || are_same(&report->bf16, &with->bf16, level));
}

int verify_run(const char *isa, uint64_t seed, enum verify_level level,
               struct verify_report *report, verify_progress progress, void *context) {
    const struct rapt_isa *variant;
    struct case_list list;
    const struct verify_hashes empty = {0xcbf29ce484222325u, 0xcbf29ce484222325u};
    *report = (struct verify_report){.others = empty, .bf16 = empty};
    if (rapt_isa_choose(isa, &variant) != RAPT_OK) {
        fprintf(stderr, "verify: %s\n", rapt_last_error());
        return -1;
    }
    if (!cases_make(&list, seed, level == VERIFY_QUICK)) {
        fprintf(stderr, "verify: no memory for the list of cases\n");
        return -1;
    }
    for (size_t n = 0; n < list.count; n++) {
        struct trial k = {
            .isa = variant->name, .seed = seed, .c = &list.items[n], .report = report};
        if (progress)
            progress(context, list.items[n].name, n, list.count);
        check_case(&k);
        report->cases++;
    }
    cases_free(&list);
    return (int)report->failures;
}
