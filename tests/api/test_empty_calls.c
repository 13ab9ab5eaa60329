/* SPDX-License-Identifier: Apache-2.0 */
/* All other calls without sequences, tokens or keys: RAPT_OK, and nothing is touched. */
#include "tests/support/caches.h"
#include "tests/support/layers.h"

/* Shapes without elements, for a tensor of (batch, heads, positions, channels). */
static const int64_t none_of[3][3] = {{0, 2, 3}, {2, 0, 3}, {2, 2, 0}};

static rapt_tensor nothing(int i, int64_t channels) {
    return rapt_tensor_bhsd(NULL, RAPT_F32, none_of[i][0], none_of[i][1], none_of[i][2], channels);
}

/* Nothing takes no time, however many of it there are. */
Test(empty_calls, many_of_nothing) {
    const rapt_tensor view = rapt_tensor_bhsd(NULL, RAPT_F32, INT32_MAX, INT32_MAX, 0, 8);
    rapt_tensor lse = view, none = {0};
    lse.shape[3] = 1;
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = 4;
    rapt_rope *rope;
    const int64_t position = 3;
    expect_ok(rapt_rope_create(&args, &rope));
    expect_ok(rapt_rope_apply(rope, &view, &position, 0, &view));
    rapt_rope_destroy(rope);
    expect_ok(rapt_merge(1, &view, &lse, &view, &none));
}

static void expect_refused(rapt_status status, const char *argument) {
    cr_expect_eq(status, RAPT_INVALID_ARGUMENT, "%s", argument);
    cr_expect(mentions(rapt_last_error(), argument), "%s: %s", argument, rapt_last_error());
}

Test(empty_calls, merge) {
    for (int i = 0; i < 3; i++) {
        const rapt_tensor out = nothing(i, 7), lse = nothing(i, 1), none = {0};
        const rapt_tensor outs[] = {out, out}, lses[] = {lse, lse};
        expect_ok(rapt_merge(2, outs, lses, &out, &lse));
        expect_ok(rapt_merge(2, outs, lses, &out, &none));
        expect_refused(rapt_merge(0, outs, lses, &out, &lse), "count");
    }
    const rapt_tensor out = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 1, 1, 0);
    const rapt_tensor lse = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 1, 1, 1);
    expect_refused(rapt_merge(1, &out, &lse, &out, &lse), "out");
}

Test(empty_calls, rope) {
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = 4;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&args, &rope));
    for (int i = 0; i < 3; i++) {
        const int64_t positions[] = {1, 2, 3, 4, 5, 6};
        const rapt_tensor view = nothing(i, 6), other = nothing((i + 1) % 3, 6);
        const rapt_tensor narrow = nothing(i, 3);
        expect_ok(rapt_rope_apply(rope, &view, NULL, 0, &view));
        expect_ok(rapt_rope_apply(rope, &view, positions, 3, &view));
        expect_refused(rapt_rope_apply(rope, &view, NULL, 0, &other), "out");
        expect_refused(rapt_rope_apply(rope, &narrow, NULL, 0, &narrow), "in");
    }
    rapt_rope_destroy(rope);
}

Test(empty_calls, embed) {
    const int64_t one = 1, *const ids[] = {&one, NULL}, *const nobody[] = {NULL, NULL};
    rapt_tensor tables[] = {random_tensor(RAPT_F32, 1, 1, 5, 8, 1), {0}};
    tables[1] =
        rapt_tensor_bhsd(NULL, RAPT_F16, 1, 1, 0, 8); /* of no rows, which nobody asks for */
    for (int i = 0; i < 3; i += 2) {
        rapt_tensor out = nothing(i, 8);
        out.shape[1] = 1;
        if (i == 2)
            expect_ok(rapt_embed(2, tables, ids, &out));
        expect_ok(rapt_embed(1, tables, nobody, &out));
    }
    const rapt_tensor some = new_tensor(RAPT_F32, 1, 1, 1, 8);
    expect_refused(rapt_embed(2, tables, ids, &some), "tables[1]");
    cr_expect(untouched(&some));
    free(some.data);
    free(tables[0].data);
}

Test(empty_calls, linear) {
    for (int i = 0; i < 4; i++) {
        rapt_linear_args args = rapt_linear_defaults();
        args.input = rapt_tensor_bhsd(NULL, RAPT_F32, i & 1 ? 0 : 3, 1, i & 1 ? 4 : 0, 9);
        args.out = args.input;
        args.out.shape[3] = 20;
        args.weight = random_matrix(RAPT_BF16, 20, 9, 1);
        if (i & 2) {
            args.outer = random_matrix(RAPT_F32, 20, 20, 2);
            args.activation = RAPT_ACTIVATION_GELU;
        }
        size_t size;
        expect_ok(rapt_linear_workspace_size(&args, &size));
        void *workspace = allocate(size);
        expect_ok(rapt_linear(&args, workspace, size));
        expect_ok(rapt_linear(&args, NULL, 0));
        /* Layers of no channels stay an error. */
        rapt_linear_args none = args;
        none.input.shape[3] = none.weight.shape[3] = 0;
        expect_refused(rapt_linear(&none, NULL, 0), "input");
        none = args;
        none.weight.shape[2] = 0;
        none.out.shape[3] = i & 2 ? 20 : 0;
        none.outer.shape[3] = 0;
        expect_refused(rapt_linear(&none, NULL, 0), i & 2 ? "outer" : "out");
        free(workspace);
        free(args.weight.data);
        free(args.outer.data);
    }
}

