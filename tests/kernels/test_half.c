/* SPDX-License-Identifier: Apache-2.0 */
/* Widening and narrowing of f16 and bf16 in every variant, against their definition in double. */
#include <float.h>
#include <math.h>

#include "simd/dispatch.h"
#include "tests/support/helpers.h"
#include "simd/kernels.h"

/* A storage type: bits of the mantissa, and the exponents of its smallest and largest normals. */
struct format {
    rapt_dtype dtype;
    int mantissa, least, most;
    uint16_t nan;
};

static const struct format formats[] = {
    {RAPT_F16, 10, -14, 15, 0x7e00},
    {RAPT_BF16, 7, -126, 127, 0x7fc0},
};

#define FOR_EACH_FORMAT(k, f)                                                                      \
    for (int v_ = 0, count_ = 0; v_ <= count_; v_++)                                               \
        for (const struct rapt_kernels *k = nth_variant(v_, &count_); k; k = NULL)                 \
            for (const struct format *f = formats; f < formats + 2; f++)

/* The n-th variant, NULL where the machine lacks it; *last is the index of the last there is. */
static const struct rapt_kernels *nth_variant(int n, int *last) {
    int count;
    const struct rapt_variant *list = rapt_variants(&count);
    *last = count - 1;
    return list[n].available ? list[n].kernels : NULL;
}

static double value_of(const struct format *f, uint16_t half) {
    const int exponent = (half & 0x7fff) >> f->mantissa;
    const int fraction = half & ((1 << f->mantissa) - 1);
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == f->most - f->least + 2)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, f->least - f->mantissa);
    return sign * ldexp(fraction + (1 << f->mantissa), exponent - 1 + f->least - f->mantissa);
}

/* To the nearest multiple of the last place, ties to even; what is too large becomes infinite. */
static double rounded(const struct format *f, double x) {
    int exponent;
    frexp(x, &exponent);
    const int place = (exponent - 1 < f->least ? f->least : exponent - 1) - f->mantissa;
    const double near = ldexp(nearbyint(ldexp(x, -place)), place);
    return fabs(near) >= ldexp(1, f->most + 1) ? copysign(INFINITY, x) : near;
}

Test(half, widening_is_exact) {
    static uint16_t halves[65536];
    static float wide[65536];
    for (int i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    FOR_EACH_FORMAT(k, f) {
        k->widen(wide, halves, f->dtype, 1, 65536);
        for (int i = 0; i < 65536; i++) {
            const double expected = value_of(f, halves[i]);
            cr_assert(isnan(expected) ? isnan(wide[i])
                                      : (double)wide[i] == expected &&
                                            !signbit(wide[i]) == !(halves[i] & 0x8000),
                      "%s, dtype %d: %#x is %g, not %g", k->name, (int)f->dtype, (unsigned)i,
                      (double)wide[i], expected);
        }
    }
}

static void expect_narrow(const struct rapt_kernels *k, const struct format *f, const float *x,
                          const uint16_t *half, int n) {
    for (int i = 0; i < n; i++) {
        if (isnan(x[i])) {
            cr_assert_eq(half[i] & 0x7fff, f->nan, "%s: NaN is %#x", k->name, (unsigned)half[i]);
            continue;
        }
        const double expected = rounded(f, (double)x[i]);
        cr_assert(value_of(f, half[i]) == expected && !(half[i] & 0x8000) == !signbit(x[i]),
                  "%s, dtype %d: %a became %#x, not %a", k->name, (int)f->dtype, (double)x[i],
                  (unsigned)half[i], expected);
    }
}

Test(half, narrowing_rounds_to_nearest_even) {
    enum { COUNT = 8 * 65536 };
    static float x[COUNT];
    static uint16_t half[COUNT];
    uint64_t seed = 1;
    FOR_EACH_FORMAT(k, f) {
        for (int i = 0; i < COUNT; i += 8) {
            const uint16_t at = (uint16_t)(i / 8);
            const double here = value_of(f, at), next = value_of(f, (uint16_t)(at + 1));
            const float middle = (float)(here / 2 + next / 2), self = (float)here;
            const uint32_t random = (uint32_t)next_random(&seed);
            const float all[8] = {self,
                                  nextafterf(self, INFINITY),
                                  nextafterf(self, -INFINITY),
                                  middle,
                                  nextafterf(middle, INFINITY),
                                  nextafterf(middle, -INFINITY),
                                  65520 - (float)(i % 128),
                                  0};
            memcpy(x + i, all, sizeof all);
            memcpy(x + i + 7, &random, sizeof random);
            for (int j = 0; j < 8; j++)
                if (isnan(x[i + j]))
                    x[i + j] = (float)NAN; /* the one NaN that results carry */
        }
        k->narrow(half, x, f->dtype, COUNT);
        expect_narrow(k, f, x, half, COUNT);
    }
}

Test(half, any_length_and_nothing_beyond) {
    FOR_EACH_FORMAT(k, f) {
        for (int n = 0; n <= 70; n++) {
            float x[72], y[72];
            uint16_t half[72];
            memset(half, 0xa5, sizeof half);
            memset(y, 0xa5, sizeof y);
            for (int i = 0; i < 72; i++)
                x[i] = (float)(i - 30) / 8;
            k->narrow(half + 1, x, f->dtype, n);
            cr_assert(half[0] == 0xa5a5 && half[n + 1] == 0xa5a5, "%s, %d", k->name, n);
            k->widen(y + 1, half + 1, f->dtype, 1, n);
            for (int i = 0; i < n; i++)
                cr_assert_eq(y[i + 1], x[i], "%s, %d of %d", k->name, i, n);
            uint32_t before, after;
            memcpy(&before, y, sizeof before);
            memcpy(&after, y + n + 1, sizeof after);
            cr_assert(before == 0xa5a5a5a5 && after == 0xa5a5a5a5, "%s, %d", k->name, n);
        }
    }
}
