/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE 754 binary interchange formats by their parameters. */
#include "oracle/storage.h"

#include <float.h>
#include <math.h>
#include <string.h>

struct format {
    int fraction; /* bits */
    int least;    /* exponent of the smallest normal number */
    uint16_t infinity;
};

static const struct format f16 = {10, -14, 0x7c00};
static const struct format bf16 = {7, -126, 0x7f80};

float storage_largest(rapt_dtype dtype) {
    return dtype == RAPT_F16 ? 65504 : dtype == RAPT_BF16 ? 0x1.fep127f : FLT_MAX;
}

uint32_t storage_nan(rapt_dtype dtype) {
    return dtype == RAPT_F16 ? 0x7e00 : dtype == RAPT_BF16 ? 0x7fc0 : 0x7fc00000;
}

uint32_t storage_bits(rapt_dtype dtype, const void *at) {
    uint32_t bits = 0;
    uint16_t half;
    if (dtype == RAPT_F32 || dtype == RAPT_I32) {
        memcpy(&bits, at, sizeof bits);
        return bits;
    }
    memcpy(&half, at, sizeof half);
    return half;
}

/* A power of 2 without a call: this is what the oracle does for every product. */
static double power_of_2(int exponent) {
    const uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static float widened(const struct format *f, uint32_t bits) {
    const uint32_t rest = bits & 0x7fff, fraction = rest & ((1u << f->fraction) - 1);
    const int exponent = (int)(rest >> f->fraction);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (rest >= f->infinity)
        return rest > f->infinity ? NAN : (float)sign * INFINITY;
    const int leading = exponent > 0; /* subnormals have no leading 1 */
    const double digits = (double)fraction + leading * power_of_2(f->fraction);
    return (float)(sign * digits * power_of_2(f->least - f->fraction + exponent - leading));
}

float storage_read_half(rapt_dtype dtype, const void *at) {
    return widened(dtype == RAPT_F16 ? &f16 : &bf16, storage_bits(dtype, at));
}

/* The exponent of the numbers about `size`: subnormals have that of the smallest normal one. */
static int exponent_of(const struct format *f, double size) {
    return size > ldexp(1, f->least) ? ilogb(size) : f->least;
}

/* The distance between two numbers there. */
static double last_place(const struct format *f, double size) {
    return ldexp(1, exponent_of(f, size) - f->fraction);
}

static uint16_t narrowed(const struct format *f, float number) {
    const double size = fabs((double)number);
    const uint16_t sign = signbit(number) ? 0x8000 : 0;
    if (isinf(number))
        return sign | f->infinity;
    /* The bits count the numbers from 0 on, across exponents. */
    const double place =
        ldexp(exponent_of(f, size) - f->least, f->fraction) + nearbyint(size / last_place(f, size));
    return sign | (place < f->infinity ? (uint16_t)place : f->infinity);
}

void storage_write(rapt_dtype dtype, void *at, float number) {
    const uint32_t nan = storage_nan(dtype);
    if (dtype == RAPT_F32) {
        memcpy(at, isnan(number) ? (const void *)&nan : &number, sizeof number);
        return;
    }
    const uint16_t half =
        isnan(number) ? (uint16_t)nan : narrowed(dtype == RAPT_F16 ? &f16 : &bf16, number);
    memcpy(at, &half, sizeof half);
}

void storage_round(rapt_dtype dtype, double *value, double *bound) {
    if ((dtype != RAPT_F16 && dtype != RAPT_BF16) || !isfinite(*value))
        return;
    const struct format *f = dtype == RAPT_F16 ? &f16 : &bf16;
    const double largest = (double)storage_largest(dtype), size = fabs(*value);
    const double overflow = largest + last_place(f, largest) / 2;
    if (size - *bound >= overflow) {
        *value = copysign(INFINITY, *value);
        *bound = 0;
    } else if (size + *bound >= overflow) {
        *bound = INFINITY;
    } else {
        *bound += last_place(f, size + *bound) / 2;
    }
}
