/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JSON = 64 << 20, SHOWN = 40 }; /* a tokenizer.json carries a vocabulary */

bool config_path(char path[CONFIG_PATH], const char *folder, const char *name, char *message) {
    if ((size_t)snprintf(path, CONFIG_PATH, "%s/%s", folder, name) < CONFIG_PATH)
        return true;
    return fault(message, "%.64s...: found a path that is too long", folder);
}

bool config_weights(char path[CONFIG_PATH], const char *folder, char *message) {
    char other[CONFIG_PATH];
    if (!config_path(path, folder, "model.safetensors", message) ||
        !config_path(other, folder, "pytorch_model.bin", message))
        return false;
    if (access(path, F_OK) == 0 || access(other, F_OK) != 0)
        return true;
    return fault(message,
                 "%s: is not read, expected model.safetensors: save the model with "
                 "safetensors",
                 other);
}

static void read_json(struct config *c, bool list) {
    size_t size;
    char *text = read_file(c->path, MAX_JSON, &size, c->message);
    if (!text)
        return;
    c->json = strlen(text) == size ? cJSON_ParseWithOpts(text, NULL, true) : NULL;
    free(text);
    c->good = (list ? cJSON_IsArray(c->json) : cJSON_IsObject(c->json)) ||
              fault(c->message, "%s: is not %s in JSON", c->path, list ? "a list" : "an object");
}

struct config config_open(const char *folder, const char *name, bool optional, char *message) {
    struct config c = {.message = message};
    if (!config_path(c.path, folder, name, message))
        return c;
    if (optional && access(c.path, F_OK) != 0) {
        c.json = cJSON_CreateObject();
        c.good = c.json || fault(message, "%s: out of memory", c.path);
        return c;
    }
    read_json(&c, false);
    for (const cJSON *item = c.good ? c.json->child : NULL; item; item = item->next)
        if (cJSON_GetObjectItemCaseSensitive(c.json, item->string) != item)
            config_fault(&c, item->string, "found twice, expected once");
    return c;
}

struct config config_open_list(const char *folder, const char *name, char *message) {
    struct config c = {.message = message};
    if (config_path(c.path, folder, name, message))
        read_json(&c, true);
    return c;
}

bool config_close(struct config *c) {
    cJSON_Delete(c->json);
    c->json = NULL;
    return c->good;
}

void config_fault(struct config *c, const char *name, const char *what) {
    if (c->good)
        c->good = fault(c->message, "%s: %.*s: %s", c->path, SHOWN, name, what);
}

const cJSON *config_member(struct config *c, const char *name) {
    const cJSON *item = c->good ? cJSON_GetObjectItemCaseSensitive(c->json, name) : NULL;
    return cJSON_IsNull(item) ? NULL : item;
}

int64_t config_number(struct config *c, const char *name, int64_t missing, int64_t least,
                      int64_t most) {
    const cJSON *item = config_member(c, name);
    if (!c->good || (!item && missing))
        return missing;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (value >= (double)least && value <= (double)most && value == floor(value))
        return (int64_t)value;
    char what[80];
    snprintf(what, sizeof what, "expected a whole number of %lld to %lld", (long long)least,
             (long long)most);
    config_fault(c, name, what);
    return least;
}

bool config_flag(struct config *c, const char *name, bool missing) {
    const cJSON *item = config_member(c, name);
    if (!item)
        return missing;
    if (!cJSON_IsBool(item))
        config_fault(c, name, "expected true or false");
    return cJSON_IsTrue(item);
}

const char *config_text(struct config *c, const char *name) {
    const cJSON *item = config_member(c, name);
    if (item && !cJSON_IsString(item))
        config_fault(c, name, "expected a text");
    return cJSON_GetStringValue(item);
}

void config_expect_text(struct config *c, const char *name, const char *expected) {
    const cJSON *item = config_member(c, name);
    if (!item || (cJSON_IsString(item) && strcmp(item->valuestring, expected) == 0))
        return;
    char what[128];
    snprintf(what, sizeof what, "found %.*s, expected \"%s\"", SHOWN,
             cJSON_IsString(item) ? item->valuestring : "no text", expected);
    config_fault(c, name, what);
}

void config_expect_flag(struct config *c, const char *name, bool expected) {
    if (config_flag(c, name, expected) != expected)
        config_fault(c, name,
                     expected ? "found false, expected true" : "found true, expected false");
}

void config_expect_nothing(struct config *c, const char *name) {
    const cJSON *item = config_member(c, name);
    const bool list = cJSON_IsArray(item) || cJSON_IsObject(item);
    if (item && !cJSON_IsFalse(item) && !(list && !item->child))
        config_fault(c, name, "found it with a value, expected none: it is not supported");
}

void config_expect_names(struct config *c, const char *const *names, int count) {
    for (const cJSON *item = c->good ? c->json->child : NULL; item; item = item->next) {
        int i = 0;
        while (i < count && strcmp(item->string, names[i]) != 0)
            i++;
        if (i == count)
            config_fault(c, item->string, "is not known");
    }
}
