/* SPDX-License-Identifier: Apache-2.0 */
/* Attention without sequences, heads, queries or keys: results are empty, or rows without keys. */
#include "tests/support/helpers.h"
#include "tests/support/variants.h"

/* Every tensor of a problem. */
enum { INPUTS = 8 };
static rapt_tensor *tensor_of(rapt_attention_args *args, int i) {
    rapt_tensor *inputs[INPUTS] = {&args->query,       &args->key,  &args->value, &args->key_scale,
                                   &args->value_scale, &args->mask, &args->alibi, &args->sink};
    return i < INPUTS ? inputs[i] : output_of(args, i - INPUTS);
}

/* The same problem without pointers to what has no elements. */
static rapt_attention_args without_pointers(rapt_attention_args args) {
    for (int i = 0; i < INPUTS + OUTPUTS; i++)
        if (elements(tensor_of(&args, i)) == 0)
            tensor_of(&args, i)->data = NULL;
    return args;
}

/* Asks for every output. The keys, values and mask are as the form says. */
static rapt_attention_args whole_problem(const struct form *f, bool sinks) {
    struct form all = *f;
    all.lse = all.weights = all.observed = true;
    rapt_attention_args args = new_problem(&all, 1);
    args.max = new_tensor(RAPT_F32, f->batch, f->q_heads, f->q_len, 1);
    args.alibi = random_tensor(RAPT_F32, 1, f->q_heads, 1, 1, 7);
    if (sinks)
        args.sink = random_tensor(RAPT_F32, f->batch, f->q_heads, 1, 1, 8);
    return args;
}

static float number(const rapt_tensor *t, size_t i) {
    float x;
    memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
    return x;
}

/* Whether all elements are a number, of int32 for top_key. */
static void expect_all(const rapt_tensor *t, float expected, const char *name) {
    for (size_t i = 0; i < elements(t); i++) {
        int32_t key;
        if (t->dtype == RAPT_I32) {
            memcpy(&key, (const char *)t->data + i * sizeof key, sizeof key);
            cr_assert_eq(key, (int32_t)expected, "%s[%zu] is %d", name, i, (int)key);
        } else {
            cr_assert_eq(number(t, i), expected, "%s[%zu] is %g", name, i, (double)number(t, i));
        }
    }
}

/* What rows have that no key is there for. */
static void expect_rows_without_keys(const rapt_attention_args *args, const char *what) {
    rapt_attention_args a = *args;
    static const char *const names[OUTPUTS] = {"out",      "lse",       "max",     "weights",
                                               "entropy",  "top",       "top_key", "distance",
                                               "segments", "diagonals", "received"};
    for (int i = 0; i < OUTPUTS; i++) {
        const rapt_tensor *t = output_of(&a, i);
        const float none = t == &a.max || t == &a.lse ? -INFINITY : t == &a.top_key ? -1 : 0;
        char name[96];
        snprintf(name, sizeof name, "%s: %s", what, names[i]);
        if (t != &a.lse || a.sink.dtype == RAPT_NONE)
            expect_all(t, none, name);
    }
    for (size_t i = 0; a.sink.dtype != RAPT_NONE && i < elements(&a.lse); i++)
        cr_expect_eq(number(&a.lse, i), number(&a.sink, i / (size_t)a.lse.shape[2]), "%s", what);
}

enum way { ONCE, PLANNED, SLICED, WAYS };

/* With workspaces that are filled; in two slices. */
static rapt_status run(const rapt_attention_args *args, enum way way) {
    if (way == ONCE)
        return rapt_attention(args);
    rapt_plan *plan;
    rapt_status status = rapt_plan_create(args, &plan);
    if (status != RAPT_OK)
        return status;
    const size_t size =
        way == SLICED ? rapt_plan_slices_workspace_size(plan, 2) : rapt_plan_workspace_size(plan);
    void *workspace = allocate(size);
    memset(workspace, way == SLICED ? 0 : 0xff, size);
    if (way == PLANNED)
        status = rapt_plan_run(plan, NULL, workspace, size);
    for (int slice = 0; way == SLICED && slice < 2; slice++)
        if (status == RAPT_OK)
            status = rapt_plan_run_slice(plan, NULL, slice, 2, workspace, size);
    free(workspace);
    rapt_plan_destroy(plan);
    return status;
}

/* In every way, with pointers to what has no elements and without. */
static void expect_empty(rapt_attention_args *args, const char *what) {
    for (int way = 0; way < 2 * WAYS; way++) {
        const rapt_attention_args a = way < WAYS ? *args : without_pointers(*args);
        reset_outputs(args);
        expect_ok(run(&a, (enum way)(way % WAYS)));
        expect_rows_without_keys(args, what);
    }
}