/* ---- caches ---- */

Test(empty_calls, no_tokens_for_a_cache) {
    const rapt_tensor nobody_key = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 2, 0, 8);
    const rapt_tensor nobody_value = rapt_tensor_bhsd(NULL, RAPT_BF16, 1, 2, 0, 6);
    for (int64_t page_size = 0; page_size <= 4; page_size += 4) {
        rapt_cache_args args = cache_args(2, 8, 6, 2, 8, page_size);
        args.pages = page_size ? 2 : 0; /* all of which are in use below */
        rapt_cache *cache = new_cache(&args);
        expect_ok(rapt_cache_append(cache, 1, &nobody_key, &nobody_value, NULL));
        cr_expect_eq(rapt_cache_length(cache, 1), 0);
        rapt_tensor key = random_tensor(RAPT_F32, 1, 2, 6, 8, 1);
        rapt_tensor value = random_tensor(RAPT_F32, 1, 2, 6, 6, 2);
        expect_ok(rapt_cache_append(cache, 0, &key, &value, NULL));
        expect_ok(rapt_cache_fork(cache, 0, 1));
        const rapt_attention_args before = view_of(cache, 1, 1);
        const int32_t page = page_size ? before.block_table[1] : 0;
        /* A page that others read isn't copied for it. */
        expect_ok(rapt_cache_append(cache, 1, &nobody_key, &nobody_value, NULL));
        cr_expect_eq(rapt_cache_length(cache, 1), 6);
        cr_expect_eq(rapt_cache_pages_free(cache), 0);
        const rapt_attention_args after = view_of(cache, 1, 1);
        cr_expect_eq(page_size ? after.block_table[1] : 0, page);
        free(key.data);
        free(value.data);
        rapt_cache_destroy(cache);
    }
}

Test(empty_calls, views_of_a_cache) {
    for (int64_t page_size = 0; page_size <= 4; page_size += 4) {
        const rapt_cache_args args = cache_args(2, 8, 6, 3, 8, page_size);
        rapt_cache *cache = new_cache(&args);
        for (int64_t first = 0; first < 3; first++) {
            rapt_attention_args view = view_of(cache, first, 0);
            view.query = rapt_tensor_bhsd(NULL, RAPT_F32, 0, 4, 5, 8);
            view.out = rapt_tensor_bhsd(NULL, RAPT_F32, 0, 4, 5, 6);
            expect_ok(rapt_attention(&view));
            /* Nobody takes them for more. */
            view.query.shape[0] = view.out.shape[0] = 1;
            expect_refused(rapt_attention(&view), "key");
        }
        /* Sequences without tokens have rows without keys. */
        rapt_attention_args view = view_of(cache, 0, 3);
        view.query = random_tensor(RAPT_F32, 3, 4, 1, 8, 1);
        view.out = new_tensor(RAPT_F32, 3, 4, 1, 6);
        expect_ok(rapt_attention(&view));
        for (size_t i = 0; i < elements(&view.out); i++)
            cr_expect_eq(((float *)view.out.data)[i], 0);
        free(view.query.data);
        free(view.out.data);
        rapt_cache_destroy(cache);
    }
}

/* ---- layers ---- */

static const struct layer_form forms[] = {
    {0, 5, 24, 4, 2, .biases = true},
    {3, 0, 24, 4, 2, .biases = true, .causal = true},
    {0, 0, 24, 4, 4, .biases = true},
    {0, 5, 24, 4, 2, .context = 7},
    {3, 0, 24, 4, 2, .context = 7, .mask = RAPT_F32},
    {2, 0, 24, 4, 2, .mask = RAPT_BOOL},
};

/* With a workspace and without. */
static void expect_runs(const struct layer_case *c, const rapt_mha_run_args *run) {
    rapt_mha *layer = new_layer(&c->args);
    size_t size;
    expect_ok(rapt_mha_workspace_size(layer, run, &size));
    void *workspace = allocate(size);
    expect_ok(rapt_mha_run(layer, run, workspace, size));
    expect_ok(rapt_mha_run(layer, run, NULL, 0));
    free(workspace);
    rapt_mha_destroy(layer);
}

