/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp2, log, sine and cosine of every available variant against libsleef's scalar functions, on all
 * floats that they are for and on all NaNs. It takes minutes, so it isn't among the tests. Run it
 * by hand after a change of these functions or of a vector header:
 *
 *     ninja -C build tests/sleef_all && build/tests/sleef_all
 *
 * Exit status: 0 if all bits agree, 1 if not, 77 on a machine without FMA.
 */
#include <inttypes.h>
#include <math.h>
#include <sleef.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "simd/cpu.h"
#include "simd/dispatch.h"

/* sleef.h shows them only to units that are compiled for FMA. */
float Sleef_finz_exp2f1_u35purecfma(float a);
float Sleef_finz_logf1_u10purecfma(float a);
Sleef_float_2 Sleef_finz_sincosf1_u10purecfma(float a);

enum { CHUNK = 1 << 12 };

/* One function: whether it is for a float, ours of a chunk, and SLEEF's of a float. */
struct function {
    const char *name;
    bool (*takes)(float a);
    void (*ours)(const struct rapt_kernels *kernels, float *y, const float *x);
    float (*sleef)(float a);
};

static bool takes_negative(float a) {
    return !(a > 0);
}
static bool takes_all(float a) {
    (void)a;
    return true;
}
static bool takes_angle(float a) {
    return !(fabsf(a) > 3.2f);
}

static void our_exp2(const struct rapt_kernels *kernels, float *y, const float *x) {
    kernels->exp2(y, x, CHUNK);
}
static void our_log(const struct rapt_kernels *kernels, float *y, const float *x) {
    kernels->log(y, x, CHUNK);
}
static void our_sine(const struct rapt_kernels *kernels, float *y, const float *x) {
    float cosines[CHUNK];
    kernels->sincos(y, cosines, x, CHUNK);
}
static void our_cosine(const struct rapt_kernels *kernels, float *y, const float *x) {
    float sines[CHUNK];
    kernels->sincos(sines, y, x, CHUNK);
}

static float sleef_exp2(float a) {
    return a <= -125.5f ? 0 : Sleef_finz_exp2f1_u35purecfma(a);
}
static float sleef_sine(float a) {
    return Sleef_finz_sincosf1_u10purecfma(a).x;
}
static float sleef_cosine(float a) {
    return Sleef_finz_sincosf1_u10purecfma(a).y;
}

static const struct function functions[] = {
    {"exp2", takes_negative, our_exp2, sleef_exp2},
    {"log", takes_all, our_log, Sleef_finz_logf1_u10purecfma},
    {"sine", takes_angle, our_sine, sleef_sine},
    {"cosine", takes_angle, our_cosine, sleef_cosine},
};

/* How many of the floats with these consecutive bits differ, on all variants together. */
static int64_t compare(const struct function *f, uint32_t first) {
    static float x[CHUNK], y[CHUNK], expected[CHUNK];
    int64_t wrong = 0;
    int count, taken = 0;
    for (uint32_t i = 0; i < CHUNK; i++) {
        const uint32_t bits = first + i;
        memcpy(&x[i], &bits, sizeof bits);
        if (!f->takes(x[i]))
            x[i] = 0;
        else
            taken++;
        expected[i] = f->sleef(x[i]);
    }
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int v = 0; v < count && taken > 0; v++) {
        if (!variants[v].available)
            continue;
        f->ours(variants[v].kernels, y, x);
        for (int i = 0; i < CHUNK; i++) {
            if (memcmp(&y[i], &expected[i], sizeof(float)) == 0 ||
                (isnan(y[i]) && isnan(expected[i])))
                continue;
            if (wrong++ < 4)
                printf("%s: %s(%a) is %a, expected %a\n", variants[v].kernels->name, f->name,
                       (double)x[i], (double)y[i], (double)expected[i]);
        }
    }
    return wrong;
}

int main(void) {
    if (!(rapt_cpu_detect() & RAPT_CPU_FMA)) {
        puts("skipped: this machine has no FMA");
        return 77;
    }
    int64_t wrong = 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        int64_t here = 0;
        for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += CHUNK)
            here += compare(&functions[i], (uint32_t)bits);
        printf("%s: %" PRId64 " wrong\n", functions[i].name, here);
        fflush(stdout);
        wrong += here;
    }
    return wrong != 0;
}
