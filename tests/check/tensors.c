/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts and memory for the tensors of a case, and what a run leaves in them. */
#include "tensors.h"

#include <stdlib.h>
#include <string.h>

#include "numbers.h"

/* Gaps of inputs are NaN, or true: whoever reads them notices. */
enum { INPUT_GAP_BYTE = 0xff, PAGE_FLOATS = 1024 };

static const int64_t far_away = (int64_t)1 << 60;

rapt_tensor *tensors_view(rapt_attention_args *args, enum tensor_role role) {
    rapt_tensor *const views[] = {&args->query, &args->key, &args->value,  &args->mask,
                                  &args->out,   &args->lse, &args->weights};
    return views[role];
}

const char *tensors_name(enum tensor_role role) {
    static const char *const names[] = {"query", "key", "value", "mask", "out", "lse", "weights"};
    return names[role];
}

static size_t element_size(const rapt_tensor *view) {
    return view->dtype == RAPT_BOOL ? 1 : sizeof(float);
}

void *tensors_element(const rapt_tensor *view, const int64_t *at) {
    int64_t offset = 0;
    for (int i = 0; i < 4; i++)
        offset += at[i] * view->stride[i];
    return (char *)view->data + offset * (int64_t)element_size(view);
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

static void set_mask_shape(rapt_tensor *view, const struct attention_case *c) {
    static const bool full[MASK_COUNT][4] = {
        [MASK_BOOL] = {1, 1, 1, 1},       [MASK_BOOL_KEYS] = {1, 0, 0, 1},
        [MASK_BOOL_ROWS] = {0, 0, 1, 0},  [MASK_BIAS] = {1, 1, 1, 1},
        [MASK_BIAS_HEADS] = {0, 1, 1, 1}, [MASK_BIAS_KEYS] = {0, 0, 0, 1},
        [MASK_INFINITE] = {1, 1, 1, 1},   [MASK_LOWEST] = {1, 0, 1, 1},
        [MASK_NAN] = {1, 0, 1, 1},        [MASK_ONE] = {0, 0, 0, 0},
    };
    const bool *is = full[c->mask];
    if (c->mask != MASK_NONE)
        set_shape(view, c->mask <= MASK_BOOL_ROWS ? RAPT_BOOL : RAPT_F32, is[0] ? c->batch : 1,
                  is[1] ? c->q_heads : 1, is[2] ? c->q_len : 1, is[3] ? c->kv_len : 1);
}

static void set_shapes(rapt_attention_args *args, const struct attention_case *c) {
    set_shape(&args->query, RAPT_F32, c->batch, c->q_heads, c->q_len, c->head_dim);
    set_shape(&args->key, RAPT_F32, c->batch, c->kv_heads, c->kv_len, c->head_dim);
    set_shape(&args->value, RAPT_F32, c->batch, c->kv_heads, c->kv_len, c->value_dim);
    set_shape(&args->out, RAPT_F32, c->batch, c->q_heads, c->q_len, c->value_dim);
    set_mask_shape(&args->mask, c);
    if (c->lse)
        set_shape(&args->lse, RAPT_F32, c->batch, c->q_heads, c->q_len, 1);
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
    const int64_t page = (channels + PAGE_FLOATS - 1) / PAGE_FLOATS * PAGE_FLOATS;
    const int64_t head = positions * channels, gapped = 2 * channels + 3;
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
    const size_t size = element_size(view);
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
    const size_t count = (size_t)(shape[0] * shape[2] * token);
    if (!guard_alloc(&t->memory[TENSOR_QUERY], count * sizeof(float), side, INPUT_GAP_BYTE))
        return false;
    float *data = (float *)(void *)t->memory[TENSOR_QUERY].data;
    args->query.data = data;
    args->key.data = data + key;
    args->value.data = data + key + args->key.shape[1] * shape[3];
    return true;
}

static bool set_up(struct tensors *t, const struct attention_case *c, enum layout layout,
                   enum guard_side side) {
    memset(t, 0, sizeof *t);
    t->args = rapt_attention_defaults();
    set_shapes(&t->args, c);
    const int64_t token = (int64_t)(c->q_heads + 2 * c->kv_heads) * c->head_dim;
    bool done = true;
    for (int role = 0; role < TENSOR_COUNT; role++) {
        rapt_tensor *view = tensors_view(&t->args, role);
        lay_out(view, layout_of(layout, role), token);
        const bool packed = layout == LAYOUT_PACKED && role <= TENSOR_VALUE;
        if (view->dtype != RAPT_NONE && !packed)
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
    if (!set_up(t, c, c->layout, side))
        return false;
    set_positions(t, c);
    numbers_fill(&t->args, c);
    return true;
}

bool tensors_copy(struct tensors *t, const struct tensors *from, const struct attention_case *c,
                  enum layout layout, enum guard_side side) {
    if (!set_up(t, c, layout, side))
        return false;
    set_positions(t, c);
    rapt_attention_args old = from->args;
    for (int role = 0; role < TENSOR_OUT; role++) {
        const rapt_tensor *dst = tensors_view(&t->args, role), *src = tensors_view(&old, role);
        int64_t at[4] = {0};
        if (dst->dtype == RAPT_NONE)
            continue;
        do
            memcpy(tensors_element(dst, at), tensors_element(src, at), element_size(dst));
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
        float *dense = malloc(outputs->count[role] * sizeof *dense);
        outputs->data[role] = dense;
        if (!dense) {
            outputs_free(outputs);
            return false;
        }
        int64_t at[4] = {0};
        do {
            memcpy(dense++, tensors_element(view, at), sizeof *dense);
            memset(tensors_element(view, at), CANARY_BYTE, sizeof *dense);
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

void outputs_free(struct outputs *outputs) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        free(outputs->data[role]);
    memset(outputs, 0, sizeof *outputs);
}
