/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts and memory for the tensors of a case, and what a run leaves in them. */
#include "tensors.h"

#include <stdlib.h>
#include <string.h>

#include "numbers.h"
#include "storage.h"

/* Gaps of inputs are NaN, or true: whoever reads them notices. */
enum { INPUT_GAP_BYTE = 0xff, PAGE_BYTES = 4096 };

static const int64_t far_away = (int64_t)1 << 60;

rapt_tensor *tensors_view(rapt_attention_args *args, enum tensor_role role) {
    rapt_tensor *const views[] = {&args->query, &args->key,    &args->value, &args->mask,
                                  &args->alibi, &args->sink,   &args->out,   &args->lse,
                                  &args->max,   &args->weights};
    return views[role];
}

const char *tensors_name(enum tensor_role role) {
    static const char *const names[] = {"query", "key", "value", "mask", "alibi",
                                        "sink",  "out", "lse",   "max",  "weights"};
    return names[role];
}

void *tensors_element(const rapt_tensor *view, const int64_t *at) {
    int64_t offset = 0;
    for (int i = 0; i < 4; i++)
        offset += at[i] * view->stride[i];
    return (char *)view->data + offset * (int64_t)storage_size(view->dtype);
}

bool tensors_next(const rapt_tensor *view, int64_t *at) {
    for (int i = 3; i >= 0; i--) {
        if (++at[i] < view->shape[i])
            return true;
        at[i] = 0;
    }
    return false;
}

static void set_shape(rapt_tensor *view, rapt_dtype dtype, int64_t b, int64_t h, int64_t s,
                      int64_t c) {
    *view = (rapt_tensor){.dtype = dtype, .shape = {b, h, s, c}};
}

static void set_mask_shape(rapt_tensor *view, rapt_dtype dtype, const struct attention_case *c) {
    static const bool full[MASK_COUNT][4] = {
        [MASK_BOOL] = {1, 1, 1, 1},       [MASK_BOOL_KEYS] = {1, 0, 0, 1},
        [MASK_BOOL_ROWS] = {0, 0, 1, 0},  [MASK_BIAS] = {1, 1, 1, 1},
        [MASK_BIAS_HEADS] = {0, 1, 1, 1}, [MASK_BIAS_KEYS] = {0, 0, 0, 1},
        [MASK_INFINITE] = {1, 1, 1, 1},   [MASK_LOWEST] = {1, 0, 1, 1},
        [MASK_NAN] = {1, 0, 1, 1},        [MASK_ONE] = {0, 0, 0, 0},
    };
    const bool *is = full[c->mask];
    if (c->mask != MASK_NONE)
        set_shape(view, c->mask <= MASK_BOOL_ROWS ? RAPT_BOOL : dtype, is[0] ? c->batch : 1,
                  is[1] ? c->q_heads : 1, is[2] ? c->q_len : 1, is[3] ? c->kv_len : 1);
}

/* What query, key, value, out and mask are stored as. */
static const rapt_dtype stored[STORAGE_COUNT][5] = {
    [STORAGE_F32] = {RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F32},
    [STORAGE_F16] = {RAPT_F16, RAPT_F16, RAPT_F16, RAPT_F16, RAPT_F16},
    [STORAGE_BF16] = {RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_BF16},
    [STORAGE_CACHE_F16] = {RAPT_F32, RAPT_F16, RAPT_F16, RAPT_F32, RAPT_F16},
    [STORAGE_CACHE_BF16] = {RAPT_F32, RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_F32},
    [STORAGE_QUERY_F16] = {RAPT_F16, RAPT_F32, RAPT_F32, RAPT_BF16, RAPT_BF16},
    [STORAGE_OUT_F16] = {RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F16, RAPT_F32},
    [STORAGE_MIX_F32] = {RAPT_BF16, RAPT_F16, RAPT_F32, RAPT_F32, RAPT_F16},
    [STORAGE_MIX_F16] = {RAPT_F16, RAPT_F32, RAPT_BF16, RAPT_F16, RAPT_BF16},
};

