/* SPDX-License-Identifier: Apache-2.0 */
/* What a cache holds after any series of calls, byte by byte, against a list of its tokens. */
#include <fenv.h>

#include "tests/support/caches.h"

/* The tokens that each sequence has to hold. */
struct model {
    int64_t length[SEQUENCES_MAX];
    uint64_t id[SEQUENCES_MAX][CAPACITY_MAX];
    int64_t position[SEQUENCES_MAX][CAPACITY_MAX];
};

static void expect_token(const rapt_attention_args *view, const rapt_cache_args *args,
                         const struct model *model, int64_t s, int64_t i) {
    for (int64_t h = 0; h < args->kv_heads; h++) {
        for (int part = 0; part < 2; part++) {
            char expected[CHANNELS_MAX * sizeof(float)];
            float scale;
            const float expected_scale =
                stored_row(expected, args, model->id[s][i], part, h, model->position[s][i]);
            const char *found = found_row(view, part, s, h, i, &scale);
            const rapt_tensor *t = part ? &view->value : &view->key;
            cr_assert_arr_eq(found, expected, (size_t)row_bytes(t->dtype, t->shape[3]),
                             "%s %d of sequence %d, head %d, dtype %d", part ? "value" : "key",
                             (int)i, (int)s, (int)h, (int)t->dtype);
            cr_assert_eq(scale, expected_scale);
        }
    }
}

/* How many sequences hold each page; returns the pages that none does. */
static int64_t count_readers(const rapt_attention_args *view, int64_t sequences, int *readers) {
    const int64_t page_size = view->key.shape[2];
    int64_t unused = view->key.shape[0];
    memset(readers, 0, (size_t)unused * sizeof *readers);
    for (int64_t s = 0; s < sequences; s++)
        for (int64_t p = 0; p * page_size < view->kv_len[s]; p++)
            unused -= readers[view->block_table[s * view->block_table_stride + p]]++ == 0;
    return unused;
}

static void expect_model(const rapt_cache *cache, const rapt_cache_args *args,
                         const struct model *model) {
    const rapt_attention_args view = view_of(cache, 0, args->sequences);
    cr_assert_eq(view.sequences, args->sequences);
    cr_assert_eq(!view.block_table, !args->page_size);
    for (int64_t s = 0; s < args->sequences; s++) {
        cr_assert_eq(rapt_cache_length(cache, s), model->length[s]);
        cr_assert_eq(view.kv_len[s], model->length[s]);
        for (int64_t i = 0; i < model->length[s]; i++)
            expect_token(&view, args, model, s, i);
    }
    int readers[SEQUENCES_MAX * CAPACITY_MAX];
    const int64_t unused = args->page_size ? count_readers(&view, args->sequences, readers) : 0;
    cr_assert_eq(rapt_cache_pages_free(cache), unused);
}

/* Pages that n more tokens take, as the view tells. */
static int64_t pages_needed(const rapt_cache *cache, const rapt_cache_args *args, int64_t s,
                            int64_t n, bool *copies) {
    const rapt_attention_args view = view_of(cache, 0, args->sequences);
    const int64_t length = view.kv_len[s], size = args->page_size;
    int readers[SEQUENCES_MAX * CAPACITY_MAX];
    *copies = false;
    if (!size)
        return 0;
    count_readers(&view, args->sequences, readers);
    if (length % size)
        *copies = readers[view.block_table[s * view.block_table_stride + length / size]] > 1;
    return (length + n + size - 1) / size - (length + size - 1) / size + *copies;
}

/* What random calls met. */
struct met {
    int exhausted, full, copies, forks, appends;
};

static void append_some(rapt_cache *cache, const rapt_cache_args *args, struct model *model,
                        struct met *met, uint64_t *seed) {
    static uint64_t id = 0;
    const int64_t s = next_random(seed) % args->sequences, n = 1 + next_random(seed) % 9;
    const bool own_positions = next_random(seed) % 2;
    uint64_t ids[9];
    int64_t positions[9];
    for (int64_t i = 0; i < n; i++) {
        ids[i] = id++;
        positions[i] = own_positions ? next_random(seed) % 100000 : model->length[s] + i;
    }
    bool copies;
    const int64_t free_before = rapt_cache_pages_free(cache);
    const int64_t needed = pages_needed(cache, args, s, n, &copies);
    const rapt_status status =
        append_tokens(cache, args, s, ids, n, own_positions ? positions : NULL, (int)(id % 3));
    if (model->length[s] + n > args->capacity) {
        cr_assert_eq(status, RAPT_INVALID_ARGUMENT);
        met->full++;
    } else if (needed > free_before) {
        cr_assert_eq(status, RAPT_OUT_OF_MEMORY);
        met->exhausted++;
    } else {
        expect_ok(status);
        cr_assert_eq(rapt_cache_pages_free(cache), free_before - needed);
        memcpy(&model->id[s][model->length[s]], ids, (size_t)n * sizeof *ids);
        memcpy(&model->position[s][model->length[s]], positions, (size_t)n * sizeof *positions);
        model->length[s] += n;
        met->copies += copies;
        met->appends++;
    }
}