static const struct form empty[] = {
    {0, 4, 2, 3, 5, 6, 7, .lse = true},       {2, 0, 2, 3, 5, 6, 7, .lse = true},
    {2, 0, 0, 3, 5, 6, 7, .lse = true},       {2, 4, 2, 0, 5, 6, 7, .lse = true},
    {2, 4, 2, 3, 0, 6, 7, .lse = true},       {0, 0, 0, 0, 0, 6, 7, .lse = true},
    {0, 4, 2, 3, 0, 64, 64, .lse = true},     {2, 4, 2, 0, 0, 64, 40, .lse = true},
    {1, 8, 2, 70, 0, 32, 32, .causal = true}, {1, 8, 2, 1, 0, 32, 32, .lse = true},
    {3, 2, 1, 0, 700, 8, 8, .lse = true},     {2, 4, 2, 3, 0, 6, 7, .window_left = 2},
};

Test(empty, dense) {
    static const rapt_dtype masks[] = {RAPT_NONE, RAPT_F32, RAPT_BOOL};
    FOR_EACH_VARIANT(k) {
        for (size_t i = 0; i < sizeof empty / sizeof *empty * 6; i++) {
            struct form f = empty[i / 6];
            f.mask = masks[i % 3];
            rapt_attention_args args = whole_problem(&f, i % 2);
            char what[64];
            snprintf(what, sizeof what, "%s, form %zu", k->name, i);
            args.isa = k->name;
            args.threads = 1 + (int)(i % 4);
            expect_empty(&args, what);
            free_problem(&args);
        }
    }
}

/* One output at a time, as that decides how a problem is divided. */
Test(empty, each_output_alone) {
    const struct form f = {2, 4, 2, 3, 0, 6, 7, .lse = true};
    for (int i = 1; i < OUTPUTS; i++) {
        rapt_attention_args whole = whole_problem(&f, false), args = whole;
        for (int k = 1; k < OUTPUTS; k++)
            if (k != i && output_of(&args, k) != &args.top_weight &&
                output_of(&args, k) != &args.top_key)
                memset(output_of(&args, k), 0, sizeof(rapt_tensor));
        args.segment_bounds = args.segments.data ? args.segment_bounds : NULL;
        args.diagonal_offsets = args.diagonals.data ? args.diagonal_offsets : NULL;
        expect_ok(rapt_attention(&args));
        expect_rows_without_keys(&args, "alone");
        free_problem(&whole);
    }
}

