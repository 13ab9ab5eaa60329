/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of growing sequences: the pool says where, this file what. */
#include "src/cache/cache.h"

#include <inttypes.h>
#include <stdlib.h>

#include "src/base/arena.h"
#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/isa.h"
#include "src/cache/pool.h"
#include "src/base/quantize.h"
#include "src/cache/rope.h"
#include "src/base/convert.h"
#include "src/run/run.h"
#include "src/base/status.h"
#include "src/base/environment.h"

/* Keys or values: (pages, heads, page size, channels), and for int8 their scales. */
struct store {
    rapt_tensor rows, scales;
};

struct rapt_cache {
    const struct rapt_kernels *kernels;
    const struct rapt_rope *rope;
    int64_t capacity;
    struct rapt_pool pool;
    struct store key, value;
    void *memory;                 /* NULL if it is the caller's */
    void *scratch;                /* the memory of the following */
    float *row, *sines, *cosines; /* channels of a row, pairs of a position */
};

static rapt_status check_size(const char *name, int64_t found, int64_t least) {
    if (found >= least && found <= INT32_MAX)
        return RAPT_OK;
    return INVALID("%s: found %" PRId64 ", expected %" PRId64 " to %d", name, found, least,
                   INT32_MAX);
}

static rapt_status check_store(const char *name, rapt_dtype dtype, int64_t channels) {
    TRY(rapt_check_dtype(name, dtype, RAPT_FLOATS_OR_QUANTIZED));
    if (channels % rapt_dtype_block(dtype) != 0)
        return INVALID("%s: %s has blocks of %" PRId64 " channels, expected a multiple of "
                       "it instead of %" PRId64,
                       name, rapt_dtype_name(dtype), rapt_dtype_block(dtype), channels);
    return RAPT_OK;
}

/* Checks the args, and fills in what follows from them alone. */
static rapt_status check_args(const rapt_cache_args *args, struct rapt_cache *cache) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_cache_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_cache_defaults() sets it",
                       args->size, sizeof *args);
    const struct {
        const char *name;
        int64_t size, least;
    } sizes[] = {{"kv_heads", args->kv_heads, 1},   {"head_dim", args->head_dim, 1},
                 {"value_dim", args->value_dim, 0}, {"sequences", args->sequences, 1},
                 {"capacity", args->capacity, 1},   {"page_size", args->page_size, 0},
                 {"pages", args->pages, 0}};
    rapt_status status = RAPT_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == RAPT_OK; i++)
        status = check_size(sizes[i].name, sizes[i].size, sizes[i].least);
    if (status != RAPT_OK)
        return status;
    const int64_t value_dim = args->value_dim ? args->value_dim : args->head_dim;
    status = check_store("key_dtype", args->key_dtype, args->head_dim);
    if (status == RAPT_OK)
        status = check_store("value_dtype", args->value_dtype, value_dim);
    if (status != RAPT_OK)
        return status;
    if (args->rope && 2 * args->rope->pairs > args->head_dim)
        return INVALID("rope: its rotary_dim is %" PRId64
                       ", expected at most the head_dim %" PRId64,
                       2 * args->rope->pairs, args->head_dim);

    struct rapt_pool *pool = &cache->pool;
    pool->fixed = args->page_size == 0;
    if (pool->fixed && args->pages != 0)
        return INVALID("pages: found %" PRId64 ", expected 0 as page_size is 0 (contiguous)",
                       args->pages);
    pool->sequences = args->sequences;
    pool->page_size = pool->fixed ? args->capacity : args->page_size;
    pool->row = (args->capacity + pool->page_size - 1) / pool->page_size;
    pool->pages = args->pages ? args->pages : pool->sequences * pool->row;
    status = check_size("pages", pool->pages, 1);
    cache->capacity = args->capacity;
    cache->rope = args->rope;
    cache->key.rows = rapt_tensor_bhsd(NULL, args->key_dtype, pool->pages, args->kv_heads,
                                       pool->page_size, args->head_dim);
    cache->value.rows = rapt_tensor_bhsd(NULL, args->value_dtype, pool->pages, args->kv_heads,
                                         pool->page_size, value_dim);
    return status;
}

