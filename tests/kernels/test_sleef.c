/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp2 of every variant has the bits of libsleef's exp2f_u35 (its scalar FMA function) above
 * -125.5, and is 0 from there down. This is a sample of some millions; sleef_all.c goes through all
 * floats.
 */
#include <math.h>

#include "simd/cpu.h"
#include "simd/dispatch.h"
#include "tests/support/helpers.h"

/* sleef.h shows it only to units that are compiled for FMA. */
float Sleef_finz_exp2f1_u35purecfma(float a);

enum { CHUNK = 4099 }; /* not a multiple of any vector, so the tails are tested too */

static float from_bits(uint32_t b) {
    float a;
    memcpy(&a, &b, sizeof a);
    return a;
}

static bool same(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void need_fma(void) {
    if (!(rapt_cpu_detect() & RAPT_CPU_FMA))
        cr_skip_test("this machine has no FMA");
}

static void expect_exp2(const float *x, int n) {
    static float y[CHUNK + 1];
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int v = 0; v < count; v++) {
        if (!variants[v].available)
            continue;
        memset(y, CANARY, sizeof y);
        const float behind = y[n];
        variants[v].kernels->exp2(y, x, n);
        for (int i = 0; i < n; i++) {
            const float expected = x[i] <= -125.5f ? 0 : Sleef_finz_exp2f1_u35purecfma(x[i]);
            cr_assert(same(y[i], expected), "%s: exp2(%a) is %a, SLEEF's is %a",
                      variants[v].kernels->name, x[i], y[i], expected);
        }
        cr_assert(same(y[n], behind), "%s wrote too far", variants[v].kernels->name);
    }
}

TestSuite(exp2, .init = need_fma);

/* For each exponent the ends of its range and random floats between. */
Test(exp2, every_exponent) {
    static float x[CHUNK];
    uint64_t seed = 1;
    for (uint32_t exponent = 0; exponent < 256; exponent++) {
        for (int i = 0; i < CHUNK; i++) {
            const uint32_t fraction = i < 16   ? (uint32_t)i
                                      : i < 32 ? 0x7fffff - (uint32_t)(i - 16)
                                               : next_random(&seed) >> 9;
            x[i] = from_bits(0x80000000 | exponent << 23 | fraction);
        }
        expect_exp2(x, CHUNK);
    }
}

/* What matters to a softmax: 0 down to where the result vanishes, evenly. */
Test(exp2, the_range_of_softmax) {
    static float x[CHUNK];
    for (int part = 0; part < 400; part++) {
        for (int i = 0; i < CHUNK; i++)
            x[i] = -152.0f * (float)(part * CHUNK + i) / (float)(400 * CHUNK);
        expect_exp2(x, CHUNK);
    }
}

/* Ties of the rounding to an integer and their neighbours, and where the result becomes 0. */
Test(exp2, halves_integers_and_the_smallest_results) {
    static float x[CHUNK];
    for (int half = 0; half <= 2 * 155; half++) {
        const uint32_t middle = half ? (uint32_t)0 : 0x80000000;
        float tie = -(float)half / 2;
        for (int i = 0; i < CHUNK; i++) {
            uint32_t b;
            memcpy(&b, &tie, sizeof b);
            x[i] = half ? from_bits(b + (uint32_t)i - CHUNK / 2) : from_bits(middle + (uint32_t)i);
        }
        expect_exp2(x, CHUNK);
    }
    for (int part = 0; part < 64; part++) {
        for (int i = 0; i < CHUNK; i++)
            x[i] = -124 - 27.0f * (float)(part * CHUNK + i) / (float)(64 * CHUNK);
        expect_exp2(x, CHUNK);
    }
}

Test(exp2, special_values) {
    const float x[] = {0.0f,   -0.0f,      -INFINITY,  NAN,     -NAN,   -0x1p-149f,      -0x1p-126f,
                       -150.f, -149.9999f, -150.0001f, -151.0f, -1e38f, -0x1.fffffep127f};
    const int n = sizeof x / sizeof *x;
    for (int count = 0; count <= n; count++)
        expect_exp2(x, count);
    float y[2];
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int v = 0; v < count; v++) {
        if (!variants[v].available)
            continue;
        variants[v].kernels->exp2(y, (const float[]){0.0f, -INFINITY}, 2);
        cr_expect(same(y[0], 1.0f) && same(y[1], 0.0f), "%s", variants[v].kernels->name);
    }
}
