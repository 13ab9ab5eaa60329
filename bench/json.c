/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/json.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

#include "bench/machine.h"
#include "bench/roofline.h"

static bool add_shape(cJSON *json, const struct bench_shape *s) {
    return cJSON_AddNumberToObject(json, "batch", (double)s->batch) &&
           cJSON_AddNumberToObject(json, "q_heads", (double)s->q_heads) &&
           cJSON_AddNumberToObject(json, "kv_heads", (double)s->kv_heads) &&
           cJSON_AddNumberToObject(json, "q_len", (double)s->q_len) &&
           cJSON_AddNumberToObject(json, "kv_len", (double)s->kv_len) &&
           cJSON_AddNumberToObject(json, "head_dim", (double)s->head_dim) &&
           cJSON_AddBoolToObject(json, "causal", s->causal) &&
           cJSON_AddNumberToObject(json, "q_offset", (double)s->q_offset) &&
           cJSON_AddNumberToObject(json, "window", (double)s->window) &&
           cJSON_AddNumberToObject(json, "softcap", (double)s->softcap) &&
           cJSON_AddBoolToObject(json, "sinks", s->sinks) &&
           cJSON_AddBoolToObject(json, "alibi", s->alibi) &&
           cJSON_AddBoolToObject(json, "mask", s->mask != BENCH_NO_MASK) &&
           cJSON_AddBoolToObject(json, "bshd", s->bshd) &&
           cJSON_AddBoolToObject(json, "qkv", s->qkv) &&
           cJSON_AddNumberToObject(json, "page_size", s->form == BENCH_PAGED ? BENCH_PAGE_SIZE : 0);
}

/* The figures of one run; null where a wrong result was not timed. */
static bool add_figures(cJSON *json, const struct bench_result *r) {
    const struct {
        const char *key;
        double value;
    } figures[] = {
        {"ms", 1e3 * r->time.median},
        {"min_ms", 1e3 * r->time.min},
        {"spread", r->time.spread},
        {r->of->memory ? "gbps" : "gflops", r->rate},
        {r->of->memory ? "bandwidth_gbps" : "peak_gflops", r->limit.median},
        {"share", r->share},
        {"limit_spread", r->limit.spread},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!(r->correct ? cJSON_AddNumberToObject(json, figures[i].key, figures[i].value)
                         : cJSON_AddNullToObject(json, figures[i].key)))
            return false;
    return cJSON_AddNumberToObject(json, "repetitions", r->time.count) &&
           cJSON_AddBoolToObject(json, "correct", r->correct) &&
           cJSON_AddNumberToObject(json, "max_error", r->max_error);
}

/* Where a run stands between its roofs. */
static bool add_roofline(cJSON *json, const struct bench_result *r) {
    if (!(r->roof.peak > 0))
        return true;
    const struct roofline_point p = roofline_point(r);
    cJSON *roofline = cJSON_AddObjectToObject(json, "roofline");
    return cJSON_AddNumberToObject(roofline, "flop_per_byte", p.intensity) &&
           cJSON_AddNumberToObject(roofline, "gflops", p.rate) &&
           cJSON_AddNumberToObject(roofline, "peak_gflops", r->roof.peak) &&
           cJSON_AddNumberToObject(roofline, "bandwidth_gbps", r->roof.bandwidth) &&
           cJSON_AddNumberToObject(roofline, "memory_gbps", r->roof.memory) &&
           cJSON_AddNumberToObject(roofline, "roof_gflops", p.roof) &&
           cJSON_AddNumberToObject(roofline, "share", p.share) &&
           cJSON_AddStringToObject(roofline, "bound", p.memory ? "memory" : "compute");
}

/* The lengths of ragged sequences. */
static bool add_lengths(cJSON *json, const struct bench_shape *s) {
    cJSON *q_lens = cJSON_AddArrayToObject(json, "q_lens");
    cJSON *kv_lens = cJSON_AddArrayToObject(json, "kv_lens");
    bool added = q_lens && kv_lens;
    for (int64_t b = 0; added && b < s->batch; b++)
        added = cJSON_AddItemToArray(q_lens, cJSON_CreateNumber((double)s->lengths[b].q_len)) &&
                cJSON_AddItemToArray(kv_lens, cJSON_CreateNumber((double)s->lengths[b].kv_len));
    return added;
}

/* Ratios to the case that a run was timed in turns with. */
static bool add_ratios(cJSON *json, const struct bench_result *r) {
    if (!(r->time_ratio > 0))
        return true;
    return cJSON_AddStringToObject(json, "base", r->of->base) &&
           cJSON_AddNumberToObject(json, "time_ratio", r->time_ratio) &&
           cJSON_AddNumberToObject(json, "score_time_ratio", r->score_time_ratio) &&
           (!(r->rate_ratio > 0) || cJSON_AddNumberToObject(json, "rate_ratio", r->rate_ratio));
}

static bool add_run(cJSON *runs, const struct bench_result *r) {
    cJSON *run = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(runs, run)) {
        cJSON_Delete(run);
        return false;
    }
    return cJSON_AddStringToObject(run, "case", r->of->name) &&
           cJSON_AddStringToObject(run, "isa", r->isa) &&
           cJSON_AddNumberToObject(run, "threads", r->threads) &&
           cJSON_AddNumberToObject(run, "threads_used", r->threads_used) &&
           cJSON_AddStringToObject(run, "dtype", bench_type_name(r->shape.kv_type)) &&
           cJSON_AddNumberToObject(run, "workspace_bytes", (double)r->workspace) &&
           add_figures(run, r) && add_shape(run, &r->shape) &&
           (!r->of->memory || cJSON_AddBoolToObject(run, "warm", r->of->warm)) &&
           (!r->shape.lengths || add_lengths(run, &r->shape)) && add_ratios(run, r) &&
           add_roofline(run, r);
}

/* The report as text, to be freed by the caller; NULL if there is no memory. */
static char *report_text(const struct bench_result *results, size_t count, double others) {
    cJSON *json = cJSON_CreateObject();
    cJSON *machine = machine_json(others);
    char *text = NULL;
    if (!cJSON_AddItemToObject(json, "machine", machine))
        cJSON_Delete(machine);
    cJSON *runs = cJSON_AddArrayToObject(json, "runs");
    bool complete = machine && runs;
    for (size_t i = 0; complete && i < count; i++)
        complete = add_run(runs, &results[i]);
    if (complete)
        text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

bool json_write(FILE *file, const struct bench_result *results, size_t count, double others) {
    char *text = report_text(results, count, others);
    const bool written = text && fprintf(file, "%s\n", text) > 0;
    cJSON_free(text);
    return written;
}
