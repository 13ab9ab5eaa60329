/* SPDX-License-Identifier: Apache-2.0 */
/* What sentence-transformers puts behind a small model, and the same in double precision. */
#ifndef RAPT_TESTS_SUPPORT_MODULES_H
#define RAPT_TESTS_SUPPORT_MODULES_H

#include "model/encoder.h"
#include "tests/support/models.h"

enum { MODES = 6, MOST_WIDTH = MODES * DIM };

static const char *const mode_names[MODES] = {
    "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};

/* tiny/modules.json, from "Transformer: Pooling:1_Pooling Dense:2_Dense". */
static inline void put_modules(const char *package, const char *list) {
    char text[4096] = "[", copy[512], *rest = NULL;
    int index = 0;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *path = strchr(word, ':');
        const size_t used = strlen(text);
        *path++ = '\0';
        snprintf(text + used, sizeof text - used,
                 "%s{\"idx\":%d,\"name\":\"%d\",\"path\":\"%s\",\"type\":\"%s%s\"}",
                 index ? "," : "", index, index, path, package, word);
        index++;
    }
    strcat(text, "]");
    put_text("tiny/modules.json", text);
}
static const char old_package[] = "sentence_transformers.models.";

static inline void put_config(const char *folder, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "tiny/%s", folder);
    mkdir(path, 0700);
    strcat(path, "/config.json");
    put_text(path, text);
}

/* A Dense layer; its weights follow from their names. */
static inline void put_dense(const char *folder, int columns, int rows, bool bias,
                             const char *activation, rapt_dtype dtype) {
    const struct model_form form = {.dtype = dtype};
    struct model_file *file = calloc(1, sizeof *file);
    char text[512], path[128];
    snprintf(text, sizeof text,
             "{\"in_features\":%d,\"out_features\":%d,\"bias\":%s,\"activation_function\":\"%s\"}",
             columns, rows, bias ? "true" : "false", activation);
    put_config(folder, text);
    file->form = &form;
    strcpy(file->header, "{");
    put_tensor(file, "linear.weight", rows, columns);
    if (bias)
        put_tensor(file, "linear.bias", 0, rows);
    strcat(file->header, "}");
    snprintf(path, sizeof path, "tiny/%s/model.safetensors", folder);
    put_safetensors(path, file->header, file->data, file->used);
    free(file);
}

/* A vector on its way. */
struct vector {
    double x[MOST_WIDTH];
    int width;
};

/* Appends one pooling of states, of which the first `skip` don't count. */
static inline void reference_pool(int mode, const double *states, int skip, int tokens,
                                  struct vector *to) {
    double *out = to->x + to->width, weights = 0;
    for (int c = 0; c < DIM; c++)
        out[c] = mode == 1 ? -INFINITY : 0;
    for (int t = skip; t < tokens; t++) {
        const double weight = mode == 0   ? t == skip
                              : mode == 5 ? t == tokens - 1
                              : mode == 4 ? t + 1
                                          : 1;
        weights += weight;
        for (int c = 0; c < DIM; c++)
            out[c] = mode == 1 ? fmax(out[c], states[t * DIM + c])
                               : out[c] + weight * states[t * DIM + c];
    }
    for (int c = 0; c < DIM && mode != 1; c++)
        out[c] /= mode == 3 ? sqrt(weights) : weights;
    to->width += DIM;
}

static inline void reference_normalise(struct vector *v) {
    double squares = 0;
    for (int c = 0; c < v->width; c++)
        squares += v->x[c] * v->x[c];
    for (int c = 0; c < v->width; c++)
        v->x[c] /= sqrt(squares);
}

/* Activations by the first letter of their names: Identity, Tanh, ReLU, GELU, Sigmoid. */
static inline void reference_dense(struct vector *v, int rows, bool bias, char activation) {
    struct vector out = {.width = rows};
    for (int r = 0; r < rows; r++) {
        double sum = bias ? weight_of("linear.bias", r) : 0;
        for (int c = 0; c < v->width; c++)
            sum += v->x[c] * weight_of("linear.weight", (int64_t)r * v->width + c);
        out.x[r] = activation == 'T'   ? tanh(sum)
                   : activation == 'R' ? fmax(sum, 0)
                   : activation == 'G' ? sum * erfc(-sum / sqrt(2)) / 2
                   : activation == 'S' ? 1 / (1 + exp(-sum))
                                       : sum;
    }
    *v = out;
}

/* The message of a model that can't be opened. */
static inline const char *refusal(void) {
    static char message[FAULT_SIZE];
    static struct encoder e;
    message[0] = '\0';
    if (encoder_open("tiny", 1, NULL, &e, message)) {
        encoder_close(&e);
        return "opened";
    }
    return message;
}

static inline void expect_refusal(const char *file, const char *what) {
    const char *message = refusal();
    cr_expect(strstr(message, file) && strstr(message, what), "found \"%s\", expected %s and %s",
              message, file, what);
}

#endif
