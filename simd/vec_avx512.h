/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 floats on AVX-512. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_AVX512_H
#define RAPT_SIMD_VEC_AVX512_H

#include <immintrin.h>
#include <sleef.h>

#define V_LANES 16
typedef __m512 vf;
typedef __mmask16 vm;

static inline vf v_load(const float *p) {
    return _mm512_load_ps(p);
}
static inline vf v_loadu(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline vf v_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void v_store(float *p, vf a) {
    _mm512_store_ps(p, a);
}
static inline vf v_set1(float a) {
    return _mm512_set1_ps(a);
}
static inline vf v_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
static inline vf v_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
static inline vf v_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
static inline vf v_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
static inline vf v_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf v_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
static inline vf v_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}

static inline vm v_lt(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vm v_le(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline vm v_eq(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vm v_ne(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ);
}
static inline vm vm_and(vm a, vm b) {
    return (vm)(a & b);
}
static inline int vm_all(vm a) {
    return a == 0xffff;
}
static inline vf v_select(vm m, vf a, vf b) {
    return _mm512_mask_blend_ps(m, b, a);
}

/* The mask makes it 0 for -151, since a result that underflows costs a hundred cycles. */
static inline vf v_scale_exp2(vf a, vf biased, float bias) {
    const vm any = _mm512_cmp_ps_mask(biased, _mm512_set1_ps(bias - 151), _CMP_NLE_UQ);
    return _mm512_maskz_scalef_ps(any, a, _mm512_sub_ps(biased, _mm512_set1_ps(bias)));
}

static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f16_u35avx512f(a);
}
static inline vf v_log(vf a) {
    return Sleef_finz_logf16_u10avx512f(a);
}
static inline vf v_tanh(vf a) {
    return Sleef_finz_tanhf16_u10avx512f(a);
}

#endif
