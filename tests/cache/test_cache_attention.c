/* SPDX-License-Identifier: Apache-2.0 */
/* The operator on caches: the bits of any page size, of dense tensors, of any way to get there. */
#include "tests/support/caches.h"

enum { SEQUENCES = 3, KV_HEADS = 2, Q_HEADS = 6, HEAD_DIM = 64, VALUE_DIM = 32, CAPACITY = 120 };

static const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_I8, RAPT_Q8_0};
static const int64_t lengths[SEQUENCES] = {120, 61, 17};

static void fill_cache(rapt_cache *cache, const rapt_cache_args *args, int64_t chunk) {
    for (int64_t s = 0; s < args->sequences; s++)
        for (int64_t i = 0; i < lengths[s]; i += chunk) {
            uint64_t ids[CAPACITY];
            const int64_t n = i + chunk < lengths[s] ? chunk : lengths[s] - i;
            for (int64_t k = 0; k < n; k++)
                ids[k] = (uint64_t)(s * 1000 + i + k);
            expect_ok(append_tokens(cache, args, s, ids, n, NULL, (int)(i % 3)));
        }
}

/* q_len queries at the end of each sequence, causal; outputs of their own. */
static void ask(rapt_attention_args *args, const int64_t *offsets, int64_t q_len) {
    args->query = random_tensor(RAPT_F32, args->sequences, Q_HEADS, q_len, HEAD_DIM, 9);
    args->out = new_tensor(RAPT_F32, args->sequences, Q_HEADS, q_len, VALUE_DIM);
    args->lse = new_tensor(RAPT_F32, args->sequences, Q_HEADS, q_len, 1);
    args->causal = true;
    args->q_offset = offsets;
    expect_ok(rapt_attention(args));
}

static void free_answer(rapt_attention_args *args) {
    free(args->query.data);
    free(args->out.data);
    free(args->lse.data);
}

static bool same_answer(const rapt_attention_args *a, const rapt_attention_args *b) {
    return same_bits(&a->out, &b->out) && same_bits(&a->lse, &b->lse);
}

/* The cache's keys or values as dense f32, or int8 as it is. What is beyond a sequence's length is
 * NaN, by its scale if need be. */
static void make_dense(const rapt_attention_args *view, bool is_value, rapt_attention_args *dense) {
    const int64_t channels = is_value ? VALUE_DIM : HEAD_DIM;
    const rapt_dtype dtype = is_value ? view->value.dtype : view->key.dtype;
    const bool bytes = dtype == RAPT_I8;
    rapt_tensor t =
        new_tensor(bytes ? RAPT_I8 : RAPT_F32, view->sequences, KV_HEADS, CAPACITY, channels);
    rapt_tensor scales = new_tensor(RAPT_F32, view->sequences, KV_HEADS, CAPACITY, 1);
    const rapt_tensor *spoilt = bytes ? &scales : &t;
    for (size_t i = 0; i < elements(spoilt); i++)
        ((float *)spoilt->data)[i] = NAN;
    for (int64_t s = 0; s < view->sequences; s++)
        for (int64_t h = 0; h < KV_HEADS; h++)
            for (int64_t i = 0; i < view->kv_len[s]; i++) {
                float scale;
                const char *row = found_row(view, is_value, s, h, i, &scale);
                const int64_t at = s * t.stride[0] + h * t.stride[1] + i * t.stride[2];
                if (bytes)
                    memcpy((char *)t.data + at, row, (size_t)channels);
                else
                    rapt_kernels_best()->widen((float *)t.data + at, row, dtype, 1, channels);
                ((float *)scales.data)[at / channels] = scale;
            }
    *(is_value ? &dense->value : &dense->key) = t;
    if (bytes)
        *(is_value ? &dense->value_scale : &dense->key_scale) = scales;
    else
        free(scales.data);
}

Test(cache_attention, every_storage_and_page_size_is_the_same_as_dense) {
    const int64_t page_sizes[] = {0, 1, 5, 16, 100}, q_lens[] = {1, 4, 17};
    for (int form = 0; form < 25; form++) {
        for (int p = 0; p < 5; p++) {
            rapt_cache_args args =
                cache_args(KV_HEADS, HEAD_DIM, VALUE_DIM, SEQUENCES, CAPACITY, page_sizes[p]);
            args.key_dtype = dtypes[form / 5];
            args.value_dtype = dtypes[form % 5];
            rapt_cache *cache = new_cache(&args);
            fill_cache(cache, &args, 1 + 7 * p);
            for (int q = 0; q < 3; q++) {
                int64_t offsets[SEQUENCES];
                for (int s = 0; s < SEQUENCES; s++)
                    offsets[s] = lengths[s] - q_lens[q];
                rapt_attention_args cached = view_of(cache, 0, SEQUENCES);
                rapt_attention_args dense = rapt_attention_defaults();
                make_dense(&cached, false, &dense);
                make_dense(&cached, true, &dense);
                dense.kv_len = lengths;
                dense.sequences = SEQUENCES;
                ask(&cached, offsets, q_lens[q]);
                ask(&dense, offsets, q_lens[q]);
                cr_expect(same_answer(&cached, &dense), "key %d, value %d, pages of %d, %d queries",
                          (int)args.key_dtype, (int)args.value_dtype, (int)args.page_size,
                          (int)q_lens[q]);
                free_answer(&cached);
                free_answer(&dense);
                free(dense.key.data);
                free(dense.value.data);
                free(dense.key_scale.data);
                free(dense.value_scale.data);
            }
            rapt_cache_destroy(cache);
        }
    }
}

