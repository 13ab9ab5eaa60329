/* SPDX-License-Identifier: Apache-2.0 */
/* Projections: the kernel of every variant, to the bit, and their division among threads. */
#include "simd/dispatch.h"
#include "tests/support/helpers.h"
#include "src/layer/project.h"

/* The definition: a chain of fused multiply-adds, then the bias. */
static float chain(const float *weight, const float *x, ptrdiff_t step, int64_t n, float bias) {
    float sum = 0;
    for (int64_t c = 0; c < n; c++)
        sum = fmaf(weight[c], x[c * step], sum);
    return sum + bias + 0.0f;
}

static float *random_floats(int64_t n, uint64_t seed) {
    return random_tensor(RAPT_F32, 1, 1, 1, n, seed).data;
}

/* Rows of weights lie `apart`, and the last ends where its memory does. */
static void expect_projected(const struct rapt_kernels *k, int width, int64_t channels, int rows,
                             ptrdiff_t apart, bool has_bias) {
    const int64_t n = (int64_t)rows * width;
    float *x = random_floats(channels * width, 1), *bias = random_floats(rows, 3);
    float *weight = malloc((size_t)((rows - 1) * apart + channels) * sizeof *weight);
    float *out = allocate((size_t)(n + 16) * sizeof *out), *all = random_floats(rows * apart, 2);
    cr_assert_not_null(weight);
    memcpy(weight, all, (size_t)((rows - 1) * apart + channels) * sizeof *weight);
    memset(out, CANARY, (size_t)(n + 16) * sizeof *out);
    k->project(out, x, width, channels, weight, apart, has_bias ? bias : NULL, rows);
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = i / width;
        const float expected =
            chain(weight + row * apart, x + i % width, width, channels, has_bias ? bias[row] : 0);
        cr_assert_eq(out[i], expected, "%s: %d lanes, %d channels, row %d of %d", k->name, width,
                     (int)channels, (int)row, rows);
    }
    for (int64_t i = n; i < n + 16; i++)
        cr_assert_eq(((unsigned char *)out)[i * 4], CANARY);
    free(x);
    free(bias);
    free(weight);
    free(out);
    free(all);
}

Test(project, kernels_give_the_chain_of_every_element) {
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int i = 0; i < count; i++) {
        const struct rapt_kernels *k = variants[i].kernels;
        for (int width = k->lanes; variants[i].available && width <= k->panel_rows;
             width += k->lanes)
            for (int rows = 1; rows <= 17; rows++) {
                expect_projected(k, width, 1 + rows, rows, 1 + rows, rows & 1);
                expect_projected(k, width, 127 + rows, rows, 200, rows & 2);
                expect_projected(k, width, 300, rows, 300, true);
            }
    }
}

/* What is NaN is the one NaN, and no zero is negative. */
Test(project, results_are_canonical) {
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int i = 0; i < count; i++) {
        const struct rapt_kernels *k = variants[i].kernels;
        _Alignas(RAPT_ALIGN) float x[RAPT_PANEL_ROWS_MAX] = {0}, out[2 * RAPT_PANEL_ROWS_MAX];
        const float weight[2] = {-1, INFINITY}, bias[2] = {-0.0f, -NAN};
        if (!variants[i].available)
            continue;
        k->project(out, x, k->lanes, 1, weight, 1, bias, 2);
        for (int lane = 0; lane < k->lanes; lane++) {
            uint32_t bits;
            cr_expect(!signbit(out[lane]));
            memcpy(&bits, &out[k->lanes + lane], sizeof bits);
            cr_expect_eq(bits, UINT32_C(0x7fc00000), "%s: %08x", k->name, (unsigned)bits);
        }
    }
}

/* Tasks cover every element once, whatever the threads, tokens and rows. */
Test(project, tasks_cover_everything) {
    const struct rapt_kernels *k = rapt_kernels_best();
    const int64_t sizes[][3] = {{1, 5, 33}, {100, 40, 1}, {97, 3000, 70}, {500, 100, 200}};
    for (int i = 0; i < 4; i++) {
        const int64_t tokens = sizes[i][0], channels = sizes[i][1], rows = sizes[i][2];
        rapt_tensor in = random_tensor(RAPT_F32, 1, 1, tokens, channels, 1);
        rapt_tensor weight = random_tensor(RAPT_F32, 1, 1, rows, channels, 2);
        rapt_tensor bias = random_tensor(RAPT_F32, 1, 1, 1, rows, 3);
        for (int threads = 1; threads <= 9; threads += 4) {
            rapt_tensor out = new_tensor(RAPT_F32, 1, 1, tokens, rows);
            const int64_t floats = rapt_projection_panels(k, &in) * k->panel_rows * channels;
            float *panels = allocate((size_t)floats * sizeof *panels);
            const struct rapt_projection p = {in, weight, bias, out, panels, true, false, NULL};
            const struct rapt_projections all = rapt_projections_divide(k, &p, 1, threads);
            cr_expect(all.threads >= 1 && all.threads <= threads);
            void *scratch = allocate(all.scratch_bytes * (size_t)all.threads);
            rapt_projections_run(&all, scratch);
            for (int64_t t = 0; t < tokens; t++)
                for (int64_t r = 0; r < rows; r++)
                    cr_assert_eq(((float *)out.data)[t * rows + r],
                                 chain((float *)weight.data + r * channels,
                                       (float *)in.data + t * channels, 1, channels,
                                       ((float *)bias.data)[r]));
            free(scratch);
            free(panels);
            free(out.data);
        }
        free(in.data);
        free(weight.data);
        free(bias.data);
    }
}
