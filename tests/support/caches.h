/* SPDX-License-Identifier: Apache-2.0 */
/* Caches of numbered tokens, and what the bytes of a token have to be. */
#ifndef RAPT_TESTS_SUPPORT_CACHES_H
#define RAPT_TESTS_SUPPORT_CACHES_H

#include "simd/dispatch.h"
#include "tests/support/helpers.h"

enum { CHANNELS_MAX = 128, SEQUENCES_MAX = 5, CAPACITY_MAX = 128 };

static inline rapt_cache_args cache_args(int64_t heads, int64_t head_dim, int64_t value_dim,
                                         int64_t sequences, int64_t capacity, int64_t page_size) {
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = heads;
    args.head_dim = head_dim;
    args.value_dim = value_dim;
    args.sequences = sequences;
    args.capacity = capacity;
    args.page_size = page_size;
    return args;
}

static inline rapt_cache *new_cache(const rapt_cache_args *args) {
    rapt_cache *cache;
    expect_ok(rapt_cache_create(args, &cache));
    return cache;
}

static inline rapt_attention_args view_of(const rapt_cache *cache, int64_t first, int64_t count) {
    rapt_attention_args args = rapt_attention_defaults();
    expect_ok(rapt_cache_view(cache, first, count, &args));
    return args;
}

/* Numbers that f32, f16 and bf16 have alike, so that a token is one whatever it comes in. */
static inline void token_row(float *row, uint64_t id, bool is_value, int64_t head, int64_t n) {
    uint64_t seed = (id * 2 + is_value) * 64 + (uint64_t)head;
    next_random(&seed);
    for (int64_t c = 0; c < n; c++)
        row[c] = (float)((int32_t)(next_random(&seed) >> 16) % 255 - 127) / 64;
}

/* Tokens as a (1, heads, n, channels) view in one of some layouts. */
static inline rapt_tensor token_view(const uint64_t *ids, bool is_value, rapt_dtype dtype,
                                     int64_t heads, int64_t n, int64_t channels, int layout) {
    rapt_tensor t = new_tensor(dtype, 2, heads, n, channels); /* twice the room */
    t.shape[0] = 1;
    const int64_t step = layout == 2 ? 2 : 1;
    if (layout >= 1) { /* by token, and with channels 2 apart */
        t.stride[1] = channels * step;
        t.stride[2] = heads * channels * step;
        t.stride[3] = step;
    }
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < n; i++) {
            float row[CHANNELS_MAX];
            token_row(row, ids[i], is_value, h, channels);
            for (int64_t c = 0; c < channels; c++)
                rapt_kernels_best()->narrow((char *)t.data +
                                                (h * t.stride[1] + i * t.stride[2] + c * step) *
                                                    rapt_dtype_size(dtype),
                                            row + c, dtype, 1);
        }
    return t;
}

static inline rapt_status append_tokens(rapt_cache *cache, const rapt_cache_args *args,
                                        int64_t sequence, const uint64_t *ids, int64_t n,
                                        const int64_t *positions, int layout) {
    const rapt_dtype dtypes[] = {RAPT_F32, RAPT_BF16, RAPT_F16};
    rapt_tensor key =
        token_view(ids, false, dtypes[layout], args->kv_heads, n, args->head_dim, layout);
    rapt_tensor value = token_view(ids, true, dtypes[(layout + n) % 3], args->kv_heads, n,
                                   args->value_dim, 2 - layout);
    const rapt_status status = rapt_cache_append(cache, sequence, &key, &value, positions);
    free(key.data);
    free(value.data);
    return status;
}

/* A row in 8 bits, by the definition; returns the scale. */
static inline float quantized(int8_t *q, const float *x, int64_t n) {
    float most = 0;
    for (int64_t c = 0; c < n; c++)
        most = fmaxf(most, fabsf(x[c]));
    const float scale = most / 127;
    for (int64_t c = 0; c < n; c++)
        q[c] = (int8_t)(scale > 0 ? nearbyintf(x[c] / scale) : 0);
    return scale;
}

static inline int64_t row_bytes(rapt_dtype dtype, int64_t channels) {
    return channels / rapt_dtype_block(dtype) * rapt_dtype_size(dtype);
}

/* What a token's row has to be in the cache; returns the scale of an int8 row. */
static inline float stored_row(char *bytes, const rapt_cache_args *args, uint64_t id, bool is_value,
                               int64_t head, int64_t position) {
    const rapt_dtype dtype = is_value ? args->value_dtype : args->key_dtype;
    const int64_t channels = is_value ? args->value_dim : args->head_dim;
    const struct rapt_kernels *k = rapt_kernels_best();
    float row[CHANNELS_MAX];
    token_row(row, id, is_value, head, channels);
    if (args->rope && !is_value) {
        const rapt_tensor t = rapt_tensor_bhsd(row, RAPT_F32, 1, 1, 1, channels);
        expect_ok(rapt_rope_apply(args->rope, &t, &position, 0, &t));
    }
    if (dtype == RAPT_I8)
        return quantized((int8_t *)bytes, row, channels);
    if (dtype != RAPT_Q8_0)
        k->narrow(bytes, row, dtype, channels);
    for (int64_t c = 0; dtype == RAPT_Q8_0 && c < channels; c += 32, bytes += 34) {
        const float scale = quantized((int8_t *)bytes + 2, row + c, 32);
        k->narrow(bytes, &scale, RAPT_F16, 1);
    }
    return 1;
}

/* Where the operator finds key or value i of a sequence, in elements of a tensor of the view. */
static inline int64_t element_of(const rapt_attention_args *view, const rapt_tensor *t,
                                 int64_t sequence, int64_t head, int64_t i) {
    int64_t page = sequence, token = i;
    if (view->block_table) {
        page = view->block_table[sequence * view->block_table_stride + i / t->shape[2]];
        token = i % t->shape[2];
    }
    cr_assert(page >= 0 && page < t->shape[0] && token < t->shape[2]);
    return page * t->stride[0] + head * t->stride[1] + token * t->stride[2];
}

static inline const char *found_row(const rapt_attention_args *view, bool is_value,
                                    int64_t sequence, int64_t head, int64_t i, float *scale) {
    const rapt_tensor *t = is_value ? &view->value : &view->key;
    const rapt_tensor *scales = is_value ? &view->value_scale : &view->key_scale;
    cr_assert_eq(scales->dtype, t->dtype == RAPT_I8 ? RAPT_F32 : RAPT_NONE);
    *scale = t->dtype == RAPT_I8
                 ? ((float *)scales->data)[element_of(view, scales, sequence, head, i)]
                 : 1;
    return (char *)t->data + row_bytes(t->dtype, element_of(view, t, sequence, head, i));
}

#endif
