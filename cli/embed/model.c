/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/embed/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/base/args.h"
#include "cli/base/files.h"

static const char default_model[] = "rapt/models/all-MiniLM-L6-v2";

void model_find(char *folder, size_t size) {
    const char *named = getenv("RAPT_MODEL"), *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (named && *named)
        snprintf(folder, size, "%s", named);
    else if (data && *data)
        snprintf(folder, size, "%s/%s", data, default_model);
    else
        snprintf(folder, size, "%s/.local/share/%s", home ? home : "", default_model);
}

bool model_open(const char *command, const struct model_choice *choice, struct encoder *encoder) {
    char found[4096], message[FAULT_SIZE];
    const char *folder = choice->folder;
    if (!folder) {
        model_find(found, sizeof found);
        folder = found;
    }
    if (access(folder, F_OK) != 0) {
        args_fail(command,
                  "%s: found no model there; scripts/get-model fetches one, or name a "
                  "folder with --model or RAPT_MODEL",
                  folder);
        return false;
    }
    /* What it is read from can't be an output, whether the reader gets as far as that or not. */
    if (!files_add_model(command, folder))
        return false;
    if (encoder_open(folder, choice->threads, choice->isa, encoder, message))
        return true;
    args_fail(command, "%s", message);
    return false;
}

/* Queries, keys or values of a layer's heads, which the layer itself keeps to itself. */
static bool project(const struct encoder *e, const float *hidden, int64_t tokens,
                    const rapt_tensor *weight, const rapt_tensor *bias, float *out) {
    const int64_t dim = e->head_dim;
    for (int64_t h = 0; h < e->heads; h++) {
        rapt_linear_args args = rapt_linear_defaults();
        args.input = rapt_tensor_bhsd(hidden, RAPT_F32, 1, 1, tokens, e->dim);
        args.out = rapt_tensor_bhsd(out + h * tokens * dim, RAPT_F32, 1, 1, tokens, dim);
        args.weight = *weight;
        args.bias = *bias;
        args.weight.shape[2] = args.bias.shape[3] = dim;
        args.weight.data = (char *)weight->data + h * dim * e->dim * rapt_dtype_size(weight->dtype);
        args.bias.data = (char *)bias->data + h * dim * rapt_dtype_size(bias->dtype);
        args.threads = e->threads;
        args.isa = e->isa;
        if (rapt_linear(&args, NULL, 0) != RAPT_OK)
            return false;
    }
    return true;
}

static bool fill_layers(const struct encoder *e, int64_t tokens, const float *hidden,
                        float *const heads[3], char *message) {
    for (int64_t i = 0; i < e->layers; i++) {
        const rapt_mha_args *l = &e->layer[i].weights;
        const float *entering = hidden + i * tokens * e->dim;
        const int64_t at = i * tokens * e->dim;
        if (!project(e, entering, tokens, &l->w_query, &l->b_query, heads[0] + at) ||
            !project(e, entering, tokens, &l->w_key, &l->b_key, heads[1] + at) ||
            !project(e, entering, tokens, &l->w_value, &l->b_value, heads[2] + at))
            return fault(message, "%s", rapt_last_error());
    }
    return true;
}

/* The tokens as strings behind the text, all in one piece of memory. */
static bool name_tokens(const struct encoder *e, const char *text, const int64_t *ids,
                        struct sample *into, char *strings) {
    into->tokens = malloc((size_t)into->token_count * sizeof *into->tokens);
    if (!into->tokens)
        return false;
    into->text = strings;
    strings = stpcpy(strings, text) + 1;
    for (int i = 0; i < into->token_count; i++) {
        into->tokens[i] = strings;
        strings = stpcpy(strings, e->vocabulary.tokens[ids[i]]) + 1;
    }
    return true;
}

static bool fill_sample(const struct encoder *e, const char *text, int64_t *ids,
                        struct sample *into, char *message) {
    const int64_t tokens = encoder_split(e, text, strlen(text), ids, NULL), cu[2] = {0, tokens};
    const size_t states = (size_t)tokens * (size_t)e->dim, all = states * (size_t)e->layers;
    size_t text_size = strlen(text) + 1;
    for (int64_t i = 0; i < tokens; i++)
        text_size += strlen(e->vocabulary.tokens[ids[i]]) + 1;
    float *numbers = malloc((states + 4 * all) * sizeof *numbers + text_size);
    into->memory = numbers;
    into->token_count = (int)tokens;
    if (!numbers || !name_tokens(e, text, ids, into, (char *)(numbers + states + 4 * all)))
        return fault(message, "no memory for %lld tokens", (long long)tokens);
    float *const hidden = numbers + states;
    float *const heads[3] = {hidden + all, hidden + 2 * all, hidden + 3 * all};
    into->hidden = hidden;
    into->query = heads[0];
    into->key = heads[1];
    into->value = heads[2];
    return encoder_run(e, ids, cu, 1, false, numbers, hidden, message) &&
           fill_layers(e, tokens, hidden, heads, message);
}

/* The name of its folder. */
static const char *model_name(const struct encoder *e) {
    static char name[64];
    const char *end = e->folder + strlen(e->folder), *start;
    while (end > e->folder && end[-1] == '/')
        end--;
    start = end;
    while (start > e->folder && start[-1] != '/')
        start--;
    snprintf(name, sizeof name, "%.*s", (int)(end - start), start);
    return name;
}

bool model_report_cut(const char *command, const struct model_choice *choice, const char *what,
                      const struct encoder *e, const struct encoder_texts *texts) {
    struct encoder_cut cut;
    char message[FAULT_SIZE];
    if (!encoder_measure(e, texts, &cut, message)) {
        args_fail(command, "%s", message);
        return false;
    }
    if (cut.texts && choice->whole)
        args_fail(command, "%s %lld: found %lld tokens, expected at most the model's %lld", what,
                  (long long)cut.first + 1, (long long)cut.first_tokens, (long long)e->most_tokens);
    else if (cut.texts)
        fprintf(stderr,
                "rapt %s: cut %lld of %lld %ss to the model's %lld tokens, by %lld in all; the "
                "first is %s %lld\n",
                command, (long long)cut.texts, (long long)texts->count, what,
                (long long)e->most_tokens, (long long)cut.tokens, what, (long long)cut.first + 1);
    return !cut.texts || !choice->whole;
}

bool model_samples(const char *command, const struct model_choice *choice, char *const *texts,
                   int count, struct samples *result) {
    static struct encoder e;
    char message[FAULT_SIZE];
    *result = (struct samples){0};
    const struct encoder_texts all = {
        .sentences = (const char *const *)texts, .count = count, .prompt = ""};
    if (!model_open(command, choice, &e))
        return false;
    if (!model_report_cut(command, choice, "text", &e, &all)) {
        encoder_close(&e);
        return false;
    }
    *result = (struct samples){
        .model = model_name(&e),
        .layers = (int)e.layers,
        .heads = (int)e.heads,
        .head_dim = (int)e.head_dim,
        .model_dim = (int)e.dim,
        .count = count,
        .sentences = calloc((size_t)count, sizeof *result->sentences),
    };
    int64_t *ids = malloc((size_t)e.most_tokens * sizeof *ids);
    bool good = (ids && result->sentences) || fault(message, "no memory for %d texts", count);
    for (int i = 0; good && i < count; i++)
        good = fill_sample(&e, texts[i], ids, &result->sentences[i], message);
    free(ids);
    encoder_close(&e);
    if (!good) {
        args_fail(command, "%s", message);
        result->count = result->sentences ? count : 0;
        samples_free(result);
    }
    return good;
}
