/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer of multi-head attention. Eight heads of queries share four of keys and values. Weights
 * are bf16 in one fused matrix, and RoPE rotates queries and keys. It reads a sequence
 * at once, shows what one head attends to, and reads it again token by token with a cache. Then it
 * attends to another sequence, as a decoder does in each step: keys and values of that are
 * projected once.
 *
 *     cc layer.c $(pkg-config --cflags --libs rapt) -o layer
 */
#include <rapt/rapt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 12, WIDTH = 64, HEADS = 8, KV_HEADS = 4, HEAD_DIM = 8 };
enum { KV_WIDTH = KV_HEADS * HEAD_DIM, CONTEXT = 30 };

static uint16_t fused[WIDTH + 2 * KV_WIDTH][WIDTH], joining[WIDTH][WIDTH];
static float bias[WIDTH];
static float input[TOKENS][WIDTH], out[TOKENS][WIDTH], again[TOKENS][WIDTH];
static float weights[TOKENS][TOKENS];
static float context[CONTEXT][WIDTH];

static void check(rapt_status status) {
    if (status == RAPT_OK)
        return;
    fprintf(stderr, "%s\n", rapt_last_error());
    exit(EXIT_FAILURE);
}

/* Some rows of a matrix. */
static rapt_tensor rows(const uint16_t (*matrix)[WIDTH], int first, int count) {
    return rapt_tensor_bhsd(matrix[first], RAPT_BF16, 1, 1, count, WIDTH);
}

static rapt_mha *make_layer(const rapt_rope *rope, bool causal) {
    rapt_mha_args args = rapt_mha_defaults();
    args.model_dim = WIDTH;
    args.q_heads = HEADS;
    args.kv_heads = KV_HEADS;
    args.w_query = rows(fused, 0, WIDTH);
    args.w_key = rows(fused, WIDTH, KV_WIDTH);
    args.w_value = rows(fused, WIDTH + KV_WIDTH, KV_WIDTH);
    args.w_out = rows(joining, 0, WIDTH);
    args.b_out = rapt_tensor_bhsd(bias, RAPT_F32, 1, 1, 1, WIDTH);
    args.rope = rope;
    args.causal = causal;
    rapt_mha *layer;
    check(rapt_mha_create(&args, &layer));
    check(rapt_mha_init_xavier(layer, 2017));
    return layer;
}

/* All tokens at once, with the weights of one head. */
static void read_at_once(const rapt_mha *layer) {
    const int64_t head = 3;
    rapt_mha_run_args run = rapt_mha_run_defaults();
    run.input = rapt_tensor_bhsd(input, RAPT_F32, 1, 1, TOKENS, WIDTH);
    run.out = rapt_tensor_bhsd(out, RAPT_F32, 1, 1, TOKENS, WIDTH);
    run.weights = rapt_tensor_bhsd(weights, RAPT_F32, 1, 1, TOKENS, TOKENS);
    run.weights_form = RAPT_MHA_CHOSEN;
    run.heads = &head;
    run.head_count = 1;
    check(rapt_mha_run(layer, &run, NULL, 0));
}

static rapt_cache *make_cache(const rapt_rope *rope, int capacity) {
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = KV_HEADS;
    args.head_dim = HEAD_DIM;
    args.capacity = capacity;
    args.rope = rope;
    rapt_cache *cache;
    check(rapt_cache_create(&args, &cache));
    return cache;
}

static void read_token_by_token(const rapt_mha *layer, const rapt_rope *rope) {
    rapt_cache *cache = make_cache(rope, TOKENS);
    for (int t = 0; t < TOKENS; t++) {
        rapt_mha_run_args run = rapt_mha_run_defaults();
        run.input = rapt_tensor_bhsd(input[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.out = rapt_tensor_bhsd(again[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.cache = cache;
        check(rapt_mha_run(layer, &run, NULL, 0));
    }
    rapt_cache_destroy(cache);
}

/* Each token attends to the context, whose keys and values a cache keeps. */
static bool attend_context(const rapt_rope *rope) {
    rapt_mha *layer = make_layer(rope, false);
    rapt_cache *cache = make_cache(rope, CONTEXT);
    const rapt_tensor all = rapt_tensor_bhsd(context, RAPT_F32, 1, 1, CONTEXT, WIDTH);
    check(rapt_mha_append(layer, &all, cache, 0, NULL, 0));
    bool same = true;
    for (int t = 0; t < TOKENS; t++) {
        rapt_mha_run_args run = rapt_mha_run_defaults();
        run.input = rapt_tensor_bhsd(input[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.out = rapt_tensor_bhsd(out[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.context = all; /* projects all of it for this token */
        check(rapt_mha_run(layer, &run, NULL, 0));
        run.out = rapt_tensor_bhsd(again[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.context.dtype = RAPT_NONE;
        run.context.data = NULL;
        run.context_cache = cache;
        check(rapt_mha_run(layer, &run, NULL, 0));
        same = same && memcmp(out[t], again[t], sizeof out[t]) == 0;
    }
    rapt_cache_destroy(cache);
    rapt_mha_destroy(layer);
    return same;
}

int main(void) {
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = HEAD_DIM;
    rapt_rope *rope;
    check(rapt_rope_create(&rope_args, &rope));
    rapt_mha *layer = make_layer(rope, true);
    for (int i = 0; i < TOKENS * WIDTH; i++)
        input[i / WIDTH][i % WIDTH] = (float)((i * 37 + 11) % 64) / 16 - 2;
    for (int i = 0; i < CONTEXT * WIDTH; i++)
        context[i / WIDTH][i % WIDTH] = (float)((i * 53 + 5) % 64) / 16 - 2;

    read_at_once(layer);
    for (int t = 0; t < TOKENS; t++) {
        for (int k = 0; k <= t; k++)
            printf("%s%.2f", k ? " " : "", (double)weights[t][k]);
        printf("\n");
    }
    read_token_by_token(layer, rope);
    const bool same = memcmp(out, again, sizeof out) == 0;
    printf("token by token: %s\n", same ? "the same bits" : "something else");
    const bool crosses = attend_context(rope);
    printf("a context projected once: %s\n", crosses ? "the same bits" : "something else");
    rapt_mha_destroy(layer);
    rapt_rope_destroy(rope);
    return same && crosses ? EXIT_SUCCESS : EXIT_FAILURE;
}
