/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's arguments, its first weights, and that a run allocates nothing. */
#include <limits.h>

#include "tests/support/allocations.h"
#include "tests/support/layers.h"

static const struct layer_form form = {2, 9, 24, 4, 2, .context = 0, .biases = true};

/* The message has to name the argument and what was found. */
static void expect_refused(rapt_status status, const char *argument, const char *found) {
    cr_expect_eq(status, RAPT_INVALID_ARGUMENT, "%s, %s: %d", argument, found, (int)status);
    cr_expect(mentions(rapt_last_error(), argument) && mentions(rapt_last_error(), found),
              "expected %s, %s: %s", argument, found, rapt_last_error());
}

#define REFUSES(argument, found, ...)                                                              \
    do {                                                                                           \
        rapt_mha_args args = c.args;                                                               \
        __VA_ARGS__;                                                                               \
        rapt_mha *none = (rapt_mha *)&c;                                                           \
        expect_refused(rapt_mha_create(&args, &none), argument, found);                            \
        cr_expect_null(none);                                                                      \
    } while (0)

Test(mha_args, layers_are_checked) {
    struct layer_case c = new_layer_case(&form, 1);
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 8;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&rope_args, &rope));
    REFUSES("args", "1", args.size = 1);
    REFUSES("model_dim", "0", args.model_dim = 0);
    REFUSES("context_dim", "-1", args.context_dim = -1);
    REFUSES("q_heads", "0", args.q_heads = 0);
    REFUSES("kv_heads", "3", args.kv_heads = 3);
    REFUSES("kv_heads", "-2", args.kv_heads = -2);
    REFUSES("head_dim", "-6", args.head_dim = -6);
    REFUSES("head_dim", "24", args.head_dim = 0; args.q_heads = 5; args.kv_heads = 5);
    REFUSES("head_dim", "2147483647", args.head_dim = INT32_MAX);
    REFUSES("value_dim", "2147483647", args.value_dim = INT32_MAX);
    REFUSES("value_dim", "2147483648", args.value_dim = INT64_C(2147483648));
    REFUSES("w_query", "24", args.head_dim = 5);
    REFUSES("w_key", "11", args.w_key.shape[2] = 11);
    REFUSES("w_value", "25", args.w_value.shape[3] = 25);
    REFUSES("w_out", "int8", args.w_out.dtype = RAPT_I8);
    REFUSES("w_out", "none", args.w_out.dtype = RAPT_NONE);
    REFUSES("w_key", "NULL", args.w_key.data = NULL);
    REFUSES("w_key", "strides", args.w_key.stride[2] = INT64_MAX);
    REFUSES("b_query", "23", args.b_query.shape[3] = 23);
    REFUSES("b_value", "NULL", args.b_value.data = NULL);
    REFUSES("b_out", "bool", args.b_out.dtype = RAPT_BOOL);
    REFUSES("rope", "8", args.rope = rope);
    REFUSES("softcap", "-1", args.softcap = -1);
    REFUSES("scale", "-1", args.scale = -1);
    REFUSES("window_left", "-2", args.window_left = -2);
    REFUSES("threads", "-1", args.threads = -1);
    rapt_mha *layer;
    expect_refused(rapt_mha_create(NULL, &layer), "args", "NULL");
    expect_refused(rapt_mha_create(&c.args, NULL), "layer", "NULL");
    c.args.isa = "sse9";
    cr_expect_eq(rapt_mha_create(&c.args, &layer), RAPT_ISA_UNAVAILABLE);
    rapt_mha_destroy(NULL);
    rapt_rope_destroy(rope);
    free_layer_case(&c);
}
#undef REFUSES

#define REFUSES(argument, found, ...)                                                              \
    do {                                                                                           \
        rapt_mha_run_args run = c.run;                                                             \
        __VA_ARGS__;                                                                               \
        expect_refused(rapt_mha_run(layer, &run, NULL, 0), argument, found);                       \
        expect_refused(rapt_mha_run(layer, &run, workspace, size), argument, found);               \
        cr_expect(untouched(&c.run.out) && untouched(&c.run.weights));                             \
    } while (0)
#define MEAN run.weights = mean, run.weights_form = RAPT_MHA_MEAN
#define CHOSEN                                                                                     \
    run.weights_form = RAPT_MHA_CHOSEN, run.heads = heads, run.head_count = 2,                     \
    run.weights.shape[1] = 2

