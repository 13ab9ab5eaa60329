/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sentences/qkv.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/base/args.h"
#include "cli/base/files.h"
#include "cli/base/half.h"
#include "cli/base/npy.h"
#include "cli/base/text.h"
#include "cli/base/tokens.h"

static const char option[] = "qkv";

enum { PATH_SIZE = 4096, MOST_TEXT = 1 << 28 };

/* What the folder has. */
struct folder {
    const char *command, *path;
    struct npy_array query, key;
    char *text, *key_text; /* of the tokens; NULL without key_tokens.txt */
    char **tokens, **keys;
    int64_t token_count, key_count;
};

static bool find(const struct folder *folder, const char *name, char path[PATH_SIZE]) {
    const int length = snprintf(path, PATH_SIZE, "%s/%s", folder->path, name);
    if (length < PATH_SIZE)
        return true;
    args_fail(folder->command, "--%s: the name of the folder is too long", option);
    return false;
}

/* Puts the layers first that a single layer lacks. */
static void add_layers(struct npy_array *array) {
    if (array->rank == 4)
        return;
    memmove(array->shape + 1, array->shape, 3 * sizeof *array->shape);
    memmove(array->stride + 1, array->stride, 3 * sizeof *array->stride);
    array->shape[0] = 1;
    array->stride[0] = 0;
    array->rank = 4;
}

static bool read_array(const struct folder *folder, const char *name, struct npy_array *array) {
    char path[PATH_SIZE], message[NPY_MESSAGE_SIZE], shape[NPY_SHAPE_SIZE];
    FILE *file = find(folder, name, path) ? files_open(folder->command, option, path) : NULL;
    const bool read = file && npy_read(file, NPY_F32 | NPY_F16, array, message);
    files_close(file);
    if (!file)
        return false;
    if (!read) {
        args_fail(folder->command, "--%s: %s: %s", option, path, message);
        return false;
    }
    const int64_t count = npy_count(array->rank, array->shape);
    if (array->rank < 3 || count == 0 || count > INT_MAX) {
        npy_format_shape(array->rank, array->shape, shape);
        args_fail(folder->command,
                  "--%s: %s: shape %s, expected (layers, heads, positions, channels) or (heads, "
                  "positions, channels), of 1 to %d numbers",
                  option, path, shape, INT_MAX);
        return false;
    }
    add_layers(array);
    return true;
}

/* Turns the escapes of a line into what they stand for. */
static void unescape(char *line) {
    char *to = line;
    for (const char *from = line; *from; from++) {
        static const char names[] = "nt\\", meanings[] = "\n\t\\";
        const char *name = *from == '\\' && from[1] ? strchr(names, from[1]) : NULL;
        *to++ = name ? meanings[name - names] : *from;
        from += name != NULL;
    }
    *to = 0;
}

/* The lines of a text, which it is cut into. */
static char **split(char *text, size_t size, int64_t *count) {
    *count = size > 0 && text[size - 1] != '\n';
    for (size_t i = 0; i < size; i++)
        *count += text[i] == '\n';
    char **lines = malloc((size_t)(*count + 1) * sizeof *lines);
    for (int64_t i = 0; lines && i < *count; i++) {
        lines[i] = text;
        char *end = strchrnul(text, '\n');
        text = *end ? end + 1 : end;
        *end = 0;
        unescape(lines[i]);
    }
    return lines;
}

static bool read_tokens(const struct folder *folder, const char *name, char **text, char ***lines,
                        int64_t *count) {
    char path[PATH_SIZE];
    size_t size = 0;
    FILE *file = find(folder, name, path) ? files_open(folder->command, option, path) : NULL;
    *text = file ? files_read(file, MOST_TEXT, &size) : NULL;
    const int reason = errno;
    files_close(file);
    if (!file)
        return false;
    if (*text && memchr(*text, 0, size)) {
        args_fail(folder->command, "--%s: %s: found a zero byte, expected text", option, path);
        return false;
    }
    *lines = *text ? split(*text, size, count) : NULL;
    if (!*lines)
        args_fail(folder->command, "--%s: %s: %s", option, path, strerror(*text ? ENOMEM : reason));
    return *lines;
}

static bool read_all(struct folder *folder) {
    char path[PATH_SIZE];
    if (!read_array(folder, "q.npy", &folder->query) ||
        !read_array(folder, "k.npy", &folder->key) ||
        !read_tokens(folder, "tokens.txt", &folder->text, &folder->tokens, &folder->token_count) ||
        !find(folder, "key_tokens.txt", path))
        return false;
    return access(path, F_OK) != 0 || read_tokens(folder, "key_tokens.txt", &folder->key_text,
                                                  &folder->keys, &folder->key_count);
}

static bool check_shapes(const struct folder *folder) {
    const int64_t *q = folder->query.shape, *k = folder->key.shape;
    if (q[0] == k[0] && q[3] == k[3] && q[1] % k[1] == 0)
        return true;
    char query[NPY_SHAPE_SIZE], key[NPY_SHAPE_SIZE];
    npy_format_shape(4, q, query);
    npy_format_shape(4, k, key);
    args_fail(folder->command,
              "--%s: %s: found queries %s and keys %s, expected as many layers and channels, and "
              "heads of queries that heads of keys divide",
              option, folder->path, query, key);
    return false;
}