Test(empty_calls, layers) {
    static const int64_t heads[] = {3, 0};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct layer_case c = new_layer_case(&forms[i], 3);
        rapt_mha_run_args run = c.run;
        run.input.data = run.out.data = NULL;
        expect_runs(&c, &run);
        run.weights = rapt_tensor_bhsd(NULL, RAPT_F32, c.form.batch, 4, c.form.tokens, c.keys);
        expect_runs(&c, &run);
        run.weights_form = RAPT_MHA_MEAN;
        run.weights.shape[1] = 1;
        expect_runs(&c, &run);
        run.weights_form = RAPT_MHA_CHOSEN;
        run.weights.shape[1] = 2;
        run.heads = heads;
        run.head_count = 2;
        expect_runs(&c, &run);
        run.weights.shape[1] = run.head_count = 0;
        run.heads = NULL;
        expect_runs(&c, &run);
        free_layer_case(&c);
    }
}

/* Attention to nothing is what the last projection makes of zeros: its biases. */
Test(empty_calls, layers_of_no_keys) {
    const struct layer_form form = {2, 5, 24, 4, 2, .biases = true};
    for (int i = 0; i < 4; i++) {
        struct layer_case c = new_layer_case(&form, 3);
        c.run.context = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 1, 0, 24);
        if (i > 0) {
            c.run.weights = rapt_tensor_bhsd(NULL, RAPT_F32, 2, i == 1 ? 4 : 1, 5, 0);
            c.run.weights_form = i == 1 ? RAPT_MHA_EACH : RAPT_MHA_MEAN;
            c.run.weights.stride[0] = i == 3 ? 5 : 0;
        }
        expect_runs(&c, &c.run);
        for (size_t k = 0; k < elements(&c.run.out); k++)
            cr_expect_float_eq(((float *)c.run.out.data)[k],
                               element(&c.args.b_out, (int64_t)k % 24), 1e-6);
        free_layer_case(&c);
    }
}

Test(empty_calls, ragged_layers) {
    const struct layer_form form = {1, 0, 24, 4, 2, .causal = true};
    struct layer_case c = new_layer_case(&form, 3);
    static const int64_t zeros[] = {0, 0, 0};
    c.run.cu = zeros;
    c.run.weights = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 4, 0, 0);
    for (int64_t sequences = 0; sequences <= 2; sequences++) {
        c.run.sequences = sequences;
        expect_runs(&c, &c.run);
    }
    free_layer_case(&c);
}

Test(empty_calls, layers_with_a_cache) {
    for (int i = 0; i < 8; i++) {
        const struct layer_form form = {i & 1 ? 0 : 2, i & 1 ? 3 : 0, 24, 4, 2, .causal = true};
        struct layer_case c = new_layer_case(&form, 3);
        const rapt_cache_args args = cache_args(2, 6, 6, 2, 8, i & 2 ? 4 : 0);
        rapt_cache *cache = new_cache(&args);
        const struct layer_form two = {2, 3, 24, 4, 2, .causal = true};
        struct layer_case before = new_layer_case(&two, 3);
        before.run.cache = cache;
        if (i & 4)
            run_once(&before, &before.run);
        const int64_t length = rapt_cache_length(cache, 1);
        rapt_mha_run_args run = c.run;
        run.cache = cache;
        run.input.data = run.out.data = NULL;
        run.weights =
            rapt_tensor_bhsd(NULL, RAPT_F32, form.batch, 4, form.tokens, form.batch ? length : 0);
        expect_runs(&c, &run);
        cr_expect_eq(rapt_cache_length(cache, 1), length);
        free_layer_case(&before);
        free_layer_case(&c);
        rapt_cache_destroy(cache);
    }
}

/* ---- summaries ---- */

Test(empty_calls, summaries) {
    static const struct form sizes[] = {{0, 4, 2, 3, 5, 6, 7, .lse = true},
                                        {2, 0, 1, 3, 5, 6, 7, .lse = true},
                                        {2, 4, 2, 0, 5, 6, 7, .lse = true},
                                        {2, 4, 2, 3, 0, 6, 7, .lse = true}};
    for (int i = 0; i < 4; i++) {
        rapt_attention_args args = new_problem(&sizes[i], 1);
        rapt_head_summary heads[8];
        memset(heads, 0xff, sizeof heads);
        expect_ok(rapt_summarize_heads(&args, i < 2 ? NULL : heads));
        for (int h = 0; i >= 2 && h < 8; h++)
            cr_expect(heads[h].queries == 0 && heads[h].entropy == 0 && heads[h].locality == 0 &&
                      heads[h].kind == RAPT_HEAD_BROAD);
        free_problem(&args);
    }
}

Test(empty_calls, rollout) {
    for (int i = 0; i < 2; i++) {
        const int64_t batch = i ? 0 : 2, positions = i ? 3 : 0;
        const rapt_tensor out = rapt_tensor_bhsd(NULL, RAPT_F32, batch, 1, positions, positions);
        rapt_tensor layers[] = {out, out};
        layers[1].shape[1] = 4;
        expect_ok(rapt_rollout(2, layers, 0.5, &out, 0));
        layers[0].shape[1] = 0; /* the mean of nothing */
        expect_refused(rapt_rollout(2, layers, 0.5, &out, 0), "weights");
    }
}
