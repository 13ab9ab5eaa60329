/* SPDX-License-Identifier: Apache-2.0 */
/* The results as comma-separated values (RFC 4180): a line of names, then one for each run. */
#include "bench/csv.h"

#include <inttypes.h>
#include <stdio.h>

#include "bench/roofline.h"

/* Where a run stands between its roofs; empty where that wasn't measured. */
static void write_roofline(FILE *file, const struct bench_result *r) {
    if (!(r->roof.peak > 0)) {
        fprintf(file, ",,,,,,\r\n");
        return;
    }
    const struct roofline_point p = roofline_point(r);
    fprintf(file, "%.9g,%.9g,%.9g,%.9g,%.9g,%.6g,%s\r\n", p.intensity, p.rate, r->roof.peak,
            r->roof.bandwidth, p.roof, p.share, p.memory ? "memory" : "compute");
}

static bool write_run(FILE *file, const struct bench_result *r) {
    const struct bench_shape *s = &r->shape;
    fprintf(file, "\"%s\",%s,%d,%d,%s,", r->of->name, r->isa, r->threads, r->threads_used,
            bench_type_name(s->kv_type));
    fprintf(file,
            "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%d,%" PRId64
            ",%g,%d,%d,%d,%d,%d,%d,",
            s->batch, s->q_heads, s->kv_heads, s->q_len, s->kv_len, s->head_dim, s->causal,
            s->window, (double)s->softcap, s->sinks, s->alibi, s->mask != BENCH_NO_MASK, s->bshd,
            s->qkv, r->correct);
    if (r->correct)
        fprintf(file, "%.9g,%.9g,%.6g,%.9g,%s,%.9g,%.6g,%.6g,%d,%.3g,", 1e3 * r->time.median,
                1e3 * r->time.min, r->time.spread, r->rate, r->of->memory ? "GB/s" : "GFLOP/s",
                r->limit.median, r->limit.spread, r->share, r->time.count, r->max_error);
    else
        fprintf(file, ",,,,,,,,,%.3g,", r->max_error);
    fprintf(file, "%zu,", r->workspace);
    write_roofline(file, r);
    return !ferror(file);
}

bool csv_write(FILE *file, const struct bench_result *results, size_t count) {
    bool written = fputs("case,isa,threads,threads_used,dtype,batch,q_heads,kv_heads,q_len,kv_len,"
                         "head_dim,causal,window,softcap,sinks,alibi,mask,bshd,qkv,correct,ms,min_"
                         "ms,spread,rate,"
                         "unit,limit,limit_spread,share,repetitions,max_error,workspace_bytes,"
                         "flop_per_byte,gflops,roof_peak,roof_bandwidth,roof_gflops,roof_share,"
                         "bound\r\n",
                         file) >= 0;
    for (size_t i = 0; written && i < count; i++)
        written = write_run(file, &results[i]);
    return written;
}
