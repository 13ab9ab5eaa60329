/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of every variant have the bits of libsleef's (its scalar FMA functions); but exp2
 * is 0 from -125.5 down. These are samples of some millions; sleef_all.c goes through all floats.
 */
#include <math.h>
#include <sleef.h>
#include <stddef.h>

#include "simd/cpu.h"
#include "tests/kernels/all_vec_ops.h"
#include "tests/support/helpers.h"

/* sleef.h shows them only to units that are compiled for FMA. */
float Sleef_finz_exp2f1_u35purecfma(float a);
float Sleef_finz_logf1_u10purecfma(float a);
float Sleef_finz_tanhf1_u35purecfma(float a);
Sleef_float_2 Sleef_finz_sincosf1_u10purecfma(float a);

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

typedef void vector_function(float *y, const float *a);

/* A function of all vector headers against SLEEF's, on floats of every exponent up to a size. */
static void expect_function(size_t member, float (*expected)(float), float most) {
    uint64_t seed = 2;
    for (uint32_t i = 0; i < 512 * CHUNK; i += LANES_MAX) {
        lanes a, y;
        for (uint32_t k = 0; k < LANES_MAX; k++) {
            const uint32_t fraction = i / 512 ? next_random(&seed) >> 9 : k / 8 * 0x7fffff ^ k % 8;
            const float x = from_bits((i / LANES_MAX % 512) << 23 | fraction);
            a[k] = fabsf(x) <= most || most == INFINITY ? x : most * random_float(&seed);
        }
        FOR_EACH_VARIANT(ops) {
            vector_function *function;
            memcpy(&function, (const char *)ops + member, sizeof function);
            for (int k = 0; k < LANES_MAX; k += ops->lanes) {
                lanes part;
                memcpy(part, a + k, (size_t)ops->lanes * sizeof(float));
                function(y, part);
                for (int j = 0; j < ops->lanes; j++)
                    cr_assert(same(y[j], expected(part[j])), "%s at %a is %a, expected %a",
                              ops->name, part[j], y[j], expected(part[j]));
            }
        }
    }
}

/* Ours loses the sign of zero. */
static float sleef_tanh(float a) {
    return Sleef_finz_tanhf1_u35purecfma(a) + 0.0f;
}
static float sleef_sine(float a) {
    return Sleef_finz_sincosf1_u10purecfma(a).x;
}
static float sleef_cosine(float a) {
    return Sleef_finz_sincosf1_u10purecfma(a).y;
}

TestSuite(functions, .init = need_fma);

Test(functions, log) {
    expect_function(offsetof(struct vec_ops, log), Sleef_finz_logf1_u10purecfma, INFINITY);
}

Test(functions, tanh) {
    expect_function(offsetof(struct vec_ops, tanh), sleef_tanh, INFINITY);
}

/* Up to half a turn: RoPE's angles are less. */
Test(functions, sine) {
    expect_function(offsetof(struct vec_ops, sine), sleef_sine, 3.2f);
}

Test(functions, cosine) {
    expect_function(offsetof(struct vec_ops, cosine), sleef_cosine, 3.2f);
}
