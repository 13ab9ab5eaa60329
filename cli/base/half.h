/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of 16 bits as floats, which have all of them. */
#ifndef RAPT_CLI_BASE_HALF_H
#define RAPT_CLI_BASE_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* IEEE 754 half precision. */
static inline float half_to_float(uint16_t half) {
    const int exponent = half >> 10 & 31, digits = half & 1023;
    const float size = exponent == 31  ? digits ? NAN : INFINITY
                       : exponent == 0 ? ldexpf((float)digits, -24)
                                       : ldexpf((float)(digits + 1024), exponent - 25);
    return half >> 15 ? -size : size;
}

/* bf16, the upper half of a float. */
static inline float brain_to_float(uint16_t upper) {
    const uint32_t bits = (uint32_t)upper << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

#endif
