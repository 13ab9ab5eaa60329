/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-attention whose keys and values are projected once: the bits of the call that has the
 * context, what is refused, and that nothing is allocated. */
#include <fenv.h>

#include "tests/support/allocations.h"
#include "tests/support/layers.h"

enum { BATCH = 2, TOKENS = 7, CONTEXT = 53, FIRST = 1 };

static const struct layer_form forms[] = {
    {BATCH, TOKENS, 48, 6, 2, 12, 7, .context = CONTEXT, .context_dim = 31, .biases = true},
    {BATCH, 1, 32, 4, .context = CONTEXT, .weights = RAPT_BF16, .lengths = true},
    {BATCH, TOKENS, 24, 2, .context = CONTEXT, .mask = RAPT_F32, .causal = true, .softcap = 4},
    {BATCH, 2, 40, 5, .context = CONTEXT, .mask = RAPT_BOOL, .lengths = true, .window_left = 9},
};
enum { FORMS = sizeof forms / sizeof *forms };

static rapt_rope *new_rope(void) {
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = 8;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&args, &rope));
    return rope;
}

static rapt_cache *new_context_cache(const rapt_mha_args *layer, int64_t page_size) {
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = layer->kv_heads;
    args.head_dim = layer->head_dim;
    args.value_dim = layer->value_dim;
    args.sequences = FIRST + BATCH;
    args.capacity = CONTEXT + 2;
    args.page_size = page_size;
    args.rope = layer->rope;
    rapt_cache *cache;
    expect_ok(rapt_cache_create(&args, &cache));
    return cache;
}

static rapt_tensor some(const rapt_tensor *t, int64_t first, int64_t count) {
    rapt_tensor view = *t;
    view.data = (float *)t->data + first * t->stride[2];
    view.shape[2] = count;
    return view;
}

/* All of the context in so many calls, and where lengths differ, less of it for some. */
static void append_context(const rapt_mha *layer, const struct layer_case *c, int pieces,
                           rapt_cache *cache) {
    for (int i = 0; i < pieces; i++) {
        const int64_t first = CONTEXT * i / pieces, last = CONTEXT * (i + 1) / pieces;
        const rapt_tensor piece = some(&c->run.context, first, last - first);
        expect_ok(rapt_mha_append(layer, &piece, cache, FIRST, NULL, 0));
    }
    for (int64_t b = 0; c->form.lengths && b < BATCH; b++)
        expect_ok(rapt_cache_truncate(cache, FIRST + b, c->kv_len[b]));
    cr_assert_eq(rapt_cache_length(cache, 0), 0);
}

/* The run that has the keys and values in a cache. */
static rapt_mha_run_args cached(const rapt_mha_run_args *run, const rapt_cache *cache) {
    rapt_mha_run_args args = *run;
    args.context = (rapt_tensor){.dtype = RAPT_NONE};
    args.context_cache = cache;
    args.first_sequence = FIRST;
    return args;
}

/* Runs both ways, with weights in each form. */
static void expect_same(const rapt_mha *layer, struct layer_case *c, const rapt_cache *cache) {
    const int64_t chosen[] = {1, 0}, rows = c->form.tokens, heads = c->args.q_heads;
    for (int form = -1; form <= RAPT_MHA_CHOSEN; form++) {
        rapt_mha_run_args with = c->run;
        with.weights_form = (enum rapt_mha_form)(form < 0 ? 0 : form);
        with.heads = chosen;
        with.head_count = 2;
        with.first_row = form == RAPT_MHA_CHOSEN ? rows / 2 : 0;
        rapt_mha_run_args other = cached(&with, cache);
        other.out = new_tensor(RAPT_F32, BATCH, 1, rows, c->args.model_dim);
        if (form >= 0) {
            const int64_t n = form == RAPT_MHA_EACH ? heads : form == RAPT_MHA_MEAN ? 1 : 2;
            with.weights = new_tensor(RAPT_F32, BATCH, n, rows - with.first_row, CONTEXT);
            other.weights = new_tensor(RAPT_F32, BATCH, n, rows - with.first_row, CONTEXT);
        }
        run_once(c, &with);
        expect_ok(rapt_mha_run(layer, &other, NULL, 0));
        cr_expect(same_bits(&with.out, &other.out), "weights of form %d", form);
        cr_expect(form < 0 || same_bits(&with.weights, &other.weights), "form %d", form);
        free(with.weights.data);
        free(other.weights.data);
        free(other.out.data);
    }
}

