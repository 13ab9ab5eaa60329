/* SPDX-License-Identifier: Apache-2.0 */
/* Summaries of heads and rollouts of layers, against the whole matrices in double. */
#include "oracle/oracle.h"
#include "oracle/places.h"
#include "tests/support/sequences.h"

/* A summary straight from its definition; the kind isn't set. */
static rapt_head_summary summary_of(const rapt_attention_args *args, int64_t b, int64_t h,
                                    const double *weights) {
    rapt_head_summary sum = {.queries = 0};
    const int64_t keys = places_keys(args, b), columns = places_columns(args);
    double equal = 0;
    for (int64_t i = 0; i < places_queries(args, b); i++, weights += columns) {
        const int64_t position = i + (args->q_offset ? args->q_offset[b] : 0);
        double count = 0, mass = 0, entropy = 0, distance = 0, distances = 0;
        for (int64_t j = 0; j < keys; j++) {
            const double far = fabs((double)(position - j));
            count += oracle_attends(args, b, h, i, j);
            distances += oracle_attends(args, b, h, i, j) ? far : 0;
            mass += weights[j];
            distance += weights[j] * far;
        }
        for (int64_t j = 0; j < keys; j++)
            entropy -= weights[j] > 0 ? weights[j] / mass * log2(weights[j] / mass) : 0;
        if (count < 2)
            continue;
        sum.queries++;
        sum.entropy += entropy;
        sum.focus += 1 - entropy / log2(count);
        sum.distance += distance / mass;
        equal += distances / count;
        sum.previous += position > 0 && position <= keys ? weights[position - 1] / mass : 0;
        sum.self += position >= 0 && position < keys ? weights[position] / mass : 0;
        sum.first += weights[0] / mass;
    }
    const double n = sum.queries ? (double)sum.queries : 1;
    sum.locality = sum.queries ? 1 - sum.distance / equal : 0;
    sum.entropy /= n;
    sum.focus /= n;
    sum.distance /= n;
    sum.previous /= n;
    sum.self /= n;
    sum.first /= n;
    return sum;
}

static void expect_summary(const rapt_head_summary *got, const rapt_head_summary *expected) {
    const double a[] = {got->entropy,  got->focus, got->distance, got->locality,
                        got->previous, got->self,  got->first};
    const double b[] = {expected->entropy,  expected->focus, expected->distance, expected->locality,
                        expected->previous, expected->self,  expected->first};
    cr_assert_eq(got->queries, expected->queries);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        cr_assert(fabs(a[i] - b[i]) <= 1e-4 * (1 + fabs(b[i])), "number %zu: %.9g, not %.9g", i,
                  a[i], b[i]);
}

static void check_heads(rapt_attention_args args) {
    const int64_t columns = places_columns(&args), heads = args.query.shape[1];
    const int64_t count = places_sequences(&args) * heads;
    rapt_head_summary *summaries = calloc((size_t)count, sizeof *summaries);
    struct oracle_result oracle;
    reset_outputs(&args);
    expect_ok(rapt_summarize_heads(&args, summaries));
    cr_expect_not(untouched(&args.out));
    for (int i = 1; i < OUTPUTS; i++)
        cr_expect(untouched(output_of(&args, i)));
    cr_assert(oracle_attention(&args, &oracle));
    const double *weights = oracle.weights;
    for (int64_t i = 0; i < count; i++) {
        const rapt_head_summary expected = summary_of(&args, i / heads, i % heads, weights);
        expect_summary(&summaries[i], &expected);
        weights += places_queries(&args, i / heads) * columns;
    }
    oracle_free(&oracle);
    free(summaries);
    free_problem(&args);
}

Test(summary, is_that_of_the_whole_matrix) {
    static const int64_t offsets[] = {25, -6}, lengths[] = {40, 17}, starts[] = {9, 0};
    const struct form plain = {1, 3, 3, 50, 50, 8, 8, .causal = true};
    const struct form masked = {2, 4, 2, 30, 40, 8, 8, .mask = RAPT_BOOL, .window_left = 9};
    const struct form biased = {2, 2, 1, 33, 100, 8, 8, .mask = RAPT_F32, .window_right = 2};
    check_heads(new_problem(&plain, 1));
    for (int i = 0; i < 2; i++) {
        rapt_attention_args args = new_problem(i ? &biased : &masked, 2);
        args.q_offset = offsets;
        args.kv_len = i ? NULL : lengths;
        args.sink = random_tensor(RAPT_F32, 1, args.query.shape[1], 1, 1, 3);
        if (i) {
            for (size_t n = 0; n < elements(&args.mask); n += 3)
                ((float *)args.mask.data)[n] = -INFINITY;
            args.mask_start = starts;
        }
        check_heads(args);
    }
    check_heads(ragged_problem());
    check_heads(paged_problem());
}

