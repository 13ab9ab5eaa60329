/* SPDX-License-Identifier: Apache-2.0 */
/* What a cache refuses, leaving all as it was, and what it does with memory. */
#include "tests/support/allocations.h"
#include "tests/support/caches.h"

/* The size of a cache's memory is refused with the same words as the cache. */
static void expect_refused(const rapt_cache_args *args, const char *name, const char *found) {
    rapt_cache *cache = (rapt_cache *)(void *)&cache;
    size_t size = 1;
    cr_expect_eq(rapt_cache_memory_size(args, &size), RAPT_INVALID_ARGUMENT, "%s", name);
    cr_expect_eq(size, 0);
    for (int i = 0; i < 2; i++) {
        cr_expect(mentions(rapt_last_error(), name) && mentions(rapt_last_error(), found),
                  "expected %s, %s: %s", name, found, rapt_last_error());
        cr_expect_eq(rapt_cache_create(args, &cache), RAPT_INVALID_ARGUMENT, "%s", name);
        cr_expect_null(cache);
    }
}

Test(cache_args, wrong_settings_are_refused) {
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 34;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&rope_args, &rope));
    rapt_cache_args good = cache_args(2, 32, 32, 3, 10, 4), args[18];
    const char *const names[18][2] = {
        {"size", "args"},        {"kv_heads", "0"},       {"head_dim", "-1"},
        {"value_dim", "-5"},     {"sequences", "0"},      {"capacity", "0"},
        {"page_size", "-1"},     {"pages", "-2"},         {"capacity", "2147483648"},
        {"key_dtype", "0"},      {"value_dtype", "2"},    {"key_dtype", "77"},
        {"value_dtype", "48"},   {"rope", "34"},          {"pages", "contiguous"},
        {"pages", "4294967296"}, {"capacity", "address"}, {"key_dtype", "-1"},
    };
    for (int i = 0; i < 18; i++)
        args[i] = good;
    args[0].size = 8;
    args[1].kv_heads = 0;
    args[2].head_dim = -1;
    args[3].value_dim = -5;
    args[4].sequences = 0;
    args[5].capacity = 0;
    args[6].page_size = -1;
    args[7].pages = -2;
    args[8].capacity = (int64_t)1 << 31;
    args[9].key_dtype = RAPT_NONE;
    args[10].value_dtype = RAPT_BOOL;
    args[11].key_dtype = (rapt_dtype)77;
    args[12].value_dtype = RAPT_Q8_0;
    args[12].value_dim = 48;
    args[13].rope = rope;
    args[14].page_size = 0;
    args[14].pages = 4;
    args[15].sequences = args[15].capacity = 65536;
    args[15].page_size = 1;
    args[16].kv_heads = args[16].head_dim = args[16].capacity = INT32_MAX;
    args[17].key_dtype = (rapt_dtype)-1;
    for (int i = 0; i < 18; i++)
        expect_refused(&args[i], names[i][0], names[i][1]);
    expect_refused(NULL, "args", "NULL");
    cr_expect_eq(rapt_cache_create(&good, NULL), RAPT_INVALID_ARGUMENT);
    cr_expect_eq(rapt_cache_memory_size(&good, NULL), RAPT_INVALID_ARGUMENT);
    good.isa = "sse9";
    rapt_cache *cache;
    cr_expect_eq(rapt_cache_create(&good, &cache), RAPT_ISA_UNAVAILABLE);
    rapt_cache_destroy(NULL);
    rapt_rope_destroy(rope);
}

/* Five tokens in each of two sequences, int8 keys, in memory of the caller's. */
struct setting {
    rapt_cache_args args;
    rapt_cache *cache;
    size_t size;
    unsigned char *memory, *before;
};

static struct setting new_setting(int64_t page_size) {
    struct setting s = {.args = cache_args(2, 8, 6, 2, 9, page_size)};
    const uint64_t ids[5] = {4, 5, 6, 7, 8};
    s.args.key_dtype = RAPT_I8;
    expect_ok(rapt_cache_memory_size(&s.args, &s.size));
    s.memory = allocate(s.size + 16);
    s.before = allocate(s.size + 16);
    memset(s.memory, CANARY, s.size + 16);
    s.args.memory = s.memory + 3;
    s.args.memory_size = s.size;
    s.cache = new_cache(&s.args);
    for (int64_t i = 0; i < 2; i++)
        expect_ok(append_tokens(s.cache, &s.args, i, ids, 5, NULL, 0));
    memcpy(s.before, s.memory, s.size + 16);
    return s;
}

