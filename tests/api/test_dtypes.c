/* SPDX-License-Identifier: Apache-2.0 */
/* Every argument that has a dtype, with every number that could stand in it. What isn't meant for
 * it is refused, whichever call it is in. */
#include <limits.h>
#include <stddef.h>

#include "tests/support/helpers.h"

#define F32 (1u << RAPT_F32)
#define FLOATS (F32 | 1u << RAPT_F16 | 1u << RAPT_BF16)
#define STORED (FLOATS | 1u << RAPT_I8 | 1u << RAPT_Q8_0)
#define MASKS (FLOATS | 1u << RAPT_BOOL)
#define I32 (1u << RAPT_I32)
#define NONE (1u << RAPT_NONE)

enum { SIZE = 2, CHANNELS = 32, BYTES = 1 << 16, TENSORS_MAX = 64 };

static const int64_t bounds[] = {0, 1}, offsets[] = {0};
static const int64_t ids[SIZE * SIZE] = {0};

/* The arguments of all calls. */
struct calls {
    rapt_attention_args attention, scaled; /* the latter of int8 */
    rapt_tensor outs[2], lses[2], out, lse;
    rapt_cache_args cache;
    rapt_tensor key, value; /* to append */
    rapt_tensor in, turned;
    rapt_tensor table, embedded;
    rapt_linear_args linear;
    rapt_mha_args layer;
    rapt_mha_run_args run, crossing;
    rapt_tensor weights[2], rolled;
};

static _Alignas(64) unsigned char memory[TENSORS_MAX][BYTES];
static int tensors;

/* Memory of its own, with room for elements of any type: zeros, which every type has. */
static rapt_tensor zeros(rapt_dtype dtype, int64_t b, int64_t h, int64_t s, int64_t c) {
    cr_assert(tensors < TENSORS_MAX);
    return rapt_tensor_bhsd(memory[tensors++], dtype, b, h, s, c);
}

static rapt_tensor matrix(int64_t rows, int64_t channels) {
    return zeros(RAPT_F32, 1, 1, rows, channels);
}

static rapt_attention_args new_attention(rapt_dtype stored) {
    rapt_attention_args a = rapt_attention_defaults();
    a.query = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
    a.key = zeros(stored, SIZE, SIZE, SIZE, CHANNELS);
    a.value = zeros(stored, SIZE, SIZE, SIZE, CHANNELS);
    a.out = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
    if (stored == RAPT_I8) {
        a.key_scale = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
        a.value_scale = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
        return a;
    }
    a.mask = zeros(RAPT_F32, SIZE, SIZE, SIZE, SIZE);
    a.alibi = zeros(RAPT_F32, 1, SIZE, 1, 1);
    a.sink = zeros(RAPT_F32, 1, SIZE, 1, 1);
    rapt_tensor *rows[] = {&a.lse, &a.max, &a.entropy, &a.distance, &a.segments, &a.diagonals};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i] = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
    a.weights = zeros(RAPT_F32, SIZE, SIZE, SIZE, SIZE);
    a.received = zeros(RAPT_F32, SIZE, SIZE, 1, SIZE);
    a.top_weight = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
    a.top_key = zeros(RAPT_I32, SIZE, SIZE, SIZE, 1);
    a.segment_bounds = bounds;
    a.diagonal_offsets = offsets;
    return a;
}

static void make_layer(struct calls *c) {
    rapt_tensor *const weight[] = {&c->layer.w_query, &c->layer.w_key, &c->layer.w_value,
                                   &c->layer.w_out};
    rapt_tensor *const bias[] = {&c->layer.b_query, &c->layer.b_key, &c->layer.b_value,
                                 &c->layer.b_out};
    c->layer = rapt_mha_defaults();
    c->layer.model_dim = CHANNELS;
    c->layer.q_heads = SIZE;
    for (int i = 0; i < 4; i++) {
        *weight[i] = matrix(CHANNELS, CHANNELS);
        *bias[i] = matrix(1, CHANNELS);
    }
    c->run = rapt_mha_run_defaults();
    c->run.input = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
    c->run.out = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
    c->run.mask = zeros(RAPT_F32, SIZE, SIZE, SIZE, SIZE);
    c->run.weights = zeros(RAPT_F32, SIZE, SIZE, SIZE, SIZE);
    c->crossing = c->run;
    c->crossing.context = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
}

