/* SPDX-License-Identifier: Apache-2.0 */
/* Few queries (decode): the bits that a panel gives the same rows, whatever comes. */
#include <float.h>

#include "simd/cpu.h"
#include "tests/support/panels.h"
#include "tests/support/variants.h"

enum { BIAS = 1, BOUNDS = 2, SOFTCAP = 4, ALIBI = 8, POISON = 16, HUGE_SCORES = 32, OPTIONS = 64 };

/* How keys and values are stored. */
struct types {
    rapt_dtype key, value;
};
static const struct types plain = {RAPT_F32, RAPT_F32};
static const rapt_dtype stored_types[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
enum { TYPES = sizeof stored_types / sizeof *stored_types };

static int64_t whole_blocks(rapt_dtype dtype, int64_t channels) {
    const int64_t block = rapt_dtype_block(dtype);
    return (channels + block - 1) / block * block;
}

/* A head of some rows and of blocks of `block` keys, the last of them shorter. */
static struct head sample(int rows, int block, int options, struct types types, uint64_t seed) {
    const int keys = 2 * block + (block + 1) / 2;
    const int64_t head_dim = 1 + next_random(&seed) % 200, value_dim = 1 + next_random(&seed) % 200;
    struct head h = new_head(rows, keys, whole_blocks(types.key, head_dim),
                             whole_blocks(types.value, value_dim), seed + 1);
    if (options & BIAS)
        add_bias(&h, seed + 2);
    if (options & BOUNDS)
        add_bounds(&h, seed + 3);
    if (options & SOFTCAP)
        h.softcap = 1.5f;
    if (options & ALIBI)
        add_slopes(&h, seed + 4);
    const float special[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (int i = 0; options & POISON && i < keys; i += 1 + (int)(next_random(&seed) % 7))
        h.value[i * h.value_dim + next_random(&seed) % h.value_dim] = special[i % 4];
    for (int i = 0; options & HUGE_SCORES && i < rows * h.head_dim; i++)
        h.query[i] *= 3e37f;
    if (options & HUGE_SCORES && options & BIAS) {
        h.bias[next_random(&seed) % (uint32_t)(rows * keys)] = INFINITY;
        h.bias[next_random(&seed) % (uint32_t)(rows * keys)] = NAN;
    }
    for (int i = 0; options & HUGE_SCORES && i < keys * h.head_dim; i += 5)
        h.key[i] *= 1e20f;
    return h;
}

/* Memory of exactly that size, as aligned as a thread's scratch. */
static float *exactly(int64_t floats) {
    void *memory;
    cr_assert_eq(posix_memalign(&memory, RAPT_ALIGN, (size_t)floats * sizeof(float)), 0);
    memset(memory, CANARY, (size_t)floats * sizeof(float));
    return memory;
}

/* Rows as they are stored. */
struct store {
    int keys;
    size_t size; /* of a row */
    char *rows;
    float *scale;
};

static void store_row(const struct rapt_kernels *k, rapt_dtype dtype, float *row, int64_t channels,
                      float factor, void *stored, float *scale, uint64_t *seed) {
    unsigned char *bytes = stored;
    *scale = row[0] / 64;
    for (int64_t c = 0; c < channels; c++)
        *scale = isfinite(row[c]) ? *scale : row[c];
    if (dtype == RAPT_I8 || dtype == RAPT_Q8_0) {
        const int64_t size = channels / rapt_dtype_block(dtype) * rapt_dtype_size(dtype);
        for (int64_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)next_random(seed);
        for (int64_t i = 0; dtype == RAPT_Q8_0 && i < size; i += 34)
            k->narrow(bytes + i, scale, RAPT_F16, 1);
    } else {
        k->narrow(stored, row, dtype, channels);
    }
    k->widen(row, stored, dtype, factor, channels);
}

/* The floats become what is stored, of int8 the numbers times factor. */
static struct store store_rows(const struct rapt_kernels *k, rapt_dtype dtype, float *rows,
                               int keys, int64_t channels, float factor, uint64_t seed) {
    struct store s = {keys, (size_t)(channels / rapt_dtype_block(dtype) * rapt_dtype_size(dtype)),
                      NULL, malloc((size_t)keys * sizeof *s.scale)};
    s.rows = malloc((size_t)keys * s.size);
    cr_assert(s.rows && s.scale);
    for (int i = 0; i < keys; i++)
        store_row(k, dtype, rows + i * channels, channels, factor, s.rows + (size_t)i * s.size,
                  &s.scale[i], &seed);
    return s;
}

/*
 * Rows of a block. Each group has memory of its own, which ends with its last row; other bytes lie
 * between rows. Keys fill their groups by the last one.
 */
enum { APART = 4 }; /* which keeps every type aligned */
static struct rapt_rows rows_of(const struct store *s, rapt_dtype dtype, int first, int last,
                                bool fill) {
    const int count = last - first, groups = (count + RAPT_GROUP_ROWS - 1) / RAPT_GROUP_ROWS;
    const size_t step = s->size + APART;
    char **group = malloc((size_t)groups * sizeof *group);
    cr_assert_not_null(group);
    for (int g = 0; g < groups; g++) {
        const int rest = count - g * RAPT_GROUP_ROWS;
        const int rows = fill || rest > RAPT_GROUP_ROWS ? RAPT_GROUP_ROWS : rest;
        group[g] = malloc((size_t)(rows - 1) * step + s->size);
        cr_assert_not_null(group[g]);
        for (int i = 0; i < rows; i++) {
            const int key = first + (i < rest ? g * RAPT_GROUP_ROWS + i : count - 1);
            memcpy(group[g] + (size_t)i * step, s->rows + (size_t)key * s->size, s->size);
        }
    }
    return (struct rapt_rows){dtype, (ptrdiff_t)s->size, (ptrdiff_t)step,
                              (const char *const *)group, groups};
}

/* The keys after a block's, if there are any, where they lie: nothing reads them. */
static struct rapt_rows rows_after(const struct store *s, rapt_dtype dtype, int first, int last,
                                   const char **group) {
    const int count = s->keys - last < last - first ? s->keys - last : last - first;
    const int groups = (count + RAPT_GROUP_ROWS - 1) / RAPT_GROUP_ROWS;
    for (int g = 0; g < groups; g++)
        group[g] = s->rows + (size_t)(last + g * RAPT_GROUP_ROWS) * s->size;
    return (struct rapt_rows){dtype, (ptrdiff_t)s->size, (ptrdiff_t)s->size, group, groups};
}

/* As many as the rows of whole groups. */
static float *scales_of(const struct store *s, rapt_dtype dtype, int first, int last) {
    const int count = last - first;
    const int rows = (count + RAPT_GROUP_ROWS - 1) / RAPT_GROUP_ROWS * RAPT_GROUP_ROWS;
    float *scale = dtype == RAPT_I8 ? malloc((size_t)rows * sizeof *scale) : NULL;
    for (int i = 0; scale && i < rows; i++)
        scale[i] = s->scale[i < count ? first + i : last - 1];
    return scale;
}

static void free_rows(struct rapt_rows *rows, int count) {
    for (int g = 0; g * RAPT_GROUP_ROWS < count; g++)
        free((void *)(uintptr_t)rows->group[g]);
    free((void *)(uintptr_t)rows->group);
}

static void free_store(struct store *s) {
    free(s->rows);
    free(s->scale);
}

struct cache {
    struct types types;
    struct store key, value;
};

static float *copy_scales(const struct store *s, rapt_dtype dtype) {
    const size_t bytes = (size_t)s->keys * sizeof(float);
    return dtype == RAPT_I8 ? memcpy(allocate(bytes), s->scale, bytes) : NULL;
}

static struct cache store(const struct rapt_kernels *k, struct head *h, struct types types) {
    struct cache cache = {types, store_rows(k, types.key, h->key, h->keys, h->head_dim, 0x1p24f, 8),
                          store_rows(k, types.value, h->value, h->keys, h->value_dim, 1, 9)};
    free(h->key_scale);
    free(h->value_scale);
    h->key_scale = copy_scales(&cache.key, types.key);
    h->value_scale = copy_scales(&cache.value, types.value);
    return cache;
}

static void free_cache(struct cache *cache) {
    free_store(&cache->key);
    free_store(&cache->value);
}

static struct rapt_few open_few(const struct rapt_kernels *k, const struct head *h) {
    struct rapt_few few = {.rows = h->rows, .head_dim = h->head_dim, .value_dim = h->value_dim};
    const int power = h->rows > 4 ? 8 : h->rows > 2 ? 4 : h->rows;
    few.query = exactly(k->few_rows * h->head_dim);
    few.out = exactly(h->rows * h->value_dim);
    few.sums = exactly(h->rows * ((h->value_dim + k->lanes - 1) / k->lanes * k->lanes));
    few.max = exactly(k->lanes);
    few.sum = exactly(k->lanes);
    few.seen = exactly(k->lanes);
    for (int64_t c = 0; c < h->head_dim; c++)
        for (int r = 0; r < k->few_rows; r++)
            few.query[c * k->few_rows + r] =
                r < power ? h->query[(r < h->rows ? r : h->rows - 1) * h->head_dim + c] : NAN;
    k->scale(few.query, query_factor(h), k->few_rows * h->head_dim);
    memset(few.out, 0, (size_t)(h->rows * h->value_dim) * sizeof(float));
    for (int r = 0; r < h->rows; r++) {
        few.max[r] = -FLT_MAX;
        few.sum[r] = few.seen[r] = 0;
    }
    return few;
}

/* Feeds keys first <= i < last; the rows of the bias have some columns more. */
static void feed_few(const struct rapt_kernels *k, const struct rapt_few *few, const struct head *h,
                     const struct cache *cache, int first, int last, float start) {
    const int stretch = (1 + (first + last) % 4) * RAPT_GROUP_ROWS;
    struct rapt_rows key = rows_of(&cache->key, cache->types.key, first, last, true);
    struct rapt_rows value = rows_of(&cache->value, cache->types.value, first, last, false);
    const char *next[RAPT_GROUPS_MAX];
    const int keys = last - first, bias_row = keys + 3;
    const int width = (keys + k->lanes - 1) / k->lanes * k->lanes;
    float *bounds = exactly(4 * h->rows), *scores = exactly((int64_t)k->few_rows * width);
    float *bias = exactly((int64_t)(h->rows - 1) * bias_row + keys);
    for (int r = 0; r < h->rows; r++) {
        bounds[r] = h->first ? (float)(h->first[r] - first) : 0;
        bounds[h->rows + r] = h->first ? (float)(h->last[r] - first) : 0;
        bounds[2 * h->rows + r] = h->slope ? h->slope[r] * 0x1.715476p+0f : 0;
        bounds[3 * h->rows + r] = (float)(h->position + r - first) + start;
        if (h->bias)
            memcpy(bias + (ptrdiff_t)r * bias_row, h->bias + r * h->keys + first,
                   (size_t)keys * sizeof(float));
    }
    const struct rapt_block block = {
        .keys = keys,
        .few.keys = key,
        .few.values = value,
        .few.next_keys = rows_after(&cache->key, cache->types.key, first, last, next),
        .few.stretch = stretch,
        .key_scale = scales_of(&cache->key, cache->types.key, first, last),
        .value_scale = scales_of(&cache->value, cache->types.value, first, last),
        .first = h->first ? bounds : NULL,
        .last = h->first ? bounds + h->rows : NULL,
        .bias = h->bias ? bias : NULL,
        .few.bias_row = bias_row,
        .softcap = h->softcap * 0x1.715476p+0f,
        .softcap_inverse = h->softcap > 0 ? 1 / h->softcap : 0,
        .slope = h->slope ? bounds + 2 * h->rows : NULL,
        .position = h->slope ? bounds + 3 * h->rows : NULL,
        .start = start,
    };
    k->attend_few(few, &block, scores);
    free((void *)(uintptr_t)block.key_scale);
    free((void *)(uintptr_t)block.value_scale);
    free_rows(&key, keys);
    free_rows(&value, keys);
    free(bounds);
    free(scores);
    free(bias);
}

static void free_few(struct rapt_few *few) {
    float *memory[] = {few->query, few->out, few->sums, few->max, few->sum, few->seen};
    for (int i = 0; i < 6; i++)
        free(memory[i]);
}

/* Results of the state that few queries have, by way of a panel's lanes. */
static struct result close_few(const struct rapt_kernels *k, struct rapt_few *few,
                               const struct head *h, int block) {
    struct result result = new_result(h);
    struct work w = open_panel(k, h, 0, k->panel_rows, block);
    for (int lane = 0; lane < w.panel.width; lane++) {
        const int r = lane_row(&w, lane);
        w.panel.max[lane] = few->max[r];
        w.panel.sum[lane] = few->sum[r];
        w.panel.seen[lane] = few->seen[r];
        for (int64_t c = 0; c < h->value_dim; c++)
            w.panel.out[c * w.panel.width + lane] = few->out[r * h->value_dim + c];
    }
    close_panel(k, &w, block, &result);
    free_few(few);
    return result;
}

/* Keys and values become what is stored of them. */
static struct result run_few(const struct rapt_kernels *k, struct head *h, struct types types,
                             int block, float start) {
    struct cache cache = store(k, h, types);
    struct rapt_few few = open_few(k, h);
    for (int first = 0; first < h->keys; first += block) {
        const int last = first + block < h->keys ? first + block : h->keys;
        feed_few(k, &few, h, &cache, first, last, start);
    }
    free_cache(&cache);
    return close_few(k, &few, h, block);
}

static void expect_bits_of_a_panel(const struct rapt_kernels *k, int rows, int block, int options,
                                   struct types types, uint64_t seed) {
    struct head h = sample(rows, block, options, types, seed);
    struct result few = run_few(k, &h, types, block, 0);
    struct result panel = run_head(k, &h, (struct division){k->panel_rows, block, false});
    for (int r = 0; r < rows; r++)
        cr_expect(same_row(&h, &panel, &few, r),
                  "%s: row %d of %d, %d keys a block, channels %d and %d, options %d, types %d, %d",
                  k->name, r, rows, block, (int)h.head_dim, (int)h.value_dim, options,
                  (int)types.key, (int)types.value);
    free_result(&panel);
    free_result(&few);
    free_head(&h);
}

Test(few, rows_have_the_bits_of_a_panel) {
    uint64_t seed = 1;
    FOR_EACH_VARIANT(k) {
        for (int rows = 1; rows <= k->few_rows; rows++) {
            for (int i = 0; i < 3 * 96; i++) {
                const int options = (int)(next_random(&seed) % OPTIONS);
                const struct types types = {stored_types[next_random(&seed) % TYPES],
                                            stored_types[next_random(&seed) % TYPES]};
                expect_bits_of_a_panel(k, rows, 1 + i * 2 / 3, options, types, seed);
            }
        }
    }
}

/* Every option alone and with every other, and every type, at the largest number of rows. */
Test(few, every_option_and_type) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < OPTIONS * TYPES; i++) {
            const rapt_dtype one = stored_types[i / OPTIONS], other = stored_types[i % TYPES];
            for (int block = 31; block <= 48; block += 17)
                expect_bits_of_a_panel(k, k->few_rows, block, i % OPTIONS,
                                       (struct types){one, other}, (uint64_t)i);
        }
    }
}

