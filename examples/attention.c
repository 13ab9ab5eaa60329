/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sequences of five tokens, four query heads that share two key heads, causal. It plans once,
 * runs on tensors that lie token by token, as projections leave them, and prints the weights.
 *
 *     cc attention.c $(pkg-config --cflags --libs rapt) -o attention
 */
#include <rapt/rapt.h>

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, Q_HEADS = 4, KV_HEADS = 2, TOKENS = 5, HEAD_DIM = 8 };

static float query[BATCH][TOKENS][Q_HEADS][HEAD_DIM];
static float key[BATCH][TOKENS][KV_HEADS][HEAD_DIM];
static float value[BATCH][TOKENS][KV_HEADS][HEAD_DIM];
static float out[BATCH][TOKENS][Q_HEADS][HEAD_DIM];
static float weights[BATCH][Q_HEADS][TOKENS][TOKENS];

static void fill(float *data, size_t count) {
    for (size_t i = 0; i < count; i++)
        data[i] = (float)((i * 37 + 11) % 64) / 32 - 1;
}

static int fail(void) {
    fprintf(stderr, "%s\n", rapt_last_error());
    return EXIT_FAILURE;
}

int main(void) {
    fill(&query[0][0][0][0], sizeof query / sizeof(float));
    fill(&key[0][0][0][0], sizeof key / sizeof(float));
    fill(&value[0][0][0][0], sizeof value / sizeof(float));

    /* The second sequence is padded: only its first three tokens are real. */
    const int64_t kv_len[BATCH] = {TOKENS, 3};

    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bshd(query, RAPT_F32, BATCH, Q_HEADS, TOKENS, HEAD_DIM);
    args.key = rapt_tensor_bshd(key, RAPT_F32, BATCH, KV_HEADS, TOKENS, HEAD_DIM);
    args.value = rapt_tensor_bshd(value, RAPT_F32, BATCH, KV_HEADS, TOKENS, HEAD_DIM);
    args.out = rapt_tensor_bshd(out, RAPT_F32, BATCH, Q_HEADS, TOKENS, HEAD_DIM);
    args.weights = rapt_tensor_bhsd(weights, RAPT_F32, BATCH, Q_HEADS, TOKENS, TOKENS);
    args.causal = true;
    args.kv_len = kv_len;

    rapt_plan *plan;
    if (rapt_plan_create(&args, &plan) != RAPT_OK)
        return fail();
    const size_t size = rapt_plan_workspace_size(plan);
    void *workspace = malloc(size);
    /* A decoder would run the plan for every layer and token here, each time with other pointers
     * and lengths: see decode.c. */
    const rapt_status status =
        workspace ? rapt_plan_run(plan, NULL, workspace, size) : RAPT_OUT_OF_MEMORY;
    printf("isa %s, %zu bytes of workspace\n", rapt_plan_isa(plan), size);
    free(workspace);
    rapt_plan_destroy(plan);
    if (status != RAPT_OK)
        return fail();

    for (int i = 0; i < TOKENS; i++) {
        printf("sequence 1, head 0, query %d:", i);
        for (int j = 0; j < TOKENS; j++)
            printf(" %.3f", (double)weights[1][0][i][j]);
        printf("\n");
    }
    return EXIT_SUCCESS;
}