static struct calls new_calls(void) {
    struct calls c = {.attention = new_attention(RAPT_F32), .scaled = new_attention(RAPT_I8)};
    c.out = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
    c.lse = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
    for (int i = 0; i < 2; i++) {
        c.outs[i] = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
        c.lses[i] = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
        c.weights[i] = zeros(RAPT_F32, SIZE, SIZE, SIZE, SIZE);
    }
    c.rolled = zeros(RAPT_F32, SIZE, 1, SIZE, SIZE);
    c.cache = rapt_cache_defaults();
    c.cache.kv_heads = SIZE;
    c.cache.head_dim = CHANNELS;
    c.cache.capacity = SIZE;
    c.key = zeros(RAPT_F32, 1, SIZE, SIZE, CHANNELS);
    c.value = zeros(RAPT_F32, 1, SIZE, SIZE, CHANNELS);
    c.in = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
    c.turned = zeros(RAPT_F32, SIZE, SIZE, SIZE, CHANNELS);
    c.table = matrix(SIZE, CHANNELS);
    c.embedded = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
    c.linear = rapt_linear_defaults();
    c.linear.input = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
    c.linear.out = zeros(RAPT_F32, SIZE, 1, SIZE, CHANNELS);
    c.linear.weight = matrix(CHANNELS, CHANNELS);
    c.linear.bias = matrix(1, CHANNELS);
    c.linear.outer = matrix(CHANNELS, CHANNELS);
    c.linear.outer_bias = matrix(1, CHANNELS);
    make_layer(&c);
    return c;
}

/* ---- the calls ---- */

/* int8 has scales, which nothing else has. */
static rapt_status attend(const struct calls *c) {
    rapt_attention_args a = c->attention;
    if (a.key.dtype == RAPT_I8)
        a.key_scale = c->scaled.key_scale;
    if (a.value.dtype == RAPT_I8)
        a.value_scale = c->scaled.value_scale;
    return rapt_attention(&a);
}
static rapt_status summarize(const struct calls *c) {
    rapt_head_summary heads[SIZE * SIZE];
    struct calls own = *c;
    own.attention.key_scale =
        c->attention.key.dtype == RAPT_I8 ? c->scaled.key_scale : c->attention.key_scale;
    return rapt_summarize_heads(&own.attention, heads);
}
static rapt_status attend_scaled(const struct calls *c) {
    return rapt_attention(&c->scaled);
}
static rapt_status merge(const struct calls *c) {
    return rapt_merge(2, c->outs, c->lses, &c->out, &c->lse);
}
static rapt_status create_cache(const struct calls *c) {
    rapt_cache *cache;
    size_t size;
    const rapt_status sized = rapt_cache_memory_size(&c->cache, &size);
    const rapt_status status = rapt_cache_create(&c->cache, &cache);
    cr_expect_eq(sized, status);
    rapt_cache_destroy(cache);
    return status;
}
static rapt_status append(const struct calls *c) {
    rapt_cache *cache;
    expect_ok(rapt_cache_create(&c->cache, &cache));
    const rapt_status status = rapt_cache_append(cache, 0, &c->key, &c->value, NULL);
    rapt_cache_destroy(cache);
    return status;
}
static rapt_status rotate(const struct calls *c) {
    rapt_rope_args args = rapt_rope_defaults();
    rapt_rope *rope;
    args.rotary_dim = CHANNELS;
    expect_ok(rapt_rope_create(&args, &rope));
    const rapt_status status = rapt_rope_apply(rope, &c->in, NULL, 0, &c->turned);
    rapt_rope_destroy(rope);
    return status;
}
static rapt_status embed(const struct calls *c) {
    const int64_t *all[] = {ids};
    return rapt_embed(1, &c->table, all, &c->embedded);
}
static rapt_status project(const struct calls *c) {
    return rapt_linear(&c->linear, NULL, 0);
}
static rapt_status create_layer(const struct calls *c) {
    rapt_mha *layer;
    const rapt_status status = rapt_mha_create(&c->layer, &layer);
    rapt_mha_destroy(layer);
    return status;
}
static rapt_status run_args(const struct calls *c, const rapt_mha_run_args *args) {
    rapt_mha *layer;
    expect_ok(rapt_mha_create(&c->layer, &layer));
    const rapt_status status = rapt_mha_run(layer, args, NULL, 0);
    rapt_mha_destroy(layer);
    return status;
}
static rapt_status run_layer(const struct calls *c) {
    return run_args(c, &c->run);
}
static rapt_status cross(const struct calls *c) {
    return run_args(c, &c->crossing);
}
static rapt_status roll_out(const struct calls *c) {
    return rapt_rollout(2, c->weights, 0.5, &c->rolled, 1);
}

