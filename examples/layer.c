/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer of multi-head attention: eight heads of queries share four of keys and values, weights
 * are bf16 in one fused matrix, and queries and keys turn by their positions. It reads a sequence
 * at once, shows what one head attends to, and reads it again token by token with a cache.
 *
 *     cc layer.c $(pkg-config --cflags --libs rapt) -o layer
 */
#include <rapt/rapt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 12, WIDTH = 64, HEADS = 8, KV_HEADS = 4, HEAD_DIM = 8 };
enum { KV_WIDTH = KV_HEADS * HEAD_DIM };

static uint16_t fused[WIDTH + 2 * KV_WIDTH][WIDTH], joining[WIDTH][WIDTH];
static float bias[WIDTH];
static float input[TOKENS][WIDTH], out[TOKENS][WIDTH], again[TOKENS][WIDTH];
static float weights[TOKENS][TOKENS];

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

static rapt_mha *make_layer(const rapt_rope *rope) {
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
    args.causal = true;
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

static void read_token_by_token(const rapt_mha *layer, const rapt_rope *rope) {
    rapt_cache_args args = rapt_cache_defaults();
    args.kv_heads = KV_HEADS;
    args.head_dim = HEAD_DIM;
    args.capacity = TOKENS;
    args.rope = rope;
    rapt_cache *cache;
    check(rapt_cache_create(&args, &cache));
    for (int t = 0; t < TOKENS; t++) {
        rapt_mha_run_args run = rapt_mha_run_defaults();
        run.input = rapt_tensor_bhsd(input[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.out = rapt_tensor_bhsd(again[t], RAPT_F32, 1, 1, 1, WIDTH);
        run.cache = cache;
        check(rapt_mha_run(layer, &run, NULL, 0));
    }
    rapt_cache_destroy(cache);
}

int main(void) {
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = HEAD_DIM;
    rapt_rope *rope;
    check(rapt_rope_create(&rope_args, &rope));
    rapt_mha *layer = make_layer(rope);
    for (int i = 0; i < TOKENS * WIDTH; i++)
        input[i / WIDTH][i % WIDTH] = (float)((i * 37 + 11) % 64) / 16 - 2;

    read_at_once(layer);
    for (int t = 0; t < TOKENS; t++) {
        for (int k = 0; k <= t; k++)
            printf("%s%.2f", k ? " " : "", (double)weights[t][k]);
        printf("\n");
    }
    read_token_by_token(layer, rope);
    const bool same = memcmp(out, again, sizeof out) == 0;
    printf("token by token: %s\n", same ? "the same bits" : "something else");
    rapt_mha_destroy(layer);
    rapt_rope_destroy(rope);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
