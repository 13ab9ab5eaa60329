/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 4 floats on AArch64 Advanced SIMD. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_NEON_H
#define RAPT_SIMD_VEC_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if RAPT_SLEEF
#    include <sleef.h>
#endif

#include "simd/loops.h"

#define V_LANES 4
typedef float32x4_t vf;
typedef uint32x4_t vm;

static inline vf v_load(const float *p) {
    return vld1q_f32(p);
}
static inline vf v_loadu(const float *p) {
    return vld1q_f32(p);
}
static inline vf v_load_n(const float *p, int n) {
    float lanes[4] = {0};
    for (int i = 0; i < n && i < 4; i++)
        lanes[i] = p[i];
    return vld1q_f32(lanes);
}
static inline void v_store(float *p, vf a) {
    vst1q_f32(p, a);
}
static inline void v_storeu(float *p, vf a) {
    vst1q_f32(p, a);
}
static inline vf v_set1(float a) {
    return vdupq_n_f32(a);
}
static inline vf v_add(vf a, vf b) {
    return vaddq_f32(a, b);
}
static inline vf v_sub(vf a, vf b) {
    return vsubq_f32(a, b);
}
static inline vf v_mul(vf a, vf b) {
    return vmulq_f32(a, b);
}
static inline vf v_div(vf a, vf b) {
    return vdivq_f32(a, b);
}
static inline vf v_fma(vf a, vf b, vf c) {
    return vfmaq_f32(c, a, b);
}

static inline float v_largest(vf a) {
    return vmaxvq_f32(a);
}

static inline vm v_lt(vf a, vf b) {
    return vcltq_f32(a, b);
}
static inline vm v_le(vf a, vf b) {
    return vcleq_f32(a, b);
}
static inline vm v_eq(vf a, vf b) {
    return vceqq_f32(a, b);
}
static inline vm v_ne(vf a, vf b) {
    return vmvnq_u32(vceqq_f32(a, b));
}
static inline vm vm_and(vm a, vm b) {
    return vandq_u32(a, b);
}
static inline int vm_all(vm a) {
    return vminvq_u32(a) != 0;
}
static inline vf v_select(vm m, vf a, vf b) {
    return vbslq_f32(m, a, b);
}

/* Not vmaxq and vminq, which treat NaN and the signs of zero in another way than x86. */
static inline vf v_max(vf a, vf b) {
    return v_select(vcgtq_f32(a, b), a, b);
}
static inline vf v_min(vf a, vf b) {
    return v_select(vcltq_f32(a, b), a, b);
}

#include "simd/round.inc"

static inline vf v_scale_exp2(vf a, vexp n) {
    return v_mul(a, vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(n), 23)));
}
static inline vf v_split(vf a, vf b, vf *m) {
    const int32x4_t biased = vshrq_n_s32(vreinterpretq_s32_f32(b), 23);
    const int32x4_t e = vsubq_s32(biased, vdupq_n_s32(127));
    const int32x4_t bits = vsubq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32(e, 23));
    *m = vreinterpretq_f32_s32(bits);
    return vcvtq_f32_s32(e);
}

/* Row i, lane j becomes row j, lane i. */
static inline void v_transpose(vf r[V_LANES]) {
    const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

static inline void v_transpose4(vf r[4]) {
    v_transpose(r);
}
static inline void v_columns(vf out[4], const char *first, ptrdiff_t step) {
    RAPT_UNROLL
    for (int r = 0; r < 4; r++, first += step)
        out[r] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)first));
    v_transpose(out);
}
static inline vf v_i8_of(vf words, int k) {
    const int32x4_t left = vshlq_s32(vreinterpretq_s32_f32(words), vdupq_n_s32(24 - 8 * k));
    return vcvtq_f32_s32(vandq_s32(left, vdupq_n_s32((int32_t)0xff000000)));
}
static inline vf v_bf16_of(vf words, int k) {
    const uint32x4_t bits = vreinterpretq_u32_f32(words);
    return vreinterpretq_f32_u32(k == 0 ? vshlq_n_u32(bits, 16)
                                        : vandq_u32(bits, vdupq_n_u32(0xffff0000)));
}
static inline vf v_f16_of(vf words, int k) {
    const uint32x4_t bits = vreinterpretq_u32_f32(words);
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(k == 0 ? bits : vshrq_n_u32(bits, 16))));
}
/* What lies as pairs in a and then b: their first numbers to a, their second to b; and back. */
static inline void v_unzip(vf *a, vf *b) {
    const vf even = vuzp1q_f32(*a, *b);
    *b = vuzp2q_f32(*a, *b);
    *a = even;
}
static inline void v_zip(vf *a, vf *b) {
    const vf low = vzip1q_f32(*a, *b);
    *b = vzip2q_f32(*a, *b);
    *a = low;
}

static inline vf v_load_i8(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
static inline vf v_set1_f16(const void *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits)));
}
static inline vf v_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline void v_store_f16(uint16_t *p, vf a) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
static inline vf v_load_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline void v_store_bf16(uint16_t *p, vf a) {
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t even = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    vst1_u16(p, vshrn_n_u32(vbslq_u32(v_ne(a, a), bits, even), 16));
}

#if RAPT_SLEEF
static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f4_u35advsimd(a);
}
static inline vf v_sleef_log(vf a) {
    return Sleef_finz_logf4_u10advsimd(a);
}
static inline vf v_sleef_tanh(vf a) {
    return Sleef_finz_tanhf4_u35advsimd(a);
}
static inline void v_sleef_sincos(vf a, vf *sine, vf *cosine) {
    const Sleef_float32x4_t_2 both = Sleef_finz_sincosf4_u10advsimd(a);
    *sine = both.x;
    *cosine = both.y;
}
#endif

#endif
