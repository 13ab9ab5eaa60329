/* SPDX-License-Identifier: Apache-2.0 */
/* Reads modules.json and what it names. */
#include "model/modules.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(list) (int)(sizeof(list) / sizeof *(list))

enum { MOST_MODULES = 64, MOST_WIDTH = 1 << 20 };

static int find_name(const char *name, const char *const *names, int count) {
    int i = 0;
    while (name && i < count && strcmp(name, names[i]) != 0)
        i++;
    return name && i < count ? i : -1;
}

/* In the order of enum modules_pooling, in which they stand side by side. */
static const char *const poolings[POOLINGS] = {
    "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};
static const char *const pooling_names[] = {
    "pooling_mode_cls_token",
    "pooling_mode_max_tokens",
    "pooling_mode_mean_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
    "pooling_mode",
    "include_prompt",
    "word_embedding_dimension",
    "embedding_dimension",
};

static void add_pooling(struct config *c, struct modules *m, const char *text) {
    const int found = find_name(text, poolings, POOLINGS);
    char what[128];
    snprintf(what, sizeof what,
             "found %.40s, expected cls, max, mean, mean_sqrt_len_tokens, "
             "weightedmean or lasttoken",
             text ? text : "no text");
    if (found < 0)
        config_fault(c, "pooling_mode", what);
    else if (m->pooling_count == POOLINGS)
        config_fault(c, "pooling_mode", "found more than six of them");
    else
        m->pooling[m->pooling_count++] = (enum modules_pooling)found;
}

static bool read_pooling(const char *folder, bool optional, struct modules *m, char *message) {
    struct config c = config_open(folder, "config.json", optional, message);
    const cJSON *modes = config_member(&c, "pooling_mode"), *mode;
    bool flag[POOLINGS];
    config_expect_names(&c, pooling_names, COUNT(pooling_names));
    for (int i = 0; i < POOLINGS; i++)
        flag[i] = config_flag(&c, pooling_names[i], false);
    if (cJSON_IsArray(modes)) {
        cJSON_ArrayForEach(mode, modes) add_pooling(&c, m, cJSON_GetStringValue(mode));
    } else if (modes) {
        add_pooling(&c, m, cJSON_GetStringValue(modes));
    } else {
        for (int i = 0; i < POOLINGS; i++)
            if (flag[i])
                m->pooling[m->pooling_count++] = (enum modules_pooling)i;
        if (m->pooling_count == 0 && !config_member(&c, pooling_names[POOLING_MEAN]))
            m->pooling[m->pooling_count++] = POOLING_MEAN;
    }
    if (m->pooling_count == 0)
        config_fault(&c, "pooling_mode", "expected one or more");
    m->leaves_prompt_out = !config_flag(&c, "include_prompt", true);
    for (int i = 8; i < COUNT(pooling_names); i++)
        if (config_member(&c, pooling_names[i]))
            m->pooling_width = config_number(&c, pooling_names[i], 0, 1, MOST_WIDTH);
    memcpy(m->pooling_path, c.path, sizeof c.path);
    return config_close(&c);
}

/* The classes of torch.nn, by their full names or as torch.nn has them. */
static int find_activation(const char *name) {
    static const char *const names[ACTIVATIONS] = {"Identity", "Tanh", "ReLU", "GELU", "Sigmoid"};
    static const char *const places[] = {"torch.nn.", "torch.nn.modules.activation.",
                                         "torch.nn.modules.linear."};
    for (int i = 0; name && i < COUNT(places); i++) {
        const size_t length = strlen(places[i]);
        if (strncmp(name, places[i], length) == 0 &&
            find_name(name + length, names, ACTIVATIONS) >= 0)
            return find_name(name + length, names, ACTIVATIONS);
    }
    return -1;
}

static bool read_weights(const char *folder, bool bias, struct modules_step *step, char *message) {
    if (!config_weights(step->path, folder, message) ||
        !safetensors_open(step->path, &step->file, message) ||
        !safetensors_view(&step->file, "linear.weight", step->rows, step->columns, &step->weight,
                          message) ||
        (bias &&
         !safetensors_view(&step->file, "linear.bias", 0, step->rows, &step->bias, message)))
        return false;
    for (int i = 0; i < step->file.count; i++) {
        const char *name = step->file.entries[i].name;
        if (strcmp(name, "linear.weight") != 0 && !(bias && strcmp(name, "linear.bias") == 0))
            return fault(message, "%s: tensor %s: is not known", step->path, name);
    }
    return true;
}

static bool read_dense(const char *folder, struct modules_step *step, char *message) {
    static const char *const names[] = {
        "in_features",       "out_features",       "bias",        "activation_function",
        "module_input_name", "module_output_name", "use_residual"};
    struct config c = config_open(folder, "config.json", false, message);
    config_expect_names(&c, names, COUNT(names));
    step->columns = config_number(&c, "in_features", 0, 1, MOST_WIDTH);
    step->rows = config_number(&c, "out_features", 0, 1, MOST_WIDTH);
    const bool bias = config_flag(&c, "bias", true);
    const char *activation = config_text(&c, "activation_function");
    const int found = activation ? find_activation(activation) : ACTIVATION_TANH;
    char what[160];
    snprintf(what, sizeof what,
             "found %.60s, expected Identity, Tanh, ReLU, GELU or Sigmoid of torch.nn",
             activation ? activation : "no text");
    if (found < 0 || cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(c.json, "activation_function")))
        config_fault(&c, "activation_function", what);
    step->activation = found < 0 ? ACTIVATION_IDENTITY : (enum modules_activation)found;
    config_expect_text(&c, "module_input_name", "sentence_embedding");
    config_expect_text(&c, "module_output_name", "sentence_embedding");
    config_expect_flag(&c, "use_residual", false);
    return config_close(&c) && read_weights(folder, bias, step, message);
}

