/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 floats on AVX2 with FMA. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_AVX2_H
#define RAPT_SIMD_VEC_AVX2_H

#include <immintrin.h>
#include <sleef.h>

#define V_LANES 8
typedef __m256 vf;
typedef __m256 vm; /* all bits of a lane, or none */

static inline vf v_load(const float *p) {
    return _mm256_load_ps(p);
}
static inline vf v_loadu(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline vf v_load_n(const float *p, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}
static inline void v_store(float *p, vf a) {
    _mm256_store_ps(p, a);
}
static inline vf v_set1(float a) {
    return _mm256_set1_ps(a);
}
static inline vf v_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
static inline vf v_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
static inline vf v_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
static inline vf v_div(vf a, vf b) {
    return _mm256_div_ps(a, b);
}
static inline vf v_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf v_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}
static inline vf v_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}

static inline vm v_lt(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm v_le(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
static inline vm v_eq(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vm v_ne(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ);
}
static inline vm vm_and(vm a, vm b) {
    return _mm256_and_ps(a, b);
}
static inline int vm_all(vm a) {
    return _mm256_movemask_ps(a) == 0xff;
}
static inline vf v_select(vm m, vf a, vf b) {
    return _mm256_blendv_ps(b, a, m);
}

/*
 * The mantissa's low bits of `biased` are the exponent plus 24: that keeps the power of 2 normal,
 * but makes it 0 for -151, since a product that underflows costs a hundred cycles.
 */
static inline vf v_scale_exp2(vf a, vf biased, float bias) {
    (void)bias;
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(biased), 23);
    const vf power = _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(127 << 23)));
    return v_mul(v_mul(a, power), v_set1(0x1p-24f));
}

static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f8_u35avx2(a);
}
static inline vf v_log(vf a) {
    return Sleef_finz_logf8_u10avx2(a);
}
static inline vf v_tanh(vf a) {
    return Sleef_finz_tanhf8_u10avx2(a);
}

#endif
