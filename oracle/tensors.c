/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for the tensors of a case, and copies in another form. */
#include "oracle/tensors.h"

#include <string.h>

#include "oracle/layouts.h"
#include "oracle/numbers.h"
#include "oracle/places.h"
#include "oracle/storage.h"

/* Gaps of inputs are NaN, or true: whoever reads them notices. More pages than PIECES_MAX would be
 * more mappings than a process may have. */
enum { INPUT_GAP_BYTE = 0xff, PIECES_MAX = 3000, SPARE_PAGES = 3 };

static const int64_t far_away = (int64_t)1 << 60;

rapt_tensor *tensors_view(rapt_attention_args *args, enum tensor_role role) {
    rapt_tensor *const views[] = {
        &args->query,       &args->key,        &args->value,   &args->mask,     &args->key_scale,
        &args->value_scale, &args->alibi,      &args->sink,    &args->out,      &args->lse,
        &args->max,         &args->weights,    &args->entropy, &args->distance, &args->segments,
        &args->diagonals,   &args->top_weight, &args->top_key};
    return views[role];
}

const char *tensors_name(enum tensor_role role) {
    static const char *const names[] = {
        "query",   "key",      "value",    "mask",      "key_scale",  "value_scale",
        "alibi",   "sink",     "out",      "lse",       "max",        "weights",
        "entropy", "distance", "segments", "diagonals", "top_weight", "top_key"};
    return names[role];
}

bool tensors_is_of_keys(enum tensor_role role) {
    return role == TENSOR_KEY || role == TENSOR_VALUE || role == TENSOR_KEY_SCALE ||
           role == TENSOR_VALUE_SCALE;
}

void *tensors_element(const rapt_tensor *view, const int64_t *at) {
    return storage_at(view, storage_offset(view, at));
}

void tensors_start_at(rapt_tensor *view, const int64_t *at) {
    const int64_t offset = storage_offset(view, at);
    view->data = view->dtype == RAPT_Q8_0 ? storage_block(view, offset) : storage_at(view, offset);
}