static bool read_normalize(const char *folder, char *message) {
    struct config c = config_open(folder, "config.json", true, message);
    config_expect_text(&c, "module_input_name", "sentence_embedding");
    config_expect_text(&c, "module_output_name", "sentence_embedding");
    return config_close(&c);
}

/* The class of a module: the packages where the library has had them, and the last name. */
static int find_type(const char *type) {
    static const char *const types[] = {"Transformer", "Pooling", "Dense", "Normalize"};
    static const char *const packages[] = {"sentence_transformers.models.",
                                           "sentence_transformers.base.modules.",
                                           "sentence_transformers.sentence_transformer.modules."};
    for (int i = 0; type && i < COUNT(packages); i++)
        if (strncmp(type, packages[i], strlen(packages[i])) == 0)
            return find_name(strrchr(type, '.') + 1, types, COUNT(types));
    return -1;
}

/* A path that stays within the folder. */
static bool is_inside(const char *path) {
    for (const char *at = path; path[0] != '/' && at; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || !at[2]))
            return false;
    }
    return path[0] != '/';
}

/* A module of the list: its place in it is checked, then its folder read. */
static bool read_module(struct config *c, const cJSON *item, int index, const char *folder,
                        struct modules *m) {
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "type"));
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "path"));
    const int found = find_type(type);
    char within[CONFIG_PATH];
    if (!type || !path || !is_inside(path))
        return fault(c->message, "%s: module %d: expected a type and a path within the folder",
                     c->path, index);
    if (found < 0)
        return fault(c->message,
                     "%s: module %d: found type %.80s, expected Transformer, Pooling, Dense or "
                     "Normalize of sentence-transformers",
                     c->path, index, type);
    if ((index == 0) != (found == 0) || (index == 1) != (found == 1))
        return fault(c->message,
                     "%s: module %d: found %.80s, expected a Transformer, a Pooling, and after "
                     "them Dense or Normalize",
                     c->path, index, type);
    if (!config_path(within, folder, path, c->message))
        return false;
    if (found == 0)
        memcpy(m->transformer, path[0] ? within : folder,
               path[0] ? strlen(within) + 1 : strlen(folder) + 1);
    if (found == 1)
        return read_pooling(within, false, m, c->message);
    if (found == 2)
        return read_dense(within, &m->step[m->step_count++], c->message);
    if (found == 3)
        m->step_count++;
    return found != 3 || read_normalize(within, c->message);
}

/* Of two modules of one name the library would drop the first. */
static bool check_name(const struct config *c, int index) {
    const cJSON *here =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(c->json, index), "name");
    for (int i = 0; i < index; i++) {
        const cJSON *other =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(c->json, i), "name");
        if (cJSON_IsString(here) && cJSON_Compare(here, other, true))
            return fault(c->message, "%s: module %d: found the name %.40s twice, expected it once",
                         c->path, index, here->valuestring);
    }
    return true;
}

