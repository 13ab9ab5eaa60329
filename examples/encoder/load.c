/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a model's folder: what its configuration says, and the weights by their names. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encoder.h"

enum { MAX_PATH = 4096, MAX_JSON = 1 << 20, MAX_SIZE = 1 << 20, PADDING = 128 };

/* A configuration, and the first thing that is wrong. */
struct config {
    char path[MAX_PATH];
    cJSON *json;
    bool good;
    char *message;
};

/* An optional file that isn't there is an empty object. */
static struct config open_config(const char *folder, const char *name, bool optional,
                                 char *message) {
    struct config c = {.message = message};
    if ((size_t)snprintf(c.path, sizeof c.path, "%s/%s", folder, name) >= sizeof c.path) {
        fault(message, "%.64s...: found a path that is too long", folder);
        return c;
    }
    if (optional && access(c.path, F_OK) != 0) {
        c.json = cJSON_CreateObject();
    } else {
        size_t size;
        char *text = read_file(c.path, MAX_JSON, &size, message);
        if (!text)
            return c;
        c.json = cJSON_ParseWithOpts(text, NULL, true);
        free(text);
    }
    c.good = cJSON_IsObject(c.json) || fault(message, "%s: is not an object in JSON", c.path);
    return c;
}

static const cJSON *member(struct config *c, const char *name) {
    return c->good ? cJSON_GetObjectItemCaseSensitive(c->json, name) : NULL;
}

/* A whole number of 1 to `most`, or the default, if there is one, where it isn't given. */
static int64_t number(struct config *c, const char *name, int64_t missing, int64_t most) {
    const cJSON *item = member(c, name);
    if (!c->good || ((!item || cJSON_IsNull(item)) && missing))
        return missing;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    if (!(value >= 1 && value <= (double)most) || value != floor(value)) {
        c->good = fault(c->message, "%s: %s: expected a whole number of 1 to %lld", c->path, name,
                        (long long)most);
        return 1;
    }
    return (int64_t)value;
}

/* true, false, or what holds without it. */
static bool flag(struct config *c, const char *name, bool missing) {
    const cJSON *item = member(c, name);
    if (!item || cJSON_IsNull(item))
        return missing;
    if (!cJSON_IsBool(item))
        c->good = fault(c->message, "%s: %s: expected true or false", c->path, name);
    return cJSON_IsTrue(item);
}

/* A text that has to be the one that this encoder knows. */
static void expect_text(struct config *c, const char *name, const char *expected) {
    const cJSON *item = member(c, name);
    if (item && (!cJSON_IsString(item) || strcmp(item->valuestring, expected) != 0))
        c->good = fault(c->message, "%s: %s: found %.40s, expected \"%s\"", c->path, name,
                        cJSON_IsString(item) ? item->valuestring : "no text", expected);
}

static bool read_sizes(struct encoder *e, const char *folder, char *message) {
    struct config c = open_config(folder, "config.json", false, message);
    expect_text(&c, "model_type", "bert");
    expect_text(&c, "hidden_act", "gelu");
    expect_text(&c, "position_embedding_type", "absolute");
    e->layers = number(&c, "num_hidden_layers", 0, 1024);
    e->heads = number(&c, "num_attention_heads", 0, MAX_SIZE);
    e->dim = number(&c, "hidden_size", 0, MAX_SIZE);
    e->inner = number(&c, "intermediate_size", 0, MAX_SIZE);
    e->vocabulary_size = number(&c, "vocab_size", 0, 1 << 24);
    e->positions = number(&c, "max_position_embeddings", 512, MAX_SIZE);
    e->types = number(&c, "type_vocab_size", 2, MAX_SIZE);
    const cJSON *epsilon = member(&c, "layer_norm_eps");
    e->epsilon = cJSON_IsNumber(epsilon) ? (float)epsilon->valuedouble : 1e-12f;
    if (c.good && e->dim % e->heads != 0)
        c.good =
            fault(message, "%s: hidden_size: found %lld, expected a multiple of the %lld heads",
                  c.path, (long long)e->dim, (long long)e->heads);
    if (c.good && (!(e->epsilon >= 0) || e->positions < 2))
        c.good = fault(message, "%s: expected layer_norm_eps of 0 or more and 2 positions or more",
                       c.path);
    e->head_dim = c.good ? e->dim / e->heads : 0;
    cJSON_Delete(c.json);
    return c.good;
}

