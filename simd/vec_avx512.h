/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 floats on AVX-512. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_AVX512_H
#define RAPT_SIMD_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if RAPT_SLEEF
#    include <sleef.h>
#endif

#include "simd/loops.h"

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
static inline void v_storeu(float *p, vf a) {
    _mm512_storeu_ps(p, a);
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

static inline float v_largest(vf a) {
    return _mm512_reduce_max_ps(a);
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

/* An exponent is its integer. */
typedef vf vexp;
#define V_UNIT 1.0f

static inline vexp v_round(vf a, vf *rest) {
    *rest = _mm512_reduce_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_sub_ps(a, *rest);
}
static inline vf v_rounded(vexp n) {
    return n;
}
/* The mask makes it 0 from -126 down. */
static inline vf v_clamp_exp2(vf a) {
    return a;
}
static inline vf v_scale_exp2(vf a, vexp n) {
    const vm any = _mm512_cmp_ps_mask(n, _mm512_set1_ps(-126), _CMP_NLE_UQ);
    return _mm512_maskz_scalef_ps(any, a, n);
}
static inline vf v_split(vf a, vf b, vf *m) {
    const __m512i biased = _mm512_srli_epi32(_mm512_castps_si512(b), 23);
    const __m512i e = _mm512_sub_epi32(biased, _mm512_set1_epi32(127));
    const __m512i bits = _mm512_sub_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(e, 23));
    *m = _mm512_castsi512_ps(bits);
    return _mm512_cvtepi32_ps(e);
}

/* Row i, lane j becomes row j, lane i: pairs, then fours, then 128-bit quarters twice. */
static inline void v_transpose(vf r[V_LANES]) {
    vf t[V_LANES];
    RAPT_UNROLL
    for (int i = 0; i < 16; i += 4) {
        const vf a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const vf c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        const vf d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    RAPT_UNROLL
    for (int i = 0; i < 4; i++) {
        const vf a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        const vf b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const vf c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        const vf d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

static inline void v_transpose4(vf r[4]) {
    const vf a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    const vf c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
    r[0] = _mm512_shuffle_ps(a, c, 0x44);
    r[1] = _mm512_shuffle_ps(a, c, 0xee);
    r[2] = _mm512_shuffle_ps(b, d, 0x44);
    r[3] = _mm512_shuffle_ps(b, d, 0xee);
}

/* Quarter k of a vector takes row 4 k + r, so that fours are transposed within quarters. */
static inline void v_columns(vf out[4], const char *first, ptrdiff_t step) {
    RAPT_UNROLL
    for (int r = 0; r < 4; r++, first += step) {
        const float *a = (const void *)first, *b = (const void *)(first + 4 * step);
        const float *c = (const void *)(first + 8 * step), *d = (const void *)(first + 12 * step);
        vf z = _mm512_castps128_ps512(_mm_loadu_ps(a));
        z = _mm512_mask_broadcast_f32x4(z, 0x00f0, _mm_loadu_ps(b));
        z = _mm512_mask_broadcast_f32x4(z, 0x0f00, _mm_loadu_ps(c));
        out[r] = _mm512_mask_broadcast_f32x4(z, 0xf000, _mm_loadu_ps(d));
    }
    v_transpose4(out);
}
static inline vf v_i8_of(vf words, int k) {
    const __m512i bits = _mm512_castps_si512(words);
    const int top = k << 24 | 0x808080; /* byte k of the first word in each quarter, and zeros */
    const __m512i tops = _mm512_set4_epi32(12 << 24 | top, 8 << 24 | top, 4 << 24 | top, top);
    return _mm512_cvtepi32_ps(k == 0   ? _mm512_slli_epi32(bits, 24)
                              : k == 3 ? _mm512_and_si512(bits, _mm512_set1_epi32((int)0xff000000))
                                       : _mm512_shuffle_epi8(bits, tops));
}
static inline vf v_bf16_of(vf words, int k) {
    const __m512i bits = _mm512_castps_si512(words);
    return _mm512_castsi512_ps(k == 0 ? _mm512_slli_epi32(bits, 16)
                                      : _mm512_and_si512(bits, _mm512_set1_epi32(~0xffff)));
}
static inline vf v_f16_of(vf words, int k) {
    const __m512i bits = _mm512_castps_si512(words);
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(k == 0 ? bits : _mm512_srli_epi32(bits, 16)));
}
/* What lies as pairs in a and then b: their first numbers to a, their second to b; and back. */
static inline void v_unzip(vf *a, vf *b) {
    const __m512i first =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const vf even = _mm512_permutex2var_ps(*a, first, *b);
    *b = _mm512_permutex2var_ps(*a, _mm512_add_epi32(first, _mm512_set1_epi32(1)), *b);
    *a = even;
}
static inline void v_zip(vf *a, vf *b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const vf pairs = _mm512_permutex2var_ps(*a, low, *b);
    *b = _mm512_permutex2var_ps(*a, _mm512_add_epi32(low, _mm512_set1_epi32(8)), *b);
    *a = pairs;
}

static inline vf v_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
static inline vf v_set1_f16(const void *p) {
    short bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
}
static inline vf v_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline void v_store_f16(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf v_load_bf16(const uint16_t *p) {
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
static inline void v_store_bf16(uint16_t *p, vf a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i even = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i rounded = _mm512_mask_mov_epi32(even, v_ne(a, a), bits);
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

#if RAPT_SLEEF
static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f16_u35avx512f(a);
}
static inline vf v_sleef_log(vf a) {
    return Sleef_finz_logf16_u10avx512f(a);
}
static inline vf v_sleef_tanh(vf a) {
    return Sleef_finz_tanhf16_u35avx512f(a);
}
static inline void v_sleef_sincos(vf a, vf *sine, vf *cosine) {
    const Sleef___m512_2 both = Sleef_finz_sincosf16_u10avx512f(a);
    *sine = both.x;
    *cosine = both.y;
}
#endif

#endif