static void set_shapes(rapt_attention_args *args, const struct attention_case *c) {
    const rapt_dtype *dtypes = stored[c->storage];
    const bool packed = c->layout == LAYOUT_PACKED; /* one buffer has one type */
    set_shape(&args->query, dtypes[0], c->batch, c->q_heads, c->q_len, c->head_dim);
    set_shape(&args->key, dtypes[packed ? 0 : 1], c->batch, c->kv_heads, c->kv_len, c->head_dim);
    set_shape(&args->value, dtypes[packed ? 0 : 2], c->batch, c->kv_heads, c->kv_len, c->value_dim);
    set_shape(&args->out, dtypes[3], c->batch, c->q_heads, c->q_len, c->value_dim);
    set_mask_shape(&args->mask, dtypes[4], c);
    if (c->alibi)
        set_shape(&args->alibi, RAPT_F32, c->alibi == ALIBI_BATCHES ? c->batch : 1, c->q_heads, 1,
                  1);
    if (c->sink)
        set_shape(&args->sink, RAPT_F32, c->sink == SINK_BATCHES ? c->batch : 1, c->q_heads, 1, 1);
    if (c->lse)
        set_shape(&args->lse, RAPT_F32, c->batch, c->q_heads, c->q_len, 1);
    if (c->max)
        set_shape(&args->max, RAPT_F32, c->batch, c->q_heads, c->q_len, 1);
    if (c->weights)
        set_shape(&args->weights, RAPT_F32, c->batch, c->q_heads, c->q_len, c->kv_len);
}

static void set_strides(rapt_tensor *view, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t strides[4] = {b, h, s, c};
    memcpy(view->stride, strides, sizeof strides);
}

/* token: elements of one position in a packed buffer. */
static void lay_out(rapt_tensor *view, enum layout layout, int64_t token) {
    const int64_t heads = view->shape[1], positions = view->shape[2], channels = view->shape[3];
    const int64_t of_page = PAGE_BYTES / (int64_t)storage_size(view->dtype);
    const int64_t page = (channels + of_page - 1) / of_page * of_page;
    const int64_t head = positions * channels, gapped = 2 * channels + 3, odd = channels | 1;
    switch (layout) {
    case LAYOUT_BSHD:
        set_strides(view, heads * head, channels, heads * channels, 1);
        break;
    case LAYOUT_PACKED:
        set_strides(view, positions * token, channels, token, 1);
        break;
    case LAYOUT_REVERSED:
        set_strides(view, -heads * head, -head, -channels, -1);
        break;
    case LAYOUT_SPREAD:
        set_strides(view, heads * positions * gapped, positions * gapped, gapped, 2);
        break;
    case LAYOUT_TRANSPOSED:
        set_strides(view, heads * head, head, 1, positions);
        break;
    case LAYOUT_PAGES:
        set_strides(view, heads * positions * page, positions * page, page, 1);
        break;
    case LAYOUT_ODD:
        set_strides(view, heads * positions * odd, positions * odd, odd, 1);
        break;
    case LAYOUT_SHARED:
        set_strides(view, 0, 0, channels, 1);
        break;
    default:
        set_strides(view, heads * head, head, channels, 1);
        break;
    }
}

static enum layout layout_of(enum layout layout, enum tensor_role role) {
    if (layout == LAYOUT_PACKED && role >= TENSOR_MASK)
        return LAYOUT_BSHD;
    if (layout == LAYOUT_SHARED && role >= TENSOR_OUT)
        return LAYOUT_BHSD;
    return layout;
}

