/* SPDX-License-Identifier: Apache-2.0 */
/* Legal oddities: any view of memory is taken, and gives the bits of the dense layout. */
#include <limits.h>

#include "tests/support/helpers.h"

static const struct form form = {
    2, 4, 2, 11, 13, 6, 7, .mask = RAPT_F32, .lse = true, .weights = true};

/* Where element (b, h, s, c) of a view lies. */
static char *place(const rapt_tensor *t, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t at = b * t->stride[0] + h * t->stride[1] + s * t->stride[2] + c * t->stride[3];
    return (char *)t->data + at * rapt_dtype_size(t->dtype);
}

static void copy_view(const rapt_tensor *to, const rapt_tensor *from) {
    for (int64_t b = 0; b < to->shape[0]; b++)
        for (int64_t h = 0; h < to->shape[1]; h++)
            for (int64_t s = 0; s < to->shape[2]; s++)
                for (int64_t c = 0; c < to->shape[3]; c++)
                    memcpy(place(to, b, h, s, c), place(from, b, h, s, c),
                           (size_t)rapt_dtype_size(to->dtype));
}

/* A tensor's view over other memory; `memory` is what must be freed. */
struct moved {
    rapt_tensor view;
    unsigned char *memory;
    size_t bytes;
};

/* The same elements, dimensions nested in the given order, `gap` elements apart, some reversed. */
static struct moved move_tensor(const rapt_tensor *t, const int *order, int64_t gap, int reversed) {
    struct moved moved = {.view = *t};
    const int64_t size = rapt_dtype_size(t->dtype);
    int64_t stride = gap, start = 0;
    for (int i = 3; i >= 0; i--) {
        moved.view.stride[order[i]] = stride;
        stride *= t->shape[order[i]];
        stride += gap - 1;
    }
    for (int i = 0; i < 4; i++)
        if (reversed >> i & 1) {
            start += (t->shape[i] - 1) * moved.view.stride[i];
            moved.view.stride[i] = -moved.view.stride[i];
        }
    moved.bytes = (size_t)((stride + 1) * size);
    moved.memory = allocate(moved.bytes);
    memset(moved.memory, CANARY, moved.bytes);
    moved.view.data = moved.memory + (start + 1) * size; /* aligned to its element only */
    copy_view(&moved.view, t);
    return moved;
}

/* Runs with every tensor laid out like that, and compares with the dense problem. */
static void expect_same_as_dense(const int *order, int64_t gap, int reversed) {
    static const int64_t offsets[] = {5, -2}; /* keys before and behind those of any row */
    rapt_attention_args dense = new_problem(&form, 1);
    dense.causal = true;
    dense.window_left = 3;
    dense.q_offset = offsets;
    rapt_attention_args args = dense;
    rapt_tensor *tensors[] = {&args.query, &args.key, &args.value,  &args.mask,
                              &args.out,   &args.lse, &args.weights};
    rapt_tensor *results[] = {&dense.out, &dense.lse, &dense.weights};
    struct moved moved[7];
    size_t written[3];
    for (int i = 0; i < 7; i++) {
        moved[i] = move_tensor(tensors[i], order, gap, reversed);
        *tensors[i] = moved[i].view;
    }
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&dense));
    for (int i = 0; i < 3; i++) {
        rapt_tensor back = new_tensor(RAPT_F32, results[i]->shape[0], results[i]->shape[1],
                                      results[i]->shape[2], results[i]->shape[3]);
        copy_view(&back, &moved[4 + i].view);
        cr_expect(same_bits(&back, results[i]), "output %d, gap %d, reversed %d", i, (int)gap,
                  reversed);
        /* What lies between the elements is still as it was. */
        memset(back.data, CANARY, bytes_of(&back));
        copy_view(&moved[4 + i].view, &back);
        written[i] = 0;
        for (size_t k = 0; k < moved[4 + i].bytes; k++)
            written[i] += moved[4 + i].memory[k] != CANARY;
        cr_expect_eq(written[i], 0u, "output %d", i);
        free(back.data);
    }
    for (int i = 0; i < 7; i++)
        free(moved[i].memory);
    free_problem(&dense);
}

Test(views, every_order_of_dimensions) {
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            for (int c = 0; c < 4; c++)
                if (a != b && a != c && b != c) {
                    const int order[4] = {a, b, c, 6 - a - b - c};
                    expect_same_as_dense(order, 1, 0);
                    expect_same_as_dense(order, 3, 0);
                }
}

Test(views, negative_strides) {
    static const int order[4] = {0, 1, 2, 3};
    for (int reversed = 0; reversed < 16; reversed++)
        expect_same_as_dense(order, 1 + reversed % 2, reversed);
}

Test(views, broadcast_inputs) {
    rapt_attention_args args = new_problem(&form, 1), copied = new_problem(&form, 1);
    rapt_tensor *tensors[] = {&args.query, &args.key, &args.value, &args.mask};
    const rapt_tensor *dense[] = {&copied.query, &copied.key, &copied.value, &copied.mask};
    for (int dimension = 0; dimension < 4; dimension++) {
        for (int i = 0; i < 4; i++) {
            const int64_t stride = tensors[i]->stride[dimension];
            tensors[i]->stride[dimension] = 0;
            copy_view(dense[i], tensors[i]);
            reset_outputs(&args);
            reset_outputs(&copied);
            expect_ok(rapt_attention(&args));
            expect_ok(rapt_attention(&copied));
            cr_expect(same_outputs(&args, &copied), "tensor %d, dimension %d", i, dimension);
            tensors[i]->stride[dimension] = stride;
            copy_view(dense[i], tensors[i]);
        }
    }
    free_problem(&args);
    free_problem(&copied);
}