/* Channels of every number, in every type: tails of the rows. */
Test(few, every_number_of_channels) {
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < TYPES * 100; i++) {
            const rapt_dtype dtype = stored_types[i / 100];
            const int64_t block = rapt_dtype_block(dtype), channels = (1 + i % 100) * block;
            if (channels > 200)
                continue;
            const struct types types = {dtype, dtype};
            struct head h = new_head(k->few_rows, 20, channels, channels, (uint64_t)i);
            struct result few = run_few(k, &h, types, 20, 0);
            struct result panel = run_head(k, &h, (struct division){k->panel_rows, 20, false});
            cr_expect(same_result(&h, &panel, &few), "%s: %d channels of type %d", k->name,
                      (int)channels, (int)dtype);
            free_result(&panel);
            free_result(&few);
            free_head(&h);
        }
    }
}

/* The state of some keys joined to that of those before them, either of which may be none. */
Test(few, states_join_as_those_of_panels_do) {
    uint64_t seed = 3;
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < 8 * k->few_rows; i++) {
            const int block = 24, options = (int)(next_random(&seed) % OPTIONS);
            struct head h = sample(1 + i / 8, block, options, plain, seed);
            struct cache cache = store(k, &h, plain);
            const int middle = i % 4 == 0 ? 0 : i % 4 == 1 ? h.keys : block;
            struct rapt_few few[2] = {open_few(k, &h), open_few(k, &h)};
            struct work panel[2] = {open_panel(k, &h, 0, k->panel_rows, block),
                                    open_panel(k, &h, 0, k->panel_rows, block)};
            for (int first = 0; first < h.keys; first += block) {
                const int last = first + block < h.keys ? first + block : h.keys;
                feed_few(k, &few[first >= middle], &h, &cache, first, last, 0);
                feed_block(k, &panel[first >= middle], first, last);
            }
            k->join_few(&few[0], &few[1]);
            k->join(&panel[0].panel, &panel[1].panel);
            struct result joined = close_few(k, &few[0], &h, block), expected = new_result(&h),
                          unused = new_result(&h);
            close_panel(k, &panel[0], block, &expected);
            close_panel(k, &panel[1], block, &unused);
            cr_expect(same_result(&h, &expected, &joined), "%s: %d rows, options %d, case %d",
                      k->name, h.rows, options, i);
            free_few(&few[1]);
            free_result(&joined);
            free_result(&expected);
            free_result(&unused);
            free_cache(&cache);
            free_head(&h);
        }
    }
}

