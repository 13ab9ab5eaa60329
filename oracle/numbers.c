/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and poison for the tensors of a case: the same bits on any machine. */
#include "oracle/numbers.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "oracle/places.h"
#include "oracle/poison.h"
#include "oracle/storage.h"
#include "oracle/tensors.h"

/* A NaN of either sign that isn't the canonical one. */
static void put_nan(const rapt_tensor *view, const int64_t *at, bool negative) {
    const uint32_t bits = storage_nan(view->dtype) | 1;
    const uint32_t word = bits | (uint32_t)negative << 31;
    const uint16_t half = (uint16_t)(bits | (uint32_t)negative << 15);
    if (view->dtype == RAPT_F32)
        memcpy(tensors_element(view, at), &word, sizeof word);
    else
        memcpy(tensors_element(view, at), &half, sizeof half);
}

void numbers_put(const rapt_tensor *view, const int64_t *at, float number) {
    const float largest = storage_largest(view->dtype);
    if (isnan(number)) {
        put_nan(view, at, signbit(number) != 0);
        return;
    }
    if (isfinite(number) && fabsf(number) > largest)
        number = copysignf(largest, number);
    storage_write(view->dtype, tensors_element(view, at), number);
}

void numbers_put_scale(const rapt_tensor *view, const rapt_tensor *scales, const int64_t *at,
                       float scale) {
    const int64_t row[4] = {at[0], at[1], at[2], 0};
    rapt_tensor block = {.data = storage_block(view, storage_offset(view, at)), .dtype = RAPT_F16};
    if (view->dtype == RAPT_I8)
        numbers_put(scales, row, scale);
    else
        numbers_put(&block, (const int64_t[4]){0}, scale);
}

/* 0 to 1 */
static float uniform(uint64_t *state) {
    return (float)(cases_random(state) >> 40) * 0x1p-24f;
}

/* Close to a normal distribution: the sum of four uniform ones, the same bits everywhere. */
static float normal(uint64_t *state) {
    const uint64_t r = cases_random(state);
    const int sum =
        (int)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 2 * 0xffff;
    return (float)sum * (1.7320508f / 65536);
}

static float query_element(const struct attention_case *c, rapt_dtype dtype, uint64_t *state) {
    switch (c->fill) {
    case FILL_LARGE:
        return 100 * normal(state);
    case FILL_OVERFLOW:
        return 1e15f * (0.5f + uniform(state));
    case FILL_EQUAL:
        return 0.75f;
    case FILL_SUBNORMAL:
        return (dtype == RAPT_F16 ? 1e-5f : 1e-20f) * normal(state);
    default:
        return normal(state);
    }
}

/* One sign for all channels if it overflows: else the order of summation would matter. */
static float key_element(const struct attention_case *c, rapt_dtype dtype, uint64_t kind,
                         uint64_t *state) {
    if (c->fill != FILL_OVERFLOW)
        return query_element(c, dtype, state);
    const float size = kind % 4 == 0 ? -1e25f : 1e25f;
    return kind % 4 == 1 ? 1e-15f * normal(state) : size * (0.5f + uniform(state));
}

/* What a mask of pieces has in one: rows by keys, whose sizes differ from case to case. */
enum piece { PIECE_HIDDEN, PIECE_SHOWN, PIECE_MIXED };

static enum piece piece_of(const struct attention_case *c, const int64_t *at) {
    static const int keys[] = {32, 96, 20, 64, 192}, rows[] = {1, 7, 30, 64};
    static const enum piece pieces[] = {PIECE_HIDDEN, PIECE_HIDDEN, PIECE_HIDDEN,
                                        PIECE_SHOWN,  PIECE_SHOWN,  PIECE_MIXED};
    const int64_t row = at[2] / rows[c->seed >> 32 & 3], key = at[3] / keys[(c->seed >> 34) % 5];
    uint64_t state = c->seed ^ (uint64_t)(((at[0] * 64 + at[1]) * 1024 + row) * 4096 + key);
    return at[2] % 11 == 5 ? PIECE_HIDDEN : pieces[cases_random(&state) % 6];
}

static float mask_element(const struct attention_case *c, const int64_t *at, uint64_t *state) {
    const int64_t i = at[2];
    const uint64_t percent = cases_random(state) % 100;
    const float bias = 2 * normal(state);
    const bool odd_row = i % 5 == 3;
    switch (c->mask) {
    case MASK_BIAS_HEADS:
        return odd_row ? -INFINITY : bias;
    case MASK_INFINITE:
        return percent < 30 ? -INFINITY : percent < 33 ? INFINITY : bias;
    case MASK_LOWEST:
        return percent < 30 || odd_row ? -FLT_MAX : bias;
    case MASK_NAN:
        return percent < 30 ? -INFINITY : percent < 31 ? NAN : bias;
    case MASK_PIECES:
        return piece_of(c, at) == PIECE_HIDDEN  ? -INFINITY
               : piece_of(c, at) == PIECE_SHOWN ? copysignf(0, bias)
               : percent < 50                   ? -INFINITY
                                                : bias;
    default:
        return bias;
    }
}