Test(views, a_mask_of_ones_in_its_shape_counts_for_all) {
    for (int which = 0; which < 16; which++) {
        rapt_attention_args args = new_problem(&form, 1), copied = new_problem(&form, 1);
        for (int i = 0; i < 4; i++)
            if (which >> i & 1) {
                args.mask.shape[i] = 1;
                args.mask.stride[i] = INT64_MAX; /* of one index, so it's never used */
            }
        rapt_tensor all = args.mask;
        for (int i = 0; i < 4; i++)
            if (which >> i & 1) {
                all.shape[i] = copied.mask.shape[i];
                all.stride[i] = 0;
            }
        copy_view(&copied.mask, &all);
        expect_ok(rapt_attention(&args));
        expect_ok(rapt_attention(&copied));
        cr_expect(same_outputs(&args, &copied), "dimensions %#x", (unsigned)which);
        free_problem(&args);
        free_problem(&copied);
    }
}

Test(views, any_byte_but_zero_is_true) {
    struct form with_bool = form;
    with_bool.mask = RAPT_BOOL;
    rapt_attention_args args = new_problem(&with_bool, 1), odd = new_problem(&with_bool, 1);
    unsigned char *bytes = odd.mask.data;
    for (size_t i = 0; i < elements(&odd.mask); i++)
        bytes[i] = bytes[i] ? (unsigned char)(i % 255 + 1) : 0;
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&odd));
    cr_expect(same_outputs(&args, &odd));
    free_problem(&args);
    free_problem(&odd);
}

Test(views, dimensions_of_one_have_any_stride) {
    const struct form ones = {1, 1, 1, 1, 1, 1, 1, .mask = RAPT_F32, .lse = true, .weights = true};
    static const int64_t strides[] = {0, -1, 12345, INT64_MAX, INT64_MIN};
    rapt_attention_args plain = new_problem(&ones, 1), args = new_problem(&ones, 1);
    rapt_tensor *tensors[] = {&args.query, &args.key, &args.value,  &args.mask,
                              &args.out,   &args.lse, &args.weights};
    expect_ok(rapt_attention(&plain));
    for (int i = 0; i < 5; i++) {
        for (int t = 0; t < 7; t++)
            for (int k = 0; k < 4; k++)
                tensors[t]->stride[k] = strides[i];
        reset_outputs(&args);
        expect_ok(rapt_attention(&args));
        cr_expect(same_outputs(&plain, &args), "strides %lld", (long long)strides[i]);
    }
    free_problem(&plain);
    free_problem(&args);
}

Test(views, all_tensors_side_by_side_in_one_buffer) {
    rapt_attention_args dense = new_problem(&form, 1), args = dense;
    rapt_tensor *tensors[] = {&args.out,     &args.query, &args.lse, &args.key,
                              &args.weights, &args.value, &args.mask};
    size_t total = 0;
    for (int i = 0; i < 7; i++)
        total += bytes_of(tensors[i]);
    char *memory = allocate(total), *at = memory;
    for (int i = 0; i < 7; i++) {
        const rapt_tensor from = *tensors[i];
        tensors[i]->data = at;
        copy_view(tensors[i], &from);
        at += bytes_of(tensors[i]);
    }
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&dense));
    cr_expect(same_outputs(&dense, &args));
    free(memory);
    free_problem(&dense);
}

/* Rows of query, out and LSE take turns: their bounds overlap, but no element is shared. */
Test(views, outputs_interleaved_with_inputs) {
    rapt_attention_args dense = new_problem(&form, 1), args = dense;
    const int64_t row = form.head_dim + form.value_dim + 1;
    rapt_tensor packed = new_tensor(RAPT_F32, form.batch, form.q_heads, form.q_len, row);
    rapt_tensor *parts[] = {&args.query, &args.out, &args.lse};
    int64_t channel = 0;
    for (int i = 0; i < 3; i++) {
        memcpy(parts[i]->stride, packed.stride, sizeof packed.stride);
        parts[i]->data = (float *)packed.data + channel;
        channel += parts[i]->shape[3];
    }
    copy_view(&args.query, &dense.query);
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&dense));
    rapt_tensor back = new_tensor(RAPT_F32, form.batch, form.q_heads, form.q_len, form.value_dim);
    copy_view(&back, &args.out);
    cr_expect(same_bits(&back, &dense.out));
    free(back.data);
    free(packed.data);
    free_problem(&dense);
}

Test(views, options_at_their_limits) {
    const int64_t furthest = INT64_C(1) << 60;
    const int64_t offsets[][2] = {{furthest, -furthest}, {-furthest, furthest}, {0, 3}, {-5, 20}};
    const int64_t windows[] = {-1, 0, 5, furthest, INT64_MAX};
    const int64_t lengths[] = {13, 0};
    struct form big = form;
    big.mask = RAPT_NONE;
    for (int i = 0; i < 4 * 5 * 5; i++) {
        rapt_attention_args args = new_problem(&big, 1);
        args.causal = i % 2;
        args.q_offset = offsets[i / 25];
        args.window_left = windows[i / 5 % 5];
        args.window_right = windows[i % 5];
        args.kv_len = lengths;
        args.threads = i % 3 ? 0 : INT_MAX;
        expect_ok(rapt_attention(&args));
        /* The second batch has no keys. */
        const float *lse = args.lse.data;
        const size_t half = elements(&args.lse) / 2;
        for (size_t k = half; k < 2 * half; k++)
            cr_expect(isinf(lse[k]) && lse[k] < 0);
        free_problem(&args);
    }
}
