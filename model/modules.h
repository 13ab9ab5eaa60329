/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sentence-transformers puts behind a transformer (Reimers and Gurevych 2019). modules.json
 * lists it in order. First come a Transformer and a Pooling that makes one vector of a text's
 * states. Any number of Dense layers and of Normalize follows. Without modules.json there is the
 * pooling that 1_Pooling/config.json tells, or else the mean, and a Normalize.
 */
#ifndef RAPT_MODEL_MODULES_H
#define RAPT_MODEL_MODULES_H

#include <rapt/rapt.h>

#include "model/config.h"
#include "model/safetensors.h"

enum modules_pooling {
    POOLING_CLS,
    POOLING_MAX,
    POOLING_MEAN,
    POOLING_MEAN_SQRT_LEN, /* the sum over the square root of the number of tokens */
    POOLING_WEIGHTED_MEAN, /* a token counts as often as its place, from 1 */
    POOLING_LAST,
    POOLINGS
};

enum modules_activation {
    ACTIVATION_IDENTITY,
    ACTIVATION_TANH,
    ACTIVATION_RELU,
    ACTIVATION_GELU,
    ACTIVATION_SIGMOID,
    ACTIVATIONS
};

/* A Dense layer, or with 0 rows a Normalize. */
struct modules_step {
    int64_t rows, columns;
    enum modules_activation activation;
    char path[CONFIG_PATH]; /* of the weights */
    struct safetensors file;
    rapt_tensor weight, bias;
};

struct modules {
    char transformer[CONFIG_PATH]; /* its folder */
    enum modules_pooling pooling[POOLINGS];
    int pooling_count; /* their results stand one after the other */
    bool leaves_prompt_out;
    char pooling_path[CONFIG_PATH]; /* of its configuration */
    int64_t pooling_width;          /* of a state, as the configuration says; 0: it doesn't */
    struct modules_step *step;
    int step_count;
    cJSON *prompts; /* an object of texts; may be NULL */
    const char *default_prompt;
};

/* Reads all but the transformer. On failure there is nothing to close. Nobody may move it. */
bool modules_open(const char *folder, struct modules *m, char message[FAULT_SIZE]);

/* Whether states of that width fit; *width becomes that of an embedding, *widest the most between.
 */
bool modules_check(const struct modules *m, int64_t *width, int64_t *widest,
                   char message[FAULT_SIZE]);

void modules_close(struct modules *m);

/* The states of one text, without those of its prompt's first tokens if they are left out. */
void modules_pool(const struct modules *m, const float *states, int64_t tokens, int64_t prompt,
                  int64_t dim, float *out);

/*
 * The steps after pooling, from `from` [texts][width] to `out`. Both have room for the widest
 * vectors, and `from` is written to.
 */
bool modules_run(const struct modules *m, float *from, int64_t texts, int64_t width, int threads,
                 const char *isa, float *out);

/* Each of these vectors made as long as 1; zeros stay. */
void modules_normalise(float *x, int64_t texts, int64_t width);

#endif