static void fill_mask(const rapt_tensor *mask, const struct attention_case *c, uint64_t *state) {
    static const unsigned char truths[] = {1, 2, 0x80, 0xff};
    int64_t at[4] = {0};
    do {
        if (mask->dtype != RAPT_BOOL) {
            numbers_put(mask, at, mask_element(c, at, state));
            continue;
        }
        const uint64_t r = cases_random(state);
        bool attend = r % 10 < 7 && !(c->mask == MASK_BOOL && at[2] % 5 == 3);
        if (c->mask == MASK_BOOL_PIECES && piece_of(c, at) != PIECE_MIXED)
            attend = piece_of(c, at) == PIECE_SHOWN;
        *(unsigned char *)tensors_element(mask, at) = attend ? truths[r >> 62] : 0;
    } while (tensors_next(mask, at));
}

/* The token that a tree's token comes after: any earlier one. */
static int64_t parent(const struct attention_case *c, int64_t b, int64_t token) {
    uint64_t state = c->seed + (uint64_t)(b * 0x10000 + token);
    return (int64_t)(cases_random(&state) % (uint64_t)token);
}

static bool is_ancestor(const struct attention_case *c, int64_t b, int64_t token, int64_t of) {
    while (of > token)
        of = parent(c, b, of);
    return of == token;
}

/* The last keys are those of the queries: each attends what was before them, its ancestors and
 * itself. */
static void fill_tree(const rapt_attention_args *args, const struct attention_case *c) {
    const rapt_tensor *mask = &args->mask;
    int64_t at[4];
    for (int64_t b = 0; b < places_sequences(args); b++) {
        const int64_t first = places_keys(args, b) - places_queries(args, b);
        const int64_t start = args->mask_start ? args->mask_start[b] : 0;
        for (int64_t i = 0; i < places_queries(args, b); i++) {
            for (int64_t column = 0; column < mask->shape[3]; column++) {
                const int64_t token = column - (first - start);
                places_mask(args, b, 0, i, column, at);
                *(unsigned char *)tensors_element(mask, at) =
                    token < 0 || (token <= i && is_ancestor(c, b, token, i));
            }
        }
    }
}

static void fill_query(const rapt_tensor *query, const struct attention_case *c, uint64_t *state) {
    int64_t at[4] = {0};
    do
        numbers_put(query, at, query_element(c, query->dtype, state));
    while (tensors_next(query, at));
}

/* ---- int8 and q8_0 ---- */

static float any_scale(uint64_t *state) {
    static const float scales[] = {0, -0.02f, 0x1p-145f, 0.5f, -0x1p-20f, 0.01f, 0.02f, -0.0f};
    return scales[cases_random(state) % 8];
}

/* How the numbers of a row are made. */
struct row_kind {
    float size;    /* of an element */
    bool constant; /* all are `size` */
    bool one_sign;
};

/* Of int8 from end to end. */
static void fill_quantized(const rapt_tensor *view, const rapt_tensor *scales,
                           const struct attention_case *c, const int64_t *row,
                           const struct row_kind *kind, uint64_t *state) {
    int64_t at[4] = {row[0], row[1], row[2], 0};
    for (; at[3] < view->shape[3]; at[3]++) {
        const float q = roundf(50 * normal(state)), size = fminf(fabsf(q) + 1, 127);
        const float scale = kind->size / 50 * (0.5f + uniform(state));
        if (at[3] == 0 || (view->dtype == RAPT_Q8_0 && at[3] % STORAGE_BLOCK == 0))
            numbers_put_scale(view, scales, at,
                              c->fill == FILL_SCALES ? any_scale(state)
                              : kind->constant       ? kind->size
                                                     : scale);
        const float number = kind->constant   ? 1
                             : kind->one_sign ? size
                                              : fminf(fmaxf(q, -128), 127);
        *(signed char *)tensors_element(view, at) = (signed char)number;
    }
}

/* ---- keys and values ---- */

static void fill_quantized_keys(const rapt_attention_args *args, const struct attention_case *c,
                                uint64_t *state) {
    int64_t at[4] = {0};
    do {
        const uint64_t sort = cases_random(state);
        const bool overflow = c->fill == FILL_OVERFLOW;
        const float sizes[] = {-1e25f, 1e-15f, 1e25f, 1e25f};
        const struct row_kind kind = {
            .size = overflow                    ? sizes[sort % 4]
                    : c->fill == FILL_LARGE     ? 100
                    : c->fill == FILL_EQUAL     ? 0.75f
                    : c->fill == FILL_SUBNORMAL ? 1e-20f
                                                : 1,
            .constant = c->fill == FILL_EQUAL,
            .one_sign = overflow && sort % 4 != 1,
        };
        fill_quantized(&args->key, &args->key_scale, c, at, &kind, state);
        at[3] = args->key.shape[3] - 1;
    } while (tensors_next(&args->key, at));
}

static void fill_key(const rapt_attention_args *args, const struct attention_case *c,
                     uint64_t *state) {
    int64_t at[4] = {0};
    uint64_t kind = 0;
    if (storage_is_quantized(args->key.dtype)) {
        fill_quantized_keys(args, c, state);
        return;
    }
    do {
        kind = at[3] == 0 ? cases_random(state) : kind;
        numbers_put(&args->key, at, key_element(c, args->key.dtype, kind, state));
    } while (tensors_next(&args->key, at));
}

