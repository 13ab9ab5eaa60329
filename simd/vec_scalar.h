/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of one float, for every machine. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_SCALAR_H
#define RAPT_SIMD_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if RAPT_SLEEF
#    include <sleef.h>
#endif

#define V_LANES 1
typedef float vf;
typedef int vm;

static inline vf v_load(const float *p) {
    return *p;
}
static inline vf v_loadu(const float *p) {
    return *p;
}
static inline vf v_load_n(const float *p, int n) {
    return n > 0 ? *p : 0;
}
static inline void v_store(float *p, vf a) {
    *p = a;
}
static inline void v_storeu(float *p, vf a) {
    *p = a;
}
static inline vf v_set1(float a) {
    return a;
}
static inline vf v_add(vf a, vf b) {
    return a + b;
}
static inline vf v_sub(vf a, vf b) {
    return a - b;
}
static inline vf v_mul(vf a, vf b) {
    return a * b;
}
static inline vf v_div(vf a, vf b) {
    return a / b;
}
static inline vf v_fma(vf a, vf b, vf c) {
    return fmaf(a, b, c);
}
static inline vf v_max(vf a, vf b) {
    return a > b ? a : b;
}
static inline vf v_min(vf a, vf b) {
    return a < b ? a : b;
}

static inline float v_largest(vf a) {
    return a;
}

static inline vm v_lt(vf a, vf b) {
    return a < b;
}
static inline vm v_le(vf a, vf b) {
    return a <= b;
}
static inline vm v_eq(vf a, vf b) {
    return a == b;
}
static inline vm v_ne(vf a, vf b) {
    return a != b;
}
static inline vm vm_and(vm a, vm b) {
    return a & b;
}
static inline int vm_all(vm a) {
    return a;
}
static inline vf v_select(vm m, vf a, vf b) {
    return m ? a : b;
}

#include "simd/round.inc"

static inline vf v_scale_exp2(vf a, vexp n) {
    uint32_t bits;
    memcpy(&bits, &n, sizeof bits);
    bits <<= 23;
    vf power;
    memcpy(&power, &bits, sizeof power);
    return a * power;
}
static inline vf v_split(vf a, vf b, vf *m) {
    uint32_t bits, power;
    memcpy(&bits, &a, sizeof bits);
    memcpy(&power, &b, sizeof power);
    const uint32_t e = (power >> 23) - 127;
    bits -= e << 23;
    memcpy(m, &bits, sizeof bits);
    return (float)(int32_t)e;
}

static inline void v_transpose(vf r[V_LANES]) {
    (void)r;
}
static inline void v_unzip(vf *a, vf *b) {
    (void)a;
    (void)b;
}
static inline void v_zip(vf *a, vf *b) {
    (void)a;
    (void)b;
}

/* The exponent is moved by a product with a power of 2, which is exact for subnormals, too. */
static inline vf v_load_f16(const uint16_t *p) {
    const uint32_t sign = (uint32_t)(*p & 0x8000) << 16, rest = *p & 0x7fff;
    uint32_t bits = rest << 13;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof bits);
    magnitude *= 0x1p112f;
    memcpy(&bits, &magnitude, sizeof bits);
    if (rest >= 0x7c00) /* infinity; a NaN becomes quiet */
        bits = 0x7f800000 | rest << 13 | (rest > 0x7c00 ? 0x400000 : 0);
    bits |= sign;
    memcpy(&magnitude, &bits, sizeof bits);
    return magnitude;
}

static inline vf v_set1_f16(const void *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return v_load_f16(&bits);
}
static inline vf v_load_i8(const int8_t *p) {
    return (float)*p;
}

/*
 * Rounds by adding a power of 2 whose last mantissa bit weighs as much as that of the result. Ties
 * go to even. At 2^-14 and below it rounds to the last bit of a subnormal.
 */
static inline void v_store_f16(uint16_t *p, vf a) {
    uint32_t bits, rounded;
    memcpy(&bits, &a, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) {
        *p = (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    } else if (rest >= 0x47800000) {
        *p = (uint16_t)(sign | 0x7c00);
    } else {
        const uint32_t exponent = rest >> 23 < 113 ? 113 : rest >> 23;
        const uint32_t power_bits = (exponent + 13) << 23;
        float magnitude, power;
        memcpy(&magnitude, &rest, sizeof rest);
        memcpy(&power, &power_bits, sizeof power_bits);
        magnitude += power;
        memcpy(&rounded, &magnitude, sizeof rounded);
        /* What was added above the power's own bits counts the result's last places. */
        *p = (uint16_t)(sign | (((exponent - 113) << 10) + (rounded - power_bits)));
    }
}
static inline vf v_load_bf16(const uint16_t *p) {
    const uint32_t bits = (uint32_t)*p << 16;
    float a;
    memcpy(&a, &bits, sizeof bits);
    return a;
}
static inline void v_columns(vf out[4], const char *first, ptrdiff_t step) {
    (void)step;
    memcpy(out, first, 4 * sizeof *out);
}
static inline vf v_i8_of(vf words, int k) {
    signed char bytes[4];
    memcpy(bytes, &words, sizeof bytes);
    return (float)bytes[k] * 0x1p24f;
}
static inline vf v_bf16_of(vf words, int k) {
    uint16_t halves[2];
    memcpy(halves, &words, sizeof halves);
    return v_load_bf16(halves + k);
}
static inline vf v_f16_of(vf words, int k) {
    uint16_t halves[2];
    memcpy(halves, &words, sizeof halves);
    return v_load_f16(halves + k);
}
static inline void v_store_bf16(uint16_t *p, vf a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    *p = (uint16_t)((v_ne(a, a) ? bits : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#if RAPT_SLEEF
/*
 * SLEEF's scalar functions with FMA give the vectors' bits, but an old x86 can't run them. Its
 * header shows them only to units compiled for FMA, which this one must not be.
 */
float Sleef_finz_exp2f1_u35purecfma(float);
float Sleef_finz_logf1_u10purecfma(float);
float Sleef_finz_tanhf1_u35purecfma(float);
Sleef_float_2 Sleef_finz_sincosf1_u10purecfma(float);

static inline int v_has_fma(void) {
#    if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("fma");
#    else
    return 1;
#    endif
}

static inline vf v_sleef_exp2(vf a) {
    return v_has_fma() ? Sleef_finz_exp2f1_u35purecfma(a) : Sleef_cinz_exp2f1_u35purec(a);
}
static inline vf v_sleef_log(vf a) {
    return v_has_fma() ? Sleef_finz_logf1_u10purecfma(a) : Sleef_cinz_logf1_u10purec(a);
}
static inline vf v_sleef_tanh(vf a) {
    return v_has_fma() ? Sleef_finz_tanhf1_u35purecfma(a) : Sleef_cinz_tanhf1_u35purec(a);
}
static inline void v_sleef_sincos(vf a, vf *sine, vf *cosine) {
    const Sleef_float_2 both =
        v_has_fma() ? Sleef_finz_sincosf1_u10purecfma(a) : Sleef_cinz_sincosf1_u10purec(a);
    *sine = both.x;
    *cosine = both.y;
}
#endif

#endif
