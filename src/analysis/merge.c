/* SPDX-License-Identifier: Apache-2.0 */
/* Joins partial results by their LSEs: the order of the sum is that of the parts. */
#include <math.h>

#include "src/check/check.h"
#include "simd/dispatch.h"
#include "src/run/run.h"
#include "src/base/tensor.h"
#include "src/base/environment.h"

static const float log2_e = 0x1.715476p+0f;

struct merge {
    int count;
    const rapt_tensor *outs, *lses, *out, *lse;
    const struct rapt_kernels *kernels;
};

static float *at(const rapt_tensor *t, int64_t b, int64_t h, int64_t s) {
    return (float *)t->data + rapt_row_offset(t, b, h, s);
}

/* The weight of a part before all are divided by their sum; 0 for an empty part. */
static float factor_of(const struct merge *m, float lse, float top) {
    float factor = 0, x = (lse - top) * log2_e;
    if (lse != -INFINITY)
        m->kernels->exp2(&factor, &x, 1);
    return factor;
}

/* sum += factor * part, over channels that needn't be dense. */
static void add_part(const struct merge *m, float *sum, const float *part, int64_t step,
                     float factor) {
    const int64_t channels = m->out->shape[3], to = m->out->stride[3];
    if (channels == 1 || (step == 1 && to == 1))
        m->kernels->accumulate(sum, part, factor, channels);
    else
        for (int64_t c = 0; c < channels; c++)
            m->kernels->accumulate(sum + c * to, part + c * step, factor, 1);
}

static void merge_row(const struct merge *m, int64_t b, int64_t h, int64_t s) {
    const int64_t channels = m->out->shape[3], to = m->out->stride[3];
    float *out = at(m->out, b, h, s);
    float top = -INFINITY, total = 0, log_total = 0;
    for (int64_t c = 0; c < channels; c++)
        out[c * to] = 0;
    for (int i = 0; i < m->count; i++) {
        const float lse = *at(&m->lses[i], b, h, s);
        top = lse > top ? lse : top;
    }
    for (int i = 0; i < m->count; i++) {
        const float lse = *at(&m->lses[i], b, h, s), factor = factor_of(m, lse, top);
        total += factor;
        if (lse != -INFINITY)
            add_part(m, out, at(&m->outs[i], b, h, s), m->outs[i].stride[3], factor);
    }
    const bool any = total != 0;
    for (int64_t c = 0; any && c < channels; c += to == 1 ? channels : 1)
        m->kernels->rescale(out + c * to, 1 / total, to == 1 ? channels : 1);
    if (m->lse->dtype == RAPT_NONE)
        return;
    m->kernels->log(&log_total, &total, 1);
    float *lse = at(m->lse, b, h, s);
    *lse = any ? top + log_total : -INFINITY;
    m->kernels->rescale(lse, 1, 1); /* the one NaN */
}

rapt_status rapt_merge(int count, const rapt_tensor *outs, const rapt_tensor *lses,
                       const rapt_tensor *out, const rapt_tensor *lse) {
    const rapt_status status = rapt_check_merge(count, outs, lses, out, lse);
    if (status != RAPT_OK || rapt_is_empty(out))
        return status;
    const struct merge m = {count, outs, lses, out, lse, rapt_kernels_best()};
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int64_t b = 0; b < out->shape[0]; b++)
        for (int64_t h = 0; h < out->shape[1]; h++)
            for (int64_t s = 0; s < out->shape[2]; s++)
                merge_row(&m, b, h, s);
    rapt_leave_environment(&callers);
    return RAPT_OK;
}