/* Storage types have nothing to store, scales nothing to scale. */
Test(empty, every_type) {
    static const rapt_dtype types[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
    for (int i = 0; i < 5 * 5 * 2; i++) {
        const int64_t queries = i / 25 ? 0 : 3, keys = i / 25 ? 5 : 0;
        const struct form f = {2, 4, 2, queries, keys, 32, 64, .lse = true};
        rapt_attention_args args = new_problem(&f, 1);
        free(args.key.data);
        free(args.value.data);
        args.key = new_tensor(types[i % 5], 2, 2, keys, 32);
        args.value = new_tensor(types[i / 5 % 5], 2, 2, keys, 64);
        if (args.key.dtype == RAPT_I8)
            args.key_scale = random_tensor(RAPT_F32, 2, 2, keys, 1, 4);
        if (args.value.dtype == RAPT_I8)
            args.value_scale = random_tensor(RAPT_F32, 2, 2, keys, 1, 5);
        expect_empty(&args, "types");
        free_problem(&args);
    }
}

/* Whoever sets strides for what isn't there. */
Test(empty, strides_count_for_nothing) {
    const struct form f = {2, 4, 2, 3, 0, 6, 7, .lse = true};
    rapt_attention_args args = whole_problem(&f, true);
    for (int dense = 0; dense < 2; dense++) {
        for (int i = 0; i < 4 - dense; i++) {
            args.key.stride[i] = INT64_MAX;
            args.value.stride[i] = INT64_MIN;
            args.weights.stride[i] = 0;
        }
        expect_empty(&args, "strides");
        args.key.stride[3] = args.value.stride[3] = 1;
    }
    free_problem(&args);
}

/* Nothing takes no time, however many of it there are. */
Test(empty, many_of_nothing) {
    const int64_t many = INT32_MAX;
    float key[8] = {0};
    for (int i = 0; i < 3; i++) {
        const int64_t heads = i == 1 ? 0 : many, queries = i == 1 ? many : 0;
        rapt_attention_args args = rapt_attention_defaults();
        args.query = rapt_tensor_bhsd(NULL, RAPT_F32, many, heads, queries, 8);
        args.out = rapt_tensor_bhsd(NULL, RAPT_F32, many, heads, queries, 8);
        args.lse = rapt_tensor_bhsd(NULL, RAPT_F32, many, heads, queries, 1);
        /* The same key for all, or none. */
        args.key = rapt_tensor_bhsd(key, RAPT_F32, many, heads, i == 0 ? 0 : many, 8);
        args.key.stride[0] = args.key.stride[1] = args.key.stride[2] = 0;
        args.value = args.key;
        args.threads = 2;
        expect_ok(rapt_attention(&args));
    }
}

/* ---- sequences of different lengths ---- */

/* A problem of one batch of tensors, of so many queries and keys in all. */
static rapt_attention_args packed(int64_t queries, int64_t keys, int64_t sequences) {
    const struct form f = {1, 4, 2, queries, keys, 6, 7, .lse = true};
    rapt_attention_args args = whole_problem(&f, false);
    free(args.received.data);
    args.received = new_tensor(RAPT_F32, sequences, 4, 1, keys);
    args.sequences = sequences;
    return args;
}

Test(empty, ragged) {
    static const int64_t zeros[] = {0, 0, 0, 0}, ends[] = {0, 2, 2, 5};
    const struct {
        int64_t queries, keys, sequences;
        const int64_t *cu_q, *cu_k;
    } problems[] = {{0, 0, 3, zeros, zeros}, {5, 0, 3, ends, zeros}, {0, 0, 0, zeros, zeros}};
    for (int i = 0; i < 3; i++) {
        rapt_attention_args args =
            packed(problems[i].queries, problems[i].keys, problems[i].sequences);
        args.cu_q = problems[i].cu_q;
        args.cu_k = problems[i].cu_k;
        expect_empty(&args, "ragged");
        free_problem(&args);
    }
    /* Keys that nobody asks for have received nothing. */
    rapt_attention_args args = packed(0, 5, 3);
    args.cu_q = zeros;
    args.cu_k = ends;
    expect_empty(&args, "keys alone");
    free_problem(&args);
}

/* cu_q of no sequences is one number, behind which nothing may be read. */
Test(empty, no_sequences) {
    int64_t *numbers = malloc(2 * sizeof *numbers);
    numbers[0] = numbers[1] = 0;
    rapt_attention_args args = packed(0, 0, 0), wrong = packed(3, 0, 0);
    args.cu_q = numbers;
    args.cu_k = numbers + 1; /* the last number of the memory */
    expect_empty(&args, "no sequences");
    /* With queries it is that of one, as ever. */
    const int64_t ends[] = {0, 3}, zeros[] = {0, 0};
    wrong.cu_q = ends;
    wrong.cu_k = zeros;
    free(wrong.received.data);
    wrong.received = new_tensor(RAPT_F32, 1, 4, 1, 0);
    expect_empty(&wrong, "one sequence");
    free_problem(&args);
    free_problem(&wrong);
    free(numbers);
}

Test(empty, pages) {
    static const int64_t lengths[] = {0, 0};
    static const int32_t table[] = {-1, INT32_MAX, 7, -9};
    for (int i = 0; i < 4; i++) {
        const struct form f = {2, 4, 2, 3, 16, 6, 7, .lse = true};
        rapt_attention_args args = new_problem(&f, 1);
        args.key.shape[0] = args.value.shape[0] = i % 2 ? 2 : 0; /* pages */
        args.block_table = table;
        args.block_table_stride = i / 2 ? 2 : 0;
        args.kv_len = lengths;
        expect_empty(&args, "pages");
        args.key.shape[2] = args.value.shape[2] = 0;
        cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
        cr_expect(mentions(rapt_last_error(), "page"), "%s", rapt_last_error());
        free_problem(&args);
    }
}

/* A mask without columns covers no key: those before its start are attended, no others. */
Test(empty, mask_without_columns) {
    static const int64_t starts[] = {4, 4}, lengths[] = {4, 4};
    const struct form f = {2, 4, 2, 3, 9, 6, 7, .lse = true, .weights = true};
    rapt_attention_args args = new_problem(&f, 1), brief = new_problem(&f, 1);
    args.mask = rapt_tensor_bhsd(NULL, RAPT_BOOL, 2, 4, 3, 0);
    args.mask_start = starts;
    brief.kv_len = lengths;
    expect_ok(rapt_attention(&args));
    expect_ok(rapt_attention(&brief));
    cr_expect(same_outputs(&args, &brief));
    free_problem(&args);
    free_problem(&brief);
}

/* ---- what stays an error ---- */

Test(empty, head_dim_is_one_or_more) {
    for (int i = 0; i < 3; i++) {
        const struct form f = {2, 4, 2, 3, 5, i ? 6 : 0, i == 1 ? 0 : 7, .lse = true};
        rapt_attention_args args = new_problem(&f, 1);
        const char *name = i ? "value" : "query";
        if (i == 2) /* six heads of keys for no query head is fine, but none for four isn't */
            args.key.shape[1] = args.value.shape[1] = 0;
        cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
        cr_expect(mentions(rapt_last_error(), i == 2 ? "key" : name) &&
                      mentions(rapt_last_error(), "0"),
                  "%s", rapt_last_error());
        cr_expect(outputs_untouched(&args));
        free_problem(&args);
    }
}

/* What has elements needs them, also beside what has none. */
Test(empty, others_need_data) {
    const struct form f = {2, 4, 2, 3, 0, 6, 7, .lse = true};
    rapt_attention_args good = whole_problem(&f, true);
    for (int i = 0; i < INPUTS + OUTPUTS; i++) {
        rapt_attention_args args = good;
        if (elements(tensor_of(&args, i)) == 0)
            continue;
        tensor_of(&args, i)->data = NULL;
        cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT, "tensor %d", i);
        cr_expect(mentions(rapt_last_error(), "NULL") && outputs_untouched(&good));
    }
    free_problem(&good);
}