static void place_rows(rapt_tensor *t, struct rapt_arena *arena) {
    const int64_t row = rapt_bytes(t, t->shape[3]);
    t->data = rapt_take(arena, (size_t)row, t->shape[0], t->shape[1], t->shape[2]);
}

static void place_store(struct store *store, struct rapt_arena *arena) {
    const int64_t *shape = store->rows.shape;
    place_rows(&store->rows, arena);
    if (store->rows.dtype != RAPT_I8)
        return;
    store->scales = rapt_tensor_bhsd(NULL, RAPT_F32, shape[0], shape[1], shape[2], 1);
    place_rows(&store->scales, arena);
}

/* Memory of any alignment, NULL to learn the size alone. */
static rapt_status place_stores(struct rapt_cache *cache, void *memory, size_t *size) {
    struct rapt_arena arena = rapt_arena_in(memory);
    place_store(&cache->key, &arena);
    place_store(&cache->value, &arena);
    if (arena.too_large)
        return INVALID("capacity: the keys and values are larger than the address space, expected "
                       "fewer or smaller pages");
    *size = rapt_arena_bytes(&arena);
    return RAPT_OK;
}

rapt_status rapt_cache_memory_size(const rapt_cache_args *args, size_t *size) {
    struct rapt_cache cache = {0};
    if (!size)
        return INVALID("size: found NULL, expected where to put the size");
    *size = 0;
    const rapt_status status = check_args(args, &cache);
    return status == RAPT_OK ? place_stores(&cache, NULL, size) : status;
}

static void place_scratch(struct rapt_cache *cache, struct rapt_arena *arena) {
    const int64_t pairs = cache->rope ? cache->rope->pairs : 0;
    const int64_t channels = rapt_max(cache->key.rows.shape[3], cache->value.rows.shape[3]);
    cache->row = rapt_take(arena, sizeof(float), channels, 1, 1);
    cache->sines = rapt_take(arena, sizeof(float), pairs, 1, 1);
    cache->cosines = rapt_take(arena, sizeof(float), pairs, 1, 1);
}

static rapt_status allocate(struct rapt_cache *cache, const rapt_cache_args *args) {
    size_t size;
    rapt_status status = place_stores(cache, NULL, &size);
    if (status != RAPT_OK)
        return status;
    if (args->memory && args->memory_size < size)
        return INVALID("memory_size: found %zu, expected %zu or more", args->memory_size, size);
    struct rapt_arena arena = {0};
    place_scratch(cache, &arena);
    const bool pool = rapt_pool_init(&cache->pool);
    cache->scratch = malloc(rapt_arena_bytes(&arena));
    cache->memory = args->memory ? NULL : malloc(size);
    if (!pool || !cache->scratch || (!args->memory && !cache->memory))
        return rapt_fail(RAPT_OUT_OF_MEMORY,
                         "cache: no memory for %zu bytes of keys and values and %" PRId64 " pages",
                         size, cache->pool.pages);
    arena = rapt_arena_in(cache->scratch);
    place_scratch(cache, &arena);
    return place_stores(cache, args->memory ? args->memory : cache->memory, &size);
}

rapt_status rapt_cache_create(const rapt_cache_args *args, rapt_cache **cache) {
    if (!cache)
        return INVALID("cache: found NULL, expected where to put the cache");
    *cache = NULL;
    struct rapt_cache *made = calloc(1, sizeof *made);
    if (!made)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "cache: no memory for it");
    rapt_status status = check_args(args, made);
    if (status == RAPT_OK)
        status = rapt_isa_kernels(args->isa, &made->kernels);
    if (status == RAPT_OK)
        status = allocate(made, args);
    if (status == RAPT_OK)
        *cache = made;
    else
        rapt_cache_destroy(made);
    return status;
}

void rapt_cache_destroy(rapt_cache *cache) {
    if (!cache)
        return;
    rapt_pool_free(&cache->pool);
    free(cache->scratch);
    free(cache->memory);
    free(cache);
}

static rapt_status check_sequence(const rapt_cache *cache, const char *name, int64_t sequence) {
    if (!cache)
        return INVALID("cache: found NULL, expected a cache");
    if (sequence < 0 || sequence >= cache->pool.sequences)
        return INVALID("%s: found %" PRId64 ", expected 0 to %" PRId64, name, sequence,
                       cache->pool.sequences - 1);
    return RAPT_OK;
}

