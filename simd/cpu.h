/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPU has and the operating system has switched on. */
#ifndef RAPT_SIMD_CPU_H
#define RAPT_SIMD_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RAPT_CPU_SSE42 = 1 << 0,
    RAPT_CPU_FMA = 1 << 1,
    RAPT_CPU_AVX2 = 1 << 2,
    RAPT_CPU_F16C = 1 << 3,
    RAPT_CPU_AVX512 = 1 << 4, /* F, DQ, BW and VL: all that the variant is compiled for */
    RAPT_CPU_AVX512_BF16 = 1 << 5,
    RAPT_CPU_AVX512_FP16 = 1 << 6,
    RAPT_CPU_AVX512_VNNI = 1 << 7,
    RAPT_CPU_AMX = 1 << 8,
    RAPT_CPU_NEON = 1 << 9,
    RAPT_CPU_BF16 = 1 << 10,
    RAPT_CPU_I8MM = 1 << 11,
    RAPT_CPU_SVE = 1 << 12,
};

/* Asks the CPU; costs microseconds, so keep the answer. */
uint32_t rapt_cpu_detect(void);

/* Asks the operating system for what has to be asked for before it is used: AMX's tiles, which are
 * then the process's for good. NULL if all of the features can be used, or else why not. */
const char *rapt_cpu_refusal(uint32_t features);

/* Writes the features' names, space between, and returns text. */
char *rapt_cpu_names(uint32_t features, char *text, size_t size);

#endif
