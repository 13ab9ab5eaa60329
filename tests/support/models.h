/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small model of BERT's layout in a folder, with weights that follow from their names. Its
 * forward pass in double precision shares nothing with the encoder but those names.
 */
#ifndef RAPT_TESTS_SUPPORT_MODELS_H
#define RAPT_TESTS_SUPPORT_MODELS_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/command.h"
#include "simd/dispatch.h"

enum { LAYERS = 2, HEADS = 3, DIM = 24, INNER = 40, POSITIONS = 12, KINDS = 2, VOCABULARY = 26 };

static const char vocabulary_text[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\n##s\n##at\non\nm\n##a\na\n.\n,\n!\ncafe\n"
    "\xe4\xb8\xad\n\xe6\x96\x87\ni\n##i\nb\n##b\nu\n\xc3\x9f\n";

/* What a model is like; zeros stand for f32, no prefix, and tensors where their types want them. */
struct model_form {
    rapt_dtype dtype;
    const char *prefix;
    bool odd; /* tensors begin at odd bytes of the file */
};

/* Element i of a tensor: k / 64 of -1/2 to 1/2, which each type has exactly; 1 more in a norm. */
static inline double weight_of(const char *name, int64_t i) {
    uint64_t state = 1469598103934665603u + (uint64_t)i * 0x9e3779b97f4a7c15u;
    for (const char *c = name; *c; c++)
        state = (state ^ (unsigned char)*c) * 1099511628211u;
    state = (state ^ state >> 31) * 0xbf58476d1ce4e5b9u;
    const char *end = strstr(name, "LayerNorm.weight");
    return (double)((int)(state >> 40) % 32 - 16) / (end ? 64 : 32) + (end ? 1 : 0);
}

static inline void put_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "%s", path);
}
static inline void put_text(const char *path, const char *text) {
    put_file(path, text, strlen(text));
}

/* Header and data of a file as it grows. */
struct model_file {
    const struct model_form *form;
    char header[16384];
    unsigned char data[1 << 18];
    size_t used;
};

static inline void put_tensor(struct model_file *file, const char *name, int rows, int columns) {
    const rapt_dtype dtype = file->form->dtype ? file->form->dtype : RAPT_F32;
    const char *type = dtype == RAPT_F32 ? "F32" : dtype == RAPT_F16 ? "F16" : "BF16";
    const int n = (rows ? rows : 1) * columns;
    const size_t bytes = (size_t)n * (size_t)rapt_dtype_size(dtype);
    char shape[32];
    if (rows)
        snprintf(shape, sizeof shape, "%d,%d", rows, columns);
    else
        snprintf(shape, sizeof shape, "%d", columns);
    const size_t length = strlen(file->header);
    snprintf(file->header + length, sizeof file->header - length,
             "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
             length > 1 ? "," : "", file->form->prefix ? file->form->prefix : "", name, type, shape,
             file->used, file->used + bytes);
    for (int i = 0; i < n; i++) {
        const float number = (float)weight_of(name, i);
        rapt_kernels_best()->narrow(file->data + file->used, &number, dtype, 1);
        file->used += (size_t)rapt_dtype_size(dtype);
    }
}

static inline void put_linear(struct model_file *file, const char *name, int rows, int columns) {
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    put_tensor(file, full, columns ? rows : 0, columns ? columns : rows);
    snprintf(full, sizeof full, "%s.bias", name);
    put_tensor(file, full, 0, rows);
}

static const struct {
    const char *name;
    int rows, columns; /* 0 columns for a norm */
} layer_parts[] = {
    {"attention.self.query", DIM, DIM},     {"attention.self.key", DIM, DIM},
    {"attention.self.value", DIM, DIM},     {"attention.output.dense", DIM, DIM},
    {"attention.output.LayerNorm", DIM, 0}, {"intermediate.dense", INNER, DIM},
    {"output.dense", DIM, INNER},           {"output.LayerNorm", DIM, 0},
};