static void free_setting(struct setting *s) {
    rapt_cache_destroy(s->cache);
    free(s->memory);
    free(s->before);
}

static void expect_unchanged(const struct setting *s, const char *name, const char *found) {
    cr_expect_arr_eq(s->memory, s->before, s->size + 16, "%s", name);
    cr_expect_eq(rapt_cache_length(s->cache, 0), 5);
    cr_expect_eq(rapt_cache_length(s->cache, 1), 5);
    cr_expect(mentions(rapt_last_error(), name) && mentions(rapt_last_error(), found),
              "expected %s, %s: %s", name, found, rapt_last_error());
}

Test(cache_args, wrong_appends_change_nothing) {
    struct setting s = new_setting(4);
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 2;
    rapt_tensor key = random_tensor(RAPT_F32, 1, 2, 2, 8, 1);
    rapt_tensor value = random_tensor(RAPT_F32, 1, 2, 2, 6, 2);
    rapt_tensor more_keys = random_tensor(RAPT_F32, 1, 2, 5, 8, 1);
    rapt_tensor more_values = random_tensor(RAPT_F32, 1, 2, 5, 6, 1);
    rapt_tensor heads = key, batch = key, channels = value, bytes = key, null = value, none = key;
    rapt_tensor far = key;
    heads.shape[1] = 1;
    batch.shape[0] = 2;
    channels.shape[3] = 5;
    bytes.dtype = RAPT_I8;
    null.data = NULL;
    none.shape[2] = 0;
    far.stride[1] = INT64_MAX;
    const struct {
        int64_t sequence;
        const rapt_tensor *key, *value;
        const char *name, *found;
    } calls[] = {
        {-1, &key, &value, "sequence", "-1"},      {2, &key, &value, "sequence", "2"},
        {0, NULL, &value, "key", "NULL"},          {0, &key, NULL, "value", "NULL"},
        {0, &heads, &value, "key", "1"},           {0, &batch, &value, "key", "2"},
        {0, &key, &channels, "value", "5"},        {0, &bytes, &value, "key", "int8"},
        {0, &key, &null, "value", "NULL"},         {0, &none, &value, "value", "0"},
        {0, &far, &value, "key", "strides"},       {0, &key, &more_values, "value", "5"},
        {0, &more_keys, &more_values, "key", "4"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        cr_expect_eq(
            rapt_cache_append(s.cache, calls[i].sequence, calls[i].key, calls[i].value, NULL),
            RAPT_INVALID_ARGUMENT, "call %zu", i);
        expect_unchanged(&s, calls[i].name, calls[i].found);
    }
    cr_expect_eq(rapt_cache_append(NULL, 0, &key, &value, NULL), RAPT_INVALID_ARGUMENT);

    /* Positions count where they are used, and only there. */
    const int64_t positions[2] = {0, INT64_MIN};
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&rope_args, &rope));
    rapt_cache_args args = s.args;
    args.rope = rope;
    rapt_cache *rotating = new_cache(&args);
    cr_expect_eq(rapt_cache_append(rotating, 0, &key, &value, positions), RAPT_INVALID_ARGUMENT);
    expect_unchanged(&s, "positions[1]", "-9223372036854775808");
    expect_ok(rapt_cache_append(s.cache, 0, &key, &value, positions));
    rapt_cache_destroy(rotating);
    rapt_rope_destroy(rope);
    free(key.data);
    free(value.data);
    free(more_keys.data);
    free(more_values.data);
    free_setting(&s);
}

Test(cache_args, other_wrong_calls_change_nothing) {
    for (int64_t page_size = 0; page_size <= 4; page_size += 4) {
        struct setting s = new_setting(page_size);
        rapt_attention_args view = rapt_attention_defaults(), old = view;
        old.size--;
        const rapt_status statuses[] = {
            rapt_cache_truncate(s.cache, 2, 0),
            rapt_cache_truncate(s.cache, 1, 6),
            rapt_cache_truncate(s.cache, 1, -1),
            rapt_cache_truncate(NULL, 0, 0),
            rapt_cache_fork(s.cache, 0, 2),
            rapt_cache_fork(s.cache, -1, 0),
            rapt_cache_fork(NULL, 0, 1),
            rapt_cache_view(NULL, 0, 1, &view),
            rapt_cache_view(s.cache, 2, 1, &view),
            rapt_cache_view(s.cache, 1, 2, &view),
            rapt_cache_view(s.cache, 0, -1, &view),
            rapt_cache_view(s.cache, 0, 1, NULL),
            rapt_cache_view(s.cache, 0, 1, &old),
        };
        for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
            cr_expect_eq(statuses[i], RAPT_INVALID_ARGUMENT, "call %zu", i);
        cr_expect_null(view.key.data);
        expect_unchanged(&s, "args", "size");
        cr_expect_eq(rapt_cache_length(s.cache, 2), -1);
        cr_expect_eq(rapt_cache_length(s.cache, -1), -1);
        cr_expect_eq(rapt_cache_length(NULL, 0), -1);
        cr_expect_eq(rapt_cache_pages_free(NULL), 0);
        free_setting(&s);
    }
}