/* Where distances are exact, it makes no difference from which key positions count. */
Test(few, positions_count_from_the_start_of_the_block) {
    FOR_EACH_VARIANT(k) {
        for (int block = 1; block <= 40; block += 13) {
            struct head h = sample(k->few_rows, block, ALIBI, plain, 5);
            struct result zero = run_few(k, &h, plain, block, 0),
                          other = run_few(k, &h, plain, block, 17);
            cr_expect(same_result(&h, &zero, &other), "%s, %d keys", k->name, block);
            free_result(&zero);
            free_result(&other);
            free_head(&h);
        }
    }
}

Test(few, variants_that_fuse_agree_bit_for_bit) {
    const bool fma_here = rapt_cpu_detect() & RAPT_CPU_FMA;
    uint64_t seed = 2;
    for (int i = 0; i < 4 * OPTIONS; i++) {
        const int block = 1 + (int)(next_random(&seed) % 192);
        const struct types types = {stored_types[i % TYPES], stored_types[i / TYPES % TYPES]};
        struct result first = {NULL, NULL, NULL};
        FOR_EACH_VARIANT(k) {
            if (!fma_here && k->lanes == 1)
                continue;
            struct head h = sample(1, block, i % OPTIONS, types, seed);
            struct result r = run_few(k, &h, types, block, 0);
            if (first.out) {
                cr_expect(same_result(&h, &first, &r), "%s, case %d", k->name, i);
                free_result(&r);
            } else {
                first = r;
            }
            free_head(&h);
        }
        free_result(&first);
    }
}

