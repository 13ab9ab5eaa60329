/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/tensor.h"

int64_t rapt_dtype_size(rapt_dtype dtype) {
    return rapt_dtype_info_of(dtype).bytes;
}

int64_t rapt_dtype_block(rapt_dtype dtype) {
    return rapt_dtype_info_of(dtype).block;
}

/* Wraps instead of overflowing: the checks of a call see the nonsense, not undefined behaviour. */
static int64_t times(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static rapt_tensor view(const void *data, rapt_dtype dtype, int64_t b, int64_t h, int64_t s,
                        int64_t d) {
    rapt_tensor t = {(void *)(uintptr_t)data, dtype, {b, h, s, d}, {0, 0, 0, 1}};
    return t;
}

rapt_tensor rapt_tensor_bhsd(const void *data, rapt_dtype dtype, int64_t batch, int64_t heads,
                             int64_t positions, int64_t channels) {
    rapt_tensor t = view(data, dtype, batch, heads, positions, channels);
    t.stride[2] = channels;
    t.stride[1] = times(positions, channels);
    t.stride[0] = times(heads, t.stride[1]);
    return t;
}

rapt_tensor rapt_tensor_bshd(const void *data, rapt_dtype dtype, int64_t batch, int64_t heads,
                             int64_t positions, int64_t channels) {
    rapt_tensor t = view(data, dtype, batch, heads, positions, channels);
    t.stride[1] = channels;
    t.stride[2] = times(heads, channels);
    t.stride[0] = times(positions, t.stride[2]);
    return t;
}

/* A view in units of its dtype's blocks, which are single elements but for q8_0. */
static rapt_tensor in_blocks(rapt_tensor t) {
    const int64_t block = rapt_dtype_block(t.dtype);
    if (block > 1) {
        t.shape[3] /= block;
        for (int i = 0; i < 3; i++)
            t.stride[i] /= block;
    }
    return t;
}

bool rapt_tensor_span(const rapt_tensor *t, struct rapt_span *span) {
    const rapt_tensor blocks = in_blocks(*t);
    const int64_t size = rapt_dtype_size(t->dtype);
    span->first = 0;
    span->last = 0;
    if (rapt_is_empty(t))
        return true;
    span->last = size;
    for (int i = 0; i < 4; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(blocks.shape[i] - 1, blocks.stride[i], &reach) ||
            __builtin_mul_overflow(reach, size, &reach) ||
            __builtin_add_overflow(reach < 0 ? span->first : span->last, reach,
                                   reach < 0 ? &span->first : &span->last))
            return false;
    }
    return span->last <= INT64_MAX / 2 && span->first >= -(INT64_MAX / 2);
}

/* Bytes from one index of a dimension to the next. */
static uint64_t step_of(const rapt_tensor *blocks, int i) {
    const int64_t stride = blocks->stride[i];
    return (uint64_t)(stride < 0 ? -stride : stride) * (uint64_t)rapt_dtype_size(blocks->dtype);
}

/* Bytes that a view covers when the dimensions that step by multiples of period are left out. */
static uint64_t width_within(const rapt_tensor *t, uint64_t period) {
    const rapt_tensor blocks = in_blocks(*t);
    uint64_t width = (uint64_t)rapt_dtype_size(t->dtype);
    for (int i = 0; i < 4; i++) {
        const uint64_t step = step_of(&blocks, i);
        if (blocks.shape[i] > 1 && step % period != 0)
            width += step * (uint64_t)(blocks.shape[i] - 1);
    }
    return width;
}

/* Whether a and b keep to different parts of every period: then they interleave, and don't meet. */
static bool interleave(const struct rapt_place *a, const struct rapt_place *b, uint64_t period) {
    const uint64_t width_a = width_within(a->view, period), width_b = width_within(b->view, period);
    if (width_a > period || width_b > period)
        return false;
    /* The first byte of a view is also the first of its part, whatever the strides' signs. */
    const uint64_t ahead = b->first >= a->first
                               ? (b->first - a->first) % period
                               : (period - (a->first - b->first) % period) % period;
    return ahead >= width_a && ahead + width_b <= period;
}

bool rapt_places_meet(const struct rapt_place *a, const struct rapt_place *b) {
    const bool empty = a->first == a->last || b->first == b->last;
    if (empty || a->first >= b->last || b->first >= a->last)
        return false;
    const rapt_tensor blocks = in_blocks(*a->view);
    for (int i = 0; i < 4; i++) {
        const uint64_t step = step_of(&blocks, i);
        if (step > 0 && interleave(a, b, step))
            return false;
    }
    return true;
}

bool rapt_tensor_meets_itself(const rapt_tensor *t) {
    /* From the smallest stride up, each must step over all that the smaller ones reach. */
    bool used[4] = {false};
    int64_t reach = 0;
    if (rapt_is_empty(t))
        return false;
    for (int round = 0; round < 4; round++) {
        int next = -1;
        int64_t least = INT64_MAX;
        for (int i = 0; i < 4; i++) {
            if (used[i] || t->shape[i] == 1)
                continue;
            const int64_t step = t->stride[i] < 0 ? -t->stride[i] : t->stride[i];
            if (step <= least) {
                next = i;
                least = step;
            }
        }
        if (next < 0)
            return false;
        used[next] = true;
        if (least <= reach)
            return true;
        reach += least * (t->shape[next] - 1);
    }
    return false;
}
