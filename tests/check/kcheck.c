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
#include "variations.h"
#include "watched.h"

static uint64_t hash_bits(uint64_t hash, const struct outputs *outputs) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        for (size_t n = 0; n < outputs->count[role]; n++)
            hash = (hash ^ outputs_bits(outputs, role, n)) * 0x100000001b3u; /* FNV-1a */
    return hash;
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
        if (k->c->watch != WATCH_NONE)
            watched_compare(k, &t.args, &first, &oracle);
        if (k->c->watch == WATCH_ALL)
            watched_received(k, &t.args, &oracle);
        variations_check(k, &t, &first, planned);
        if (k->c->seed % 5 < 2 && parts_can_be_cut(k->c))
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
        struct trial k = {variant->name, seed, &list.items[n], report, false, NULL};
        if (progress)
            progress(context, list.items[n].name, n, list.count);
        check_case(&k);
        report->cases++;
    }
    cases_free(&list);
    return (int)report->failures;
}