/* A token's row of a head. */
static char *row_of(const rapt_tensor *t, int64_t page, int64_t head, int64_t token) {
    return (char *)(uintptr_t)rapt_element(t, rapt_row_offset(t, page, head, token));
}

static void copy_tokens(const rapt_tensor *t, struct rapt_page_copy copy) {
    for (int64_t h = 0; h < t->shape[1]; h++) {
        const char *from = row_of(t, copy.from, h, 0), *end = row_of(t, copy.from, h, copy.tokens);
        memcpy(row_of(t, copy.to, h, 0), from, (size_t)(end - from));
    }
}

static void copy_page(struct rapt_cache *cache, struct rapt_page_copy copy) {
    const rapt_tensor *tensors[] = {&cache->key.rows, &cache->key.scales, &cache->value.rows,
                                    &cache->value.scales};
    for (int i = 0; copy.tokens > 0 && i < 4; i++)
        if (tensors[i]->dtype != RAPT_NONE)
            copy_tokens(tensors[i], copy);
}

/* Stores cache->row as a token's row of a head. */
static void write_row(struct rapt_cache *cache, const struct store *store, int64_t page,
                      int64_t head, int64_t token) {
    const int64_t channels = store->rows.shape[3];
    char *to = row_of(&store->rows, page, head, token);
    if (store->rows.dtype == RAPT_I8)
        *(float *)(void *)row_of(&store->scales, page, head, token) =
            rapt_quantize_i8((int8_t *)to, cache->row, channels);
    else if (store->rows.dtype == RAPT_Q8_0)
        rapt_quantize_q8_0(cache->kernels, to, cache->row, channels);
    else
        cache->kernels->narrow(to, cache->row, store->rows.dtype, channels);
}

/* Token i of a call, which becomes the sequence's token `index`. */
static void append_token(struct rapt_cache *cache, int64_t sequence, int64_t index,
                         const rapt_tensor *key, const rapt_tensor *value, int64_t i,
                         int64_t position) {
    const struct rapt_pool *pool = &cache->pool;
    const struct rapt_rope *rope = cache->rope;
    const int64_t page = pool->table[sequence * pool->row + index / pool->page_size];
    const int64_t token = index % pool->page_size;
    if (rope)
        rapt_rope_angles(rope, position, 0, rope->pairs, cache->sines, cache->cosines);
    for (int64_t h = 0; h < key->shape[1]; h++) {
        rapt_read_row(cache->kernels, cache->row, key, rapt_row_offset(key, 0, h, i), 1,
                      key->shape[3]);
        if (rope)
            cache->kernels->rotate(cache->row,
                                   rope->pairing == RAPT_ROPE_NEIGHBOURS ? 1 : rope->pairs,
                                   cache->sines, cache->cosines, rope->pairs);
        write_row(cache, &cache->key, page, h, token);
        rapt_read_row(cache->kernels, cache->row, value, rapt_row_offset(value, 0, h, i), 1,
                      value->shape[3]);
        write_row(cache, &cache->value, page, h, token);
    }
}

static rapt_status check_append(const rapt_cache *cache, int64_t sequence, const rapt_tensor *key,
                                const rapt_tensor *value, const int64_t *positions) {
    const int64_t *k = cache->key.rows.shape, *v = cache->value.rows.shape;
    const int64_t n = key ? key->shape[2] : 0;
    const int64_t key_shape[4] = {1, k[1], n, k[3]}, value_shape[4] = {1, v[1], n, v[3]};
    struct rapt_place unused;
    rapt_status status = rapt_check_floats("key", key, key_shape, false, &unused);
    if (status == RAPT_OK)
        status = rapt_check_floats("value", value, value_shape, false, &unused);
    if (status == RAPT_OK && cache->rope)
        status = rapt_rope_check_positions(positions, n);
    if (status != RAPT_OK)
        return status;
    const int64_t length = cache->pool.length[sequence];
    if (n > cache->capacity - length)
        return INVALID("key: shape[2] (positions) is %" PRId64 ", expected at most %" PRId64
                       ", as sequence %" PRId64 " has %" PRId64 " tokens of %" PRId64,
                       n, cache->capacity - length, sequence, length, cache->capacity);
    const int64_t needed = rapt_pool_needs(&cache->pool, sequence, n);
    if (needed > cache->pool.free_count)
        return rapt_fail(RAPT_OUT_OF_MEMORY,
                         "pages: found %" PRId64 " free, expected %" PRId64 " for %" PRId64
                         " more tokens of sequence %" PRId64,
                         cache->pool.free_count, needed, n, sequence);
    return RAPT_OK;
}

