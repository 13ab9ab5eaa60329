/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of a case: one-shot, planned, in slices. */
#include "oracle/trial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rapt/rapt.h>

enum { WORKSPACE_BYTE = 0xff, SLICES_MAX = 16 }; /* what a run finds in its workspace: NaN */

void trial_fail(struct trial *k, const char *format, ...) {
    if (k->failed)
        return;
    k->failed = true;
    k->report->failures++;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "verify: %s, seed %" PRIu64 ", case \"%s\": ", k->isa, k->seed, k->c->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void trial_hash(struct trial *k, uint32_t bits) {
    const uint64_t prime = 0x100000001b3u; /* FNV-1a */
    k->hashes->all = (k->hashes->all ^ bits) * prime;
    if (k->c->quick)
        k->hashes->quick = (k->hashes->quick ^ bits) * prime;
}

struct trial_row trial_row_of(const struct attention_case *c, size_t row) {
    int64_t left = (int64_t)row;
    int b = 0;
    while (left >= c->q_heads * cases_queries(c, b))
        left -= c->q_heads * cases_queries(c, b++);
    const int64_t queries = cases_queries(c, b);
    return (struct trial_row){b, left / queries, left % queries};
}

const char *trial_place(const struct trial *k, enum tensor_role role, size_t index, char *text,
                        size_t size) {
    const int several[TENSOR_COUNT] = {
        [TENSOR_OUT] = k->c->value_dim,    [TENSOR_WEIGHTS] = k->c->kv_len,
        [TENSOR_SEGMENTS] = CASE_SEGMENTS, [TENSOR_DIAGONALS] = CASE_DIAGONALS,
        [TENSOR_TOP_WEIGHT] = CASE_TOP,    [TENSOR_TOP_KEY] = CASE_TOP};
    const size_t channels = several[role] > 0 ? (size_t)several[role] : 1;
    const struct trial_row row = trial_row_of(k->c, index / channels);
    snprintf(text, size, "%s[%d,%" PRId64 ",%" PRId64 ",%zu]", tensors_name(role), row.sequence,
             row.head, row.query, index % channels);
    return text;
}

/* All slices, in any order, twice: a run leaves the workspace fit for the next. */
static rapt_status run_slices(const struct trial *k, const rapt_plan *plan,
                              const rapt_attention_data *data, int slices, void *workspace,
                              size_t size) {
    uint64_t seed = k->c->seed;
    int order[SLICES_MAX];
    for (int n = 0; n < slices; n++) {
        const int at = (int)(cases_random(&seed) % (uint64_t)(n + 1));
        order[n] = order[at];
        order[at] = n;
    }
    rapt_status status = RAPT_OK;
    for (int n = 0; n < 2 * slices && status == RAPT_OK; n++) {
        if (n == slices && k->tensors)
            outputs_clear(k->tensors);
        status = rapt_plan_run_slice(plan, data, order[n % slices], slices, workspace, size);
    }
    return status;
}

/* A run, in slices unless there are 0, with a workspace between forbidden pages. */
static rapt_status run_guarded(const struct trial *k, const rapt_plan *plan,
                               const rapt_attention_data *data, int slices, bool *intact) {
    struct guard workspace;
    const size_t size =
        slices ? rapt_plan_slices_workspace_size(plan, slices) : rapt_plan_workspace_size(plan);
    if (!guard_alloc(&workspace, size, GUARD_AFTER, slices ? 0 : WORKSPACE_BYTE))
        return RAPT_OUT_OF_MEMORY;
    const rapt_status status = slices ? run_slices(k, plan, data, slices, workspace.data, size)
                                      : rapt_plan_run(plan, data, workspace.data, size);
    *intact = *intact && guard_intact(&workspace);
    guard_free(&workspace);
    return status;
}

/* A plan for as many keys as any sequence may have, whose run brings the numbers. */
static void bring_numbers(const struct trial *k, rapt_attention_args *form, int64_t *capacity,
                          rapt_attention_data *data) {
    static const int64_t starts[CASE_BATCH_MAX];
    data->kv_len = form->kv_len;
    data->kv_start = form->kv_start;
    data->q_offset = form->q_offset;
    data->mask_start = form->mask_start;
    data->block_table = form->block_table;
    for (int b = 0; form->block_table && b < CASE_BATCH_MAX; b++) {
        const int64_t room = form->block_table_stride * form->key.shape[2];
        capacity[b] = k->c->kv_len < room ? k->c->kv_len : room;
    }
    form->kv_len = form->block_table ? capacity : NULL;
    form->mask_start = form->mask_start ? starts : NULL;
    form->kv_start = form->q_offset = NULL;
    form->block_table = NULL;
}

static rapt_status run_planned(const struct trial *k, const rapt_attention_args *args, int slices,
                               bool *intact) {
    rapt_attention_args form = *args;
    int64_t capacity[CASE_BATCH_MAX];
    for (int role = 0; role < TENSOR_COUNT; role++)
        tensors_view(&form, role)->data = NULL;
    rapt_attention_data data = rapt_attention_data_of(args);
    if (k->c->seed >> 9 & 1)
        bring_numbers(k, &form, capacity, &data);
    rapt_plan *plan;
    rapt_status status = rapt_plan_create(&form, &plan);
    if (status == RAPT_OK)
        status = run_guarded(k, plan, &data, slices, intact);
    rapt_plan_destroy(plan);
    return status;
}

bool trial_run(struct trial *k, rapt_attention_args args, const struct mode *mode) {
    bool intact = true;
    args.isa = k->isa;
    args.threads = mode->threads;
    const rapt_status status =
        mode->planned ? run_planned(k, &args, mode->slices, &intact) : rapt_attention(&args);
    if (status != RAPT_OK)
        trial_fail(k, "%s: %s (%s)", mode->what, rapt_status_text(status), rapt_last_error());
    else if (!intact)
        trial_fail(k, "%s: wrote before its workspace", mode->what);
    return status == RAPT_OK && intact;
}

bool trial_collect(struct trial *k, struct tensors *t, uint64_t before, const char *what,
                   struct outputs *outputs) {
    if (tensors_checksum(t) != before)
        trial_fail(k, "%s: an input was modified", what);
    else if (!outputs_collect(t, outputs))
        trial_fail(k, "%s: no memory", what);
    else if (!outputs_are_intact(t))
        trial_fail(k, "%s: wrote between or beside the elements of an output", what);
    return !k->failed;
}

bool trial_run_all(struct trial *k, struct tensors *t, const struct mode *mode,
                   struct outputs *outputs) {
    const uint64_t before = tensors_checksum(t);
    outputs_clear(t);
    k->tensors = t;
    const bool done = trial_run(k, t->args, mode);
    k->tensors = NULL;
    return done && trial_collect(k, t, before, mode->what, outputs);
}
