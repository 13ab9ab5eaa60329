/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes and strides of the tensors of a case, layout by layout. */
#include "oracle/layouts.h"

#include <string.h>

#include "oracle/places.h"
#include "oracle/storage.h"

enum { PAGE_BYTES = 4096 };

static void set_shape(rapt_tensor *view, rapt_dtype dtype, int64_t b, int64_t h, int64_t s,
                      int64_t c) {
    *view = (rapt_tensor){.dtype = dtype, .shape = {b, h, s, c}};
}

/* What query, key, value, out and mask are stored as. */
static const rapt_dtype stored[STORAGE_ALL][5] = {
    [STORAGE_F32] = {RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F32},
    [STORAGE_F16] = {RAPT_F16, RAPT_F16, RAPT_F16, RAPT_F16, RAPT_F16},
    [STORAGE_BF16] = {RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_BF16},
    [STORAGE_CACHE_F16] = {RAPT_F32, RAPT_F16, RAPT_F16, RAPT_F32, RAPT_F16},
    [STORAGE_CACHE_BF16] = {RAPT_F32, RAPT_BF16, RAPT_BF16, RAPT_BF16, RAPT_F32},
    [STORAGE_QUERY_F16] = {RAPT_F16, RAPT_F32, RAPT_F32, RAPT_BF16, RAPT_BF16},
    [STORAGE_OUT_F16] = {RAPT_F32, RAPT_F32, RAPT_F32, RAPT_F16, RAPT_F32},
    [STORAGE_MIX_F32] = {RAPT_BF16, RAPT_F16, RAPT_F32, RAPT_F32, RAPT_F16},
    [STORAGE_MIX_F16] = {RAPT_F16, RAPT_F32, RAPT_BF16, RAPT_F16, RAPT_BF16},
    [STORAGE_I8] = {RAPT_F32, RAPT_I8, RAPT_I8, RAPT_F32, RAPT_F32},
    [STORAGE_Q8_0] = {RAPT_F32, RAPT_Q8_0, RAPT_Q8_0, RAPT_F32, RAPT_F32},
    [STORAGE_KEY_I8] = {RAPT_BF16, RAPT_I8, RAPT_BF16, RAPT_F32, RAPT_F16},
    [STORAGE_VALUE_I8] = {RAPT_F32, RAPT_F16, RAPT_I8, RAPT_F16, RAPT_F32},
    [STORAGE_MIX_Q8_0] = {RAPT_F32, RAPT_Q8_0, RAPT_I8, RAPT_BF16, RAPT_BF16},
    [STORAGE_VALUE_Q8_0] = {RAPT_F16, RAPT_F32, RAPT_Q8_0, RAPT_F32, RAPT_F32},
    [STORAGE_ONLY_KEY_I8] = {RAPT_F32, RAPT_I8, RAPT_F32, RAPT_F32, RAPT_F32},
    [STORAGE_ONLY_VALUE_I8] = {RAPT_F32, RAPT_F32, RAPT_I8, RAPT_F32, RAPT_F32},
};

static int64_t mask_columns(const struct attention_case *c) {
    switch (c->start) {
    case START_NARROW:
        return c->kv_len / 2 + 1;
    case START_END:
        return c->q_len;
    case START_PAST:
        return 3;
    default:
        return c->kv_len;
    }
}

/* A ragged mask has for each query of the packed sequences what others have for each batch or
 * query.
 */
static void set_mask_shape(rapt_attention_args *args, rapt_dtype dtype,
                           const struct attention_case *c) {
    static const bool full[MASK_COUNT][4] = {
        [MASK_BOOL] = {1, 1, 1, 1},        [MASK_BOOL_KEYS] = {1, 0, 0, 1},
        [MASK_BOOL_ROWS] = {0, 0, 1, 0},   [MASK_BIAS] = {1, 1, 1, 1},
        [MASK_BIAS_HEADS] = {0, 1, 1, 1},  [MASK_BIAS_KEYS] = {0, 0, 0, 1},
        [MASK_INFINITE] = {1, 1, 1, 1},    [MASK_LOWEST] = {1, 0, 1, 1},
        [MASK_NAN] = {1, 0, 1, 1},         [MASK_ONE] = {0, 0, 0, 0},
        [MASK_TREE] = {1, 0, 1, 1},        [MASK_PIECES] = {1, 0, 1, 1},
        [MASK_BOOL_PIECES] = {0, 1, 1, 1},
    };
    const bool *is = full[c->mask], is_bool = c->mask <= MASK_BOOL_ROWS || c->mask == MASK_TREE ||
                                              c->mask == MASK_BOOL_PIECES;
    const bool batches = is[0] && !args->cu_q, rows = is[2] || (is[0] && args->cu_q);
    if (c->mask != MASK_NONE)
        set_shape(&args->mask, is_bool ? RAPT_BOOL : dtype, batches ? c->batch : 1,
                  is[1] ? c->q_heads : 1, rows ? args->query.shape[2] : 1,
                  is[3] ? mask_columns(c) : 1);
}