/* The length of sentences, how they are pooled, and how text is split. */
static bool read_options(struct encoder *e, const char *folder, char *message) {
    struct config c = open_config(folder, "sentence_bert_config.json", true, message);
    const int64_t length = number(&c, "max_seq_length", e->positions, INT32_MAX);
    e->most_tokens = length < 2 ? 2 : length < e->positions ? length : e->positions;
    cJSON_Delete(c.json);
    if (!c.good)
        return false;
    c = open_config(folder, "1_Pooling/config.json", true, message);
    e->pools_first = flag(&c, "pooling_mode_cls_token", false);
    if (!flag(&c, "pooling_mode_mean_tokens", !e->pools_first) && !e->pools_first && c.good)
        c.good = fault(message, "%s: expected pooling by the mean or by the first token", c.path);
    cJSON_Delete(c.json);
    if (!c.good)
        return false;
    c = open_config(folder, "tokenizer_config.json", true, message);
    e->vocabulary.lowercase = flag(&c, "do_lower_case", true);
    e->vocabulary.strip_accents = flag(&c, "strip_accents", e->vocabulary.lowercase);
    e->vocabulary.split_chinese = flag(&c, "tokenize_chinese_chars", true);
    cJSON_Delete(c.json);
    return c.good;
}

/* Looks for weights, until one isn't as it should be. */
struct loader {
    struct encoder *e;
    const char *prefix; /* of all names: "bert." in a model with a head on top */
    char *message;
    float *next_norm;
    bool good;
};

/* A matrix, or with 0 rows a vector. */
static void find(struct loader *l, const char *place, const char *name, int64_t rows,
                 int64_t columns, rapt_tensor *to) {
    char full[160];
    snprintf(full, sizeof full, "%s%s%s", l->prefix, place, name);
    l->good = l->good && safetensors_view(&l->e->weights, full, rows, columns, to, l->message);
}

/* A linear layer: its matrix and its bias. */
static void find_linear(struct loader *l, const char *place, const char *name, int64_t rows,
                        int64_t columns, rapt_tensor *weight, rapt_tensor *bias) {
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    find(l, place, full, rows, columns, weight);
    snprintf(full, sizeof full, "%s.bias", name);
    find(l, place, full, 0, rows, bias);
}

/* A vector as floats: a table of one row. */
static float *find_floats(struct loader *l, const char *place, const char *name, const char *part) {
    char full[96];
    rapt_tensor table = {0};
    float *to = l->next_norm;
    const int64_t *const first_row = NULL;
    const rapt_tensor out = rapt_tensor_bhsd(to, RAPT_F32, 1, 1, 1, l->e->dim);
    snprintf(full, sizeof full, "%s.%s", name, part);
    find(l, place, full, 0, l->e->dim, &table);
    if (l->good && rapt_embed(1, &table, &first_row, &out) != RAPT_OK)
        l->good =
            fault(l->message, "%s: %s%s: %s", l->e->weights.path, place, full, rapt_last_error());
    l->next_norm += l->e->dim;
    return to;
}

static struct encoder_norm find_norm(struct loader *l, const char *place, const char *name) {
    float *const weight = find_floats(l, place, name, "weight");
    return (struct encoder_norm){weight, find_floats(l, place, name, "bias")};
}

static void make_attention(struct loader *l, struct encoder_layer *layer) {
    rapt_mha_args *args = &layer->weights;
    args->model_dim = l->e->dim;
    args->q_heads = l->e->heads;
    args->isa = l->e->isa;
    for (int alone = 0; alone < 2; alone++) {
        args->threads = alone ? 1 : l->e->threads;
        if (l->good && rapt_mha_create(args, &layer->attention[alone]) != RAPT_OK)
            l->good = fault(l->message, "%s: %s", l->e->weights.path, rapt_last_error());
    }
}

