/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the embedded sentences. No count in the blob is believed before it is checked. */
#include "cli/sentences/samples.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "RAPTQKV";

enum {
    FORMAT_VERSION = 1,
    /* Four counts of at most this, times 12 bytes, stay below 2^64. */
    LARGEST_COUNT = 4096,
};

/* What is left to read. After the first error every read fails, and the message stays. */
struct reader {
    const unsigned char *at;
    size_t left, size;
    bool failed;
    char *error;
};

__attribute__((format(printf, 2, 3))) static void fail(struct reader *in, const char *format, ...) {
    if (in->failed)
        return;
    in->failed = true;
    int used = snprintf(in->error, SAMPLES_ERROR_SIZE, "samples, byte %zu: ", in->size - in->left);
    va_list args;
    va_start(args, format);
    vsnprintf(in->error + used, (size_t)(SAMPLES_ERROR_SIZE - used), format, args);
    va_end(args);
}

static const void *take(struct reader *in, uint64_t bytes, const char *what) {
    if (in->failed)
        return NULL;
    if (bytes > in->left) {
        fail(in, "%s: found %zu bytes, expected %llu", what, in->left, (unsigned long long)bytes);
        return NULL;
    }
    const void *taken = in->at;
    in->at += bytes;
    in->left -= (size_t)bytes;
    return taken;
}

/* Number of the machine's own byte order: on a big-endian one the version is already refused. */
static uint32_t take_number(struct reader *in, const char *what) {
    uint32_t number = 0;
    const void *bytes = take(in, sizeof number, what);
    if (bytes)
        memcpy(&number, bytes, sizeof number);
    return number;
}

static int take_count(struct reader *in, const char *what) {
    uint32_t number = take_number(in, what);
    if (number < 1 || number > LARGEST_COUNT) {
        fail(in, "%s: found %u, expected 1 to %d", what, (unsigned)number, LARGEST_COUNT);
        return 0;
    }
    return (int)number;
}

/* Printable text, ended by 1 to 4 zeros; never NULL, so that callers need no check of their own. */
static const char *take_string(struct reader *in, const char *what) {
    uint32_t length = take_number(in, what);
    const char *text = take(in, ((uint64_t)length / 4 + 1) * 4, what);
    if (!text)
        return "";
    for (uint32_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            fail(in, "%s: found a control character, expected text", what);
            return "";
        }
    }
    if (text[length] != 0) {
        fail(in, "%s: found no zero after %u bytes of text", what, (unsigned)length);
        return "";
    }
    return text;
}

/* An array of `count` things, each of which takes at least `bytes` of what is left. */
static void *allocate(struct reader *in, int count, size_t bytes, size_t element,
                      const char *what) {
    if (in->failed)
        return NULL;
    if ((size_t)count > in->left / bytes) {
        fail(in, "%s: found %d, which %zu bytes can't hold", what, count, in->left);
        return NULL;
    }
    void *list = calloc((size_t)count, element);
    if (!list)
        fail(in, "%s: no memory for %d", what, count);
    return list;
}

static void read_sentence(struct reader *in, const struct samples *list, struct sample *into) {
    int count = take_count(in, "token count");
    into->text = take_string(in, "sentence");
    into->tokens = allocate(in, count, 2 * sizeof(uint32_t), sizeof *into->tokens, "token count");
    if (!into->tokens)
        return;
    into->token_count = count;
    for (int i = 0; i < count; i++)
        into->tokens[i] = take_string(in, "token");
    uint64_t rows = (uint64_t)list->layers * (uint64_t)list->heads * (uint64_t)count;
    uint64_t bytes = rows * (uint64_t)list->head_dim * sizeof(float);
    into->query = take(in, bytes, "queries");
    into->key = take(in, bytes, "keys");
    into->value = take(in, bytes, "values");
}

static void read_all(struct reader *in, struct samples *list) {
    const void *start = take(in, sizeof magic, "magic");
    if (start && memcmp(start, magic, sizeof magic) != 0)
        fail(in, "found no magic \"%s\" at the start", magic);
    uint32_t version = take_number(in, "version");
    if (version != FORMAT_VERSION)
        fail(in, "version: found %u, expected %d", (unsigned)version, FORMAT_VERSION);
    int count = take_count(in, "sentences");
    list->layers = take_count(in, "layers");
    list->heads = take_count(in, "heads");
    list->head_dim = take_count(in, "head_dim");
    list->model = take_string(in, "model");
    list->sentences =
        allocate(in, count, 3 * sizeof(uint32_t), sizeof *list->sentences, "sentences");
    list->count = list->sentences ? count : 0;
    for (int i = 0; i < list->count; i++)
        read_sentence(in, list, &list->sentences[i]);
    if (in->left)
        fail(in, "found %zu bytes after the last sentence", in->left);
}

bool samples_parse(struct samples *result, const void *blob, size_t size,
                   char error[SAMPLES_ERROR_SIZE]) {
    struct reader in = {.at = blob, .left = size, .size = size, .error = error};
    *result = (struct samples){0};
    error[0] = 0;
    if ((uintptr_t)blob % sizeof(float))
        fail(&in, "not aligned to %zu bytes", sizeof(float));
    read_all(&in, result);
    if (in.failed)
        samples_free(result);
    return !in.failed;
}

void samples_free(struct samples *list) {
    for (int i = 0; i < list->count; i++) {
        free(list->sentences[i].tokens);
        free(list->sentences[i].keys);
        free(list->sentences[i].memory);
    }
    free(list->sentences);
    *list = (struct samples){0};
}
