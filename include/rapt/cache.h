/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys and values of sequences that grow, as decoders need them: append tokens, cut them off,
 * fork a sequence. The operator reads a cache without a copy.
 *
 * A contiguous cache has room for every sequence's whole capacity, of which memory is taken as it
 * is written. A paged cache deals out pages of a pool. Forks share pages until one of them appends
 * to a page that others read. Then it gets its own copy of that one page. Tokens never move
 * otherwise, and only rapt_cache_create() allocates.
 *
 * Thread-safety: append, truncate, fork and destroy change a cache. None of them may run side by
 * side with any other use of that cache, a run of the operator on it included. Calls that only look
 * may. Different caches, such as those of a model's layers, are independent of each other.
 */
#ifndef RAPT_CACHE_H
#define RAPT_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rapt/attention.h>
#include <rapt/rope.h>
#include <rapt/status.h>
#include <rapt/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Start from rapt_cache_defaults() and set what differs. Sizes are of 1 to INT32_MAX. */
typedef struct rapt_cache_args {
    size_t size; /* sizeof(rapt_cache_args), which tells the library what the caller knows */

    int64_t kv_heads, head_dim;
    int64_t value_dim; /* 0 means head_dim */

    /*
     * f32, f16, bf16, int8 or q8_0 (which wants channels in multiples of 32), in any mix.
     * int8: a token's head has the scale max|x| / 127 in f32. q8_0: so has each block of 32
     * channels, rounded to f16 afterwards. Elements are x / scale, rounded to nearest even.
     * Neither NaN nor overflow is hidden. Where such a row or block has a NaN or an infinity, all
     * of it reads as NaN. Where its scale overflows f16, it reads as infinite or NaN.
     */
    rapt_dtype key_dtype, value_dtype; /* f32 if not set otherwise */

    int64_t sequences; /* how many there are; 1 if not set otherwise */
    int64_t capacity;  /* tokens that a sequence can have */
    int64_t page_size; /* tokens in a page; 0 means contiguous */
    int64_t pages;     /* of the pool; 0 means enough for the capacity of all sequences */

    /* NULL, or what keys are rotated by before they are stored. It must outlive the cache. */
    const rapt_rope *rope;

    /*
     * NULL, or the caller's memory for keys, values and scales, such as huge pages, of at least
     * rapt_cache_memory_size() bytes, at any alignment. It must outlive the cache.
     */
    void *memory;
    size_t memory_size;

    const char *isa; /* a name of rapt/isa.h; NULL means RAPT_ISA if it is set, or else the best */
} rapt_cache_args;

static inline rapt_cache_args rapt_cache_defaults(void) {
    rapt_cache_args args;
    memset(&args, 0, sizeof args);
    args.size = sizeof args;
    args.key_dtype = RAPT_F32;
    args.value_dtype = RAPT_F32;
    args.sequences = 1;
    return args;
}

typedef struct rapt_cache rapt_cache;

/* The bytes that keys, values and scales take. On an error *size is 0. */
RAPT_API rapt_status rapt_cache_memory_size(const rapt_cache_args *args, size_t *size);

/* Makes a cache whose sequences are empty. On an error *cache is NULL. */
RAPT_API rapt_status rapt_cache_create(const rapt_cache_args *args, rapt_cache **cache);

/* NULL is fine. */
RAPT_API void rapt_cache_destroy(rapt_cache *cache);

/*
 * Appends n tokens, or none, to a sequence. key is (1, kv_heads, n, head_dim) and value
 * (1, kv_heads, n, value_dim), each f32, f16 or bf16 with any strides. The keys are rotated in f32
 * by positions[i], n numbers of -2^31 to 2^31, or by their index in the sequence if that is NULL.
 * Then they are rounded to the cache's type, once. However many tokens a call brings, the bytes are
 * the same.
 *
 * Takes O(n) time, plus the copy of a page if the sequence's last page is shared.
 * RAPT_OUT_OF_MEMORY means that the pool has too few free pages. On any error nothing has changed.
 */
RAPT_API rapt_status rapt_cache_append(rapt_cache *cache, int64_t sequence, const rapt_tensor *key,
                                       const rapt_tensor *value, const int64_t *positions);

/* Keeps the first `length` tokens of a sequence, at most as many as it has. Pages that nobody else
 * reads go back to the pool. */
RAPT_API rapt_status rapt_cache_truncate(rapt_cache *cache, int64_t sequence, int64_t length);

/*
 * Makes `to` the same as `from`, whatever it held. Paged: all pages are shared, which copies no
 * token and needs no page. The first that appends to a partly filled page pays for the copy.
 * Contiguous: copies the tokens.
 */
RAPT_API rapt_status rapt_cache_fork(rapt_cache *cache, int64_t from, int64_t to);

/* Tokens of a sequence; -1 if there is no such cache or sequence. */
RAPT_API int64_t rapt_cache_length(const rapt_cache *cache, int64_t sequence);

/* Pages of the pool that no sequence holds; 0 for a contiguous cache. */
RAPT_API int64_t rapt_cache_pages_free(const rapt_cache *cache);

/*
 * Sets what args say of keys and values to `count` sequences from `first` on: key, value, their
 * scales, sequences, kv_len, block_table and its stride. Sets cu_k to NULL. All of it points into
 * the cache. The tensors are valid until the cache is destroyed, the rest until it changes. A
 * sequence that takes no part in a call can have no queries, by cu_q. A `count` of 0 makes an empty
 * batch.
 *
 * One plan serves all tokens. Make it with the capacity for kv_len and without a block_table. It
 * then runs with those of a view in rapt_attention_data.
 */
RAPT_API rapt_status rapt_cache_view(const rapt_cache *cache, int64_t first, int64_t count,
                                     rapt_attention_args *args);

#ifdef __cplusplus
}
#endif

#endif
