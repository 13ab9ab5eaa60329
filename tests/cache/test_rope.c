/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary embedding against its definition in double, in every layout, storage and variant. */
#include <fenv.h>

#include "tests/support/helpers.h"
#include "tests/support/variants.h"

static rapt_rope *new_rope(const rapt_rope_args *args) {
    rapt_rope *rope;
    expect_ok(rapt_rope_create(args, &rope));
    return rope;
}

static rapt_rope_args args_of(int64_t rotary_dim, rapt_rope_pairing pairing) {
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = rotary_dim;
    args.pairing = pairing;
    return args;
}

/* Random numbers in any floating-point storage. */
static rapt_tensor random_stored(rapt_dtype dtype, int64_t b, int64_t h, int64_t s, int64_t c) {
    rapt_tensor wide = random_tensor(RAPT_F32, b, h, s, c, 5), t = new_tensor(dtype, b, h, s, c);
    rapt_kernels_best()->narrow(t.data, wide.data, dtype, (int64_t)elements(&t));
    free(wide.data);
    return t;
}

static double element(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t at = b * t->stride[0] + h * t->stride[1] + s * t->stride[2] + c * t->stride[3];
    float x;
    rapt_kernels_best()->widen(&x, (const char *)t->data + at * rapt_dtype_size(t->dtype), t->dtype,
                               1, 1);
    return (double)x;
}

/* Half a unit in the last place of a number of size 1, and of the smallest. */
static double rounding(rapt_dtype dtype) {
    return dtype == RAPT_F32 ? 0 : dtype == RAPT_F16 ? 0x1p-11 : 0x1p-8;
}

static void expect_rotated(const rapt_rope_args *args, const rapt_tensor *in,
                           const rapt_tensor *out, const int64_t *positions, int64_t stride) {
    const int64_t pairs = args->rotary_dim / 2, heads = in->shape[1], length = in->shape[2];
    for (int64_t i = 0; i < in->shape[0] * heads * length; i++) {
        const int64_t b = i / heads / length, h = i / length % heads, s = i % length;
        const double position = positions ? (double)positions[b * stride + s] : (double)s;
        for (int64_t c = 0; c < in->shape[3]; c++) {
            const double found = element(out, b, h, s, c);
            if (c >= 2 * pairs) {
                cr_assert_eq(found, element(in, b, h, s, c));
                continue;
            }
            const bool halves = args->pairing == RAPT_ROPE_HALVES;
            const int64_t pair = halves ? c % pairs : c / 2;
            const bool second = halves ? c >= pairs : c % 2 == 1;
            const double a = element(in, b, h, s, halves ? pair : 2 * pair);
            const double z = element(in, b, h, s, halves ? pair + pairs : 2 * pair + 1);
            const double frequency =
                args->frequencies ? args->frequencies[pair]
                                  : exp(-log(args->base) * 2 * (double)pair / (double)(2 * pairs));
            const double t = position * args->position_scale * frequency;
            const double expected = second ? z * cos(t) + a * sin(t) : a * cos(t) - z * sin(t);
            /* The angle is an f32 of at most pi, of which half a unit is 1.2e-7; then four more. */
            const double bound = 4e-7 * hypot(a, z) + rounding(out->dtype) * fabs(expected) +
                                 (out->dtype == RAPT_F16 ? 0x1p-25 : 0) +
                                 1e-15 * fabs(t) * hypot(a, z);
            cr_assert(fabs(found - expected) <= bound,
                      "rotary %d, pairing %d, dtype %d, position %g, channel %d: %.9g, not %.9g",
                      (int)args->rotary_dim, (int)args->pairing, (int)out->dtype, position, (int)c,
                      found, expected);
        }
    }
}

static const int64_t rotary_dims[] = {2, 6, 32, 34, 64, 128, 600};
enum { ROTARY_DIMS = 7 };

#define FOR_EACH_PAIRING(p) for (rapt_rope_pairing p = RAPT_ROPE_HALVES; p <= 1; p++)