bool tensors_next(const rapt_tensor *view, int64_t *at) {
    for (int i = 3; i >= 0; i--) {
        if (++at[i] < view->shape[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* ---- memory ---- */

static int64_t block_elements(rapt_dtype dtype) {
    return dtype == RAPT_Q8_0 ? STORAGE_BLOCK : 1;
}

static size_t bytes_of(rapt_dtype dtype, int64_t elements) {
    return (size_t)(elements / block_elements(dtype)) * storage_size(dtype);
}

/* A paged tensor has each page between forbidden ones, where that is feasible. */
static bool allocate(struct tensors *t, enum tensor_role role, enum guard_side side) {
    rapt_tensor *view = tensors_view(&t->args, role);
    struct guard *memory = &t->memory[role];
    const bool pieces = t->args.block_table && tensors_is_of_keys(role) && view->stride[0] != 0 &&
                        view->shape[0] <= PIECES_MAX;
    const size_t unit = storage_size(view->dtype), count = pieces ? (size_t)view->shape[0] : 1;
    const unsigned char fill = role >= TENSOR_OUT ? CANARY_BYTE : INPUT_GAP_BYTE;
    const bool empty = tensors_is_empty(view);
    int64_t before = 0, after = 0;
    for (int i = pieces; i < 4 && !empty; i++) {
        const int64_t reach = (view->shape[i] - 1) * view->stride[i];
        before -= reach < 0 ? reach : 0;
        after += reach > 0 ? reach : 0;
    }
    const size_t size = empty ? 0 : bytes_of(view->dtype, before + after + 1);
    if (!guard_alloc_pieces(memory, size, count, unit, side, fill))
        return false;
    const bool backwards = pieces && view->stride[0] < 0;
    if (pieces) {
        const int64_t distance = (int64_t)(memory->stride / unit) * block_elements(view->dtype);
        view->stride[0] = backwards ? -distance : distance;
    }
    view->data = guard_piece(memory, backwards ? count - 1 : 0) + bytes_of(view->dtype, before);
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

static int64_t pages_for(int64_t keys, int64_t page_size) {
    return (keys + page_size - 1) / page_size;
}

/* Pages that a sequence has in common with the first: whole ones, about half of what both have. */
static int64_t shared_pages(const struct tensors *t, int b, int64_t page_size) {
    const int64_t least = t->kv_len[b] < t->kv_len[0] ? t->kv_len[b] : t->kv_len[0];
    return b == 0 ? 0 : (least / page_size + 1) / 2;
}

static void shuffle(int32_t *numbers, int64_t count, uint64_t state) {
    for (int64_t n = 0; n < count; n++) {
        const int64_t other = (int64_t)(cases_random(&state) % (uint64_t)(n + 1));
        numbers[n] = numbers[other];
        numbers[other] = (int32_t)n;
    }
}

/* Makes the block table; entries that nothing may look at are no pages. False without memory. */
static bool make_table(struct tensors *t, const struct attention_case *c, bool share,
                       int64_t *pages) {
    const int64_t size = c->page_size;
    int64_t total = SPARE_PAGES, longest = 0, used = 0;
    for (int b = 0; b < c->batch; b++) {
        const int64_t own = pages_for(t->kv_len[b], size);
        total += own - (share ? shared_pages(t, b, size) : 0);
        longest = own > longest ? own : longest;
    }
    const int64_t stride = longest + 2;
    struct guard shuffled;
    if (!guard_alloc(&shuffled, (size_t)total * sizeof(int32_t), GUARD_AFTER, 0))
        return false;
    int32_t *numbers = (int32_t *)(void *)shuffled.data;
    shuffle(numbers, total, c->seed);
    const bool done =
        guard_alloc(&t->table, (size_t)(c->batch * stride) * sizeof(int32_t), GUARD_AFTER, 0);
    int32_t *table = (int32_t *)(void *)t->table.data;
    for (int b = 0; done && b < c->batch; b++) {
        for (int64_t n = 0; n < stride; n++) {
            const bool exists = n < pages_for(t->kv_len[b], size);
            const bool shared = share && n < shared_pages(t, b, size);
            table[b * stride + n] = !exists  ? (n % 2 ? -7 : INT32_MAX)
                                    : shared ? table[n]
                                             : numbers[used++];
        }
    }
    guard_free(&shuffled);
    t->args.block_table = table;
    t->args.block_table_stride = stride;
    *pages = total;
    return done;
}

/* Memory for all tensors, whose lengths and positions are known. */
static bool set_up(struct tensors *t, const struct attention_case *c, bool share,
                   enum guard_side side) {
    int64_t pages = 0;
    bool done = c->page_size == 0 || make_table(t, c, share, &pages);
    if (done)
        layouts_shapes(&t->args, c, pages);
    const int64_t token = (int64_t)(c->q_heads + 2 * c->kv_heads) * c->head_dim;
    for (int role = 0; role < TENSOR_COUNT; role++) {
        rapt_tensor *view = tensors_view(&t->args, role);
        if (view->dtype == RAPT_NONE)
            continue;
        layouts_strides(view, role, c->layout, token);
        const bool packed = c->layout == LAYOUT_PACKED && role <= TENSOR_VALUE;
        if (!packed)
            done = done && allocate(t, role, side);
    }
    if (c->layout == LAYOUT_PACKED)
        done = done && allocate_packed(t, token, side);
    if (!done)
        tensors_free(t);
    return done;
}

void tensors_free(struct tensors *t) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        guard_free(&t->memory[role]);
    guard_free(&t->table);
}

/* ---- what a case says of its sequences ---- */

static void set_positions(struct tensors *t, const struct attention_case *c) {
    for (int b = 0; b < c->batch; b++) {
        const int64_t all = c->kv_len;
        t->order[b] = b;
        t->q_len[b] = cases_queries(c, b);
        t->kv_len[b] = cases_keys(c, b);
        const int64_t end = t->kv_len[b] - t->q_len[b];
        const int64_t offsets[OFFSET_COUNT] = {0,       end,       -4,
                                               all / 3, 5 * b - 3, b % 2 ? -far_away : far_away};
        const int64_t starts[START_COUNT] = {0, 0, end < 0 ? 0 : end, all / 3 + b,
                                             b % 2 ? far_away : t->kv_len[b] + b};
        const int64_t firsts[FIRST_COUNT] = {0, t->kv_len[b] / 3 + 3 * b,
                                             b == 0 ? t->kv_len[b] + 7 : 1};
        t->kv_start[b] = firsts[c->first];
        t->q_offset[b] = offsets[c->offset];
        t->mask_start[b] = starts[c->start];
    }
}

/* Lets args point to those numbers that the case's form needs. */
static void set_args(struct tensors *t, const struct attention_case *c) {
    bool all_keys = c->lengths == LENGTH_NONE;
    for (int b = 0; b < c->batch; b++) {
        t->cu_q[b + 1] = t->cu_q[b] + t->q_len[b];
        t->cu_k[b + 1] = t->cu_k[b] + t->kv_len[b];
        all_keys = all_keys && t->kv_len[b] == c->kv_len;
    }
    const bool ragged_keys = c->ragged & RAGGED_KEYS;
    t->args = rapt_attention_defaults();
    t->args.cu_q = c->ragged & RAGGED_QUERIES ? t->cu_q : NULL;
    t->args.cu_k = ragged_keys ? t->cu_k : NULL;
    t->args.kv_len = ragged_keys || (all_keys && !c->page_size) ? NULL : t->kv_len;
    t->args.sequences = t->args.cu_q || c->seed & 0x200 ? c->batch : 0;
    t->args.kv_start = c->first == FIRST_NONE ? NULL : t->kv_start;
    t->args.q_offset = c->offset == OFFSET_NONE ? NULL : t->q_offset;
    t->args.mask_start = c->start == START_NONE ? NULL : t->mask_start;
    t->args.causal = c->causal;
    t->args.window_left = c->window_left;
    t->args.window_right = c->window_right;
    t->args.scale = c->scale;
    t->args.softcap = c->softcap;
    t->args.weights_kind = c->weights_kind;
    if (c->observed != OBSERVE_NONE) {
        /* An empty segment, one of most keys, and keys beyond the last and before the first. */
        const int64_t last = c->kv_len ? c->kv_len - c->kv_len / 8 : 1;
        const int64_t bounds[CASE_SEGMENTS + 1] = {1, c->kv_len / 3 + 1, c->kv_len / 3 + 1, last,
                                                   far_away};
        memcpy(t->segment_bounds, bounds, sizeof bounds);
        t->args.segment_bounds = t->segment_bounds;
        const int64_t offsets[CASE_DIAGONALS] = {0, -1, c->kv_len / 2};
        memcpy(t->diagonal_offsets, offsets, sizeof offsets);
        t->args.diagonal_offsets = t->diagonal_offsets;
    }
}

bool tensors_make(struct tensors *t, const struct attention_case *c, enum guard_side side) {
    memset(t, 0, sizeof *t);
    set_positions(t, c);
    set_args(t, c);
    if (!set_up(t, c, true, side))
        return false;
    const bool filled = numbers_fill(&t->args, c);
    if (!filled)
        tensors_free(t);
    return filled;
}

/* ---- copies ---- */

/* With the scale if it's one of q8_0. */
static void copy_element(const rapt_tensor *dst, const int64_t *to, const rapt_tensor *src,
                         const int64_t *from, float scale) {
    const int64_t dst_offset = storage_offset(dst, to), src_offset = storage_offset(src, from);
    void *at = storage_at(dst, dst_offset);
    if (dst->dtype != src->dtype) {
        storage_write(dst->dtype, at, storage_number(src, src_offset, scale));
        return;
    }
    const bool in_block = dst->dtype == RAPT_Q8_0;
    memcpy(at, storage_at(src, src_offset), in_block ? 1 : storage_size(dst->dtype));
    if (in_block)
        memcpy(storage_block(dst, dst_offset), storage_block(src, src_offset), 2);
}

/* The rows of all heads at batch and position `to`. */
static void copy_rows(rapt_attention_args *dst, const int64_t *to, rapt_attention_args *src,
                      const int64_t *from, enum tensor_role role) {
    const rapt_tensor *d = tensors_view(dst, role), *s = tensors_view(src, role);
    const rapt_tensor *scales = role == TENSOR_KEY ? &src->key_scale : &src->value_scale;
    int64_t d_at[4] = {to[0], 0, to[2], 0}, s_at[4] = {from[0], 0, from[2], 0};
    for (int64_t h = 0; h < d->shape[1]; h++) {
        d_at[1] = s_at[1] = h;
        d_at[3] = s_at[3] = 0;
        float scale = 1;
        if (s->dtype == RAPT_I8)
            scale = storage_read(RAPT_F32, tensors_element(scales, s_at));
        for (int64_t c = 0; c < d->shape[3]; c++) {
            d_at[3] = s_at[3] = c;
            copy_element(d, d_at, s, s_at, scale);
        }
    }
}

static void copy_sequence(rapt_attention_args *dst, int64_t b, rapt_attention_args *src,
                          int64_t from_b) {
    int64_t to[4], from[4];
    for (int64_t i = 0; i < places_queries(dst, b); i++) {
        places_query(dst, b, i, to);
        places_query(src, from_b, i, from);
        copy_rows(dst, to, src, from, TENSOR_QUERY);
    }
    const int64_t dst_room = places_room(dst, b), src_room = places_room(src, from_b);
    for (int64_t j = 0; j < dst_room && j < src_room; j++) {
        places_key(dst, b, j, to);
        places_key(src, from_b, j, from);
        for (int role = 0; role < TENSOR_OUT; role++)
            if (tensors_is_of_keys(role) && tensors_view(dst, role)->dtype != RAPT_NONE)
                copy_rows(dst, to, src, from, role);
    }
}

static void copy_mask(const rapt_attention_args *dst, int64_t b, const rapt_attention_args *src,
                      int64_t from_b) {
    const int64_t *shape = dst->mask.shape;
    const int64_t rows = shape[2] == 1 ? 1 : places_queries(dst, b);
    int64_t to[4], from[4];
    if (dst->mask.dtype == RAPT_NONE)
        return;
    for (int64_t h = 0; h < shape[1]; h++) {
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t column = 0; column < shape[3]; column++) {
                places_mask(dst, b, h, i, column, to);
                places_mask(src, from_b, h, i, column, from);
                copy_element(&dst->mask, to, &src->mask, from, 1);
            }
        }
    }
}

static void copy_heads(const rapt_tensor *dst, int64_t b, const rapt_tensor *src, int64_t from_b) {
    int64_t to[4], from[4];
    for (int64_t h = 0; h < dst->shape[1]; h++) {
        places_head(dst, b, h, to);
        places_head(src, from_b, h, from);
        copy_element(dst, to, src, from, 1);
    }
}

bool tensors_copy(struct tensors *t, const struct tensors *from, const struct attention_case *c,
                  const int *order, enum guard_side side) {
    rapt_attention_args src = from->args;
    memset(t, 0, sizeof *t);
    for (int b = 0; b < c->batch; b++) {
        t->order[b] = order[b];
        t->q_len[b] = from->q_len[order[b]];
        t->kv_len[b] = from->kv_len[order[b]];
        t->kv_start[b] = from->kv_start[order[b]];
        t->q_offset[b] = from->q_offset[order[b]];
        t->mask_start[b] = from->mask_start[order[b]];
    }
    set_args(t, c);
    if (!set_up(t, c, false, side))
        return false;
    for (int b = 0; b < c->batch; b++) {
        copy_sequence(&t->args, b, &src, order[b]);
        copy_mask(&t->args, b, &src, order[b]);
        copy_heads(&t->args.alibi, b, &src.alibi, order[b]);
        copy_heads(&t->args.sink, b, &src.sink, order[b]);
    }
    return true;
}

uint64_t tensors_checksum(const struct tensors *t) {
    uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a, on words */
    for (int role = 0; role < TENSOR_OUT; role++) {
        const struct guard *g = &t->memory[role];
        for (size_t n = 0; n < g->count; n++) {
            const unsigned char *piece = guard_piece(g, n);
            uint64_t word = 0;
            for (size_t at = 0; at < g->size; at += sizeof word, word = 0) {
                const size_t left = g->size - at;
                memcpy(&word, piece + at, left < sizeof word ? left : sizeof word);
                sum = (sum ^ word) * 0x100000001b3u;
            }
        }
    }
    return sum;
}