static void change_some(rapt_cache *cache, const rapt_cache_args *args, struct model *model,
                        struct met *met, uint64_t *seed) {
    const int64_t s = next_random(seed) % args->sequences;
    if (next_random(seed) % 2) {
        const int64_t length = next_random(seed) % (model->length[s] + 1);
        expect_ok(rapt_cache_truncate(cache, s, length));
        model->length[s] = length;
    } else {
        const int64_t to = next_random(seed) % args->sequences;
        expect_ok(rapt_cache_fork(cache, s, to));
        model->length[to] = model->length[s];
        memmove(model->id[to], model->id[s], sizeof model->id[s]);
        memmove(model->position[to], model->position[s], sizeof model->position[s]);
        met->forks++;
    }
}

static const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
static const int64_t page_sizes[] = {0, 1, 5, 16, 100};

static rapt_rope *new_rope(int i) {
    rapt_rope_args args = rapt_rope_defaults();
    args.rotary_dim = i % 2 ? 64 : 38;
    args.pairing = i % 3 ? RAPT_ROPE_HALVES : RAPT_ROPE_NEIGHBOURS;
    rapt_rope *rope;
    expect_ok(rapt_rope_create(&args, &rope));
    return rope;
}

/* Every pair of types and page size, with and without rotation, through a series of calls. */
Test(cache, any_calls_leave_the_right_bytes) {
    struct met met = {0};
    for (int form = 0; form < 125; form++) {
        rapt_cache_args args = cache_args(2, 64, 32, 4, 60, page_sizes[form % 5]);
        uint64_t seed = (uint64_t)form;
        rapt_rope *rope = form % 4 ? new_rope(form) : NULL;
        args.rope = rope;
        args.key_dtype = dtypes[form / 5 % 5];
        args.value_dtype = dtypes[form / 25];
        if (args.page_size) /* not enough for all */
            args.pages = 110 / args.page_size + 1;
        rapt_cache *cache = new_cache(&args);
        struct model model = {{0}, {{0}}, {{0}}};
        for (int round = 0; round < 60; round++) {
            if (next_random(&seed) % 4)
                append_some(cache, &args, &model, &met, &seed);
            else
                change_some(cache, &args, &model, &met, &seed);
            if (round % 6 == 5)
                expect_model(cache, &args, &model);
        }
        for (int64_t s = 0; s < args.sequences; s++)
            expect_ok(rapt_cache_truncate(cache, s, 0));
        cr_expect_eq(rapt_cache_pages_free(cache), args.pages);
        rapt_cache_destroy(cache);
        rapt_rope_destroy(rope);
    }
    cr_expect(met.exhausted > 50 && met.full > 50 && met.copies > 50 && met.forks > 200 &&
                  met.appends > 1000,
              "%d exhausted, %d full, %d copies, %d forks, %d appends", met.exhausted, met.full,
              met.copies, met.forks, met.appends);
}

/* A page at a time, until a pool of one sequence's size has been shared by all of them. */
Test(cache, a_fork_costs_nothing_until_it_differs) {
    rapt_cache_args args = cache_args(1, 8, 8, 4, 20, 4);
    args.pages = 6;
    rapt_cache *cache = new_cache(&args);
    const uint64_t ids[20] = {7, 3};
    expect_ok(append_tokens(cache, &args, 0, ids, 10, NULL, 0));
    cr_expect_eq(rapt_cache_pages_free(cache), 3);
    for (int64_t to = 1; to < 4; to++)
        expect_ok(rapt_cache_fork(cache, 0, to));
    cr_expect_eq(rapt_cache_pages_free(cache), 3);
    for (int64_t s = 1; s < 4; s++) /* token 10 goes to a page of their own */
        expect_ok(append_tokens(cache, &args, s, ids, 1, NULL, 0));
    cr_expect_eq(rapt_cache_pages_free(cache), 0);
    expect_ok(append_tokens(cache, &args, 0, ids, 2, NULL, 0)); /* the last reader needs no copy */
    cr_expect_eq(append_tokens(cache, &args, 0, ids, 1, NULL, 0), RAPT_OUT_OF_MEMORY);
    cr_expect(mentions(rapt_last_error(), "pages"), "%s", rapt_last_error());
    expect_ok(rapt_cache_truncate(cache, 1, 8)); /* what is left of it is shared */
    cr_expect_eq(rapt_cache_pages_free(cache), 1);
    expect_ok(rapt_cache_fork(cache, 2, 2));
    cr_expect_eq(rapt_cache_length(cache, 2), 11);
    rapt_cache_destroy(cache);
}