static bool allocate(struct tensors *t, enum tensor_role role, enum guard_side side) {
    rapt_tensor *view = tensors_view(&t->args, role);
    int64_t before = 0, after = 0;
    for (int i = 0; i < 4; i++) {
        const int64_t reach = (view->shape[i] - 1) * view->stride[i];
        before -= reach < 0 ? reach : 0;
        after += reach > 0 ? reach : 0;
    }
    const size_t size = storage_size(view->dtype);
    if (!guard_alloc(&t->memory[role], (size_t)(before + after + 1) * size, side,
                     role >= TENSOR_OUT ? CANARY_BYTE : INPUT_GAP_BYTE))
        return false;
    view->data = t->memory[role].data + (size_t)before * size;
    return true;
}

/* Query, key and value in the memory of one, which is the query's. */
static bool allocate_packed(struct tensors *t, int64_t token, enum guard_side side) {
    rapt_attention_args *args = &t->args;
    const int64_t *shape = args->query.shape, key = shape[1] * shape[3];
    const int64_t size = (int64_t)storage_size(args->query.dtype);
    const size_t bytes = (size_t)(shape[0] * shape[2] * token * size);
    if (!guard_alloc(&t->memory[TENSOR_QUERY], bytes, side, INPUT_GAP_BYTE))
        return false;
    args->query.data = t->memory[TENSOR_QUERY].data;
    args->key.data = t->memory[TENSOR_QUERY].data + key * size;
    args->value.data = t->memory[TENSOR_QUERY].data + (key + args->key.shape[1] * shape[3]) * size;
    return true;
}

static bool set_up(struct tensors *t, const struct attention_case *c, enum guard_side side) {
    const enum layout layout = c->layout;
    memset(t, 0, sizeof *t);
    t->args = rapt_attention_defaults();
    set_shapes(&t->args, c);
    const int64_t token = (int64_t)(c->q_heads + 2 * c->kv_heads) * c->head_dim;
    bool done = true;
    for (int role = 0; role < TENSOR_COUNT; role++) {
        rapt_tensor *view = tensors_view(&t->args, role);
        if (view->dtype == RAPT_NONE)
            continue;
        lay_out(view, layout_of(layout, role), token);
        const bool packed = layout == LAYOUT_PACKED && role <= TENSOR_VALUE;
        if (!packed)
            done = done && allocate(t, role, side);
    }
    if (layout == LAYOUT_PACKED)
        done = done && allocate_packed(t, token, side);
    if (!done)
        tensors_free(t);
    return done;
}

void tensors_free(struct tensors *t) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        guard_free(&t->memory[role]);
}

static int64_t not_negative(int64_t n) {
    return n < 0 ? 0 : n;
}

static void set_positions(struct tensors *t, const struct attention_case *c) {
    for (int b = 0; b < c->batch; b++) {
        const int64_t all = c->kv_len;
        const int64_t some = not_negative(all - 3 - 7 * b), zero = b == 0 ? 0 : all - 1;
        t->kv_len[b] = c->lengths == LENGTH_SOME ? some : c->lengths == LENGTH_ZERO ? zero : all;
        const int64_t offsets[OFFSET_COUNT] = {0,         t->kv_len[b] - c->q_len,     -4, all / 3,
                                               5 * b - 3, b % 2 ? -far_away : far_away};
        t->q_offset[b] = offsets[c->offset];
    }
    t->args.kv_len = c->lengths == LENGTH_NONE ? NULL : t->kv_len;
    t->args.q_offset = c->offset == OFFSET_NONE ? NULL : t->q_offset;
    t->args.causal = c->causal;
    t->args.window_left = c->window_left;
    t->args.window_right = c->window_right;
    t->args.scale = c->scale;
    t->args.softcap = c->softcap;
}

bool tensors_make(struct tensors *t, const struct attention_case *c, enum guard_side side) {
    if (!set_up(t, c, side))
        return false;
    set_positions(t, c);
    numbers_fill(&t->args, c);
    return true;
}