Test(rope, matches_the_definition) {
    const int64_t positions[] = {0, 1, 7, -3, 4096, 131071, 999999, 1000000};
    for (int d = 0; d < ROTARY_DIMS; d++) {
        FOR_EACH_PAIRING(pairing) {
            rapt_rope_args args = args_of(rotary_dims[d], pairing);
            args.base = d % 2 ? 10000 : 500000;
            rapt_rope *rope = new_rope(&args);
            rapt_tensor in = random_stored(RAPT_F32, 1, 2, 8, rotary_dims[d] + d % 3 * 5);
            rapt_tensor out = new_tensor(RAPT_F32, 1, 2, 8, in.shape[3]);
            expect_ok(rapt_rope_apply(rope, &in, positions, 0, &out));
            expect_rotated(&args, &in, &out, positions, 0);
            expect_ok(rapt_rope_apply(rope, &in, NULL, 0, &out));
            expect_rotated(&args, &in, &out, NULL, 0);
            free(in.data);
            free(out.data);
            rapt_rope_destroy(rope);
        }
    }
}

Test(rope, every_storage) {
    const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16, RAPT_BF16};
    for (int i = 0; i < 9; i++) {
        rapt_rope_args args = args_of(24, i % 2 ? RAPT_ROPE_HALVES : RAPT_ROPE_NEIGHBOURS);
        rapt_rope *rope = new_rope(&args);
        rapt_tensor in = random_stored(dtypes[i / 3], 2, 3, 4, 40);
        rapt_tensor out = new_tensor(dtypes[i % 3], 2, 3, 4, 40);
        expect_ok(rapt_rope_apply(rope, &in, NULL, 0, &out));
        if (rapt_dtype_size(in.dtype) <= rapt_dtype_size(out.dtype) && in.dtype == out.dtype)
            expect_rotated(&args, &in, &out, NULL, 0);
        else { /* the channels beyond are rounded, too */
            rapt_tensor rotated = out, whole = in;
            rotated.shape[3] = whole.shape[3] = 24;
            expect_rotated(&args, &whole, &rotated, NULL, 0);
        }
        free(in.data);
        free(out.data);
        rapt_rope_destroy(rope);
    }
}

Test(rope, frequencies_and_scale) {
    const double frequencies[] = {1000, -0.5, 0, 1e-9, 3};
    rapt_rope_args args = args_of(10, RAPT_ROPE_HALVES);
    const int64_t positions[] = {3, 70000, -12};
    rapt_tensor in = random_stored(RAPT_F32, 1, 1, 3, 10), out = new_tensor(RAPT_F32, 1, 1, 3, 10);
    for (int i = 0; i < 4; i++) {
        args.frequencies = i % 2 ? frequencies : NULL;
        args.position_scale = i / 2 ? 0.25 : 1;
        rapt_rope *rope = new_rope(&args);
        expect_ok(rapt_rope_apply(rope, &in, positions, 0, &out));
        expect_rotated(&args, &in, &out, positions, 0);
        rapt_rope_destroy(rope);
    }
    free(in.data);
    free(out.data);
}

Test(rope, positions_of_each_batch) {
    const int64_t positions[] = {5, 6, 7, 0, 900, 20, 21, 22};
    rapt_rope_args args = args_of(8, RAPT_ROPE_NEIGHBOURS);
    rapt_rope *rope = new_rope(&args);
    rapt_tensor in = random_stored(RAPT_F32, 2, 2, 3, 8), out = new_tensor(RAPT_F32, 2, 2, 3, 8);
    for (int64_t stride = 0; stride <= 5; stride++) {
        expect_ok(rapt_rope_apply(rope, &in, positions, stride, &out));
        expect_rotated(&args, &in, &out, positions, stride);
    }
    free(in.data);
    free(out.data);
    rapt_rope_destroy(rope);
}

