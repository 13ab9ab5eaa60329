/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/quantize.h"

#include <math.h>
#include <string.h>

/* The largest magnitude; NaN if any number isn't finite. */
static float largest(const float *src, int64_t n) {
    const int32_t infinity = 0x7f800000;
    int32_t most = 0; /* as bits, which are ordered as the magnitudes are, and NaNs above them */
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, src + i, sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    float magnitude;
    memcpy(&magnitude, &most, sizeof magnitude);
    return most < infinity ? magnitude : NAN;
}

float rapt_quantize_i8(int8_t *dst, const float *src, int64_t n) {
    const float scale = largest(src, n) / 127;
    if (!(scale > 0)) { /* also 0, where all that there is underflows */
        memset(dst, 0, (size_t)n);
        return scale;
    }
    /* Adding and taking away what leaves no bits after the point rounds to nearest, ties to even.
     * The scale itself is rounded, which among subnormals can take a quotient beyond 127. */
    const float whole = 0x1.8p23f;
    for (int64_t i = 0; i < n; i++) {
        int32_t q = (int32_t)(src[i] / scale + whole - whole);
        q = q < 127 ? q : 127;
        q = q > -127 ? q : -127;
        dst[i] = (int8_t)q;
    }
    return scale;
}

void rapt_quantize_q8_0(const struct rapt_kernels *kernels, void *dst, const float *src,
                        int64_t n) {
    const int64_t block = rapt_dtype_block(RAPT_Q8_0), size = rapt_dtype_size(RAPT_Q8_0);
    for (char *to = dst; n > 0; to += size, src += block, n -= block) {
        int8_t *elements = (int8_t *)to + size - block;
        const float scale = rapt_quantize_i8(elements, src, block);
        kernels->narrow(to, &scale, RAPT_F16, 1);
    }
}