/* Where a head is told to look, as a key per query, or -1 for nothing in particular. */
static int64_t target(int head, int64_t i, int64_t queries) {
    const int64_t targets[] = {i - 1, i, 0, -1, (i * 7 + 20) % queries, -1};
    return targets[head];
}

Test(summary, kinds) {
    enum { HEADS = 6, QUERIES = 64 };
    const struct form form = {1, HEADS, HEADS, QUERIES, QUERIES, 4, 4, .mask = RAPT_F32};
    const rapt_head_kind expected[HEADS] = {RAPT_HEAD_PREVIOUS, RAPT_HEAD_SELF,    RAPT_HEAD_FIRST,
                                            RAPT_HEAD_LOCAL,    RAPT_HEAD_FOCUSED, RAPT_HEAD_BROAD};
    static const char *const names[] = {"previous", "self", "first", "local", "focused", "broad"};
    rapt_attention_args args = new_problem(&form, 1);
    float *bias = args.mask.data;
    for (int h = 0; h < HEADS; h++)
        for (int64_t i = 0; i < QUERIES; i++)
            for (int64_t j = 0; j < QUERIES; j++)
                *bias++ = j == target(h, i, QUERIES) ? 12 : h == 3 ? -fabsf((float)(i - j)) / 6 : 0;
    rapt_head_summary heads[HEADS], alone[HEADS];
    expect_ok(rapt_summarize_heads(&args, heads));
    for (int h = 0; h < HEADS; h++) {
        cr_expect_eq(heads[h].kind, expected[h], "head %d: %s", h,
                     rapt_head_kind_name(heads[h].kind));
        cr_expect_str_eq(rapt_head_kind_name(expected[h]), names[h]);
    }
    cr_expect_str_eq(rapt_head_kind_name((rapt_head_kind)6), "");
    for (args.threads = 1; args.threads < 6; args.threads++) {
        expect_ok(rapt_summarize_heads(&args, alone));
        cr_expect_eq(memcmp(heads, alone, sizeof heads), 0);
    }
    free_problem(&args);
}

Test(summary, heads_without_a_choice) {
    const struct form form = {1, 1, 1, 5, 1, 4, 4, .mask = RAPT_NONE};
    rapt_attention_args args = new_problem(&form, 1);
    rapt_head_summary head = {.queries = 7};
    expect_ok(rapt_summarize_heads(&args, &head));
    cr_expect(head.queries == 0 && head.entropy == 0 && head.first == 0);
    cr_expect_eq(head.kind, RAPT_HEAD_BROAD);
    free_problem(&args);
}

Test(summary, refusals) {
    const struct form form = {1, 1, 1, 5, 5, 4, 4, .causal = true};
    rapt_attention_args args = new_problem(&form, 1);
    rapt_head_summary head;
    cr_expect_eq(rapt_summarize_heads(NULL, &head), RAPT_INVALID_ARGUMENT);
    cr_expect_eq(rapt_summarize_heads(&args, NULL), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "heads"));
    args.key.shape[3] = 3;
    cr_expect_eq(rapt_summarize_heads(&args, &head), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "key"));
    cr_expect(untouched(&args.out));
    args.key.shape[3] = 4;
    free_problem(&args);
}

/* ---- rollout ---- */

enum { LAYERS = 3, BATCH = 2, HEADS = 4, SIZE = 37 };

/* Random weights that sum to 1, and one row of nothing. */
static rapt_tensor layer(uint64_t seed, int64_t heads) {
    rapt_tensor t = random_tensor(RAPT_F32, BATCH, heads, SIZE, SIZE, seed);
    float *row = t.data;
    for (int64_t r = 0; r < BATCH * heads * SIZE; r++, row += SIZE) {
        float sum = 0;
        for (int j = 0; j < SIZE; j++)
            sum += row[j] = r % SIZE == 5 || row[j] < 0 ? 0 : row[j];
        for (int j = 0; j < SIZE && sum > 0; j++)
            row[j] /= sum;
    }
    return t;
}