/* At any alignment, to the last byte and no further; a byte less is refused. */
Test(cache_args, the_callers_memory) {
    const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
    for (int i = 0; i < 25; i++) {
        rapt_cache_args args = cache_args(3, 64, 32, 2, 7, i % 3);
        args.key_dtype = dtypes[i % 5];
        args.value_dtype = dtypes[i / 5];
        size_t size;
        expect_ok(rapt_cache_memory_size(&args, &size));
        unsigned char *memory = allocate(size + 128);
        memset(memory, CANARY, size + 128);
        for (int shift = 0; shift < 64; shift += 9) {
            args.memory = memory + 1 + shift;
            args.memory_size = size - 1;
            rapt_cache *cache;
            cr_expect_eq(rapt_cache_create(&args, &cache), RAPT_INVALID_ARGUMENT);
            cr_expect(mentions(rapt_last_error(), "memory_size"), "%s", rapt_last_error());
            args.memory_size = size;
            cache = new_cache(&args);
            const uint64_t ids[7] = {1, 2, 3, 4, 5, 6, 7};
            for (int64_t s = 0; s < 2; s++)
                expect_ok(append_tokens(cache, &args, s, ids, 7, NULL, 0));
            const rapt_attention_args view = view_of(cache, 0, 2);
            cr_expect_eq((uintptr_t)view.key.data % 64, 0);
            cr_expect_eq((uintptr_t)view.value.data % 64, 0);
            rapt_cache_destroy(cache);
            for (int before = 0; before <= shift; before++)
                cr_assert_eq(memory[before], CANARY);
            for (size_t after = 1 + (size_t)shift + size; after < size + 128; after++)
                cr_assert_eq(memory[after], CANARY);
            memset(memory, CANARY, size + 128);
        }
        free(memory);
    }
}

Test(cache_args, only_create_allocates) {
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 600;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&rope_args, &rope));
    rapt_tensor key = random_tensor(RAPT_F32, 1, 2, 9, 640, 1);
    rapt_cache_args args = cache_args(2, 640, 640, 2, 20, 4);
    args.key_dtype = RAPT_Q8_0;
    args.value_dtype = RAPT_I8;
    args.rope = rope;
    int before = allocations;
    rapt_cache *cache = new_cache(&args);
    cr_expect_gt(allocations, before, "the count of allocations doesn't work");
    before = allocations;
    expect_ok(rapt_cache_append(cache, 0, &key, &key, NULL));
    expect_ok(rapt_cache_fork(cache, 0, 1));
    expect_ok(rapt_cache_append(cache, 1, &key, &key, NULL));
    expect_ok(rapt_cache_truncate(cache, 0, 3));
    rapt_attention_args view = rapt_attention_defaults();
    expect_ok(rapt_cache_view(cache, 0, 2, &view));
    expect_ok(rapt_rope_apply(rope, &key, NULL, 0, &key));
    cr_expect_eq(allocations, before);
    rapt_cache_destroy(cache);
    rapt_rope_destroy(rope);
    free(key.data);
}

Test(cache_args, no_memory_is_an_error) {
    const rapt_cache_args args = cache_args(2, 8, 8, 2, 20, 4);
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 2;
    rapt_status status = RAPT_OUT_OF_MEMORY;
    int refused = 0;
    for (int left = 0; status == RAPT_OUT_OF_MEMORY; left++) {
        rapt_cache *cache;
        allocations_left = left;
        status = rapt_cache_create(&args, &cache);
        allocations_left = -1;
        cr_expect_eq(!cache, status != RAPT_OK);
        refused += status != RAPT_OK;
        rapt_cache_destroy(cache);
    }
    expect_ok(status);
    cr_expect_gt(refused, 3);
    rapt_rope *rope;
    allocations_left = 0;
    status = rapt_rope_create(&rope_args, &rope);
    allocations_left = -1;
    cr_expect_eq(status, RAPT_OUT_OF_MEMORY);
    cr_expect_null(rope);
}
