/* SPDX-License-Identifier: Apache-2.0 */
/* The layer with a cache and with a rope: token by token, it gives what the whole gives. */
#include "tests/support/layers.h"

enum { DIM = 48, HEADS = 6, KV_HEADS = 2, HEAD_DIM = 12, VALUE_DIM = 7, BATCH = 2, TOKENS = 45 };

static const struct layer_form form = {BATCH,          TOKENS,           DIM,       HEADS,
                                       KV_HEADS,       HEAD_DIM,         VALUE_DIM, .causal = true,
                                       .biases = true, .window_left = 30};

static rapt_rope *new_rope(void) {
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = 8;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&args, &rope));
    return rope;
}

static rapt_cache *new_cache(int64_t page_size, const rapt_rope *rope) {
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = KV_HEADS;
    args.head_dim = HEAD_DIM;
    args.value_dim = VALUE_DIM;
    args.sequences = BATCH + 1;
    args.capacity = TOKENS + 3;
    args.page_size = page_size;
    args.rope = rope;
    rapt_cache *cache;
    expect_ok(rapt_cache_create(&args, &cache));
    return cache;
}

/* Some tokens of all sequences, as a view. */
static rapt_tensor tokens(const rapt_tensor *t, int64_t first, int64_t count) {
    rapt_tensor view = *t;
    view.data = (float *)t->data + first * t->stride[2];
    view.shape[2] = count;
    return view;
}

/* Steps of 1, 2, 3 and so on tokens, or of one each. */
static void run_in_steps(const rapt_mha *layer, const struct layer_case *c, rapt_cache *cache,
                         bool grow, const rapt_tensor *out) {
    int64_t n = 1;
    for (int64_t at = 0; at < TOKENS; at += n, n += grow) {
        n = n < TOKENS - at ? n : TOKENS - at;
        rapt_mha_run_args run = rapt_mha_run_defaults();
        run.input = tokens(&c->run.input, at, n);
        run.out = tokens(out, at, n);
        run.cache = cache;
        run.first_sequence = 1;
        run.kv_start = c->run.kv_start;
        size_t size;
        expect_ok(rapt_mha_workspace_size(layer, &run, &size));
        void *workspace = allocate(size);
        expect_ok(rapt_mha_run(layer, &run, workspace, size));
        free(workspace);
        cr_assert_eq(rapt_cache_length(cache, 2), at + n);
    }
}

Test(mha_cache, steps_have_the_bits_of_the_whole) {
    for (int i = 0; i < 8; i++) {
        rapt_rope *rope = i & 1 ? new_rope() : NULL;
        struct layer_case c = new_layer_case(&form, 20);
        c.args.rope = rope;
        rapt_mha *layer = new_layer(&c.args);
        rapt_cache *cache = new_cache(i & 2 ? 5 : 0, rope);
        rapt_tensor out = new_tensor(RAPT_F32, BATCH, 1, TOKENS, DIM);
        run_once(&c, &c.run);
        run_in_steps(layer, &c, cache, i & 4, &out);
        cr_expect(same_bits(&out, &c.run.out), "case %d", i);
        free(out.data);
        rapt_cache_destroy(cache);
        rapt_mha_destroy(layer);
        free_layer_case(&c);
        rapt_rope_destroy(rope);
    }
}

/* Masks and weights are for the longest sequence after the run. */
Test(mha_cache, gives_weights_of_all_keys) {
    for (int paged = 0; paged < 2; paged++) {
        struct layer_case c = new_layer_case(&form, 21);
        rapt_mha *layer = new_layer(&c.args);
        rapt_cache *cache = new_cache(paged ? 4 : 0, NULL);
        rapt_mha_run_args whole = c.run, first = c.run, rest = c.run;
        whole.mask = random_tensor(RAPT_F32, BATCH, HEADS, TOKENS, TOKENS, 3);
        whole.weights = new_tensor(RAPT_F32, BATCH, HEADS, TOKENS, TOKENS);
        run_once(&c, &whole);
        first.input = tokens(&c.run.input, 0, 30);
        first.out = tokens(&c.run.out, 0, 30);
        first.cache = rest.cache = cache;
        first.mask = tokens(&whole.mask, 0, 30);
        first.mask.shape[3] = 30;
        rest.input = tokens(&c.run.input, 30, TOKENS - 30);
        rest.out = tokens(&c.run.out, 30, TOKENS - 30);
        rest.mask = tokens(&whole.mask, 30, TOKENS - 30);
        rest.weights = new_tensor(RAPT_F32, BATCH, HEADS, TOKENS - 30, TOKENS);
        expect_ok(rapt_mha_run(layer, &first, NULL, 0));
        expect_ok(rapt_mha_run(layer, &rest, NULL, 0));
        const int64_t n = (TOKENS - 30) * TOKENS;
        for (int64_t h = 0; h < BATCH * HEADS; h++)
            cr_expect_arr_eq((float *)rest.weights.data + h * n,
                             (float *)whole.weights.data + (h * TOKENS + 30) * TOKENS,
                             (size_t)n * sizeof(float));
        free(whole.mask.data);
        free(whole.weights.data);
        free(rest.weights.data);
        rapt_cache_destroy(cache);
        rapt_mha_destroy(layer);
        free_layer_case(&c);
    }
}

