/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of rows of tables. */
#include <rapt/embed.h>

#include <inttypes.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "simd/dispatch.h"
#include "src/base/convert.h"
#include "src/run/run.h"
#include "src/base/environment.h"

enum { CHUNK = 256 }; /* channels that are summed at a time */

/* A table, its numbers, and that it isn't written. */
static rapt_status check_table(int i, const rapt_tensor *table, const int64_t *ids,
                               const rapt_tensor *out, const struct rapt_place *to) {
    struct rapt_place place;
    const int64_t batch = out->shape[0], tokens = out->shape[2], rows = table->shape[2];
    const int64_t shape[4] = {1, 1, rows, out->shape[3]};
    TRY(rapt_check_floats("tables", table, shape, false, &place));
    if (rapt_places_meet(to, &place))
        return INVALID("out: its memory overlaps that of tables[%d], expected memory of its own",
                       i);
    if (!ids && rows < tokens)
        return INVALID("tables[%d]: shape[2] (positions) is %" PRId64 ", expected %" PRId64
                       " or more without ids",
                       i, rows, tokens);
    for (int64_t t = 0; ids && t < batch * tokens; t++)
        if (ids[t] < 0 || ids[t] >= rows)
            return INVALID("ids[%d][%" PRId64 "]: found %" PRId64 ", expected 0 to %" PRId64, i, t,
                           ids[t], rows - 1);
    return RAPT_OK;
}

static rapt_status check_args(int count, const rapt_tensor *tables, const int64_t *const *ids,
                              const rapt_tensor *out) {
    if (count < 1)
        return INVALID("count: found %d, expected 1 or more", count);
    if (!tables || !ids)
        return INVALID("%s: found NULL, expected one for each table", !tables ? "tables" : "ids");
    struct rapt_place to;
    TRY(rapt_check_floats("out", out, NULL, true, &to));
    if (out->shape[1] != 1)
        return INVALID("out: shape[1] (heads) is %" PRId64 ", expected 1", out->shape[1]);
    for (int i = 0; i < count; i++)
        TRY(check_table(i, &tables[i], ids[i], out, &to));
    return RAPT_OK;
}

/* n channels of a token, from `first` on. */
static void sum_rows(const struct rapt_kernels *kernels, int count, const rapt_tensor *tables,
                     const int64_t *const *ids, int64_t token, int64_t position, int64_t first,
                     int64_t n, float *sum) {
    float part[CHUNK];
    for (int i = 0; i < count; i++) {
        const rapt_tensor *t = &tables[i];
        const int64_t row = ids[i] ? ids[i][token] : position;
        rapt_read_row(kernels, i == 0 ? sum : part, t, row * t->stride[2] + first * t->stride[3], 1,
                      n);
        if (i > 0)
            kernels->accumulate(sum, part, 1, n);
    }
    kernels->rescale(sum, 1, n); /* the one NaN */
}

rapt_status rapt_embed(int count, const rapt_tensor *tables, const int64_t *const *ids,
                       const rapt_tensor *out) {
    TRY(check_args(count, tables, ids, out));
    const struct rapt_kernels *kernels = rapt_kernels_best();
    const int64_t tokens = out->shape[2], channels = out->shape[3];
    float sum[CHUNK];
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int64_t t = 0; t < out->shape[0] * tokens; t++) {
        const int64_t row = rapt_row_offset(out, t / tokens, 0, t % tokens);
        for (int64_t c = 0; c < channels; c += CHUNK) {
            const int64_t n = channels - c < CHUNK ? channels - c : CHUNK;
            sum_rows(kernels, count, tables, ids, t, t % tokens, c, n, sum);
            rapt_write_row(kernels, sum, out, row + c * out->stride[3], n);
        }
    }
    rapt_leave_environment(&callers);
    return RAPT_OK;
}
