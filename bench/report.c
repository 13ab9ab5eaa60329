/* SPDX-License-Identifier: Apache-2.0 */
/* The results, as a table to read and as JSON to keep. */
#include "bench.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

void bench_table_head(const char *isa, int threads, int name_width) {
    printf("\n%s, %d thread%s\n", isa, threads, threads == 1 ? "" : "s");
    printf("%-*s queries       ms GFLOP/s    peak  share spread  error\n", name_width, "case");
}

void bench_table_row(const struct bench_result *r, int name_width) {
    char queries[32];
    snprintf(queries, sizeof queries, "%" PRId64 "%s", r->shape.q_len, r->cut ? "*" : "");
    printf("%-*s %7s", name_width, r->name, queries);
    if (!r->correct) {
        printf(" WRONG: %s\n", r->failure);
        return;
    }
    const double ms = 1e3 * r->time.median;
    printf(" %8.*f %7.1f %7.1f %5.1f%% %5.1f%% %6.0e\n", ms < 10 ? 3 : 2, ms, r->gflops,
           r->peak.median, 100 * r->share, 100 * r->time.spread, r->max_error);
}

static bool add_shape(cJSON *json, const struct bench_shape *s) {
    return cJSON_AddNumberToObject(json, "batch", (double)s->batch) &&
           cJSON_AddNumberToObject(json, "q_heads", (double)s->q_heads) &&
           cJSON_AddNumberToObject(json, "kv_heads", (double)s->kv_heads) &&
           cJSON_AddNumberToObject(json, "q_len", (double)s->q_len) &&
           cJSON_AddNumberToObject(json, "kv_len", (double)s->kv_len) &&
           cJSON_AddNumberToObject(json, "head_dim", (double)s->head_dim) &&
           cJSON_AddBoolToObject(json, "causal", s->causal) &&
           cJSON_AddNumberToObject(json, "q_offset", (double)s->q_offset);
}

/* The figures of one run; null where a wrong result was not timed. */
static bool add_figures(cJSON *json, const struct bench_result *r) {
    const struct {
        const char *key;
        double value;
    } figures[] = {
        {"ms", 1e3 * r->time.median}, {"min_ms", 1e3 * r->time.min},   {"spread", r->time.spread},
        {"gflops", r->gflops},        {"peak_gflops", r->peak.median}, {"share", r->share},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!(r->correct ? cJSON_AddNumberToObject(json, figures[i].key, figures[i].value)
                         : cJSON_AddNullToObject(json, figures[i].key)))
            return false;
    return cJSON_AddNumberToObject(json, "repetitions", r->time.count) &&
           cJSON_AddBoolToObject(json, "correct", r->correct) &&
           cJSON_AddNumberToObject(json, "max_error", r->max_error);
}

static bool add_run(cJSON *runs, const struct bench_result *r) {
    cJSON *run = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(runs, run)) {
        cJSON_Delete(run);
        return false;
    }
    return cJSON_AddStringToObject(run, "case", r->name) &&
           cJSON_AddStringToObject(run, "isa", r->isa) &&
           cJSON_AddNumberToObject(run, "threads", r->threads) &&
           cJSON_AddNumberToObject(run, "threads_used", r->threads_used) &&
           cJSON_AddStringToObject(run, "dtype", "f32") && add_figures(run, r) &&
           add_shape(run, &r->shape);
}

/* The report as text, to be freed by the caller; NULL if there is no memory. */
static char *report_text(const struct bench_result *results, size_t count, double others) {
    cJSON *json = cJSON_CreateObject();
    cJSON *machine = bench_machine(others);
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

bool bench_json_write(FILE *file, const struct bench_result *results, size_t count, double others) {
    char *text = report_text(results, count, others);
    const bool written = text && fprintf(file, "%s\n", text) > 0;
    cJSON_free(text);
    return written;
}
