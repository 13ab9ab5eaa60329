/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a model's folder: what its configuration says, and the weights by their names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/config.h"
#include "model/encoder.h"
#include "model/tokenizer.h"

enum { MAX_SIZE = 1 << 20, PADDING = 128 };

/* What would make another model of it. */
static void expect_plain(struct config *c) {
    if (!config_member(c, "model_type"))
        config_fault(c, "model_type", "expected \"bert\"");
    config_expect_text(c, "model_type", "bert");
    config_expect_text(c, "hidden_act", "gelu");
    config_expect_text(c, "position_embedding_type", "absolute");
    config_expect_flag(c, "is_decoder", false);
    config_expect_flag(c, "is_causal", false);
    config_expect_flag(c, "add_cross_attention", false);
    config_expect_nothing(c, "pruned_heads");
    config_expect_nothing(c, "quantization_config");
    config_expect_nothing(c, "auto_map");
}

static bool read_sizes(struct encoder *e, const char *folder, char *message) {
    struct config c = config_open(folder, "config.json", false, message);
    expect_plain(&c);
    e->layers = config_number(&c, "num_hidden_layers", 0, 1, 1024);
    e->heads = config_number(&c, "num_attention_heads", 0, 1, MAX_SIZE);
    e->dim = config_number(&c, "hidden_size", 0, 1, MAX_SIZE);
    e->inner = config_number(&c, "intermediate_size", 0, 1, MAX_SIZE);
    e->vocabulary_size = config_number(&c, "vocab_size", 0, 1, 1 << 24);
    e->positions = config_number(&c, "max_position_embeddings", 512, 2, MAX_SIZE);
    e->types = config_number(&c, "type_vocab_size", 2, 1, MAX_SIZE);
    const cJSON *epsilon = config_member(&c, "layer_norm_eps");
    e->epsilon = cJSON_IsNumber(epsilon) ? (float)epsilon->valuedouble : 1e-12f;
    if (c.good && e->dim % e->heads != 0)
        c.good =
            fault(message, "%s: hidden_size: found %lld, expected a multiple of the %lld heads",
                  c.path, (long long)e->dim, (long long)e->heads);
    if (epsilon && !(cJSON_IsNumber(epsilon) && e->epsilon >= 0))
        config_fault(&c, "layer_norm_eps", "expected a number of 0 or more");
    e->head_dim = c.good ? e->dim / e->heads : 0;
    return config_close(&c);
}

/* States of tokens as they leave the last layer, of text alone: what the library calls a task. */
static void expect_states(struct config *c) {
    const cJSON *kinds = config_member(c, "modality_config"), *kind;
    cJSON_ArrayForEach(kind, kinds) {
        const char *method = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(kind, "method"));
        const char *out =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(kind, "method_output_name"));
        if (!method || !out || strcmp(method, "forward") != 0 ||
            strcmp(out, "last_hidden_state") != 0)
            config_fault(c, "modality_config", "expected the last_hidden_state of forward");
    }
    config_expect_text(c, "transformer_task", "feature-extraction");
    config_expect_text(c, "module_output_name", "token_embeddings");
}

/* Keys of sentence_bert_config.json that stand for arguments of the library's own calls. */
static const char *const unsupported[] = {
    "processing_kwargs", "query_length",     "document_length", "query_expansion",
    "model_args",        "model_kwargs",     "config_args",     "config_kwargs",
    "tokenizer_args",    "processor_kwargs", "backend",         "tokenizer_name_or_path",
};
enum { UNSUPPORTED = sizeof unsupported / sizeof *unsupported };

/* The length of texts, and whether they lose case before all else. */
static bool read_options(struct encoder *e, const char *folder, char *message) {
    /* Any of them is read, the first one that is there. */
    static const char *const files[] = {
        "sentence_bert_config.json",       "sentence_roberta_config.json",
        "sentence_distilbert_config.json", "sentence_camembert_config.json",
        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json",
    };
    static const char *const known[] = {"max_seq_length",     "do_lower_case",
                                        "unpad_inputs",       "transformer_task",
                                        "module_output_name", "modality_config"};
    const char *names[UNSUPPORTED + 6];
    struct config c = config_open(folder, files[0], true, message);
    for (int i = 1; i < 7 && c.good && !c.json->child; i++) {
        config_close(&c);
        c = config_open(folder, files[i], true, message);
    }
    memcpy(names, unsupported, sizeof unsupported);
    memcpy(names + UNSUPPORTED, known, sizeof known);
    config_expect_names(&c, names, UNSUPPORTED + 6);
    for (int i = 0; i < UNSUPPORTED; i++)
        config_expect_nothing(&c, unsupported[i]);
    expect_states(&c);
    const int64_t length = config_number(&c, "max_seq_length", e->most_tokens, 2, INT32_MAX);
    if (config_member(&c, "max_seq_length"))
        e->most_tokens = length < e->positions ? length : e->positions;
    e->vocabulary.lowercase = config_flag(&c, "do_lower_case", false) || e->vocabulary.lowercase;
    return config_close(&c);
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
    if (*l.prefix && safetensors_find(&e->weights, "embeddings.word_embeddings.weight"))
        return fault(message,
                     "%s: found the model's tensors with and without \"bert.\" in front, "
                     "expected one of them",
                     e->weights.path);
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

static bool expect_no_adapter(const char *folder, char *message) {
    char path[CONFIG_PATH];
    if (!config_path(path, folder, "adapter_config.json", message))
        return false;
    return access(path, F_OK) != 0 ||
           fault(message, "%s: adapters are not supported, expected a model with its own merged in",
                 path);
}

static bool open_files(struct encoder *e, const char *folder, char *message) {
    if (!modules_open(folder, &e->modules, message))
        return false;
    const char *own = e->modules.transformer;
    if (!read_sizes(e, own, message) || !expect_no_adapter(own, message))
        return false;
    e->most_tokens = e->positions;
    e->width = e->dim;
    if (!modules_check(&e->modules, &e->width, &e->widest, message) ||
        !tokenizer_open(own, &e->vocabulary, &e->most_tokens, message))
        return false;
    const int64_t rows = e->vocabulary_size, tokens = e->vocabulary.count;
    if (tokens > rows || tokens <= rows - PADDING)
        return fault(message,
                     "%s: found %lld tokens in the vocabulary, expected the %lld of config.json's "
                     "vocab_size",
                     own, (long long)tokens, (long long)rows);
    return read_options(e, own, message) && config_weights(e->path, own, message) &&
           safetensors_open(e->path, &e->weights, message) && load_weights(e, message);
}

bool encoder_open(const char *folder, int threads, const char *isa, struct encoder *e,
                  char message[FAULT_SIZE]) {
    *e = (struct encoder){.threads = threads, .isa = isa};
    snprintf(e->folder, sizeof e->folder, "%s", folder);
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
    modules_close(&e->modules);
    safetensors_close(&e->weights);
    *e = (struct encoder){0};
}