/* Left padding: the bits are those of a mask that hides it, and of steps with a cache. */
Test(mha_cache, keys_before_kv_start_do_not_exist) {
    static const int64_t start[BATCH] = {7, 0}, far[BATCH] = {TOKENS, TOKENS + 1};
    for (int paged = 0; paged < 2; paged++) {
        struct layer_case c = new_layer_case(&form, 24);
        rapt_mha *layer = new_layer(&c.args);
        rapt_cache *cache = new_cache(paged ? 5 : 0, NULL);
        rapt_tensor mask = new_tensor(RAPT_BOOL, BATCH, 1, 1, TOKENS);
        rapt_tensor out = new_tensor(RAPT_F32, BATCH, 1, TOKENS, DIM);
        for (int64_t i = 0; i < BATCH * TOKENS; i++)
            ((unsigned char *)mask.data)[i] = i % TOKENS >= start[i / TOKENS];
        rapt_mha_run_args masked = c.run;
        masked.mask = mask;
        masked.out = out;
        run_once(&c, &masked);
        c.run.kv_start = start;
        run_once(&c, &c.run);
        cr_expect(same_bits(&out, &c.run.out));
        memset(out.data, CANARY, bytes_of(&out));
        run_in_steps(layer, &c, cache, true, &out);
        cr_expect(same_bits(&out, &c.run.out));
        c.run.kv_start = far;
        run_once(&c, &c.run);
        for (int64_t i = 0; i < BATCH * TOKENS * DIM; i++)
            cr_assert_float_eq(((float *)c.run.out.data)[i], element(&c.args.b_out, i % DIM), 0);
        free(mask.data);
        free(out.data);
        rapt_cache_destroy(cache);
        rapt_mha_destroy(layer);
        free_layer_case(&c);
    }
}

/* A rope that turns by given positions; where all are the same, by none. */
Test(mha_cache, rope_turns_by_positions) {
    rapt_rope *rope = new_rope();
    struct layer_case c = new_layer_case(&form, 22);
    rapt_mha_run_args turned = c.run, still = c.run;
    int64_t positions[BATCH * TOKENS];
    turned.out = new_tensor(RAPT_F32, BATCH, 1, TOKENS, DIM);
    still.out = new_tensor(RAPT_F32, BATCH, 1, TOKENS, DIM);
    run_once(&c, &c.run);
    c.args.rope = rope;
    run_once(&c, &turned);
    cr_expect(!same_bits(&turned.out, &c.run.out));
    for (int i = 0; i < BATCH * TOKENS; i++)
        positions[i] = i % TOKENS;
    still.positions = positions;
    run_once(&c, &still);
    cr_expect(same_bits(&turned.out, &still.out));
    for (int i = 0; i < BATCH * TOKENS; i++)
        positions[i] = 0;
    run_once(&c, &still);
    cr_expect(same_bits(&still.out, &c.run.out));
    rapt_mha *layer = new_layer(&c.args);
    positions[3] = INT64_MIN;
    memset(still.out.data, CANARY, bytes_of(&still.out));
    cr_expect_eq(rapt_mha_run(layer, &still, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "positions[3]"), "%s", rapt_last_error());
    cr_expect(untouched(&still.out));
    rapt_mha_destroy(layer);
    free(turned.out.data);
    free(still.out.data);
    free_layer_case(&c);
    rapt_rope_destroy(rope);
}

/* A cache that runs full: what was appended before is taken back, and nothing is written. */
Test(mha_cache, nothing_is_appended_on_an_error) {
    struct layer_case c = new_layer_case(&form, 23);
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = KV_HEADS;
    args.head_dim = HEAD_DIM;
    args.value_dim = VALUE_DIM;
    args.sequences = BATCH;
    args.capacity = TOKENS;
    args.page_size = 8;
    args.pages = 9; /* 6 are for the first sequence */
    expect_ok(rapt_cache_create(&args, &c.run.cache));
    cr_expect_eq(rapt_mha_run(layer, &c.run, NULL, 0), RAPT_OUT_OF_MEMORY);
    cr_expect(mentions(rapt_last_error(), "pages"), "%s", rapt_last_error());
    cr_expect(untouched(&c.run.out));
    cr_expect_eq(rapt_cache_length(c.run.cache, 0), 0);
    cr_expect_eq(rapt_cache_pages_free(c.run.cache), 9);
    rapt_cache_destroy(c.run.cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}
