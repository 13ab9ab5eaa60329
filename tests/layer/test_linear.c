/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers against their definition, GELU's error, and the promises about bits. */
#include <float.h>

#include "tests/support/allocations.h"
#include "tests/support/layers.h"

static rapt_linear_args new_linear(int64_t batch, int64_t tokens, int64_t channels, int64_t rows,
                                   rapt_dtype weights) {
    rapt_linear_args args = rapt_linear_defaults();
    args.input = random_tensor(RAPT_F32, batch, 1, tokens, channels, 1);
    args.weight = random_matrix(weights, rows, channels, 2);
    args.bias = random_matrix(weights, 1, rows, 3);
    args.out = new_tensor(RAPT_F32, batch, 1, tokens, rows);
    return args;
}

static void free_linear(rapt_linear_args *args) {
    free(args->input.data);
    free(args->weight.data);
    free(args->bias.data);
    free(args->out.data);
}

static double exact_gelu(double x) {
    return x * 0.5 * erfc(-x / sqrt(2));
}

Test(linear, agrees_with_its_definition) {
    const int64_t sizes[][4] = {{1, 1, 1, 1}, {2, 5, 33, 7}, {1, 100, 70, 130}, {3, 49, 200, 65}};
    const rapt_dtype types[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_F32};
    for (int i = 0; i < 4; i++) {
        rapt_linear_args args =
            new_linear(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], types[i]);
        double *expected = projected(&args.input, &args.weight, &args.bias);
        for (int gelu = 0; gelu <= 1; gelu++) {
            args.activation = gelu ? RAPT_ACTIVATION_GELU : RAPT_ACTIVATION_NONE;
            expect_ok(rapt_linear(&args, NULL, 0));
            for (size_t k = 0; k < elements(&args.out); k++) {
                const double e = gelu ? exact_gelu(expected[k]) : expected[k];
                cr_assert(fabs((double)((float *)args.out.data)[k] - e) <= 2e-5 * (1 + fabs(e)));
            }
        }
        free(expected);
        free_linear(&args);
    }
}

Test(linear, has_the_same_bits_however_it_is_computed) {
    rapt_linear_args args = new_linear(2, 130, 320, 200, RAPT_BF16);
    args.activation = RAPT_ACTIVATION_GELU;
    expect_ok(rapt_linear(&args, NULL, 0));
    rapt_linear_args other = args;
    other.out = new_tensor(RAPT_F32, 2, 1, 130, 200);
    const rapt_isa *isas;
    const size_t count = rapt_isa_list(&isas);
    for (size_t k = 0; k < count; k++)
        for (int threads = 1; isas[k].available && threads <= 3; threads++) {
            other.isa = isas[k].name;
            other.threads = threads;
            memset(other.out.data, CANARY, bytes_of(&other.out));
            expect_ok(rapt_linear(&other, NULL, 0));
            cr_expect(same_bits(&other.out, &args.out), "%s, %d", isas[k].name, threads);
        }
    free(other.out.data);
    free_linear(&args);
}

/* Two layers in one call are one after the other, to the bit. */
Test(linear, two_layers_are_one_after_the_other) {
    for (int64_t tokens = 1; tokens <= 150; tokens += 37) {
        rapt_linear_args inner = new_linear(1, tokens, 40, 90, RAPT_F32);
        rapt_linear_args outer = new_linear(1, tokens, 90, 33, RAPT_F16);
        inner.activation = RAPT_ACTIVATION_GELU;
        expect_ok(rapt_linear(&inner, NULL, 0));
        rapt_linear_args both = inner;
        free(outer.input.data);
        outer.input = inner.out;
        expect_ok(rapt_linear(&outer, NULL, 0));
        both.outer = outer.weight;
        both.outer_bias = outer.bias;
        both.out = new_tensor(RAPT_F32, 1, 1, tokens, 33);
        for (int threads = 1; threads <= 3; threads++) {
            both.threads = threads;
            memset(both.out.data, CANARY, bytes_of(&both.out));
            expect_ok(rapt_linear(&both, NULL, 0));
            cr_expect(same_bits(&both.out, &outer.out));
        }
        free(both.out.data);
        outer.input.data = NULL;
        free_linear(&outer);
        free_linear(&inner);
    }
}

