/* SPDX-License-Identifier: Apache-2.0 */
/* The layer against its definition in double precision, and the promises about bits. */
#include "tests/support/layers.h"

static const struct layer_form forms[] = {
    {1, 1, 4, 1, .causal = true},
    {2, 5, 12, 3, .biases = true},
    {1, 70, 48, 4, 2, 20, 9, .causal = true, .biases = true},
    {2, 33, 300, 6, 2, 16, .mask = RAPT_F32, .biases = true, .weights = RAPT_BF16},
    {3, 7, 40, 4, 1, .context = 21, .context_dim = 30, .lengths = true, .mask = RAPT_BOOL},
    {1, 97, 140, 2, .context = 50, .weights = RAPT_F16, .softcap = 2},
    {1, 60, 33, 3, .causal = true, .window_left = 11, .weights = RAPT_BF16},
};
enum { FORMS = sizeof forms / sizeof *forms };

static void expect_near(const float *found, const double *expected, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++)
        cr_assert(fabs((double)found[i] - expected[i]) <= 2e-5 * (1 + fabs(expected[i])),
                  "%s[%lld]: %g, not %g", what, (long long)i, (double)found[i], expected[i]);
}

Test(mha, agrees_with_its_definition) {
    for (int i = 0; i < FORMS; i++) {
        struct layer_case c = new_layer_case(&forms[i], 100 * (uint64_t)i);
        struct expected e = expect_layer(&c);
        c.run.weights =
            new_tensor(RAPT_F32, forms[i].batch, forms[i].q_heads, forms[i].tokens, c.keys);
        run_once(&c, &c.run);
        expect_near(c.run.out.data, e.out, (int64_t)elements(&c.run.out), "out");
        expect_near(c.run.weights.data, e.weights, (int64_t)elements(&c.run.weights), "weights");
        free_expected(&e);
        free_layer_case(&c);
    }
}

/* Every instruction set, thread count, and way to have weights gives the same bits. */
Test(mha, has_the_same_bits_however_it_is_computed) {
    const rapt_isa *isas;
    const size_t count = rapt_isa_list(&isas);
    for (int i = 0; i < FORMS; i++) {
        struct layer_case c = new_layer_case(&forms[i], 100 * (uint64_t)i);
        run_once(&c, &c.run);
        rapt_mha_run_args other = c.run;
        other.out = new_tensor(RAPT_F32, forms[i].batch, 1, forms[i].tokens, forms[i].model_dim);
        for (size_t k = 0; k < count; k++)
            for (int threads = 1; isas[k].available && threads <= 3; threads++) {
                c.args.isa = isas[k].name;
                c.args.threads = threads;
                memset(other.out.data, CANARY, bytes_of(&other.out));
                run_once(&c, &other);
                cr_expect(same_bits(&other.out, &c.run.out), "form %d, %s, %d threads", i,
                          isas[k].name, threads);
            }
        free(other.out.data);
        free_layer_case(&c);
    }
}

/* Enough work that threads share it, which the small cases above don't have. */
Test(mha, threads_share_the_work) {
    const struct layer_form form = {2, 130, 320, 4, 2, .causal = true, .weights = RAPT_BF16};
    struct layer_case c = new_layer_case(&form, 5);
    rapt_mha_run_args other = c.run;
    other.out = new_tensor(RAPT_F32, 2, 1, 130, 320);
    c.args.threads = 1;
    run_once(&c, &c.run);
    c.args.threads = 4;
    run_once(&c, &other);
    cr_expect(same_bits(&other.out, &c.run.out));
    free(other.out.data);
    free_layer_case(&c);
}

/* A row is its token's: alone, in a batch, in strided memory, in place. */
Test(mha, rows_depend_on_their_own_sequence_alone) {
    const struct layer_form form = {3, 50, 24, 4, 2, .causal = true, .biases = true};
    struct layer_case c = new_layer_case(&form, 7);
    run_once(&c, &c.run);
    rapt_mha_run_args one = c.run;
    one.input.shape[0] = one.out.shape[0] = 1;
    one.input.data = (float *)c.run.input.data + one.input.stride[0];
    /* position by position backwards, channels 3 apart, and over the input itself */
    rapt_tensor apart = new_tensor(RAPT_F32, 1, 1, 50, 72);
    one.out = apart;
    one.out.shape[3] = 24;
    one.out.stride[3] = 3;
    one.out.stride[2] = -72;
    one.out.data = (float *)apart.data + 49 * 72;
    for (int64_t s = 0; s < 50; s++)
        for (int64_t i = 0; i < 24; i++)
            ((float *)one.out.data)[i * 3 - s * 72] = ((float *)one.input.data)[s * 24 + i];
    one.input = one.out;
    run_once(&c, &one);
    for (int64_t s = 0; s < 50; s++)
        for (int64_t i = 0; i < 24; i++)
            cr_assert_eq(((float *)one.out.data)[i * 3 - s * 72],
                         ((float *)c.run.out.data)[(50 + s) * 24 + i]);
    free(apart.data);
    free_layer_case(&c);
}