/* One variant's results on the first, others', other layouts' and in place. */
Test(rope, the_same_bits_for_every_variant_and_layout) {
    const int64_t b = 2, h = 3, s = 4, positions[] = {12345, 0, 77, 1000003};
    for (int i = 0; i < ROTARY_DIMS * 2 * 3; i++) {
        const rapt_dtype dtype = i % 3 == 0 ? RAPT_F32 : i % 3 == 1 ? RAPT_F16 : RAPT_BF16;
        const int64_t rotary = rotary_dims[i / 6], c = rotary + i % 5;
        const int64_t strides[4][4] = {{h * s * c, c, h * c, 1},
                                       {h * s * c * 3, s * c * 3, c * 3, 3},
                                       {-h * s * c, -s * c, -c, -1},
                                       {h * s * c, s * c, 1, s}};
        rapt_rope_args args = args_of(rotary, (rapt_rope_pairing)(i / 3 % 2));
        rapt_tensor in = random_stored(dtype, b, h, s, c), first = new_tensor(dtype, b, h, s, c);
        bool have_first = false;
        FOR_EACH_VARIANT(k) {
            args.isa = k->name;
            rapt_rope *rope = new_rope(&args);
            rapt_tensor out = new_tensor(dtype, b, h, s, c);
            expect_ok(rapt_rope_apply(rope, &in, positions, 0, have_first ? &out : &first));
            cr_expect(!have_first || same_bits(&out, &first), "%s, case %d", k->name, i);
            have_first = true;
            memcpy(out.data, in.data, bytes_of(&in));
            expect_ok(rapt_rope_apply(rope, &out, positions, 0, &out));
            cr_expect(same_bits(&out, &first), "%s, case %d in place", k->name, i);
            for (int layout = 0; layout < 4; layout++) {
                const size_t room = 3 * elements(&in) * (size_t)rapt_dtype_size(dtype);
                char *memory = allocate(room);
                memset(memory, CANARY, room);
                rapt_tensor view = in;
                memcpy(view.stride, strides[layout], sizeof view.stride);
                view.data = layout == 2 ? memory + bytes_of(&in) - rapt_dtype_size(dtype) : memory;
                expect_ok(rapt_rope_apply(rope, &in, positions, 0, &view)); /* out is strided */
                rapt_rope_args none = args_of(2, RAPT_ROPE_HALVES);
                none.position_scale = 0; /* copies */
                rapt_rope *copy = new_rope(&none);
                expect_ok(rapt_rope_apply(copy, &view, NULL, 0, &out));
                cr_expect(same_bits(&out, &first), "%s, case %d to layout %d", k->name, i, layout);
                expect_ok(rapt_rope_apply(copy, &in, NULL, 0, &view));
                expect_ok(rapt_rope_apply(rope, &view, positions, 0, &out));
                cr_expect(same_bits(&out, &first), "%s, case %d of layout %d", k->name, i, layout);
                rapt_rope_destroy(copy);
                free(memory);
            }
            free(out.data);
            rapt_rope_destroy(rope);
        }
        free(in.data);
        free(first.data);
    }
}

/* Any number of pairs, and nothing beyond them. */
Test(rope, kernels_touch_their_pairs_alone) {
    enum { MOST = 40, ROOM = 2 * MOST + 8 };
    FOR_EACH_VARIANT(k) {
        for (int n = 0; n <= MOST; n++) {
            float x[2][ROOM], sines[MOST + 1], cosines[MOST + 1], angles[MOST];
            memset(x, CANARY, sizeof x);
            memset(sines, CANARY, sizeof sines);
            memset(cosines, CANARY, sizeof cosines);
            for (int i = 0; i < n; i++)
                angles[i] = (float)(i - 20) / 7;
            k->sincos(sines, cosines, angles, n);
            const float canary = x[0][0];
            cr_assert(!memcmp(&sines[n], &canary, 4) && !memcmp(&cosines[n], &canary, 4));
            /* The same pairs as neighbours and apart by n + 3. */
            const int apart = n + 3;
            for (int i = 0; i < 2 * n; i++)
                x[0][1 + i] = x[1][1 + i / 2 + i % 2 * apart] = (float)(i % 13) - 6;
            k->rotate(x[0] + 1, 1, sines, cosines, n);
            k->rotate(x[1] + 1, apart, sines, cosines, n);
            for (int i = 0; i < n; i++) {
                const float a = (float)(2 * i % 13) - 6, b = (float)((2 * i + 1) % 13) - 6;
                const float first = fmaf(a, cosines[i], -(b * sines[i]));
                const float second = fmaf(b, cosines[i], a * sines[i]);
                cr_assert(x[0][1 + 2 * i] == first && x[0][2 + 2 * i] == second, "%s, %d of %d",
                          k->name, i, n);
                if (n > 1) /* apart is 1 means neighbours */
                    cr_assert(x[1][1 + i] == first && x[1][1 + i + apart] == second, "%s, %d of %d",
                              k->name, i, n);
            }
            for (int i = 0; i < ROOM; i++) {
                const bool neighbour = i >= 1 && i <= 2 * n;
                const bool split = (i >= 1 && i <= n) || (i >= 1 + apart && i < 1 + apart + n);
                cr_assert(neighbour || !memcmp(&x[0][i], &canary, 4), "%s, %d", k->name, n);
                cr_assert(split || !memcmp(&x[1][i], &canary, 4), "%s, %d", k->name, n);
            }
        }
    }
}