static bool read_list(const char *folder, struct modules *m, char *message) {
    struct config c = config_open_list(folder, "modules.json", message);
    const int count = c.good ? cJSON_GetArraySize(c.json) : 0;
    if (c.good && (count < 2 || count > MOST_MODULES))
        c.good =
            fault(message, "%s: found %d modules, expected 2 to %d", c.path, count, MOST_MODULES);
    if (c.good && !(m->step = calloc((size_t)count, sizeof *m->step)))
        c.good = fault(message, "%s: no memory for %d modules", c.path, count);
    for (int i = 0; c.good && i < count; i++)
        c.good = check_name(&c, i) && read_module(&c, cJSON_GetArrayItem(c.json, i), i, folder, m);
    return config_close(&c);
}

/* Folders of modules that a list would name: "2_Dense". */
static bool expect_no_modules(const char *folder, char *message) {
    DIR *list = opendir(folder);
    bool good = list || fault(message, "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; good && (entry = readdir(list));) {
        const char *name = entry->d_name, *end = name + strspn(name, "0123456789");
        if (end > name && *end == '_' && strcmp(name, "1_Pooling") != 0 &&
            strcmp(end, "_Normalize") != 0)
            good = fault(message, "%s/modules.json: not there, but %.40s is, expected both", folder,
                         name);
    }
    if (list)
        closedir(list);
    return good;
}

/* A folder without a list. */
static bool assume_list(const char *folder, struct modules *m, char *message) {
    char pooling[CONFIG_PATH];
    if (!config_path(pooling, folder, "1_Pooling", message) || !expect_no_modules(folder, message))
        return false;
    memcpy(m->transformer, folder, strlen(folder) + 1);
    if (!(m->step = calloc(1, sizeof *m->step)))
        return fault(message, "%s: out of memory", folder);
    m->step_count = 1;
    return read_pooling(pooling, true, m, message);
}

static bool read_prompts(const char *folder, struct modules *m, char *message) {
    static const char *const names[] = {"__version__",        "prompts",    "default_prompt_name",
                                        "similarity_fn_name", "model_type", "requirements"};
    struct config c = config_open(folder, "config_sentence_transformers.json", true, message);
    config_expect_names(&c, names, COUNT(names));
    config_expect_text(&c, "model_type", "SentenceTransformer");
    const char *name = config_text(&c, "default_prompt_name");
    const cJSON *prompts = config_member(&c, "prompts"), *prompt;
    if (prompts && !cJSON_IsObject(prompts))
        config_fault(&c, "prompts", "expected an object");
    cJSON_ArrayForEach(prompt, prompts) {
        if (!cJSON_IsString(prompt))
            config_fault(&c, "prompts", "expected texts");
    }
    m->default_prompt =
        cJSON_GetStringValue(name ? cJSON_GetObjectItemCaseSensitive(prompts, name) : NULL);
    if (name && !m->default_prompt)
        config_fault(&c, "default_prompt_name", "expected one of the prompts");
    m->prompts = c.good ? cJSON_DetachItemFromObjectCaseSensitive(c.json, "prompts") : NULL;
    return config_close(&c);
}

bool modules_open(const char *folder, struct modules *m, char message[FAULT_SIZE]) {
    char list[CONFIG_PATH];
    *m = (struct modules){0};
    if (!config_path(list, folder, "modules.json", message))
        return false;
    if ((access(list, F_OK) == 0 ? read_list(folder, m, message)
                                 : assume_list(folder, m, message)) &&
        read_prompts(folder, m, message))
        return true;
    modules_close(m);
    return false;
}

bool modules_check(const struct modules *m, int64_t *width, int64_t *widest,
                   char message[FAULT_SIZE]) {
    if (m->pooling_width && m->pooling_width != *width)
        return fault(message, "%s: found embeddings of %lld, expected the model's %lld",
                     m->pooling_path, (long long)m->pooling_width, (long long)*width);
    *widest = *width *= m->pooling_count;
    for (int i = 0; i < m->step_count; i++) {
        const struct modules_step *step = &m->step[i];
        if (step->rows && step->columns != *width)
            return fault(message, "%s: takes %lld numbers, expected the %lld that come to it",
                         step->path, (long long)step->columns, (long long)*width);
        *width = step->rows ? step->rows : *width;
        *widest = *width > *widest ? *width : *widest;
    }
    return true;
}

void modules_close(struct modules *m) {
    for (int i = 0; i < m->step_count; i++)
        safetensors_close(&m->step[i].file);
    free(m->step);
    cJSON_Delete(m->prompts);
    *m = (struct modules){0};
}