/* Appends one row of keys, and returns the view of it. */
static rapt_attention_args store_row(rapt_cache *cache, const float *row, int64_t n) {
    const rapt_tensor key = rapt_tensor_bhsd(row, RAPT_F32, 1, 1, 1, n);
    expect_ok(rapt_cache_truncate(cache, 0, 0));
    expect_ok(rapt_cache_append(cache, 0, &key, &key, NULL));
    return view_of(cache, 0, 1);
}

static void expect_near(const float *row, const float *back, int64_t n, double scale) {
    for (int64_t c = 0; c < n; c++)
        cr_expect(fabs((double)row[c] - (double)back[c]) <= scale,
                  "%a came back as %a, of a scale of %g", (double)row[c], (double)back[c], scale);
}

/* Magnitudes from subnormals to the largest: within half a step, and no element out of range. */
Test(cache, eight_bits_of_any_magnitude) {
    rapt_cache_args args = cache_args(1, 32, 32, 1, 1, 0);
    args.key_dtype = RAPT_I8;
    args.value_dtype = RAPT_Q8_0;
    rapt_cache *cache = new_cache(&args);
    uint64_t seed = 3;
    for (int exponent = -149; exponent <= 127; exponent++) {
        float row[32], back[32];
        for (int c = 0; c < 32; c++)
            row[c] = ldexpf(random_float(&seed), exponent);
        row[exponent & 31] = ldexpf(exponent & 1 ? 1 : -1, exponent);
        const rapt_attention_args view = store_row(cache, row, 32);
        const float scale = *(float *)view.key_scale.data;
        const struct rapt_kernels *k = rapt_kernels_best();
        k->widen(back, view.key.data, RAPT_I8, scale, 32);
        /* Half a step, and what the rounding of the scale is worth, which is more if subnormal. */
        expect_near(row, back, 32, 0.50001 * (double)scale + 127 * 0x1p-150);
        k->widen(back, view.value.data, RAPT_Q8_0, 1, 32);
        if (exponent <= 22) /* half a step, half a place of the f16 for 127 of them */
            expect_near(row, back, 32,
                        ldexp(1, exponent) / 127 * (0.50001 + 127 * 0x1p-11) + 127 * 0x1p-25);
        else /* beyond what the f16 can hold */
            for (int c = 0; c < 32; c++)
                cr_expect(!isfinite(back[c]), "%a became %a", (double)row[c], (double)back[c]);
    }
    rapt_cache_destroy(cache);
}

Test(cache, ties_go_to_even) {
    rapt_cache_args args = cache_args(1, 32, 32, 1, 1, 0);
    args.key_dtype = RAPT_I8;
    args.value_dtype = RAPT_Q8_0;
    rapt_cache *cache = new_cache(&args);
    float row[32] = {127, 0.5f, 1.5f, -0.5f, -1.5f, 2.5f, -2.5f, 126.5f, -126.5f, 0x1.fffffep-2f};
    const int8_t expected[32] = {127, 0, 2, 0, -2, 2, -2, 126, -126, 0};
    const rapt_attention_args view = store_row(cache, row, 32);
    cr_expect_eq(*(float *)view.key_scale.data, 1);
    cr_expect_arr_eq(view.key.data, expected, 32);
    cr_expect_arr_eq((char *)view.value.data + 2, expected, 32);
    rapt_cache_destroy(cache);
}