/* after = matrix of a layer * before */
static void roll(const rapt_tensor *t, int64_t b, double residual, double before[SIZE][SIZE]) {
    double after[SIZE][SIZE] = {{0}};
    for (int i = 0; i < SIZE; i++) {
        double row[SIZE], total = 0;
        for (int k = 0; k < SIZE; k++) {
            row[k] = k == i ? residual : 0;
            for (int64_t h = 0; h < t->shape[1]; h++)
                row[k] += (1 - residual) / (double)t->shape[1] *
                          (double)((float *)t->data)[((b * t->shape[1] + h) * SIZE + i) * SIZE + k];
            total += row[k];
        }
        for (int k = 0; k < SIZE && total > 0; k++)
            for (int j = 0; j < SIZE; j++)
                after[i][j] += row[k] / total * before[k][j];
    }
    memcpy(before, after, sizeof after);
}

Test(rollout, is_the_product_of_the_layers) {
    rapt_tensor layers[LAYERS] = {layer(1, HEADS), layer(2, 1), layer(3, HEADS)};
    rapt_tensor out = new_tensor(RAPT_F32, BATCH, 1, SIZE, SIZE);
    const double residuals[] = {0.5, 0, 0.9};
    for (int n = 0; n < 3; n++) {
        for (int count = 1; count <= LAYERS; count++) {
            expect_ok(rapt_rollout(count, layers, residuals[n], &out, 1));
            for (int64_t b = 0; b < BATCH; b++) {
                double product[SIZE][SIZE] = {{0}};
                for (int i = 0; i < SIZE; i++)
                    product[i][i] = 1;
                for (int i = 0; i < count; i++)
                    roll(&layers[i], b, residuals[n], product);
                for (int i = 0; i < SIZE * SIZE; i++)
                    cr_assert_float_eq((double)((float *)out.data)[b * SIZE * SIZE + i],
                                       product[i / SIZE][i % SIZE], 1e-6);
            }
        }
    }
    for (int i = 0; i < LAYERS; i++)
        free(layers[i].data);
    free(out.data);
}

Test(rollout, any_threads_and_layout_give_the_same_bits) {
    enum { MANY = 200 };
    rapt_tensor one = random_tensor(RAPT_F32, 1, 2, MANY, MANY, 1);
    rapt_tensor out = new_tensor(RAPT_F32, 1, 1, MANY, MANY), other = out;
    other.data = allocate(bytes_of(&out));
    for (size_t i = 0; i < elements(&one); i++)
        ((float *)one.data)[i] = fabsf(((float *)one.data)[i]);
    const rapt_tensor layers[] = {one, one, one, one};
    expect_ok(rapt_rollout(4, layers, 0.5, &out, 1));
    for (int threads = 0; threads < 8; threads++) {
        memset(other.data, CANARY, bytes_of(&other));
        expect_ok(rapt_rollout(4, layers, 0.5, &other, threads));
        cr_expect(same_bits(&out, &other));
    }
    other.stride[2] = 1;
    other.stride[3] = MANY;
    expect_ok(rapt_rollout(4, layers, 0.5, &other, 3));
    for (int i = 0; i < MANY * MANY; i++)
        cr_assert_eq(((float *)out.data)[i], ((float *)other.data)[i % MANY * MANY + i / MANY]);
    free(one.data);
    free(out.data);
    free(other.data);
}

Test(rollout, refusals) {
    rapt_tensor good = new_tensor(RAPT_F32, 1, 2, 4, 4), out = new_tensor(RAPT_F32, 1, 1, 4, 4);
    rapt_tensor half = good, wide = good, over = good;
    half.dtype = RAPT_F16;
    wide.shape[3] = 5;
    over.data = out.data;
    over.shape[1] = 1;
    const struct {
        int count;
        const rapt_tensor *weights, *out;
        double residual;
        int threads;
        const char *names;
    } bad[] = {
        {0, &good, &out, 0.5, 1, "count"},     {1, NULL, &out, 0.5, 1, "weights"},
        {1, &good, NULL, 0.5, 1, "out"},       {1, &good, &out, 1, 1, "residual"},
        {1, &good, &out, -0.1, 1, "residual"}, {1, &good, &out, NAN, 1, "residual"},
        {1, &good, &out, 0.5, -1, "threads"},  {1, &half, &out, 0.5, 1, "weights"},
        {1, &wide, &out, 0.5, 1, "weights"},   {1, &over, &out, 0.5, 1, "overlaps"},
        {1, &good, &good, 0.5, 1, "out"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(
            rapt_rollout(bad[i].count, bad[i].weights, bad[i].residual, bad[i].out, bad[i].threads),
            RAPT_INVALID_ARGUMENT);
        cr_expect(mentions(rapt_last_error(), bad[i].names), "%zu: %s", i, rapt_last_error());
        cr_expect(untouched(&out) && untouched(&good));
    }
    free(good.data);
    free(out.data);
}
