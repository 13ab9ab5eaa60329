/* SPDX-License-Identifier: Apache-2.0 */
/* Widening of int8 and q8_0 in every variant: a number times a scale, rounded once. */
#include <float.h>
#include <math.h>

#include "tests/support/helpers.h"
#include "simd/kernels.h"
#include "tests/support/variants.h"

enum { BLOCK = 32, BLOCK_BYTES = 34 };

/* The number that an f16 stands for. */
static double half_value(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24));
}

/* The same bits, of a zero's sign, too, but for NaN, of which there are many. */
static void expect_product(const char *name, float found, int number, double scale) {
    const float expected = (float)number * (float)scale;
    cr_assert(isnan(expected) ? isnan(found) : memcmp(&expected, &found, sizeof found) == 0,
              "%s: %d times %a is %a, not %a", name, number, scale, (double)found,
              (double)expected);
}

Test(quantized, int8_times_any_scale) {
    const float scales[] = {0.0f,     -0.0f,     1,          -1,          0.1f,
                            -0.0371f, 0x1p-149f, -0x1p-149f, 0x1.8p-140f, FLT_MIN,
                            FLT_MAX,  -FLT_MAX,  INFINITY,   -INFINITY,   NAN};
    int8_t numbers[256];
    float wide[256];
    for (int i = 0; i < 256; i++)
        numbers[i] = (int8_t)(i - 128);
    FOR_EACH_VARIANT(k) {
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
            k->widen(wide, numbers, RAPT_I8, scales[s], 256);
            for (int i = 0; i < 256; i++)
                expect_product(k->name, wide[i], numbers[i], (double)scales[s]);
        }
    }
}

/* Any length, from memory of exactly that size at any address, to floats at any. */
Test(quantized, int8_of_any_length_and_nothing_beyond) {
    FOR_EACH_VARIANT(k) {
        for (int n = 0; n <= 100; n++) {
            for (int shift = 0; shift < 4; shift++) {
                int8_t *memory = malloc((size_t)(shift + n)), *numbers = memory + shift;
                float *wide = malloc((size_t)(n + 2) * sizeof *wide);
                cr_assert(wide && (memory || shift + n == 0));
                for (int i = 0; i < n; i++)
                    numbers[i] = (int8_t)(i * 37 - 128);
                memset(wide, CANARY, (size_t)(n + 2) * sizeof *wide);
                const float canary = wide[0];
                k->widen(wide + 1, numbers, RAPT_I8, 0.3f, n);
                for (int i = 0; i < n; i++)
                    expect_product(k->name, wide[i + 1], numbers[i], (double)0.3f);
                cr_assert(memcmp(wide, &canary, sizeof canary) == 0 &&
                              memcmp(wide + n + 1, &canary, sizeof canary) == 0,
                          "%s, %d numbers: written beyond", k->name, n);
                free(memory);
                free(wide);
            }
        }
    }
}

/* Fills a block with a scale and 32 numbers from `first` on. */
static void fill_block(unsigned char *block, uint16_t scale, int first) {
    memcpy(block, &scale, sizeof scale);
    for (int i = 0; i < BLOCK; i++)
        block[2 + i] = (unsigned char)(first + i);
}

static void expect_block(const char *name, const float *wide, uint16_t scale, int first) {
    for (int i = 0; i < BLOCK; i++)
        expect_product(name, wide[i], (int8_t)(unsigned char)(first + i), half_value(scale));
}

/* Every f16 is a scale once: zeros, subnormals, infinities and NaNs among them. */
Test(quantized, q8_0_of_every_scale) {
    enum { BLOCKS = 65536 };
    static unsigned char blocks[BLOCKS * BLOCK_BYTES];
    static float wide[BLOCKS * BLOCK];
    for (int i = 0; i < BLOCKS; i++)
        fill_block(blocks + i * BLOCK_BYTES, (uint16_t)i, i * BLOCK);
    FOR_EACH_VARIANT(k) {
        k->widen(wide, blocks, RAPT_Q8_0, 1, BLOCKS * BLOCK);
        for (int i = 0; i < BLOCKS; i++)
            expect_block(k->name, wide + i * BLOCK, (uint16_t)i, i * BLOCK);
    }
}

Test(quantized, q8_0_of_every_number) {
    const uint16_t scales[] = {0,      0x8000, 0x3c00, 0xbc00, 0x0001, 0x83ff,
                               0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x7c01};
    FOR_EACH_VARIANT(k) {
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
            unsigned char blocks[8 * BLOCK_BYTES];
            float wide[8 * BLOCK];
            for (int i = 0; i < 8; i++)
                fill_block(blocks + i * BLOCK_BYTES, scales[s], i * BLOCK);
            k->widen(wide, blocks, RAPT_Q8_0, 7, 8 * BLOCK); /* whose factor is for int8 only */
            for (int i = 0; i < 8; i++)
                expect_block(k->name, wide + i * BLOCK, scales[s], i * BLOCK);
        }
    }
}

/* Blocks at any address, in memory of exactly their size. */
Test(quantized, q8_0_at_any_address_and_nothing_beyond) {
    FOR_EACH_VARIANT(k) {
        for (int n = 0; n <= 5; n++) {
            for (int shift = 0; shift < 4; shift++) {
                unsigned char *memory = malloc((size_t)(shift + n * BLOCK_BYTES));
                float *wide = malloc((size_t)(n * BLOCK + 2) * sizeof *wide);
                cr_assert(wide && (memory || shift + n == 0));
                for (int i = 0; i < n; i++)
                    fill_block(memory + shift + i * BLOCK_BYTES, (uint16_t)(0x2e66 + i), 40 * i);
                memset(wide, CANARY, (size_t)(n * BLOCK + 2) * sizeof *wide);
                const float canary = wide[0];
                k->widen(wide + 1, memory + shift, RAPT_Q8_0, 1, n * BLOCK);
                for (int i = 0; i < n; i++)
                    expect_block(k->name, wide + 1 + i * BLOCK, (uint16_t)(0x2e66 + i), 40 * i);
                cr_assert(memcmp(wide, &canary, sizeof canary) == 0 &&
                              memcmp(wide + n * BLOCK + 1, &canary, sizeof canary) == 0,
                          "%s, %d blocks: written beyond", k->name, n);
                free(memory);
                free(wide);
            }
        }
    }
}