/* A subnormal scale is rounded so far that quotients leave the range, or to nothing. */
Test(cache, eight_bits_of_the_smallest) {
    rapt_cache_args args = cache_args(1, 4, 4, 1, 1, 0);
    args.key_dtype = args.value_dtype = RAPT_I8;
    rapt_cache *cache = new_cache(&args);
    const int most[] = {190, 60};
    const int8_t expected[2][4] = {{127, -127, 100, 0}, {0, 0, 0, 0}};
    for (int i = 0; i < 2; i++) {
        const float unit = 0x1p-149f;
        const float row[4] = {(float)most[i] * unit, -(float)most[i] * unit,
                              i == 0 ? 100 * unit : unit, 0};
        const rapt_attention_args view = store_row(cache, row, 4);
        cr_expect_eq(*(float *)view.key_scale.data, i == 0 ? unit : 0);
        cr_expect_arr_eq(view.key.data, expected[i], 4);
    }
    rapt_cache_destroy(cache);
}

Test(cache, the_callers_rounding_changes_nothing) {
    for (int form = 0; form < 5; form++) {
        rapt_cache_args args = cache_args(1, 64, 32, 1, 10, 4);
        args.key_dtype = args.value_dtype = dtypes[form];
        rapt_rope *rope = new_rope(1);
        args.rope = rope;
        rapt_cache *cache = new_cache(&args);
        struct model model = {{10}, {{0}}, {{0}}};
        for (int64_t i = 0; i < 10; i++)
            model.id[0][i] = (uint64_t)(model.position[0][i] = i);
        rapt_tensor key = token_view(model.id[0], false, RAPT_F32, 1, 10, 64, 0);
        rapt_tensor value = token_view(model.id[0], true, RAPT_F32, 1, 10, 32, 0);
        fesetround(FE_UPWARD);
        const rapt_status status = rapt_cache_append(cache, 0, &key, &value, NULL);
        const int after = fegetround();
        fesetround(FE_TONEAREST);
        cr_expect_eq(after, FE_UPWARD);
        expect_ok(status);
        expect_model(cache, &args, &model);
        free(key.data);
        free(value.data);
        rapt_cache_destroy(cache);
        rapt_rope_destroy(rope);
    }
}

Test(cache, what_is_not_finite_shows) {
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3 * 5; i++) {
        rapt_cache_args args = cache_args(1, 64, 64, 1, 1, 0);
        args.key_dtype = args.value_dtype = dtypes[i / 3];
        rapt_cache *cache = new_cache(&args);
        float row[64], back[64];
        for (int c = 0; c < 64; c++)
            row[c] = (float)c / 8;
        row[40] = bad[i % 3];
        const rapt_attention_args view = store_row(cache, row, 64);
        const float scale = args.key_dtype == RAPT_I8 ? *(float *)view.key_scale.data : 1;
        rapt_kernels_best()->widen(back, view.key.data, args.key_dtype, scale, 64);
        for (int c = 0; c < 64; c++)
            if (args.key_dtype == RAPT_I8 || (args.key_dtype == RAPT_Q8_0 && c >= 32))
                cr_expect(isnan(back[c]), "dtype %d, %d", (int)args.key_dtype, c);
            else if (c == 40)
                cr_expect(isnan(row[40]) ? isnan(back[40]) : back[40] == row[40]);
            else
                cr_expect(isfinite(back[c]), "dtype %d, %d", (int)args.key_dtype, c);
        rapt_cache_destroy(cache);
    }
}

Test(cache, every_variant_stores_the_same_bytes) {
    int count;
    const struct rapt_variant *list = rapt_variants(&count);
    for (int form = 0; form < 5; form++) {
        for (int v = 0; v < count; v++) {
            if (!list[v].available)
                continue;
            rapt_rope *rope;
            rapt_rope_args rope_args = rapt_rope_defaults();
            rope_args.rotary_dim = 38;
            rope_args.isa = list[v].kernels->name;
            expect_ok(rapt_rope_create(&rope_args, &rope));
            rapt_cache_args args = cache_args(3, 64, 32, 1, 20, 4);
            args.key_dtype = args.value_dtype = dtypes[form];
            args.isa = list[v].kernels->name;
            args.rope = rope;
            rapt_cache *cache = new_cache(&args);
            struct model model = {{20}, {{0}}, {{0}}};
            for (int64_t i = 0; i < 20; i++)
                model.id[0][i] = model.position[0][i] = i;
            expect_ok(append_tokens(cache, &args, 0, model.id[0], 20, NULL, form % 3));
            rapt_rope *best; /* which the reference is of */
            rope_args.isa = NULL;
            expect_ok(rapt_rope_create(&rope_args, &best));
            args.rope = best;
            expect_model(cache, &args, &model);
            rapt_cache_destroy(cache);
            rapt_rope_destroy(rope);
            rapt_rope_destroy(best);
        }
    }
}