Test(mha_args, runs_are_checked) {
    struct layer_case c = new_layer_case(&form, 2);
    rapt_mha *layer = new_layer(&c.args);
    const int64_t heads[] = {3, 4}, lengths[] = {4, 10}, before[] = {-1, 0};
    rapt_tensor mean = new_tensor(RAPT_F32, 2, 1, 9, 9);
    c.run.weights = new_tensor(RAPT_F32, 2, 4, 9, 9);
    size_t size;
    expect_ok(rapt_mha_workspace_size(layer, &c.run, &size));
    size += 100000;
    void *workspace = allocate(size);
    REFUSES("args", "3", run.size = 3);
    REFUSES("input", "23", run.input.shape[3] = 23);
    REFUSES("input", "2", run.input.shape[1] = 2);
    REFUSES("input", "bf16", run.input.dtype = RAPT_BF16);
    REFUSES("out", "0", run.input.shape[0] = 0);
    REFUSES("input", "NULL", run.input.data = NULL);
    /* more than anyone can count: refused before anything of that size is touched */
    REFUSES("query", "1048576", run.input.shape[0] = run.out.shape[0] = 1 << 20;
            run.input.shape[2] = run.out.shape[2] = INT32_MAX;
            run.input.stride[0] = run.input.stride[2] = 0; run.out.stride[0] = INT64_C(24) << 31;
            run.weights = (rapt_tensor){0});
    REFUSES("out", "NULL", run.out.data = NULL);
    REFUSES("out", "8", run.out.shape[2] = 8);
    REFUSES("out", "none", run.out.dtype = RAPT_NONE);
    REFUSES("out", "strides", run.out.stride[2] = 0);
    REFUSES("out", "w_key", run.out.data = c.args.w_key.data);
    REFUSES("out", "weights", run.out.data = c.run.weights.data);
    REFUSES("weights", "b_out", run.weights.data = c.args.b_out.data);
    REFUSES("weights", "3", run.weights.shape[1] = 3);
    REFUSES("weights", "10", run.weights.shape[3] = 10);
    REFUSES("weights_form", "9", run.weights_form = (rapt_mha_form)9);
    REFUSES("weights", "2", MEAN; run.weights.stride[3] = 2);
    REFUSES("weights", "mask", MEAN; run.mask = mean);
    REFUSES("weights", "data", run.weights.dtype = RAPT_NONE);
    REFUSES("heads[1]", "4", CHOSEN);
    REFUSES("heads", "NULL", CHOSEN; run.heads = NULL);
    REFUSES("head_count", "-1", CHOSEN; run.head_count = -1);
    REFUSES("weights", "0", CHOSEN; run.head_count = 0);
    REFUSES("first_row", "9", CHOSEN; run.head_count = 1; run.first_row = 9);
    REFUSES("rows", "6", CHOSEN; run.head_count = 1; run.first_row = 4; run.rows = 6);
    REFUSES("context", "25", run.context = rapt_tensor_bhsd(run.input.data, RAPT_F32, 2, 1, 5, 25));
    REFUSES("context", "1", run.context = rapt_tensor_bhsd(run.input.data, RAPT_F32, 1, 1, 5, 24));
    REFUSES("context", "data", run.context.data = &c);
    REFUSES("mask", "8", run.mask = rapt_tensor_bhsd(&c, RAPT_F32, 1, 1, 9, 8));
    REFUSES("mask", "address", run.mask = rapt_tensor_bhsd((char *)&c + 1, RAPT_F32, 1, 1, 9, 9));
    REFUSES("kv_len[1]", "10", run.kv_len = lengths);
    REFUSES("kv_start[0]", "-1", run.kv_start = before);
    rapt_mha_run_args run = c.run;
    expect_refused(rapt_mha_run(NULL, &run, NULL, 0), "layer", "NULL");
    expect_refused(rapt_mha_run(layer, NULL, NULL, 0), "args", "NULL");
    expect_refused(rapt_mha_workspace_size(layer, &run, NULL), "size", "NULL");
    expect_refused(rapt_mha_run(layer, &run, workspace, 5), "workspace_size", "5");
    expect_refused(rapt_mha_run(layer, &run, workspace, size - 100001), "workspace_size",
                   "expected");
    cr_expect(untouched(&c.run.out));
    free(mean.data);
    free(workspace);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

#define RAGGED run.cu = cu, run.sequences = 2

Test(mha_args, ragged_sequences_are_checked) {
    const struct layer_form one = {1, 9, 24, 4, 2, .causal = true};
    struct layer_case c = new_layer_case(&one, 2);
    rapt_mha *layer = new_layer(&c.args);
    const int64_t cu[] = {0, 4, 9}, late[] = {1, 4, 9}, back[] = {0, 10, 9}, brief[] = {0, 4, 8};
    const int64_t lengths[] = {4}, heads[] = {0, 1};
    c.run.weights = new_tensor(RAPT_F32, 1, 4, 9, 5);
    size_t size = 1 << 20;
    void *workspace = allocate(size);
    REFUSES("cu[0]", "1", RAGGED; run.cu = late);
    REFUSES("cu[1]", "10", RAGGED; run.cu = back);
    REFUSES("cu[2]", "8", RAGGED; run.cu = brief);
    REFUSES("sequences", "0", RAGGED; run.sequences = 0);
    REFUSES("cu", "context", RAGGED; run.context = c.run.input);
    REFUSES("cu", "kv_len", RAGGED; run.kv_len = lengths);
    REFUSES("cu", "kv_start", RAGGED; run.kv_start = lengths);
    REFUSES("weights_form", "2", RAGGED; CHOSEN);
    REFUSES("weights", "9", RAGGED; run.weights.shape[3] = 9);
    REFUSES("input", "2", RAGGED; run.input.shape[0] = run.out.shape[0] = 2;
            run.out.stride[0] = 216; run.weights = (rapt_tensor){0});
    free(workspace);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

Test(mha_args, caches_are_checked) {
    struct layer_case c = new_layer_case(&form, 3);
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = 4;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&rope_args, &rope));
    rapt_mha *layer = new_layer(&c.args);
    rapt_cache_args cache_args = rapt_cache_defaults();
    cache_args.kv_heads = 2;
    cache_args.head_dim = 6;
    cache_args.sequences = 3;
    cache_args.capacity = 20;
    rapt_cache *cache, *turned, *narrow;
    expect_ok(rapt_cache_create(&cache_args, &cache));
    cache_args.rope = rope;
    expect_ok(rapt_cache_create(&cache_args, &turned));
    cache_args.rope = NULL;
    cache_args.value_dim = 5;
    expect_ok(rapt_cache_create(&cache_args, &narrow));
    c.run.cache = cache;
    const int64_t lengths[] = {1, 1};
    size_t size;
    expect_ok(rapt_mha_workspace_size(layer, &c.run, &size));
    void *workspace = allocate(size);
    REFUSES("first_sequence", "2", run.first_sequence = 2);
    REFUSES("first_sequence", "-1", run.first_sequence = -1);
    REFUSES("cache", "rope", run.cache = turned);
    REFUSES("values", "5", run.cache = narrow);
    REFUSES("kv_len", "cache", run.kv_len = lengths);
    REFUSES("context", "cache", run.context = run.input);
    REFUSES("mask", "20", run.mask = rapt_tensor_bhsd(&c, RAPT_F32, 1, 1, 9, 20));
    cr_expect_eq(rapt_cache_length(cache, 0), 0);
    free(workspace);
    rapt_cache_destroy(cache);
    rapt_cache_destroy(turned);
    rapt_cache_destroy(narrow);
    rapt_mha_destroy(layer);
    rapt_rope_destroy(rope);
    free_layer_case(&c);
}