Test(rope, what_is_not_finite_stays_in_its_pair) {
    FOR_EACH_VARIANT(k) {
        FOR_EACH_PAIRING(pairing) {
            rapt_rope_args args = args_of(20, pairing);
            args.isa = k->name;
            rapt_rope *rope = new_rope(&args);
            const int64_t position = 3;
            for (int bad = 0; bad < 20; bad++) {
                rapt_tensor in = random_tensor(RAPT_F32, 1, 1, 1, 20, 3);
                rapt_tensor out = new_tensor(RAPT_F32, 1, 1, 1, 20);
                ((float *)in.data)[bad] = bad % 3 ? -NAN : INFINITY;
                expect_ok(rapt_rope_apply(rope, &in, &position, 0, &out));
                for (int c = 0; c < 20; c++) {
                    const bool hit =
                        pairing == RAPT_ROPE_HALVES ? c % 10 == bad % 10 : c / 2 == bad / 2;
                    const float x = ((float *)out.data)[c], nan = NAN;
                    cr_expect_eq(!isfinite(x), hit, "%s, %d", k->name, c);
                    cr_expect(!isnan(x) || !memcmp(&x, &nan, sizeof x), "%s, %d", k->name, c);
                }
                free(in.data);
                free(out.data);
            }
            rapt_rope_destroy(rope);
        }
    }
}

Test(rope, the_callers_rounding_changes_nothing) {
    rapt_tensor in = random_stored(RAPT_F32, 1, 2, 5, 64), out[2];
    const int modes[] = {FE_TONEAREST, FE_UPWARD};
    for (int i = 0; i < 2; i++) {
        rapt_rope_args args = args_of(64, RAPT_ROPE_HALVES);
        rapt_rope *rope;
        out[i] = new_tensor(RAPT_F32, 1, 2, 5, 64);
        fesetround(modes[i]);
        rapt_status status = rapt_rope_create(&args, &rope);
        if (status == RAPT_OK)
            status = rapt_rope_apply(rope, &in, NULL, 0, &out[i]);
        const int after = fegetround();
        fesetround(FE_TONEAREST);
        cr_expect_eq(after, modes[i]);
        expect_ok(status);
        rapt_rope_destroy(rope);
    }
    cr_expect(same_bits(&out[0], &out[1]));
    for (int i = 0; i < 2; i++)
        free(out[i].data);
    free(in.data);
}

static void expect_refused(const rapt_rope_args *args, const char *name, const char *found) {
    rapt_rope *rope = (rapt_rope *)(void *)&rope;
    cr_expect_eq(rapt_rope_create(args, &rope), RAPT_INVALID_ARGUMENT, "%s", name);
    cr_expect_null(rope);
    cr_expect(mentions(rapt_last_error(), name) && mentions(rapt_last_error(), found), "%s",
              rapt_last_error());
}