static bool check_count(const struct folder *folder, const char *name, int64_t found,
                        int64_t expected, const char *what) {
    if (found != expected)
        args_fail(folder->command,
                  "--%s: %s/%s: found %" PRId64 " tokens, expected %" PRId64 ", one for each %s",
                  option, folder->path, name, found, expected, what);
    return found == expected;
}

static bool check_tokens(const struct folder *folder) {
    const int64_t queries = folder->query.shape[2], keys = folder->key.shape[2];
    if (!check_count(folder, "tokens.txt", folder->token_count, queries, "query"))
        return false;
    if (folder->keys)
        return check_count(folder, "key_tokens.txt", folder->key_count, keys, "key");
    if (queries != keys)
        args_fail(folder->command,
                  "--%s: %s: found %" PRId64 " queries and %" PRId64
                  " keys, expected as many, or key_tokens.txt",
                  option, folder->path, queries, keys);
    return queries == keys;
}

/* Writes an array in C order. */
static float *copy(const struct npy_array *array, float *to) {
    const int64_t *shape = array->shape, *stride = array->stride;
    for (int64_t layer = 0; layer < shape[0]; layer++)
        for (int64_t head = 0; head < shape[1]; head++)
            for (int64_t position = 0; position < shape[2]; position++)
                for (int64_t channel = 0; channel < shape[3]; channel++) {
                    const int64_t at = layer * stride[0] + head * stride[1] + position * stride[2] +
                                       channel * stride[3];
                    *to++ = array->dtype == NPY_F16
                                ? half_to_float(((const uint16_t *)array->data)[at])
                                : ((const float *)array->data)[at];
                }
    return to;
}

/* The words of some tokens with spaces between them; NULL if memory ran out. */
static char *join(char *const *lines, int64_t count) {
    struct tokens tokens;
    if (!tokens_read(&tokens, (const char *const *)lines, (int)count))
        return NULL;
    char *joined = text_join(tokens.names, tokens.words);
    tokens_free(&tokens);
    return joined;
}

static char *make_title(const struct folder *folder) {
    char *queries = join(folder->tokens, folder->token_count), *keys = NULL, *both = NULL;
    if (!folder->keys || !queries)
        return queries;
    keys = join(folder->keys, folder->key_count);
    if (keys && asprintf(&both, "%s \xe2\x86\x92 %s", queries, keys) < 0) /* an arrow */
        both = NULL;
    free(queries);
    free(keys);
    return both;
}

/* Copies some texts, which lie side by side, and moves the list of lines there. */
static char *keep(const char *text, char **lines, int64_t count, char *to) {
    for (int64_t i = 0; i < count; i++) {
        char *line = lines[i];
        lines[i] = to + (line - text);
        strcpy(lines[i], line);
    }
    return count ? lines[count - 1] + strlen(lines[count - 1]) + 1 : to;
}

static size_t text_size(const char *text, char *const *lines, int64_t count) {
    return count ? (size_t)(lines[count - 1] - text) + strlen(lines[count - 1]) + 1 : 0;
}

/* The lists of lines are the sentence's from then on. */
static bool build(struct folder *folder, struct samples *result) {
    char *title = make_title(folder);
    const int64_t *q = folder->query.shape, *k = folder->key.shape;
    const size_t numbers = (size_t)(npy_count(4, q) + npy_count(4, k));
    const char *name = strrchr(folder->path, '/') && strrchr(folder->path, '/')[1]
                           ? strrchr(folder->path, '/') + 1
                           : folder->path;
    const size_t texts = text_size(folder->text, folder->tokens, folder->token_count) +
                         text_size(folder->key_text, folder->keys, folder->key_count) +
                         (title ? strlen(title) : 0) + 1;
    struct sample *sentence = calloc(1, sizeof *sentence);
    float *memory = sentence && title ? malloc(numbers * sizeof *memory + texts) : NULL;
    if (!memory) {
        args_fail(folder->command, "--%s: %s: %s", option, folder->path, strerror(ENOMEM));
        free(sentence);
        free(title);
        return false;
    }
    *sentence = (struct sample){.token_count = (int)q[2], .memory = memory, .query = memory};
    float *key = copy(&folder->query, memory);
    char *end = (char *)copy(&folder->key, key);
    sentence->key = key;
    end = keep(folder->text, folder->tokens, folder->token_count, end);
    end = keep(folder->key_text, folder->keys, folder->key_count, end);
    sentence->text = strcpy(end, title);
    free(title);
    sentence->tokens = (const char **)folder->tokens;
    sentence->keys = (const char **)folder->keys;
    sentence->key_count = folder->keys ? (int)k[2] : 0;
    folder->tokens = folder->keys = NULL;
    *result = (struct samples){.model = name,
                               .layers = (int)q[0],
                               .heads = (int)q[1],
                               .key_heads = (int)k[1],
                               .head_dim = (int)q[3],
                               .count = 1,
                               .sentences = sentence};
    return true;
}

bool qkv_read(const char *command, const char *folder_path, struct samples *result) {
    struct folder folder = {.command = command, .path = folder_path};
    const bool good = read_all(&folder) && check_shapes(&folder) && check_tokens(&folder) &&
                      build(&folder, result);
    free(folder.query.data);
    free(folder.key.data);
    free(folder.text);
    free(folder.key_text);
    free(folder.tokens);
    free(folder.keys);
    return good;
}