rapt_status rapt_cache_append(rapt_cache *cache, int64_t sequence, const rapt_tensor *key,
                              const rapt_tensor *value, const int64_t *positions) {
    rapt_status status = check_sequence(cache, "sequence", sequence);
    if (status == RAPT_OK)
        status = check_append(cache, sequence, key, value, positions);
    if (status != RAPT_OK)
        return status;
    const int64_t length = cache->pool.length[sequence], n = key->shape[2];
    copy_page(cache, rapt_pool_grow(&cache->pool, sequence, n));
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int64_t i = 0; i < n; i++)
        append_token(cache, sequence, length + i, key, value, i,
                     positions ? positions[i] : length + i);
    rapt_leave_environment(&callers);
    return RAPT_OK;
}

rapt_status rapt_cache_truncate(rapt_cache *cache, int64_t sequence, int64_t length) {
    const rapt_status status = check_sequence(cache, "sequence", sequence);
    if (status != RAPT_OK)
        return status;
    if (length < 0 || length > cache->pool.length[sequence])
        return INVALID("length: found %" PRId64 ", expected 0 to %" PRId64
                       ", the tokens of sequence %" PRId64,
                       length, cache->pool.length[sequence], sequence);
    rapt_pool_truncate(&cache->pool, sequence, length);
    return RAPT_OK;
}

rapt_status rapt_cache_fork(rapt_cache *cache, int64_t from, int64_t to) {
    rapt_status status = check_sequence(cache, "from", from);
    if (status == RAPT_OK)
        status = check_sequence(cache, "to", to);
    if (status == RAPT_OK && from != to)
        copy_page(cache, rapt_pool_share(&cache->pool, from, to));
    return status;
}

int64_t rapt_cache_length(const rapt_cache *cache, int64_t sequence) {
    if (!cache || sequence < 0 || sequence >= cache->pool.sequences)
        return -1;
    return cache->pool.length[sequence];
}

const rapt_rope *rapt_cache_rope(const rapt_cache *cache) {
    return cache->rope;
}

int64_t rapt_cache_pages_free(const rapt_cache *cache) {
    return cache ? cache->pool.free_count : 0;
}

/* The pages of `count` sequences from `first` on, or of a pool all pages for any. */
static rapt_tensor view_of(const struct rapt_pool *pool, const rapt_tensor *t, int64_t first,
                           int64_t count) {
    rapt_tensor view = *t;
    if (pool->fixed && t->dtype != RAPT_NONE)
        view.data = row_of(t, first, 0, 0);
    if (pool->fixed || count == 0)
        view.shape[0] = count;
    return view;
}

rapt_status rapt_cache_view(const rapt_cache *cache, int64_t first, int64_t count,
                            rapt_attention_args *args) {
    const rapt_status status = check_sequence(cache, "first", first);
    if (status != RAPT_OK)
        return status;
    const struct rapt_pool *pool = &cache->pool;
    if (count < 0 || count > pool->sequences - first)
        return INVALID("count: found %" PRId64 ", expected 0 to %" PRId64, count,
                       pool->sequences - first);
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_attention_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_attention_defaults() sets it",
                       args->size, sizeof *args);
    args->key = view_of(pool, &cache->key.rows, first, count);
    args->key_scale = view_of(pool, &cache->key.scales, first, count);
    args->value = view_of(pool, &cache->value.rows, first, count);
    args->value_scale = view_of(pool, &cache->value.scales, first, count);
    args->sequences = count;
    args->cu_k = NULL;
    args->kv_len = pool->length + first;
    const bool paged = !pool->fixed && count > 0; /* none are an empty batch in either form */
    args->block_table = paged ? pool->table + first * pool->row : NULL;
    args->block_table_stride = paged ? pool->row : 0;
    return RAPT_OK;
}