/* [q + k + v rows][in] as views, and matrices that stand [in][out]. */
Test(mha, fused_and_transposed_weights_are_views) {
    const struct layer_form form = {2, 20, 24, 4, 2, .causal = false};
    struct layer_case c = new_layer_case(&form, 9);
    run_once(&c, &c.run);
    struct layer_case fused = c;
    fused.run.out = new_tensor(RAPT_F32, 2, 1, 20, 24);
    rapt_tensor all = new_tensor(RAPT_F32, 1, 1, 24 + 12 + 12, 24);
    rapt_tensor *parts[] = {&fused.args.w_query, &fused.args.w_key, &fused.args.w_value};
    float *at = all.data;
    for (int i = 0; i < 3; i++) {
        memcpy(at, parts[i]->data, bytes_of(parts[i]));
        parts[i]->data = at;
        at += elements(parts[i]);
    }
    rapt_tensor turned = new_tensor(RAPT_F32, 1, 1, 24, 24);
    for (int64_t r = 0; r < 24; r++)
        for (int64_t i = 0; i < 24; i++)
            ((float *)turned.data)[i * 24 + r] = ((float *)c.args.w_out.data)[r * 24 + i];
    turned.stride[2] = 1;
    turned.stride[3] = 24;
    fused.args.w_out = turned;
    run_once(&fused, &fused.run);
    cr_expect(same_bits(&fused.run.out, &c.run.out));
    free(fused.run.out.data);
    free(all.data);
    free(turned.data);
    free_layer_case(&c);
}

Test(mha, weights_come_in_three_forms) {
    enum { H = 6, S = 50, ROWS = 13 };
    const struct layer_form form = {2, S, 36, H, 2, .causal = true, .mask = RAPT_BOOL};
    const int64_t heads[] = {4, 0, 4}, first = 30;
    struct layer_case c = new_layer_case(&form, 11);
    c.run.weights = new_tensor(RAPT_F32, 2, H, S, S);
    run_once(&c, &c.run);
    rapt_mha_run_args mean = c.run, chosen = c.run;
    mean.out = new_tensor(RAPT_F32, 2, 1, S, 36);
    mean.weights = new_tensor(RAPT_F32, 2, 1, S, S);
    mean.weights_form = RAPT_MHA_MEAN;
    chosen.out = new_tensor(RAPT_F32, 2, 1, S, 36);
    chosen.weights = new_tensor(RAPT_F32, 2, 3, ROWS, S);
    chosen.weights_form = RAPT_MHA_CHOSEN;
    chosen.heads = heads;
    chosen.head_count = 3;
    chosen.first_row = first;
    chosen.rows = ROWS;
    run_once(&c, &mean);
    run_once(&c, &chosen);
    cr_expect(same_bits(&mean.out, &c.run.out) && same_bits(&chosen.out, &c.run.out));
    const float *each = c.run.weights.data, *picked = chosen.weights.data;
    for (int64_t b = 0; b < 2; b++)
        for (int64_t i = 0; i < S * S; i++) {
            double sum = 0;
            for (int64_t h = 0; h < H; h++)
                sum += (double)each[(b * H + h) * S * S + i];
            cr_assert_float_eq((double)((float *)mean.weights.data)[b * S * S + i], sum / H, 1e-6);
        }
    for (int64_t b = 0; b < 2; b++)
        for (int64_t k = 0; k < 3; k++)
            cr_expect_arr_eq(picked + (b * 3 + k) * ROWS * S,
                             each + ((b * H + heads[k]) * S + first) * S, ROWS * S * sizeof(float));
    free(mean.out.data);
    free(mean.weights.data);
    free(chosen.out.data);
    free(chosen.weights.data);
    free_layer_case(&c);
}

/* Sequences end to end, one of them empty, are those alone. */
Test(mha, ragged_sequences_are_their_own) {
    enum { N = 4, S = 90 };
    const struct layer_form form = {1, S, 48, 4, 2, .causal = true, .biases = true};
    const int64_t cu[N + 1] = {0, 50, 50, 51, S};
    struct layer_case c = new_layer_case(&form, 13);
    c.run.cu = cu;
    c.run.sequences = N;
    c.run.weights = new_tensor(RAPT_F32, 1, 4, S, 50);
    run_once(&c, &c.run);
    for (int b = 0; b < N; b++) {
        const int64_t n = cu[b + 1] - cu[b];
        rapt_mha_run_args one = rapt_mha_run_defaults();
        if (n == 0)
            continue;
        one.input = rapt_tensor_bhsd((float *)c.run.input.data + cu[b] * 48, RAPT_F32, 1, 1, n, 48);
        one.out = new_tensor(RAPT_F32, 1, 1, n, 48);
        one.weights = new_tensor(RAPT_F32, 1, 4, n, n);
        run_once(&c, &one);
        cr_expect_arr_eq(one.out.data, (float *)c.run.out.data + cu[b] * 48, bytes_of(&one.out));
        for (int64_t row = 0; row < 4 * n; row++) {
            const int64_t at = row / n * S + cu[b] + row % n;
            const float *weights = (float *)c.run.weights.data + at * 50;
            cr_expect_arr_eq((float *)one.weights.data + row * n, weights,
                             (size_t)n * sizeof *weights);
            for (int64_t k = n; k < 50; k++)
                cr_expect_eq(weights[k], 0);
        }
        free(one.out.data);
        free(one.weights.data);
    }
    free_layer_case(&c);
}
