/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention of a decoder. A small model of random weights reads a prompt. Then its sequence is
 * forked, and two continuations are decoded side by side. Four query heads share two key heads.
 * Keys and queries are rotated by their positions, and each layer has a paged cache. One plan
 * serves all steps and layers: a run brings the lengths and pages that its cache has by then.
 *
 *     cc decode.c $(pkg-config --cflags --libs rapt) -lm -o decode
 */
#include <rapt/rapt.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAYERS = 2, Q_HEADS = 4, KV_HEADS = 2, HEAD_DIM = 16, VOCABULARY = 64 };
enum { WIDTH = Q_HEADS * HEAD_DIM, KV_WIDTH = KV_HEADS * HEAD_DIM };
enum { SEQUENCES = 2, CAPACITY = 64, PAGE_SIZE = 4, PROMPT = 10, STEPS = 12 };

static float embedding[VOCABULARY][WIDTH], unembedding[VOCABULARY][WIDTH];
static struct layer {
    float query[WIDTH][WIDTH], key[WIDTH][KV_WIDTH], value[WIDTH][KV_WIDTH], out[WIDTH][WIDTH];
    rapt_cache *cache;
} layers[LAYERS];
static rapt_rope *rope;
static rapt_plan *plan; /* of a step: one token of each sequence */
static void *workspace;

/* The tokens of one step, those of a sequence side by side. */
static float hidden[PROMPT][WIDTH], query[PROMPT][WIDTH], mixed[PROMPT][WIDTH];
static float key[PROMPT][KV_WIDTH], value[PROMPT][KV_WIDTH], change[PROMPT][WIDTH];

static void check(rapt_status status) {
    if (status == RAPT_OK)
        return;
    fprintf(stderr, "%s\n", rapt_last_error());
    exit(EXIT_FAILURE);
}

static void fill(float *data, size_t count, float scale) {
    static unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = scale * ((float)(state >> 8) / 8388608 - 1);
    }
}

static void make_model(void) {
    fill(&embedding[0][0], VOCABULARY * WIDTH, 1);
    fill(&unembedding[0][0], VOCABULARY * WIDTH, 1);
    rapt_rope_args rope_args = rapt_rope_defaults();
    rope_args.rotary_dim = HEAD_DIM;
    check(rapt_rope_create(&rope_args, &rope));
    for (struct layer *layer = layers; layer < layers + LAYERS; layer++) {
        fill(&layer->query[0][0], WIDTH * WIDTH, 0.3f);
        fill(&layer->key[0][0], WIDTH * KV_WIDTH, 0.3f);
        fill(&layer->value[0][0], WIDTH * KV_WIDTH, 0.3f);
        fill(&layer->out[0][0], WIDTH * WIDTH, 0.3f);
        rapt_cache_args args = rapt_cache_defaults();
        args.kv_heads = KV_HEADS;
        args.head_dim = HEAD_DIM;
        args.key_dtype = args.value_dtype = RAPT_BF16;
        args.sequences = SEQUENCES;
        args.capacity = CAPACITY;
        args.page_size = PAGE_SIZE;
        args.rope = rope;
        check(rapt_cache_create(&args, &layer->cache));
    }
}

/* The form of a layer's attention to n new tokens in each of the first sequences. */
static rapt_attention_args new_args(const struct layer *layer, int sequences, int n) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bshd(query, RAPT_F32, sequences, Q_HEADS, n, HEAD_DIM);
    args.out = rapt_tensor_bshd(mixed, RAPT_F32, sequences, Q_HEADS, n, HEAD_DIM);
    args.causal = true;
    check(rapt_cache_view(layer->cache, 0, sequences, &args));
    return args;
}

/* For as many keys as a sequence may get; what pages they have, each run says. */
static void make_plan(void) {
    int64_t lengths[SEQUENCES], last[SEQUENCES];
    for (int s = 0; s < SEQUENCES; s++) {
        lengths[s] = CAPACITY;
        last[s] = CAPACITY - 1;
    }
    rapt_attention_args args = new_args(&layers[0], SEQUENCES, 1);
    args.kv_len = lengths;
    args.q_offset = last;
    args.block_table = NULL;
    check(rapt_plan_create(&args, &plan));
    workspace = malloc(rapt_plan_workspace_size(plan));
    if (!workspace)
        exit(EXIT_FAILURE);
}