static void load_layer(struct loader *l, int64_t index) {
    struct encoder_layer *layer = &l->e->layer[index];
    const int64_t dim = l->e->dim, inner = l->e->inner;
    char place[48];
    snprintf(place, sizeof place, "encoder.layer.%lld.", (long long)index);
    rapt_mha_args *a = &layer->weights;
    rapt_linear_args *f = &layer->feed;
    *a = rapt_mha_defaults();
    *f = rapt_linear_defaults();
    f->activation = RAPT_ACTIVATION_GELU;
    find_linear(l, place, "attention.self.query", dim, dim, &a->w_query, &a->b_query);
    find_linear(l, place, "attention.self.key", dim, dim, &a->w_key, &a->b_key);
    find_linear(l, place, "attention.self.value", dim, dim, &a->w_value, &a->b_value);
    find_linear(l, place, "attention.output.dense", dim, dim, &a->w_out, &a->b_out);
    layer->attention_norm = find_norm(l, place, "attention.output.LayerNorm");
    find_linear(l, place, "intermediate.dense", inner, dim, &f->weight, &f->bias);
    find_linear(l, place, "output.dense", dim, inner, &f->outer, &f->outer_bias);
    layer->norm = find_norm(l, place, "output.LayerNorm");
    make_attention(l, layer);
}

static bool load_weights(struct encoder *e, char *message) {
    struct loader l = {.e = e, .prefix = "", .message = message, .good = true};
    if (safetensors_find(&e->weights, "bert.embeddings.word_embeddings.weight"))
        l.prefix = "bert.";
    e->layer = calloc((size_t)e->layers, sizeof *e->layer);
    e->norms = malloc((size_t)(2 + 4 * e->layers) * (size_t)e->dim * sizeof *e->norms);
    l.next_norm = e->norms;
    if (!e->layer || !e->norms)
        return fault(message, "%s: no memory for %lld layers", e->weights.path,
                     (long long)e->layers);
    find(&l, "embeddings.", "word_embeddings.weight", e->vocabulary_size, e->dim, &e->words);
    find(&l, "embeddings.", "position_embeddings.weight", e->positions, e->dim, &e->places);
    find(&l, "embeddings.", "token_type_embeddings.weight", e->types, e->dim, &e->kinds);
    e->embedding_norm = find_norm(&l, "embeddings.", "LayerNorm");
    for (int64_t i = 0; l.good && i < e->layers; i++)
        load_layer(&l, i);
    return l.good;
}

static bool open_files(struct encoder *e, const char *folder, char *message) {
    char path[MAX_PATH];
    if (!read_sizes(e, folder, message))
        return false;
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    if (!wordpiece_open(path, &e->vocabulary, message))
        return false;
    const int64_t rows = e->vocabulary_size, tokens = e->vocabulary.count;
    if (tokens > rows || tokens <= rows - PADDING)
        return fault(message,
                     "%s: found %lld tokens, expected the %lld of config.json's vocab_size", path,
                     (long long)tokens, (long long)rows);
    snprintf(e->path, sizeof e->path, "%s/model.safetensors", folder);
    return read_options(e, folder, message) && safetensors_open(e->path, &e->weights, message) &&
           load_weights(e, message);
}

bool encoder_open(const char *folder, int threads, const char *isa, struct encoder *e,
                  char message[FAULT_SIZE]) {
    *e = (struct encoder){.threads = threads, .isa = isa};
    if (open_files(e, folder, message))
        return true;
    encoder_close(e);
    return false;
}

void encoder_close(struct encoder *e) {
    for (int64_t i = 0; e->layer && i < 2 * e->layers; i++)
        rapt_mha_destroy(e->layer[i / 2].attention[i % 2]);
    free(e->layer);
    free(e->norms);
    wordpiece_close(&e->vocabulary);
    safetensors_close(&e->weights);
    *e = (struct encoder){0};
}