static void set_scales_shape(rapt_tensor *scales, const rapt_tensor *of) {
    if (of->dtype == RAPT_I8)
        set_shape(scales, RAPT_F32, of->shape[0], of->shape[1], of->shape[2], 1);
}

static void set_output_shapes(rapt_attention_args *args, const struct attention_case *c,
                              int64_t batch, int64_t queries) {
    set_shape(&args->out, stored[c->storage][3], batch, c->q_heads, queries, c->value_dim);
    if (c->lse)
        set_shape(&args->lse, RAPT_F32, batch, c->q_heads, queries, 1);
    if (c->max)
        set_shape(&args->max, RAPT_F32, batch, c->q_heads, queries, 1);
    if (c->weights)
        set_shape(&args->weights, RAPT_F32, batch, c->q_heads, queries, c->kv_len);
    if (c->observed != OBSERVE_NONE) {
        set_shape(&args->entropy, RAPT_F32, batch, c->q_heads, queries, 1);
        set_shape(&args->distance, RAPT_F32, batch, c->q_heads, queries, 1);
        set_shape(&args->segments, RAPT_F32, batch, c->q_heads, queries, CASE_SEGMENTS);
        set_shape(&args->diagonals, RAPT_F32, batch, c->q_heads, queries, CASE_DIAGONALS);
    }
    if (c->observed == OBSERVE_ALL) {
        set_shape(&args->top_weight, RAPT_F32, batch, c->q_heads, queries, CASE_TOP);
        set_shape(&args->top_key, RAPT_I32, batch, c->q_heads, queries, CASE_TOP);
    }
}

void layouts_shapes(rapt_attention_args *args, const struct attention_case *c, int64_t pages) {
    const rapt_dtype *dtypes = stored[c->storage];
    const bool packed = c->layout == LAYOUT_PACKED; /* one buffer has one type */
    const int64_t batch = args->cu_q ? 1 : c->batch;
    const int64_t queries = args->cu_q ? args->cu_q[c->batch] : c->q_len;
    const int64_t all_keys = args->cu_k ? args->cu_k[c->batch] : c->kv_len;
    const int64_t key_batch = args->cu_k ? 1 : c->page_size ? pages : c->batch;
    const int64_t keys = c->page_size ? c->page_size : all_keys;
    set_shape(&args->query, dtypes[0], batch, c->q_heads, queries, c->head_dim);
    set_shape(&args->key, dtypes[packed ? 0 : 1], key_batch, c->kv_heads, keys, c->head_dim);
    set_shape(&args->value, dtypes[packed ? 0 : 2], key_batch, c->kv_heads, keys, c->value_dim);
    set_scales_shape(&args->key_scale, &args->key);
    set_scales_shape(&args->value_scale, &args->value);
    set_mask_shape(args, dtypes[4], c);
    if (c->alibi)
        set_shape(&args->alibi, RAPT_F32, c->alibi == ALIBI_BATCHES ? c->batch : 1, c->q_heads, 1,
                  1);
    if (c->sink)
        set_shape(&args->sink, RAPT_F32, c->sink == SINK_BATCHES ? c->batch : 1, c->q_heads, 1, 1);
    set_output_shapes(args, c, batch, queries);
}

static void set_strides(rapt_tensor *view, int64_t b, int64_t h, int64_t s, int64_t c) {
    const int64_t strides[4] = {b, h, s, c};
    memcpy(view->stride, strides, sizeof strides);
}

static enum layout layout_of(enum layout layout, enum tensor_role role) {
    if (layout == LAYOUT_PACKED && role >= TENSOR_MASK)
        return LAYOUT_BSHD;
    if (layout == LAYOUT_SHARED && role >= TENSOR_OUT)
        return LAYOUT_BHSD;
    return layout;
}

void layouts_strides(rapt_tensor *view, enum tensor_role role, enum layout layout, int64_t token) {
    const int64_t heads = view->shape[1], positions = view->shape[2], channels = view->shape[3];
    /* The channels of a block stay together. */
    const bool blocks = view->dtype == RAPT_Q8_0;
    const int64_t gap = blocks ? STORAGE_BLOCK : 1;
    const int64_t of_page = blocks ? PAGE_BYTES : PAGE_BYTES / (int64_t)storage_size(view->dtype);
    const int64_t page = (channels + of_page - 1) / of_page * of_page;
    const int64_t head = positions * channels, gapped = 2 * channels + 3 * gap;
    const int64_t odd = blocks ? channels + gap : channels | 1;
    switch (layout_of(layout, role)) {
    case LAYOUT_BSHD:
        set_strides(view, heads * head, channels, heads * channels, 1);
        break;
    case LAYOUT_PACKED:
        set_strides(view, positions * token, channels, token, 1);
        break;
    case LAYOUT_REVERSED:
        set_strides(view, -heads * head, -head, -channels, blocks ? 1 : -1);
        break;
    case LAYOUT_SPREAD:
        set_strides(view, heads * positions * gapped, positions * gapped, gapped, blocks ? 1 : 2);
        break;
    case LAYOUT_TRANSPOSED:
        set_strides(view, heads * head, head, blocks ? channels : 1, blocks ? 1 : positions);
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
