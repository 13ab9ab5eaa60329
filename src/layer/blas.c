/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layer/blas.h"

#if RAPT_HAVE_CBLAS

#    include <cblas.h>
#    include <limits.h>

#    include "src/plan/plan.h"
#    include "src/base/convert.h"

enum { BIASES = 32 }; /* that are read at a time; the scratch has room for more */

/* Whether a tensor's rows, of all batches, are those of a matrix as BLAS describes one. */
static bool is_matrix(const rapt_tensor *t) {
    const int64_t rows = t->shape[0] * t->shape[2];
    return t->dtype == RAPT_F32 && (t->shape[3] == 1 || t->stride[3] == 1) &&
           (t->shape[0] == 1 || t->stride[0] == t->shape[2] * t->stride[2]) &&
           t->stride[2] >= t->shape[3] && t->stride[2] <= INT_MAX && rows <= INT_MAX &&
           t->shape[3] <= INT_MAX;
}

static bool meet(const rapt_tensor *a, const rapt_tensor *b) {
    struct rapt_span span_a, span_b;
    if (!rapt_tensor_span(a, &span_a) || !rapt_tensor_span(b, &span_b))
        return true;
    const uintptr_t from_a = (uintptr_t)a->data, from_b = (uintptr_t)b->data;
    return from_a < from_b + (uintptr_t)span_b.last && from_b < from_a + (uintptr_t)span_a.last;
}

static bool suits(const struct rapt_projections *all) {
    if (!all->projection[0].gathers) /* the input is in lanes already */
        return false;
    for (int i = 0; i < all->count; i++) {
        const struct rapt_projection *p = &all->projection[i];
        if (p->lanes || !is_matrix(&p->in) || !is_matrix(&p->weight) || !is_matrix(&p->out))
            return false;
        for (int k = 0; k < all->count; k++)
            if (meet(&p->out, &all->projection[k].in))
                return false;
    }
    return true;
}

/* What comes after the products, for one token. */
static void finish_row(const struct rapt_kernels *kernels, const struct rapt_projection *p,
                       float *out, float *bias) {
    const int64_t rows = p->weight.shape[2];
    for (int64_t row = 0; p->bias.dtype != RAPT_NONE && row < rows; row += BIASES) {
        const int64_t n = rapt_min(BIASES, rows - row);
        rapt_read_row(kernels, bias, &p->bias, row * p->bias.stride[3], 1, n);
        for (int64_t i = 0; i < n; i++)
            out[row + i] += bias[i];
    }
    if (p->gelu)
        kernels->gelu(out, rows);
}

bool rapt_blas_run(const struct rapt_projections *all, float *scratch) {
    if (!suits(all))
        return false;
    for (int i = 0; i < all->count; i++) {
        const struct rapt_projection *p = &all->projection[i];
        const int64_t tokens = p->in.shape[0] * p->in.shape[2];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)tokens, (int)p->weight.shape[2],
                    (int)p->weight.shape[3], 1, p->in.data, (int)p->in.stride[2], p->weight.data,
                    (int)p->weight.stride[2], 0, p->out.data, (int)p->out.stride[2]);
        for (int64_t token = 0; token < tokens; token++)
            finish_row(all->kernels, p, (float *)p->out.data + token * p->out.stride[2], scratch);
    }
    return true;
}

#else

bool rapt_blas_run(const struct rapt_projections *all, float *scratch) {
    (void)all;
    (void)scratch;
    return false;
}

#endif