Test(mha_context, has_the_bits_of_the_one_call) {
    for (int i = 0; i < FORMS * 8; i++) {
        rapt_rope *rope = i & 1 ? new_rope() : NULL;
        struct layer_case c = new_layer_case(&forms[i / 8], 30);
        c.args.rope = rope;
        rapt_mha *layer = new_layer(&c.args);
        rapt_cache *cache = new_context_cache(&c.args, i & 2 ? 5 : 0);
        append_context(layer, &c, i & 4 ? 3 : 1, cache);
        expect_same(layer, &c, cache);
        for (int64_t b = 0; b < BATCH; b++)
            cr_expect_eq(rapt_cache_length(cache, FIRST + b),
                         c.form.lengths ? c.kv_len[b] : CONTEXT);
        rapt_cache_destroy(cache);
        rapt_mha_destroy(layer);
        free_layer_case(&c);
        rapt_rope_destroy(rope);
    }
}

/* The beams of a search attend one context, whose pages they share. */
Test(mha_context, forks_attend_one_context) {
    struct layer_case c = new_layer_case(&forms[0], 31);
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache *cache = new_context_cache(&c.args, 4);
    rapt_tensor context = c.run.context;
    context.shape[0] = 1;
    expect_ok(rapt_mha_append(layer, &context, cache, FIRST, NULL, 0));
    const int64_t pages = rapt_cache_pages_free(cache);
    expect_ok(rapt_cache_fork(cache, FIRST, FIRST + 1));
    cr_expect_eq(rapt_cache_pages_free(cache), pages);
    c.run.context.stride[0] = 0;
    expect_same(layer, &c, cache);
    rapt_cache_destroy(cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

static int flags_of(rapt_status status) {
    expect_ok(status);
    return fetestexcept(FE_ALL_EXCEPT);
}

/* Rounding, flags and traps of the caller's change no bit, and none of them is changed. */
Test(mha_context, environment_is_the_callers) {
    struct layer_case c = new_layer_case(&forms[0], 36);
    c.args.threads = 2;
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache *cache = new_context_cache(&c.args, 0);
    size_t size;
    fenv_t before;
    fegetenv(&before);
    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    const int measured = flags_of(rapt_mha_append_workspace_size(layer, &c.run.context, &size));
    const int appended = flags_of(rapt_mha_append(layer, &c.run.context, cache, FIRST, NULL, 0));
    const int rounding = fegetround();
    fesetenv(&before);
    cr_expect(measured == 0 && appended == 0 && rounding == FE_UPWARD);
    expect_same(layer, &c, cache);
    rapt_cache_destroy(cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

/* Without a context there is nothing but the bias. */
Test(mha_context, may_be_empty) {
    struct layer_case c = new_layer_case(&forms[0], 32);
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache *cache = new_context_cache(&c.args, 0);
    rapt_tensor none = c.run.context;
    none.shape[2] = 0;
    expect_ok(rapt_mha_append(layer, &none, cache, FIRST, NULL, 0));
    cr_expect_eq(rapt_cache_length(cache, FIRST), 0);
    rapt_mha_run_args run = cached(&c.run, cache);
    run.weights = new_tensor(RAPT_F32, BATCH, 6, TOKENS, 0);
    expect_ok(rapt_mha_run(layer, &run, NULL, 0));
    for (int64_t i = 0; i < BATCH * TOKENS * 48; i++)
        cr_assert_eq(((float *)run.out.data)[i], ((float *)c.args.b_out.data)[i % 48]);
    free(run.weights.data);
    rapt_cache_destroy(cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

Test(mha_context, allocates_nothing) {
    for (int i = 0; i < FORMS; i++) {
        struct layer_case c = new_layer_case(&forms[i], 33);
        c.args.threads = 3;
        rapt_mha *layer = new_layer(&c.args);
        rapt_cache *cache = new_context_cache(&c.args, i % 2 ? 8 : 0);
        size_t size, run_size;
        expect_ok(rapt_mha_append_workspace_size(layer, &c.run.context, &size));
        char *memory = allocate(size + 128);
        memset(memory, CANARY, size + 128);
        int before = allocations;
        expect_ok(rapt_mha_append(layer, &c.run.context, cache, FIRST, memory + 3, size));
        cr_expect_eq(allocations, before);
        for (size_t k = 0; k < size + 128; k++)
            cr_assert(k - 3 < size || memory[k] == (char)CANARY, "written outside");
        rapt_mha_run_args run = cached(&c.run, cache);
        expect_ok(rapt_mha_workspace_size(layer, &run, &run_size));
        void *workspace = allocate(run_size);
        before = allocations;
        expect_ok(rapt_mha_run(layer, &run, workspace, run_size));
        cr_expect_eq(allocations, before);
        free(workspace);
        free(memory);
        rapt_cache_destroy(cache);
        rapt_mha_destroy(layer);
        free_layer_case(&c);
    }
}

/* ---- refusals ---- */

static void expect_message(rapt_status found, rapt_status expected, const char *argument,
                           const char *text) {
    cr_expect_eq(found, expected, "%s, %s", argument, text);
    cr_expect(mentions(rapt_last_error(), argument) && mentions(rapt_last_error(), text) &&
                  (expected != RAPT_INVALID_ARGUMENT || mentions(rapt_last_error(), "expected")),
              "%s, %s: %s", argument, text, rapt_last_error());
}

#define REFUSED(call, argument, text) expect_message(call, RAPT_INVALID_ARGUMENT, argument, text)

Test(mha_context, bad_contexts) {
    struct layer_case c = new_layer_case(&forms[0], 34);
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache *cache = new_context_cache(&c.args, 0), *turned, *narrow;
    rapt_mha_args other = c.args;
    rapt_rope *rope = new_rope();
    other.rope = rope;
    turned = new_context_cache(&other, 0);
    other = c.args;
    other.value_dim = 6;
    narrow = new_context_cache(&other, 0);
    rapt_tensor good = c.run.context, bad = good;
    size_t size;
    expect_ok(rapt_mha_append_workspace_size(layer, &good, &size));
    void *memory = allocate(size);
    REFUSED(rapt_mha_append(NULL, &good, cache, 0, NULL, 0), "layer", "NULL");
    REFUSED(rapt_mha_append(layer, NULL, cache, 0, NULL, 0), "context", "NULL");
    REFUSED(rapt_mha_append(layer, &good, NULL, 0, NULL, 0), "cache", "NULL");
    REFUSED(rapt_mha_append(layer, &good, cache, -1, NULL, 0), "first_sequence", "-1");
    REFUSED(rapt_mha_append(layer, &good, cache, 2, NULL, 0), "first_sequence", "2");
    REFUSED(rapt_mha_append(layer, &good, turned, 0, NULL, 0), "cache", "rope");
    REFUSED(rapt_mha_append(layer, &good, narrow, 0, NULL, 0), "values", "6");
    REFUSED(rapt_mha_append(layer, &good, cache, 0, memory, size - 1), "workspace_size",
            "expected");
    REFUSED(rapt_mha_append_workspace_size(layer, &good, NULL), "size", "NULL");
    REFUSED(rapt_mha_append_workspace_size(NULL, &good, &size), "layer", "NULL");
    cr_expect_eq(size, 0u);
    bad.shape[3] = 30;
    REFUSED(rapt_mha_append(layer, &bad, cache, 0, NULL, 0), "context", "30");
    bad = good;
    bad.dtype = RAPT_BF16;
    REFUSED(rapt_mha_append(layer, &bad, cache, 0, NULL, 0), "context", "bf16");
    bad = good;
    bad.data = NULL;
    REFUSED(rapt_mha_append(layer, &bad, cache, 0, NULL, 0), "context", "NULL");
    for (int64_t b = 0; b < FIRST + BATCH; b++)
        cr_expect_eq(rapt_cache_length(cache, b), 0);

    /* Room for the first sequence, none for the second. */
    bad = some(&good, 0, 3);
    bad.shape[0] = 1;
    expect_ok(rapt_mha_append(layer, &bad, cache, 2, NULL, 0));
    REFUSED(rapt_mha_append(layer, &good, cache, 1, NULL, 0), "key", "53");
    cr_expect_eq(rapt_cache_length(cache, 1), 0);
    cr_expect_eq(rapt_cache_length(cache, 2), 3);
    free(memory);
    rapt_cache_destroy(cache);
    rapt_cache_destroy(turned);
    rapt_cache_destroy(narrow);
    rapt_rope_destroy(rope);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

Test(mha_context, bad_runs) {
    static const int64_t lengths[] = {3, 4}, cu[] = {0, TOKENS};
    struct layer_case c = new_layer_case(&forms[0], 35);
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache *cache = new_context_cache(&c.args, 0);
    append_context(layer, &c, 1, cache);
    const rapt_mha_run_args good = cached(&c.run, cache);
    rapt_mha_run_args bad = good;
    bad.cache = cache;
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "context_cache", "cache");
    bad = good;
    bad.context = c.run.context;
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "context_cache", "context");
    bad = good;
    bad.kv_len = lengths;
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "kv_len", "cache");
    bad = good;
    bad.cu = cu;
    bad.sequences = 1;
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "cu", "cache");
    bad = good;
    bad.first_sequence = 2;
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "first_sequence", "2");
    bad = good;
    bad.mask = random_tensor(RAPT_F32, 1, 1, 1, CONTEXT + 1, 1);
    REFUSED(rapt_mha_run(layer, &bad, NULL, 0), "mask", "54");
    cr_expect(untouched(&c.run.out));
    free(bad.mask.data);
    rapt_cache_destroy(cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}