/* The output may lie over the input; a workspace of the size that it says is enough. */
Test(linear, works_in_place_and_allocates_nothing) {
    rapt_linear_args args = new_linear(1, 60, 48, 48, RAPT_F32);
    size_t size = 0;
    expect_ok(rapt_linear_workspace_size(&args, &size));
    char *workspace = allocate(size + 1);
    expect_ok(rapt_linear(&args, NULL, 0));
    rapt_linear_args other = args;
    other.out = other.input;
    const int before = allocations;
    expect_ok(rapt_linear(&other, workspace + 1, size));
    cr_expect_eq(allocations, before);
    cr_expect(same_bits(&other.out, &args.out));
    cr_expect_eq(rapt_linear(&other, workspace, size - 1), RAPT_INVALID_ARGUMENT);
    free(workspace);
    free_linear(&args);
}

/* Over every 4099th float and the ends: to 3e-7 of x, or of the least that f32 has in full. */
Test(linear, gelu_is_exact_to_the_last_places) {
    const struct rapt_kernels *k = rapt_kernels_best();
    double worst = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4099) {
        const uint32_t word = (uint32_t)bits;
        float x, y;
        memcpy(&x, &word, sizeof x);
        y = x;
        k->gelu(&y, 1);
        if (isnan(x)) {
            cr_assert(isnan(y));
            continue;
        }
        const double expected = exact_gelu((double)x), error = fabs((double)y - expected);
        worst = fmax(worst, isinf(x) ? 0 : error / fmax(fabs((double)x), 1e-30));
    }
    cr_expect(worst < 3e-7, "%g", worst);
    float ends[] = {-INFINITY, INFINITY, -0.0f, -FLT_MAX, FLT_MAX, -40, NAN};
    k->gelu(ends, 7);
    cr_expect(ends[0] == 0 && ends[1] == INFINITY && ends[2] == 0 && !signbit(ends[2]));
    cr_expect(ends[3] == 0 && ends[4] == FLT_MAX && ends[5] == 0 && isnan(ends[6]));
}

#define REFUSES(argument, found, ...)                                                              \
    do {                                                                                           \
        rapt_linear_args changed = args;                                                           \
        size_t size = 1;                                                                           \
        __VA_ARGS__;                                                                               \
        cr_expect_eq(rapt_linear(&changed, NULL, 0), RAPT_INVALID_ARGUMENT);                       \
        cr_expect(mentions(rapt_last_error(), argument) && mentions(rapt_last_error(), found),     \
                  "%s: %s", argument, rapt_last_error());                                          \
        cr_expect_eq(rapt_linear_workspace_size(&changed, &size), RAPT_INVALID_ARGUMENT);          \
        cr_expect(size == 0 && untouched(&args.out));                                              \
    } while (0)

Test(linear, arguments_are_checked) {
    rapt_linear_args args = new_linear(2, 5, 12, 12, RAPT_F32);
    REFUSES("args", "1", changed.size = 1);
    REFUSES("activation", "2", changed.activation = (rapt_activation)2);
    REFUSES("threads", "-1", changed.threads = -1);
    REFUSES("input", "f16", changed.input.dtype = RAPT_F16);
    REFUSES("input", "2", changed.input.shape[1] = 2);
    REFUSES("input", "NULL", changed.input.data = NULL);
    REFUSES("out", "bf16", changed.out.dtype = RAPT_BF16);
    REFUSES("out", "11", changed.out.shape[3] = 11);
    REFUSES("weight", "13", changed.weight.shape[3] = 13);
    REFUSES("weight", "int8", changed.weight.dtype = RAPT_I8);
    REFUSES("bias", "11", changed.bias.shape[3] = 11);
    REFUSES("bias", "none", changed.bias.dtype = RAPT_NONE);
    REFUSES("out", "weight", changed.out.data = args.weight.data);
    REFUSES("out", "bias", changed.bias.data = args.out.data);
    REFUSES("outer", "11", changed.outer = args.weight; changed.outer.shape[3] = 11);
    REFUSES("out", "12", changed.outer = args.weight; changed.outer.shape[2] = 5);
    REFUSES("outer_bias", "11", changed.outer = args.weight; changed.outer_bias = args.bias;
            changed.outer_bias.shape[3] = 11);
    REFUSES("outer", "none", changed.outer_bias = args.bias);
    cr_expect_eq(rapt_linear(NULL, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect_eq(rapt_linear_workspace_size(&args, NULL), RAPT_INVALID_ARGUMENT);
    args.isa = "sse9";
    cr_expect_eq(rapt_linear(&args, NULL, 0), RAPT_ISA_UNAVAILABLE);
    free_linear(&args);
}