/* A matrix that is another's memory can't be filled. */
Test(mha_args, xavier_wants_memory_of_its_own) {
    struct layer_case c = new_layer_case(&form, 8);
    struct layer_case shared = c, repeated = c;
    shared.args.w_value.data = (float *)shared.args.w_key.data;
    repeated.args.w_out.stride[2] = 0;
    rapt_mha *layers[] = {new_layer(&shared.args), new_layer(&repeated.args)};
    expect_refused(rapt_mha_init_xavier(NULL, 1), "layer", "NULL");
    expect_refused(rapt_mha_init_xavier(layers[0], 1), "w_value", "w_key");
    expect_refused(rapt_mha_init_xavier(layers[1], 1), "w_out", "strides");
    rapt_mha_destroy(layers[0]);
    rapt_mha_destroy(layers[1]);
    free_layer_case(&c);
}

static void expect_no_allocation(const rapt_mha *layer, const rapt_mha_run_args *run) {
    size_t size;
    expect_ok(rapt_mha_workspace_size(layer, run, &size));
    char *workspace = allocate(size + 1);
    const int before = allocations;
    expect_ok(rapt_mha_run(layer, run, workspace + 1, size));
    cr_expect_eq(allocations, before, "%d allocations", allocations - before);
    free(workspace);
}