/* Between two neighbours, as far as `dtype` has them; x itself for f32. */
static float halfway(rapt_dtype dtype, float x) {
    const float half = dtype == RAPT_F16 ? 0x1p-11f : dtype == RAPT_BF16 ? 0x1p-8f : 0;
    float memory;
    storage_write(dtype, &memory, x);
    const float y = storage_read(dtype, &memory);
    return y == 0 ? y : y + copysignf(ldexpf(half, ilogbf(y)), y);
}

/* Values are chosen by what out is stored as. */
static float value_element(const rapt_attention_args *args, const struct attention_case *c,
                           uint64_t *state) {
    const rapt_dtype out = args->out.dtype;
    const bool small_range = out == RAPT_F16 || args->value.dtype == RAPT_F16;
    switch (c->fill) {
    case FILL_SUBNORMAL:
        return (small_range ? 1e-5f : 1e-39f) * normal(state);
    case FILL_TIES:
        return halfway(out, normal(state));
    case FILL_TOP: { /* sums of many must not overflow f32 */
        const float many = out == RAPT_F16 || c->kv_len == 1 ? 1 : 2 * (float)c->kv_len;
        const float share = 0.99f + 0.0125f * uniform(state);
        const float size = fminf(storage_largest(out) / many * share, FLT_MAX);
        return cases_random(state) & 1 ? size : -size;
    }
    default:
        return normal(state);
    }
}

static void fill_quantized_values(const rapt_attention_args *args, const struct attention_case *c,
                                  uint64_t *state) {
    const bool chosen = c->fill == FILL_TIES || c->fill == FILL_TOP;
    int64_t at[4] = {0};
    do {
        const float subnormal = args->out.dtype == RAPT_F16 ? 1e-5f : 1e-39f;
        const struct row_kind kind = {
            .size = chosen                      ? value_element(args, c, state)
                    : c->fill == FILL_SUBNORMAL ? subnormal
                                                : 1,
            .constant = chosen,
        };
        fill_quantized(&args->value, &args->value_scale, c, at, &kind, state);
        at[3] = args->value.shape[3] - 1;
    } while (tensors_next(&args->value, at));
}

static void fill_value(const rapt_attention_args *args, const struct attention_case *c,
                       uint64_t *state) {
    int64_t at[4] = {0};
    if (storage_is_quantized(args->value.dtype)) {
        fill_quantized_values(args, c, state);
        return;
    }
    do
        numbers_put(&args->value, at, value_element(args, c, state));
    while (tensors_next(&args->value, at));
}

static float slope(const struct attention_case *c, const int64_t *at) {
    static const float huge[] = {FLT_MAX, -1e30f, 1e30f, -FLT_MAX, 1};
    const float slope = ldexpf(1, -(int)(at[1] + at[0] % 2) - 1);
    switch (c->alibi) {
    case ALIBI_BATCHES:
        return (at[0] + at[1]) % 3 == 1 ? 0 : slope;
    case ALIBI_NEGATIVE:
        return at[1] % 2 == 0 ? -slope : slope;
    case ALIBI_HUGE:
        return huge[(c->seed + (uint64_t)at[1]) % 5];
    default:
        return slope;
    }
}

static float sink(const struct attention_case *c, const int64_t *at) {
    static const float varied[] = {50, -50, 1.5f, -0.25f, 7};
    static const float huge[] = {1e30f, -FLT_MAX, INFINITY, 1e5f, FLT_MAX, -1e30f, -1e5f};
    const uint64_t n = c->seed + (uint64_t)(at[1] + 3 * at[0]);
    switch (c->sink) {
    case SINK_BATCHES:
        return varied[n % 5];
    case SINK_ABSENT:
        return n % 2 ? -INFINITY : 1;
    case SINK_HUGE:
        return huge[n % 7];
    case SINK_NAN:
        return n % 2 ? NAN : 1;
    default:
        return 0;
    }
}

static void fill_heads(const rapt_tensor *view, const struct attention_case *c,
                       float (*number)(const struct attention_case *, const int64_t *)) {
    int64_t at[4] = {0};
    if (tensors_is_empty(view))
        return;
    do
        numbers_put(view, at, number(c, at));
    while (tensors_next(view, at));
}

bool numbers_fill(const rapt_attention_args *args, const struct attention_case *c) {
    uint64_t state = c->seed;
    if (!tensors_is_empty(&args->query))
        fill_query(&args->query, c, &state);
    if (!tensors_is_empty(&args->key)) {
        fill_key(args, c, &state);
        fill_value(args, c, &state);
    }
    const bool masks = !tensors_is_empty(&args->mask);
    if (masks && c->mask == MASK_TREE)
        fill_tree(args, c);
    else if (masks)
        fill_mask(&args->mask, c, &state);
    fill_heads(&args->alibi, c, slope);
    fill_heads(&args->sink, c, sink);
    return poison_fill(args, c, &state);
}
