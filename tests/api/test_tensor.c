/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on views, against going through all elements one by one. */
#include "tests/support/helpers.h"
#include "src/base/tensor.h"

enum { ORIGIN = 1 << 12, REACH = 2 * ORIGIN };

/* Counts how often a view touches each byte, and returns the largest count. */
static int touch(const rapt_tensor *t, int64_t origin, unsigned char *bytes) {
    const int64_t size = rapt_dtype_size(t->dtype);
    int most = 0;
    for (int64_t i = 0; i < (int64_t)elements(t); i++) {
        int64_t rest = i, at = 0;
        for (int d = 3; d >= 0; d--) {
            at += rest % t->shape[d] * t->stride[d];
            rest /= t->shape[d];
        }
        for (int64_t k = 0; k < size; k++) {
            const int64_t place = origin + at * size + k;
            cr_assert(place >= 0 && place < REACH);
            bytes[place]++;
            most = bytes[place] > most ? bytes[place] : most;
        }
    }
    return most;
}

static rapt_tensor random_view(uint64_t *seed, rapt_dtype dtype) {
    rapt_tensor t = {NULL, dtype, {1, 1, 1, 1}, {0, 0, 0, 0}};
    for (int d = 0; d < 4; d++) {
        t.shape[d] = 1 + next_random(seed) % 4;
        t.stride[d] = (int64_t)(next_random(seed) % 80) - 40;
        if (next_random(seed) % 2)
            t.stride[d] = t.stride[d] / 12 * 12; /* periods in common, as interleaved views have */
        if (t.shape[d] == 1)
            t.stride[d] = 0;
    }
    return t;
}

/* Dimensions nested in any order, with gaps between and some backwards: no element twice. */
static rapt_tensor nested_view(uint64_t *seed) {
    rapt_tensor t = {NULL, RAPT_F32, {1, 1, 1, 1}, {0, 0, 0, 0}};
    int64_t stride = 1;
    const int first = (int)(next_random(seed) % 4), step = next_random(seed) % 2 ? 1 : 3;
    for (int i = 0; i < 4; i++) {
        const int d = (first + i * step) % 4;
        t.shape[d] = 1 + next_random(seed) % 4;
        stride += next_random(seed) % 3;
        t.stride[d] = next_random(seed) % 2 ? stride : -stride;
        stride *= t.shape[d];
    }
    return t;
}

Test(tensor, span_is_what_the_elements_touch) {
    uint64_t seed = 1;
    static unsigned char bytes[REACH];
    for (int i = 0; i < 3000; i++) {
        const rapt_tensor t = random_view(&seed, i % 2 ? RAPT_F32 : RAPT_BOOL);
        struct rapt_span span;
        memset(bytes, 0, sizeof bytes);
        touch(&t, ORIGIN, bytes);
        cr_assert(rapt_tensor_span(&t, &span));
        cr_assert(bytes[ORIGIN + span.first] && bytes[ORIGIN + span.last - 1]);
        for (int64_t k = 0; k < REACH; k++)
            cr_assert(!bytes[k] || (k >= ORIGIN + span.first && k < ORIGIN + span.last));
    }
}

/* Every view that meets itself is found; the nested ones, which don't, are let through. */
Test(tensor, views_that_meet_themselves) {
    uint64_t seed = 2;
    static unsigned char bytes[REACH];
    int met = 0;
    for (int i = 0; i < 6000; i++) {
        const rapt_tensor t = i % 2 ? random_view(&seed, RAPT_F32) : nested_view(&seed);
        memset(bytes, 0, sizeof bytes);
        const bool meets = touch(&t, ORIGIN, bytes) > 1;
        cr_assert(!meets || rapt_tensor_meets_itself(&t));
        cr_assert(i % 2 || (!meets && !rapt_tensor_meets_itself(&t)));
        met += meets;
    }
    cr_expect_gt(met, 300);
}

/* Two views that share a byte are always found, and some that only interleave are let through. */
Test(tensor, views_that_meet_each_other) {
    uint64_t seed = 3;
    static unsigned char bytes[REACH];
    int met = 0, interleaved = 0;
    for (int i = 0; i < 30000; i++) {
        const rapt_tensor a = random_view(&seed, RAPT_F32);
        const rapt_tensor b = random_view(&seed, i % 3 ? RAPT_F32 : RAPT_BOOL);
        const int64_t at[] = {ORIGIN, ORIGIN + (int64_t)(next_random(&seed) % 256) * 4 - 512};
        struct rapt_span span_a, span_b;
        rapt_tensor_span(&a, &span_a);
        rapt_tensor_span(&b, &span_b);
        const struct rapt_place place_a = {&a, (uintptr_t)(at[0] + span_a.first),
                                           (uintptr_t)(at[0] + span_a.last)};
        const struct rapt_place place_b = {&b, (uintptr_t)(at[1] + span_b.first),
                                           (uintptr_t)(at[1] + span_b.last)};
        bool meet = false;
        memset(bytes, 0, sizeof bytes);
        touch(&a, at[0], bytes);
        static unsigned char others[REACH];
        memset(others, 0, sizeof others);
        touch(&b, at[1], others);
        for (int k = 0; k < REACH; k++)
            meet = meet || (bytes[k] && others[k]);
        const bool found = rapt_places_meet(&place_a, &place_b);
        cr_assert(found || !meet, "views %d share memory", i);
        met += meet;
        interleaved += !found && place_a.first < place_b.last && place_b.first < place_a.last;
    }
    cr_expect_gt(met, 1000);
    cr_expect_gt(interleaved, 100);
}

Test(tensor, views_of_dense_memory) {
    float data[2] = {0};
    const rapt_tensor a = rapt_tensor_bhsd(data, RAPT_F32, 2, 3, 5, 7);
    const rapt_tensor b = rapt_tensor_bshd(data, RAPT_BOOL, 2, 3, 5, 7);
    const int64_t shape[] = {2, 3, 5, 7}, bhsd[] = {105, 35, 7, 1}, bshd[] = {105, 7, 21, 1};
    cr_expect_arr_eq(a.shape, shape, sizeof shape);
    cr_expect_arr_eq(b.shape, shape, sizeof shape);
    cr_expect_arr_eq(a.stride, bhsd, sizeof bhsd);
    cr_expect_arr_eq(b.stride, bshd, sizeof bshd);
    cr_expect(a.data == data && a.dtype == RAPT_F32 && b.data == data && b.dtype == RAPT_BOOL);
    cr_expect_eq(rapt_dtype_size(RAPT_F32), 4);
    cr_expect_eq(rapt_dtype_size(RAPT_BOOL), 1);
    cr_expect_eq(rapt_dtype_size(RAPT_NONE), 0);
    cr_expect_eq(rapt_dtype_size((rapt_dtype)99), 0);
}
