/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 floats on AVX2 with FMA. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_AVX2_H
#define RAPT_SIMD_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if RAPT_SLEEF
#    include <sleef.h>
#endif

#include "simd/loops.h"

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
static inline void v_storeu(float *p, vf a) {
    _mm256_storeu_ps(p, a);
}
/* What comes after is loaded once this has been computed. */
RAPT_INLINE void v_pin(vf *a) {
    __asm__ volatile("" : "+x"(*a) : : "memory");
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

static inline float v_largest(vf a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
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

#include "simd/round.inc"

static inline vf v_scale_exp2(vf a, vexp n) {
    return v_mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(n), 23)));
}
static inline vf v_split(vf a, vf b, vf *m) {
    const __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(b), 23);
    const __m256i e = _mm256_sub_epi32(biased, _mm256_set1_epi32(127));
    const __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(e, 23));
    *m = _mm256_castsi256_ps(bits);
    return _mm256_cvtepi32_ps(e);
}

/* Row i, lane j becomes row j, lane i: pairs, then fours, then halves. */
static inline void v_transpose(vf r[V_LANES]) {
    vf t[V_LANES];
    RAPT_UNROLL
    for (int i = 0; i < 8; i += 4) {
        const vf a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const vf c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        const vf d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    RAPT_UNROLL
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

static inline void v_transpose4(vf r[4]) {
    const vf a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    const vf c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
    r[0] = _mm256_shuffle_ps(a, c, 0x44);
    r[1] = _mm256_shuffle_ps(a, c, 0xee);
    r[2] = _mm256_shuffle_ps(b, d, 0x44);
    r[3] = _mm256_shuffle_ps(b, d, 0xee);
}
/* Half k of a vector takes row 4 k + r, so that fours are transposed within halves. */
static inline void v_columns(vf out[4], const char *first, ptrdiff_t step) {
    RAPT_UNROLL
    for (int r = 0; r < 4; r++, first += step) {
        const float *a = (const void *)first, *b = (const void *)(first + 4 * step);
        out[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(a)), _mm_loadu_ps(b), 1);
    }
    v_transpose4(out);
}
static inline vf v_i8_of(vf words, int k) {
    const __m256i bits = _mm256_castps_si256(words);
    const int top = k << 24 | 0x808080; /* byte k of the first word in each half, and zeros */
    const __m256i tops = _mm256_setr_epi32(top, 4 << 24 | top, 8 << 24 | top, 12 << 24 | top, top,
                                           4 << 24 | top, 8 << 24 | top, 12 << 24 | top);
    return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bits, tops));
}
static inline vf v_bf16_of(vf words, int k) {
    const __m256i bits = _mm256_castps_si256(words);
    return _mm256_castsi256_ps(k == 0 ? _mm256_slli_epi32(bits, 16)
                                      : _mm256_and_si256(bits, _mm256_set1_epi32(~0xffff)));
}
static inline vf v_f16_of(vf words, int k) {
    const __m256i bits = _mm256_castps_si256(words);
    const __m256i half =
        k == 0 ? _mm256_and_si256(bits, _mm256_set1_epi32(0xffff)) : _mm256_srli_epi32(bits, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(half, half), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
/* What lies as pairs in a and then b: their first numbers to a, their second to b; and back. */
static inline void v_unzip(vf *a, vf *b) {
    const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(*a, *b, 0x88));
    const __m256d odd = _mm256_castps_pd(_mm256_shuffle_ps(*a, *b, 0xdd));
    *a = _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8));
    *b = _mm256_castpd_ps(_mm256_permute4x64_pd(odd, 0xd8));
}
static inline void v_zip(vf *a, vf *b) {
    const vf low = _mm256_unpacklo_ps(*a, *b), high = _mm256_unpackhi_ps(*a, *b);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}

static inline vf v_load_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
static inline vf v_set1_f16(const void *p) {
    short bits;
    memcpy(&bits, p, sizeof bits);
    return _mm256_cvtph_ps(_mm_set1_epi16(bits));
}
static inline vf v_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline void v_store_f16(uint16_t *p, vf a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf v_load_bf16(const uint16_t *p) {
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
static inline void v_store_bf16(uint16_t *p, vf a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i even = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i rounded = _mm256_castps_si256(v_select(v_ne(a, a), a, _mm256_castsi256_ps(even)));
    const __m256i words = _mm256_srli_epi32(rounded, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(packed));
}

#if RAPT_SLEEF
static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f8_u35avx2(a);
}
static inline vf v_sleef_log(vf a) {
    return Sleef_finz_logf8_u10avx2(a);
}
static inline vf v_sleef_tanh(vf a) {
    return Sleef_finz_tanhf8_u35avx2(a);
}
static inline void v_sleef_sincos(vf a, vf *sine, vf *cosine) {
    const Sleef___m256_2 both = Sleef_finz_sincosf8_u10avx2(a);
    *sine = both.x;
    *cosine = both.y;
}
#endif

#endif