/* A view of some sequences is what those of all of them are. */
Test(cache_attention, some_of_the_sequences) {
    for (int64_t page_size = 0; page_size < 30; page_size += 13) {
        rapt_cache_args args =
            cache_args(KV_HEADS, HEAD_DIM, VALUE_DIM, SEQUENCES, CAPACITY, page_size);
        args.key_dtype = RAPT_I8;
        args.value_dtype = RAPT_Q8_0;
        rapt_cache *cache = new_cache(&args);
        fill_cache(cache, &args, 10);
        rapt_attention_args all = view_of(cache, 0, SEQUENCES), last = view_of(cache, 2, 1);
        const int64_t offsets[SEQUENCES] = {119, 60, 16};
        ask(&all, offsets, 1);
        last.query = all.query;
        last.query.shape[0] = 1;
        last.query.data = (float *)all.query.data + 2 * all.query.stride[0];
        last.out = new_tensor(RAPT_F32, 1, Q_HEADS, 1, VALUE_DIM);
        last.causal = true;
        last.q_offset = offsets + 2;
        expect_ok(rapt_attention(&last));
        cr_expect_arr_eq(last.out.data, (float *)all.out.data + 2 * all.out.stride[0],
                         bytes_of(&last.out));
        free(last.out.data);
        free_answer(&all);
        rapt_cache_destroy(cache);
    }
}

/* A plan for one query of a sequence, for as many keys and pages as that may get. */
static rapt_plan *plan_tokens(const rapt_cache *cache, int64_t sequence, int64_t most,
                              const rapt_tensor *query, const rapt_tensor *out) {
    const int64_t last = most - 1;
    rapt_attention_args args = view_of(cache, sequence, 1);
    args.query = *query;
    args.query.shape[2] = 1;
    args.out = *out;
    args.out.shape[2] = 1;
    args.causal = true;
    args.kv_len = &most;
    args.q_offset = &last;
    args.block_table = NULL;
    rapt_plan *plan;
    expect_ok(rapt_plan_create(&args, &plan));
    return plan;
}

static void run_token(const rapt_plan *plan, const rapt_attention_args *step) {
    rapt_attention_data data = rapt_attention_data_of(step);
    data.kv_len = step->kv_len;
    data.q_offset = step->q_offset;
    data.block_table = step->block_table;
    expect_ok(rapt_plan_run(plan, &data, NULL, 0));
}

/* One prefill, and token by token from a fork on, with a plan for each or one for all: each row has
 * the same bits. */
Test(cache_attention, decoding_is_the_same_as_prefilling) {
    enum { SHARED = 43, LENGTH = 100 };
    for (int form = 0; form < 5; form++) {
        rapt_rope_args rope_args = rapt_rope_defaults();
        rope_args.rotary_dim = HEAD_DIM;
        rapt_rope *rope;
        expect_ok(rapt_rope_create(&rope_args, &rope));
        rapt_cache_args args = cache_args(KV_HEADS, HEAD_DIM, VALUE_DIM, 2, LENGTH, 16);
        args.key_dtype = args.value_dtype = dtypes[form];
        args.rope = rope;
        rapt_cache *cache = new_cache(&args);
        uint64_t ids[LENGTH];
        for (int i = 0; i < LENGTH; i++)
            ids[i] = (uint64_t)i;
        expect_ok(append_tokens(cache, &args, 0, ids, LENGTH, NULL, 0));
        rapt_attention_args whole = view_of(cache, 0, 1);
        whole.query = random_tensor(RAPT_F32, 1, Q_HEADS, LENGTH, HEAD_DIM, 4);
        whole.out = new_tensor(RAPT_F32, 1, Q_HEADS, LENGTH, VALUE_DIM);
        whole.causal = true;
        expect_ok(rapt_attention(&whole));

        /* What sequence 0 holds beyond the shared tokens is another's by then. */
        expect_ok(rapt_cache_fork(cache, 0, 1));
        expect_ok(rapt_cache_truncate(cache, 1, SHARED));
        rapt_tensor out = new_tensor(RAPT_F32, 1, Q_HEADS, 1, VALUE_DIM);
        rapt_plan *plan = plan_tokens(cache, 1, LENGTH, &whole.query, &out);
        for (int64_t i = SHARED; i < LENGTH; i++) {
            expect_ok(append_tokens(cache, &args, 1, ids + i, 1, NULL, (int)(i % 3)));
            rapt_attention_args step = view_of(cache, 1, 1);
            step.query = whole.query;
            step.query.shape[2] = 1;
            step.query.data = (float *)whole.query.data + i * whole.query.stride[2];
            step.out = out;
            step.causal = true;
            step.q_offset = &i;
            memset(out.data, CANARY, bytes_of(&out));
            if (i % 2)
                run_token(plan, &step);
            else
                expect_ok(rapt_attention(&step));
            for (int64_t h = 0; h < Q_HEADS; h++)
                cr_expect_arr_eq((float *)step.out.data + h * VALUE_DIM,
                                 (float *)whole.out.data + h * whole.out.stride[1] +
                                     i * whole.out.stride[2],
                                 VALUE_DIM * sizeof(float), "dtype %d, token %d, head %d",
                                 (int)dtypes[form], (int)i, (int)h);
        }
        rapt_plan_destroy(plan);
        free(out.data);
        free(whole.query.data);
        free(whole.out.data);
        rapt_cache_destroy(cache);
        rapt_rope_destroy(rope);
    }
}