/* ---- what is taken where ---- */

#define ARG(call, member, types)                                                                   \
    { #call ": " #member, types, offsetof(struct calls, member), call }
#define TENSOR(call, member, types) ARG(call, member.dtype, types)
static const struct {
    const char *what;
    unsigned types; /* a bit for each that is taken */
    size_t at;      /* of the dtype */
    rapt_status (*call)(const struct calls *c);
} table[] = {
    TENSOR(attend, attention.query, FLOATS),
    TENSOR(attend, attention.key, STORED),
    TENSOR(attend, attention.value, STORED),
    TENSOR(attend, attention.out, FLOATS),
    TENSOR(attend, attention.key_scale, NONE),
    TENSOR(attend, attention.value_scale, NONE),
    TENSOR(attend_scaled, scaled.key_scale, F32),
    TENSOR(attend_scaled, scaled.value_scale, F32),
    TENSOR(attend, attention.mask, MASKS),
    TENSOR(attend, attention.alibi, F32),
    TENSOR(attend, attention.sink, F32),
    TENSOR(attend, attention.lse, F32),
    TENSOR(attend, attention.max, F32),
    TENSOR(attend, attention.weights, F32),
    TENSOR(attend, attention.entropy, F32),
    TENSOR(attend, attention.top_weight, F32),
    TENSOR(attend, attention.top_key, I32),
    TENSOR(attend, attention.distance, F32),
    TENSOR(attend, attention.segments, F32),
    TENSOR(attend, attention.diagonals, F32),
    TENSOR(attend, attention.received, F32),
    TENSOR(summarize, attention.query, FLOATS),
    TENSOR(summarize, attention.key, STORED),
    TENSOR(summarize, attention.out, FLOATS),
    TENSOR(summarize, attention.mask, MASKS),
    TENSOR(merge, outs[1], F32),
    TENSOR(merge, lses[0], F32),
    TENSOR(merge, out, F32),
    TENSOR(merge, lse, F32 | NONE),
    ARG(create_cache, cache.key_dtype, STORED),
    ARG(create_cache, cache.value_dtype, STORED),
    TENSOR(append, key, FLOATS),
    TENSOR(append, value, FLOATS),
    TENSOR(rotate, in, FLOATS),
    TENSOR(rotate, turned, FLOATS),
    TENSOR(embed, table, FLOATS),
    TENSOR(embed, embedded, FLOATS),
    TENSOR(project, linear.input, F32),
    TENSOR(project, linear.weight, FLOATS),
    TENSOR(project, linear.bias, FLOATS),
    TENSOR(project, linear.outer, FLOATS),
    TENSOR(project, linear.outer_bias, FLOATS),
    TENSOR(project, linear.out, F32),
    TENSOR(create_layer, layer.w_query, FLOATS),
    TENSOR(create_layer, layer.w_key, FLOATS),
    TENSOR(create_layer, layer.w_value, FLOATS),
    TENSOR(create_layer, layer.w_out, FLOATS),
    TENSOR(create_layer, layer.b_query, FLOATS),
    TENSOR(create_layer, layer.b_key, FLOATS),
    TENSOR(create_layer, layer.b_value, FLOATS),
    TENSOR(create_layer, layer.b_out, FLOATS),
    TENSOR(run_layer, run.input, F32),
    TENSOR(run_layer, run.out, F32),
    TENSOR(run_layer, run.mask, MASKS),
    TENSOR(run_layer, run.weights, F32),
    TENSOR(cross, crossing.context, F32),
    TENSOR(roll_out, weights[1], F32),
    TENSOR(roll_out, rolled, F32),
};

/* All enumerators, what may be added behind them, what wraps to one, and the ends. */
enum { FEWEST = -40, MOST = 140 };
static const int far_ones[] = {255, 256, 257, 0x10001, 0x1000001, INT_MAX, INT_MIN, INT_MIN + 1};
enum { FAR = sizeof far_ones / sizeof *far_ones };

static void expect_taken(size_t i, const struct calls *good, int number) {
    struct calls c = *good;
    const rapt_dtype dtype = (rapt_dtype)number;
    const bool taken = number >= 0 && number < 32 && table[i].types >> number & 1;
    memcpy((char *)&c + table[i].at, &dtype, sizeof dtype);
    const rapt_status status = table[i].call(&c);
    cr_expect_eq(status, taken ? RAPT_OK : RAPT_INVALID_ARGUMENT, "%s = %d: %d, %s", table[i].what,
                 number, (int)status, taken ? rapt_last_error() : "taken");
}

Test(dtypes, only_what_is_meant_is_taken) {
    const struct calls good = new_calls();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int number = FEWEST; number <= MOST; number++)
            expect_taken(i, &good, number);
        for (int n = 0; n < FAR; n++)
            expect_taken(i, &good, far_ones[n]);
    }
}