static void copy_element(const rapt_tensor *dst, const rapt_tensor *src, const int64_t *at) {
    void *to = tensors_element(dst, at);
    const void *from = tensors_element(src, at);
    if (dst->dtype == src->dtype)
        memcpy(to, from, storage_size(dst->dtype));
    else
        storage_write(dst->dtype, to, storage_read(src->dtype, from));
}

bool tensors_copy(struct tensors *t, const struct tensors *from, const struct attention_case *c,
                  enum guard_side side) {
    if (!set_up(t, c, side))
        return false;
    set_positions(t, c);
    rapt_attention_args old = from->args;
    for (int role = 0; role < TENSOR_OUT; role++) {
        const rapt_tensor *dst = tensors_view(&t->args, role), *src = tensors_view(&old, role);
        int64_t at[4] = {0};
        if (dst->dtype == RAPT_NONE)
            continue;
        do
            copy_element(dst, src, at);
        while (tensors_next(dst, at));
    }
    return true;
}

uint64_t tensors_checksum(const struct tensors *t) {
    uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a, on words */
    for (int role = 0; role < TENSOR_OUT; role++) {
        const struct guard *g = &t->memory[role];
        uint64_t word = 0;
        for (size_t at = 0; at < g->size; at += sizeof word, word = 0) {
            const size_t left = g->size - at;
            memcpy(&word, g->data + at, left < sizeof word ? left : sizeof word);
            sum = (sum ^ word) * 0x100000001b3u;
        }
    }
    return sum;
}

void tensors_clear_outputs(struct tensors *t) {
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++)
        if (t->memory[role].data)
            memset(t->memory[role].data, CANARY_BYTE, t->memory[role].size);
}

bool tensors_collect(struct tensors *t, struct outputs *outputs) {
    memset(outputs, 0, sizeof *outputs);
    for (int role = TENSOR_OUT; role < TENSOR_COUNT; role++) {
        const rapt_tensor *view = tensors_view(&t->args, role);
        if (view->dtype == RAPT_NONE)
            continue;
        outputs->count[role] =
            (size_t)(view->shape[0] * view->shape[1] * view->shape[2] * view->shape[3]);
        const size_t size = storage_size(view->dtype);
        unsigned char *dense = malloc(outputs->count[role] * size);
        outputs->dtype[role] = view->dtype;
        outputs->data[role] = dense;
        if (!dense) {
            outputs_free(outputs);
            return false;
        }
        int64_t at[4] = {0};
        do {
            memcpy(dense, tensors_element(view, at), size);
            memset(tensors_element(view, at), CANARY_BYTE, size);
            dense += size;
        } while (tensors_next(view, at));
    }
    return true;
}

bool tensors_outputs_intact(const struct tensors *t) {
    for (int role = 0; role < TENSOR_COUNT; role++) {
        const struct guard *g = &t->memory[role];
        if (g->map && !guard_intact(g))
            return false;
        if (g->map && role >= TENSOR_OUT &&
            (g->data[0] != CANARY_BYTE || memcmp(g->data, g->data + 1, g->size - 1) != 0))
            return false;
    }
    return true;
}

static const void *output(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return outputs->data[role] + index * storage_size(outputs->dtype[role]);
}

float outputs_number(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return storage_read(outputs->dtype[role], output(outputs, role, index));
}

uint32_t outputs_bits(const struct outputs *outputs, enum tensor_role role, size_t index) {
    return storage_bits(outputs->dtype[role], output(outputs, role, index));
}

void outputs_round(struct outputs *outputs, enum tensor_role role, rapt_dtype dtype) {
    for (size_t n = 0; n < outputs->count[role] && outputs->dtype[role] != dtype; n++)
        storage_write(dtype, outputs->data[role] + n * storage_size(dtype),
                      outputs_number(outputs, role, n));
    outputs->dtype[role] = dtype;
}

void outputs_free(struct outputs *outputs) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        free(outputs->data[role]);
    memset(outputs, 0, sizeof *outputs);
}