Test(mha_args, runs_allocate_nothing) {
    const struct layer_form large = {2, 140, 256, 4, 2, .causal = true, .weights = RAPT_BF16};
    const int64_t head = 1;
    struct layer_case c = new_layer_case(&large, 4);
    rapt_mha *layer = new_layer(&c.args);
    expect_no_allocation(layer, &c.run);
    c.run.weights = new_tensor(RAPT_F32, 2, 1, 140, 140);
    c.run.weights_form = RAPT_MHA_MEAN;
    expect_no_allocation(layer, &c.run);
    c.run.weights_form = RAPT_MHA_CHOSEN;
    c.run.heads = &head;
    c.run.head_count = 1;
    expect_no_allocation(layer, &c.run);
    rapt_cache_args cache_args = rapt_cache_defaults();
    cache_args.kv_heads = 2;
    cache_args.head_dim = 64;
    cache_args.sequences = 2;
    cache_args.capacity = 300;
    cache_args.page_size = 16;
    expect_ok(rapt_cache_create(&cache_args, &c.run.cache));
    expect_no_allocation(layer, &c.run);
    rapt_cache_destroy(c.run.cache);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

/* Every allocation may fail, and says so. */
Test(mha_args, memory_may_run_out) {
    struct layer_case c = new_layer_case(&form, 5);
    rapt_mha *layer = new_layer(&c.args), *other;
    rapt_status status = RAPT_OUT_OF_MEMORY;
    for (int i = 0; status != RAPT_OK; i++) {
        cr_assert_lt(i, 10);
        allocations_left = i;
        status = rapt_mha_run(layer, &c.run, NULL, 0);
        allocations_left = -1;
        cr_expect(status == RAPT_OK || untouched(&c.run.out));
        cr_expect(status == RAPT_OK || status == RAPT_OUT_OF_MEMORY);
    }
    allocations_left = 0;
    cr_expect_eq(rapt_mha_create(&c.args, &other), RAPT_OUT_OF_MEMORY);
    allocations_left = -1;
    cr_expect_null(other);
    rapt_mha_destroy(layer);
    free_layer_case(&c);
}

Test(mha_args, xavier_fills_its_range_evenly) {
    const struct layer_form wide = {1, 1, 96, 4, 2, .biases = true};
    struct layer_case c = new_layer_case(&wide, 6), same = new_layer_case(&wide, 7);
    rapt_mha *layer = new_layer(&c.args), *other = new_layer(&same.args);
    expect_ok(rapt_mha_init_xavier(layer, 42));
    expect_ok(rapt_mha_init_xavier(other, 42));
    const rapt_tensor *matrices[] = {&c.args.w_query, &c.args.w_key, &c.args.w_value,
                                     &c.args.w_out};
    for (int i = 0; i < 4; i++) {
        const rapt_tensor *w = matrices[i];
        const double bound = sqrt(6.0 / (double)(w->shape[2] + w->shape[3]));
        const int64_t n = (int64_t)elements(w);
        double sum = 0, squares = 0, least = 1, most = -1;
        for (int64_t k = 0; k < n; k++) {
            const double x = (double)((float *)w->data)[k] / bound;
            sum += x;
            squares += x * x;
            least = fmin(least, x);
            most = fmax(most, x);
        }
        cr_expect(most <= 1 + 1e-6 && most > 0.99 && least >= -1 - 1e-6 && least < -0.99);
        cr_expect_float_eq(sum / (double)n, 0, 0.03);
        cr_expect_float_eq(squares / (double)n, 1.0 / 3, 0.01);
    }
    /* worked out from the paper's definition elsewhere */
    const float *w = c.args.w_query.data;
    cr_expect_eq(w[0], 0x1.5dd2c6p-4f);
    cr_expect_eq(w[1], -0x1.ec8098p-4f);
    cr_expect_eq(w[2], -0x1.409eaap-4f);
    cr_expect_eq(w[96 * 96 - 1], 0x1.6ae514p-5f);
    for (int64_t i = 0; i < 96; i++)
        cr_expect_eq(((float *)c.args.b_out.data)[i], 0.0f);
    cr_expect(same_bits(&c.args.w_out, &same.args.w_out));
    expect_ok(rapt_mha_init_xavier(other, 43));
    cr_expect(!same_bits(&c.args.w_out, &same.args.w_out));
    rapt_mha_destroy(layer);
    rapt_mha_destroy(other);
    free_layer_case(&c);
    free_layer_case(&same);
}