/* A message names the argument, what was found and what was expected. */
Test(dtypes, messages) {
    struct calls c = new_calls();
    c.cache.value_dtype = RAPT_I32;
    cr_expect_eq(create_cache(&c), RAPT_INVALID_ARGUMENT);
    cr_expect_str_eq(rapt_last_error(),
                     "value_dtype: dtype is int32 (7), expected f32, f16, bf16, int8 or q8_0");
    c.linear.input.dtype = (rapt_dtype)33;
    cr_expect_eq(project(&c), RAPT_INVALID_ARGUMENT);
    cr_expect_str_eq(rapt_last_error(), "input: dtype is unknown (33), expected f32");
}

Test(dtypes, sizes) {
    static const struct {
        rapt_dtype dtype;
        int64_t size, block;
    } known[] = {{RAPT_NONE, 0, 1}, {RAPT_F32, 4, 1}, {RAPT_BOOL, 1, 1},   {RAPT_F16, 2, 1},
                 {RAPT_BF16, 2, 1}, {RAPT_I8, 1, 1},  {RAPT_Q8_0, 34, 32}, {RAPT_I32, 4, 1}};
    enum { KNOWN = sizeof known / sizeof *known };
    for (int number = FEWEST; number <= MOST + FAR; number++) {
        const rapt_dtype dtype = (rapt_dtype)(number > MOST ? far_ones[number - MOST - 1] : number);
        int64_t size = 0, block = 1;
        for (int i = 0; i < KNOWN; i++)
            if (known[i].dtype == dtype) {
                size = known[i].size;
                block = known[i].block;
            }
        cr_expect_eq(rapt_dtype_size(dtype), size, "%d", number);
        cr_expect_eq(rapt_dtype_block(dtype), block, "%d", number);
        const rapt_tensor a = rapt_tensor_bhsd(NULL, dtype, 2, 3, 5, 7);
        const rapt_tensor b = rapt_tensor_bshd(NULL, dtype, 2, 3, 5, 7);
        cr_expect(a.dtype == dtype && b.dtype == dtype && a.stride[3] == 1 && b.stride[3] == 1);
    }
}

/* Data that isn't aligned to an element of its type; types of single bytes are aligned anywhere. */
Test(dtypes, alignment) {
    static const struct {
        rapt_dtype dtype;
        const char *multiple; /* NULL: any address will do */
        int shift;
    } types[] = {
        {RAPT_F32, "multiple of 4", 2},
        {RAPT_F16, "multiple of 2", 1},
        {RAPT_BF16, "multiple of 2", 1},
        {RAPT_Q8_0, NULL, 1},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tensors = 0;
        rapt_attention_args args = new_attention(types[i].dtype);
        args.key.data = (char *)args.key.data + types[i].shift;
        const rapt_status status = rapt_attention(&args);
        cr_expect_eq(status, types[i].multiple ? RAPT_INVALID_ARGUMENT : RAPT_OK, "type %zu", i);
        if (types[i].multiple)
            cr_expect(mentions(rapt_last_error(), "key: data") &&
                          mentions(rapt_last_error(), types[i].multiple),
                      "%s", rapt_last_error());
    }
    tensors = 0;
    rapt_attention_args args = new_attention(RAPT_F32);
    args.mask = zeros(RAPT_BOOL, SIZE, SIZE, SIZE, SIZE);
    args.mask.data = (char *)args.mask.data + 1;
    expect_ok(rapt_attention(&args));
    args.top_weight = zeros(RAPT_F32, SIZE, SIZE, SIZE, 1);
    args.top_key = zeros(RAPT_I32, SIZE, SIZE, SIZE, 1);
    args.top_key.data = (char *)args.top_key.data + 2;
    cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "top_key: data"), "%s", rapt_last_error());
}
