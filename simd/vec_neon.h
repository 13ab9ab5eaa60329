/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 4 floats on AArch64 Advanced SIMD. README.md says what each function must do. */
#ifndef RAPT_SIMD_VEC_NEON_H
#define RAPT_SIMD_VEC_NEON_H

#include <arm_neon.h>
#include <sleef.h>

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

/*
 * The mantissa's low bits of `biased` are the exponent plus 24: that keeps the power of 2 normal,
 * but makes it 0 for -151, since a product that underflows costs a hundred cycles.
 */
static inline vf v_scale_exp2(vf a, vf biased, float bias) {
    (void)bias;
    const int32x4_t n = vshlq_n_s32(vreinterpretq_s32_f32(biased), 23);
    const vf power = vreinterpretq_f32_s32(vaddq_s32(n, vdupq_n_s32(127 << 23)));
    return v_mul(v_mul(a, power), v_set1(0x1p-24f));
}

static inline vf v_sleef_exp2(vf a) {
    return Sleef_finz_exp2f4_u35advsimd(a);
}
static inline vf v_log(vf a) {
    return Sleef_finz_logf4_u10advsimd(a);
}
static inline vf v_tanh(vf a) {
    return Sleef_finz_tanhf4_u10advsimd(a);
}

#endif