/* y = x * weights, for some rows of x. */
static void project(float *y, const float *x, const float *weights, int rows, int columns) {
    for (int i = 0; i < rows * columns; i++) {
        y[i] = 0;
        for (int c = 0; c < WIDTH; c++)
            y[i] += x[i / columns * WIDTH + c] * weights[c * columns + i % columns];
    }
}

/* Adds a layer's attention to the hidden states of n new tokens in each of the first sequences. */
static void attend(const struct layer *layer, int sequences, int n) {
    project(&query[0][0], &hidden[0][0], &layer->query[0][0], sequences * n, WIDTH);
    project(&key[0][0], &hidden[0][0], &layer->key[0][0], sequences * n, KV_WIDTH);
    project(&value[0][0], &hidden[0][0], &layer->value[0][0], sequences * n, KV_WIDTH);

    int64_t past[SEQUENCES], positions[PROMPT];
    for (int s = 0; s < sequences; s++) {
        past[s] = rapt_cache_length(layer->cache, s);
        for (int i = 0; i < n; i++)
            positions[s * n + i] = past[s] + i;
        const rapt_tensor k = rapt_tensor_bshd(key[s * n], RAPT_F32, 1, KV_HEADS, n, HEAD_DIM);
        const rapt_tensor v = rapt_tensor_bshd(value[s * n], RAPT_F32, 1, KV_HEADS, n, HEAD_DIM);
        check(rapt_cache_append(layer->cache, s, &k, &v, NULL));
    }
    rapt_attention_args args = new_args(layer, sequences, n);
    args.q_offset = past;
    check(rapt_rope_apply(rope, &args.query, positions, n, &args.query));
    if (sequences == SEQUENCES && n == 1) {
        rapt_attention_data data = rapt_attention_data_of(&args);
        data.kv_len = args.kv_len;
        data.q_offset = args.q_offset;
        data.block_table = args.block_table;
        check(rapt_plan_run(plan, &data, workspace, rapt_plan_workspace_size(plan)));
    } else {
        check(rapt_attention(&args));
    }

    project(&change[0][0], &mixed[0][0], &layer->out[0][0], sequences * n, WIDTH);
    for (int i = 0; i < sequences * n * WIDTH; i++)
        (&hidden[0][0])[i] += (&change[0][0])[i];
}

/* Runs the model on n new tokens of each sequence, and leaves the next one of each in `next`. */
static void step(const int *tokens, int sequences, int n, int *next) {
    for (int i = 0; i < sequences * n; i++)
        for (int c = 0; c < WIDTH; c++)
            hidden[i][c] = embedding[tokens[i]][c];
    for (const struct layer *layer = layers; layer < layers + LAYERS; layer++)
        attend(layer, sequences, n);
    for (int s = 0; s < sequences; s++) {
        const float *last = hidden[s * n + n - 1];
        float best = -INFINITY;
        for (int t = 0; t < VOCABULARY; t++) {
            float logit = 0;
            for (int c = 0; c < WIDTH; c++)
                logit += last[c] * unembedding[t][c];
            if (logit > best)
                next[s] = t;
            best = fmaxf(best, logit);
        }
    }
}

int main(void) {
    const int prompt[PROMPT] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7};
    int tokens[SEQUENCES];
    make_model();
    make_plan();
    step(prompt, 1, PROMPT, tokens);
    for (int l = 0; l < LAYERS; l++)
        check(rapt_cache_fork(layers[l].cache, 0, 1));
    tokens[1] = (tokens[0] + 1) % VOCABULARY; /* the second continuation starts otherwise */
    for (int i = 0; i < STEPS; i++) {
        printf("position %d: %d and %d\n", PROMPT + i, tokens[0], tokens[1]);
        step(tokens, SEQUENCES, 1, tokens);
    }
    printf("free pages: %d of %d\n", (int)rapt_cache_pages_free(layers[0].cache),
           SEQUENCES * CAPACITY / PAGE_SIZE);
    for (int l = 0; l < LAYERS; l++)
        rapt_cache_destroy(layers[l].cache);
    rapt_rope_destroy(rope);
    rapt_plan_destroy(plan);
    free(workspace);
    return EXIT_SUCCESS;
}