/* Writes header and data as a .safetensors file. */
static inline void put_safetensors(const char *path, const char *header, const void *data,
                                   size_t size) {
    const size_t length = strlen(header);
    unsigned char *all = malloc(8 + length + size);
    for (int i = 0; i < 8; i++)
        all[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(all + 8, header, length);
    memcpy(all + 8 + length, data, size);
    put_file(path, all, 8 + length + size);
    free(all);
}

static inline void put_weights(const struct model_form *form) {
    struct model_file *file = calloc(1, sizeof *file);
    file->form = form;
    strcpy(file->header, "{");
    put_tensor(file, "embeddings.word_embeddings.weight", VOCABULARY, DIM);
    put_tensor(file, "embeddings.position_embeddings.weight", POSITIONS, DIM);
    put_tensor(file, "embeddings.token_type_embeddings.weight", KINDS, DIM);
    put_linear(file, "embeddings.LayerNorm", DIM, 0);
    for (int layer = 0; layer < LAYERS; layer++)
        for (size_t i = 0; i < sizeof layer_parts / sizeof *layer_parts; i++) {
            char name[96];
            snprintf(name, sizeof name, "encoder.layer.%d.%s", layer, layer_parts[i].name);
            put_linear(file, name, layer_parts[i].rows, layer_parts[i].columns);
        }
    strcat(file->header, "}");
    while (strlen(file->header) % 8 != (form->odd ? 1 : 0))
        strcat(file->header, " ");
    put_safetensors("tiny/model.safetensors", file->header, file->data, file->used);
    free(file);
}

static const char model_text[] =
    "{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"num_hidden_layers\":2,"
    "\"num_attention_heads\":3,\"hidden_size\":24,\"intermediate_size\":40,\"vocab_size\":26,"
    "\"max_position_embeddings\":12,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12}";

/* The folder "tiny" in the working folder. */
static inline void put_model(const struct model_form *form) {
    mkdir("tiny", 0700);
    put_text("tiny/config.json", model_text);
    put_text("tiny/vocab.txt", vocabulary_text);
    put_weights(form);
}
static inline void remove_model(void) {
    cr_expect(system("rm -r tiny") == 0);
}

/* rows of x * weightᵀ + bias */
static inline void reference_linear(const char *name, const double *x, int tokens, int columns,
                                    int rows, double *out) {
    char weight[128], bias[128];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++) {
            double sum = weight_of(bias, r);
            for (int c = 0; c < columns; c++)
                sum += x[t * columns + c] * weight_of(weight, r * columns + c);
            out[t * rows + r] = sum;
        }
}

static inline void reference_norm(const char *name, double *x, const double *y, int tokens) {
    char weight[128], bias[128];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    for (int t = 0; t < tokens; t++, x += DIM) {
        double mean = 0, square = 0;
        for (int c = 0; c < DIM; c++)
            mean += (x[c] += y ? y[t * DIM + c] : 0) / DIM;
        for (int c = 0; c < DIM; c++)
            square += (x[c] - mean) * (x[c] - mean) / DIM;
        for (int c = 0; c < DIM; c++)
            x[c] = (x[c] - mean) / sqrt(square + 1e-12) * weight_of(weight, c) + weight_of(bias, c);
    }
}

static inline void reference_attention(const double *q, const double *k, const double *v,
                                       int tokens, double *out) {
    enum { D = DIM / HEADS };
    double score[POSITIONS];
    for (int h = 0; h < HEADS; h++)
        for (int t = 0; t < tokens; t++) {
            double sum = 0;
            for (int s = 0; s < tokens; s++) {
                double product = 0;
                for (int c = h * D; c < h * D + D; c++)
                    product += q[t * DIM + c] * k[s * DIM + c];
                sum += score[s] = exp(product / sqrt(D));
            }
            for (int c = h * D; c < h * D + D; c++) {
                out[t * DIM + c] = 0;
                for (int s = 0; s < tokens; s++)
                    out[t * DIM + c] += score[s] / sum * v[s * DIM + c];
            }
        }
}

/* The last states of a sentence. */
static inline void reference_states(const int64_t *ids, int tokens, double *x) {
    static double q[POSITIONS * DIM], k[POSITIONS * DIM], v[POSITIONS * DIM];
    static double mixed[POSITIONS * DIM], inner[POSITIONS * INNER];
    for (int i = 0; i < tokens * DIM; i++)
        x[i] = weight_of("embeddings.word_embeddings.weight", ids[i / DIM] * DIM + i % DIM) +
               weight_of("embeddings.position_embeddings.weight", i) +
               weight_of("embeddings.token_type_embeddings.weight", i % DIM);
    reference_norm("embeddings.LayerNorm", x, NULL, tokens);
    for (int layer = 0; layer < LAYERS; layer++) {
        char name[8][96];
        for (int i = 0; i < 8; i++)
            snprintf(name[i], sizeof name[i], "encoder.layer.%d.%s", layer, layer_parts[i].name);
        reference_linear(name[0], x, tokens, DIM, DIM, q);
        reference_linear(name[1], x, tokens, DIM, DIM, k);
        reference_linear(name[2], x, tokens, DIM, DIM, v);
        reference_attention(q, k, v, tokens, mixed);
        reference_linear(name[3], mixed, tokens, DIM, DIM, q);
        reference_norm(name[4], x, q, tokens);
        reference_linear(name[5], x, tokens, DIM, INNER, inner);
        for (int i = 0; i < tokens * INNER; i++)
            inner[i] *= 0.5 * erfc(-inner[i] / sqrt(2));
        reference_linear(name[6], inner, tokens, INNER, DIM, mixed);
        reference_norm(name[7], x, mixed, tokens);
    }
}

/* A test with a model in its folder. */
static inline void enter_model(void) {
    enter();
    put_model(&(struct model_form){0});
}
static inline void leave_model(void) {
    remove_model();
    leave();
}

#endif