Test(rope, wrong_settings_are_refused) {
    const double bad[] = {1, 1001};
    rapt_rope_args args[12];
    for (int i = 0; i < 12; i++)
        args[i] = args_of(4, RAPT_ROPE_HALVES);
    args[0].size--;
    args[1].rotary_dim = 0;
    args[2].rotary_dim = 5;
    args[3].rotary_dim = INT64_MAX - 1;
    args[4].pairing = (rapt_rope_pairing)2;
    args[5].base = 0.5;
    args[6].base = NAN;
    args[7].base = INFINITY;
    args[8].position_scale = -1;
    args[9].position_scale = NAN;
    args[10].frequencies = bad;
    const char *const names[][2] = {
        {"size", "args"},
        {"rotary_dim", "0"},
        {"rotary_dim", "5"},
        {"rotary_dim", "even"},
        {"pairing", "2"},
        {"base", "0.5"},
        {"base", "nan"},
        {"base", "inf"},
        {"position_scale", "-1"},
        {"position_scale", "nan"},
        {"frequencies[1]", "1001"},
    };
    for (int i = 0; i < 11; i++)
        expect_refused(&args[i], names[i][0], names[i][1]);
    expect_refused(NULL, "args", "NULL");
    cr_expect_eq(rapt_rope_create(&args[11], NULL), RAPT_INVALID_ARGUMENT);
    args[11].isa = "sse9";
    rapt_rope *rope;
    cr_expect_eq(rapt_rope_create(&args[11], &rope), RAPT_ISA_UNAVAILABLE);
    rapt_rope_destroy(NULL);
}

Test(rope, wrong_tensors_are_refused) {
    rapt_rope_args args = args_of(6, RAPT_ROPE_HALVES);
    rapt_rope *rope = new_rope(&args);
    rapt_tensor in = random_stored(RAPT_F32, 1, 2, 3, 8), out = new_tensor(RAPT_F32, 1, 2, 3, 8);
    const int64_t far[] = {0, 0, ((int64_t)1 << 31) + 1};
    rapt_tensor few = in, bytes = in, null = in, longer = out, narrow = out, shifted = in;
    few.shape[3] = narrow.shape[3] = 4;
    bytes.dtype = RAPT_I8;
    null.data = NULL;
    longer.shape[2] = 2;
    shifted.shape[2] = 2;
    shifted.data = (float *)in.data + 8;
    rapt_tensor same_memory = in, part = in;
    same_memory.dtype = RAPT_BF16;
    part.shape[2] = 2;
    const struct {
        const rapt_rope *rope;
        const rapt_tensor *in;
        const int64_t *positions;
        int64_t stride;
        const rapt_tensor *out;
        const char *name, *found;
    } calls[] = {
        {NULL, &in, NULL, 0, &out, "rope", "NULL"},
        {rope, NULL, NULL, 0, &out, "in", "NULL"},
        {rope, &in, NULL, 0, NULL, "out", "NULL"},
        {rope, &null, NULL, 0, &out, "in", "NULL"},
        {rope, &bytes, NULL, 0, &out, "in", "int8"},
        {rope, &in, NULL, 0, &longer, "out", "2"},
        {rope, &few, NULL, 0, &narrow, "rotary_dim", "6"},
        {rope, &in, far, 0, &out, "positions[2]", "2147483649"},
        {rope, &in, far, -1, &out, "batch_stride", "-1"},
        {rope, &part, NULL, 0, &shifted, "out", "overlaps"},
        {rope, &in, NULL, 0, &same_memory, "out", "overlaps"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        cr_expect_eq(rapt_rope_apply(calls[i].rope, calls[i].in, calls[i].positions,
                                     calls[i].stride, calls[i].out),
                     RAPT_INVALID_ARGUMENT, "call %zu", i);
        cr_expect(mentions(rapt_last_error(), calls[i].name) &&
                      mentions(rapt_last_error(), calls[i].found),
                  "call %zu: %s", i, rapt_last_error());
    }
    cr_expect(untouched(&out));
    rapt_tensor before = random_stored(RAPT_F32, 1, 2, 3, 8);
    cr_expect(same_bits(&in, &before));
    free(before.data);
    free(in.data);
    free(out.data);
    rapt_rope_destroy(rope);
}