/* A block that a row attends nothing of leaves its state as it is, whatever lies in it. */
Test(few, masked_block_leaves_no_trace) {
    FOR_EACH_VARIANT(k) {
        for (int by_bias = 0; by_bias < 2; by_bias++) {
            struct head h = sample(k->few_rows, 20, by_bias ? BIAS : BOUNDS, plain, 3);
            const size_t channels = (size_t)h.value_dim;
            for (int r = 0; r < h.rows; r++) {
                for (int i = 20; by_bias && i < 40; i++)
                    h.bias[r * h.keys + i] = -INFINITY;
                if (!by_bias) {
                    h.first[r] = 0;
                    h.last[r] = 20;
                }
            }
            for (int64_t i = 20 * h.value_dim; i < 40 * h.value_dim; i++)
                h.value[i] = i % 2 ? NAN : INFINITY;
            for (int64_t i = 20 * h.head_dim; i < 40 * h.head_dim; i++)
                h.key[i] = i % 2 ? NAN : FLT_MAX;
            struct cache cache = store(k, &h, plain);
            struct rapt_few few = open_few(k, &h);
            feed_few(k, &few, &h, &cache, 0, 20, 0);
            float *out = exactly(h.rows * h.value_dim), state[3][16];
            float *const now[] = {few.max, few.sum, few.seen};
            memcpy(out, few.out, (size_t)h.rows * channels * sizeof(float));
            for (int i = 0; i < 3; i++)
                memcpy(state[i], now[i], (size_t)h.rows * sizeof(float));
            feed_few(k, &few, &h, &cache, 20, 40, 0);
            cr_expect_arr_eq(out, few.out, (size_t)h.rows * channels * sizeof(float));
            for (int i = 0; i < 3; i++)
                cr_expect_arr_eq(state[i], now[i], (size_t)h.rows * sizeof(float));
            free(out);
            free_cache(&cache);
            struct result result = close_few(k, &few, &h, 20);
            free_result(&result);
            free_head(&h);
        }
    }
}
