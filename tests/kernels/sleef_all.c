/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp2 of every available variant on all 2^31 floats with a sign, on 0 and on all NaNs. They are
 * held against libsleef's exp2f_u35, or 0 from -125.5 down. It takes minutes, so it isn't among the
 * tests. Run it by hand after a change of exp2.inc or of a vector header:
 *
 *     ninja -C build tests/sleef_all && build/tests/sleef_all
 *
 * Exit status: 0 if all bits agree, 1 if not, 77 on a machine without FMA.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simd/cpu.h"
#include "simd/dispatch.h"

/* sleef.h shows it only to units that are compiled for FMA. */
float Sleef_finz_exp2f1_u35purecfma(float a);

enum { CHUNK = 1 << 12 };

/* How many of the floats with these consecutive bits differ, on all variants together. */
static int64_t compare(uint32_t first) {
    static float x[CHUNK], y[CHUNK], expected[CHUNK];
    int64_t wrong = 0;
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (uint32_t i = 0; i < CHUNK; i++) {
        const uint32_t bits = first + i;
        memcpy(&x[i], &bits, sizeof bits);
        expected[i] = x[i] <= -125.5f ? 0 : Sleef_finz_exp2f1_u35purecfma(x[i]);
    }
    for (int v = 0; v < count; v++) {
        if (!variants[v].available)
            continue;
        variants[v].kernels->exp2(y, x, CHUNK);
        for (int i = 0; i < CHUNK; i++) {
            if (memcmp(&y[i], &expected[i], sizeof(float)) == 0 ||
                (isnan(y[i]) && isnan(expected[i])))
                continue;
            if (wrong++ < 4)
                printf("%s: exp2(%a) is %a, expected %a\n", variants[v].kernels->name, (double)x[i],
                       (double)y[i], (double)expected[i]);
        }
    }
    return wrong;
}

int main(void) {
    if (!(rapt_cpu_detect() & RAPT_CPU_FMA)) {
        puts("skipped: this machine has no FMA");
        return 77;
    }
    int64_t wrong = 0, done = 0;
    for (uint64_t bits = 0x80000000; bits < UINT64_C(1) << 32; bits += CHUNK, done += CHUNK)
        wrong += compare((uint32_t)bits);
    /* The NaNs without a sign, and a chunk that begins with 0: 0 and subnormals, which give 1. */
    for (uint64_t bits = 0x7f800001; bits < 0x80000000; bits += CHUNK, done += CHUNK)
        wrong += compare((uint32_t)bits);
    wrong += compare(0);
    printf("%" PRId64 " floats, %" PRId64 " wrong\n", done + CHUNK, wrong);
    return wrong != 0;
}
