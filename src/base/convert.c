/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/convert.h"

#include <string.h>

#include "src/base/tensor.h"

enum { CHUNK = 64 }; /* elements that are made dense at a time */

void rapt_read_row(const struct rapt_kernels *kernels, float *dst, const rapt_tensor *t, int64_t at,
                   float scale, int64_t n) {
    const char *from = rapt_element(t, at);
    if (n == 1 || t->stride[3] == 1) {
        kernels->widen(dst, from, t->dtype, scale, n);
        return;
    }
    const size_t size = (size_t)rapt_dtype_size(t->dtype);
    const int64_t step = t->stride[3] * (int64_t)size;
    _Alignas(float) char dense[CHUNK * sizeof(float)];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t count = n - i < CHUNK ? n - i : CHUNK;
        for (int64_t k = 0; k < count; k++)
            memcpy(dense + (size_t)k * size, from + (i + k) * step, size);
        kernels->widen(dst + i, dense, t->dtype, scale, count);
    }
}

void rapt_write_row(const struct rapt_kernels *kernels, const float *src, const rapt_tensor *t,
                    int64_t at, int64_t n) {
    const size_t size = (size_t)rapt_dtype_size(t->dtype);
    char *to = (char *)t->data + at * (int64_t)size;
    const int64_t step = t->stride[3] * (int64_t)size;
    if (n == 1 || t->stride[3] == 1) {
        kernels->narrow(to, src, t->dtype, n);
        return;
    }
    _Alignas(float) char dense[CHUNK * sizeof(float)];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t count = n - i < CHUNK ? n - i : CHUNK;
        kernels->narrow(dense, src + i, t->dtype, count);
        for (int64_t k = 0; k < count; k++)
            memcpy(to + (i + k) * step, dense + (size_t)k * size, size);
    }
}
