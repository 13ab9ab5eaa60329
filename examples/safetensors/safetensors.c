/* SPDX-License-Identifier: Apache-2.0 */
#include "safetensors.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t size;
    rapt_dtype dtype;
} types[] = {
    {"F32", 4, RAPT_F32},      {"F16", 2, RAPT_F16},      {"BF16", 2, RAPT_BF16},
    {"F64", 8, RAPT_NONE},     {"I64", 8, RAPT_NONE},     {"I32", 4, RAPT_NONE},
    {"I16", 2, RAPT_NONE},     {"I8", 1, RAPT_NONE},      {"U64", 8, RAPT_NONE},
    {"U32", 4, RAPT_NONE},     {"U16", 2, RAPT_NONE},     {"U8", 1, RAPT_NONE},
    {"F8_E4M3", 1, RAPT_NONE}, {"F8_E5M2", 1, RAPT_NONE}, {"BOOL", 1, RAPT_NONE},
};
enum { TYPES = sizeof types / sizeof *types };

static int find_type(const char *name) {
    for (int i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return i;
    return -1;
}

/* A whole number of 0 to 2^53, which a double has exactly. */
static bool read_number(const cJSON *item, int64_t *number) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53))
        return false;
    *number = (int64_t)item->valuedouble;
    return (double)*number == item->valuedouble;
}

static bool read_shape(const cJSON *list, struct safetensors_entry *entry) {
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > SAFETENSORS_MAX_RANK)
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!read_number(item, &entry->shape[entry->rank++]))
            return false;
    }
    return true;
}

/* The three members of a tensor's object, each once. */
static bool read_entry(const struct safetensors *file, const cJSON *item, const char *data,
                       size_t data_size, struct safetensors_entry *entry, char *message) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *place = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    int64_t first, last;
    if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) != 3 || !cJSON_IsString(dtype) ||
        !read_shape(cJSON_GetObjectItemCaseSensitive(item, "shape"), entry) ||
        !cJSON_IsArray(place) || cJSON_GetArraySize(place) != 2 ||
        !read_number(cJSON_GetArrayItem(place, 0), &first) ||
        !read_number(cJSON_GetArrayItem(place, 1), &last))
        return fault(message,
                     "%s: tensor %s: expected a dtype, a shape of at most %d numbers and "
                     "data_offsets of two",
                     file->path, entry->name, SAFETENSORS_MAX_RANK);
    const int type = find_type(entry->dtype = dtype->valuestring);
    if (type < 0)
        return fault(message, "%s: tensor %s: found dtype %.16s, which is not known", file->path,
                     entry->name, entry->dtype);
    if (first > last || (uint64_t)last > data_size)
        return fault(message,
                     "%s: tensor %s: data_offsets are %" PRId64 " and %" PRId64
                     ", expected them in order and within %zu bytes",
                     file->path, entry->name, first, last, data_size);
    entry->data = data + first;
    entry->size = (size_t)(last - first);
    uint64_t bytes = types[type].size;
    bool fits = true;
    for (int i = 0; i < entry->rank; i++)
        fits = !__builtin_mul_overflow(bytes, (uint64_t)entry->shape[i], &bytes) && fits;
    if (!fits || bytes != entry->size)
        return fault(message,
                     "%s: tensor %s: has %zu bytes, expected what its shape and dtype take",
                     file->path, entry->name, entry->size);
    return true;
}

static int by_place(const void *a, const void *b) {
    const struct safetensors_entry *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}
static int by_name(const void *a, const void *b) {
    const struct safetensors_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors fill the data one after the other, and no name comes twice. Sorts them by name. */
static bool check_entries(struct safetensors *file, const char *data, size_t size, char *message) {
    const size_t each = sizeof *file->entries, count = (size_t)file->count;
    const char *end = data;
    qsort(file->entries, count, each, by_place);
    for (size_t i = 0; i < count; end += file->entries[i++].size)
        if (file->entries[i].data != end)
            return fault(message, "%s: tensor %s: begins at byte %td of the data, expected %td",
                         file->path, file->entries[i].name,
                         (const char *)file->entries[i].data - data, end - data);
    if (end != data + size)
        return fault(message, "%s: the tensors end at byte %td of the data, expected %zu",
                     file->path, end - data, size);
    qsort(file->entries, count, each, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(file->entries[i - 1].name, file->entries[i].name) == 0)
            return fault(message, "%s: tensor %s: found twice, expected once", file->path,
                         file->entries[i].name);
    return true;
}

/* The header as JSON with nothing but spaces after it. */
static cJSON *parse_header(const char *bytes, size_t size) {
    char *text = malloc(size + 1);
    if (!text)
        return NULL;
    memcpy(text, bytes, size);
    text[size] = '\0';
    const char *end = NULL;
    cJSON *header = cJSON_ParseWithOpts(text, &end, false);
    const bool whole = header && end + strspn(end, " ") == text + size && cJSON_IsObject(header);
    free(text);
    if (!whole) {
        cJSON_Delete(header);
        return NULL;
    }
    return header;
}

static bool read_entries(struct safetensors *file, const char *data, size_t size, char *message) {
    const int items = cJSON_GetArraySize(file->header);
    file->entries = calloc((size_t)items + 1, sizeof *file->entries);
    if (!file->entries)
        return fault(message, "%s: no memory for %d tensors", file->path, items);
    const cJSON *item;
    cJSON_ArrayForEach(item, file->header) {
        if (strcmp(item->string, "__metadata__") == 0)
            continue;
        struct safetensors_entry *entry = &file->entries[file->count++];
        entry->name = item->string;
        if (!read_entry(file, item, data, size, entry, message))
            return false;
    }
    return check_entries(file, data, size, message);
}

bool safetensors_parse(const char *path, const void *bytes, size_t size, struct safetensors *file,
                       char message[FAULT_SIZE]) {
    *file = (struct safetensors){.path = path};
    uint64_t length = 0;
    for (size_t i = 0; size >= 8 && i < 8; i++)
        length |= (uint64_t)((const unsigned char *)bytes)[i] << (8 * i);
    if (size < 8 || length > size - 8 || length > SAFETENSORS_MAX_HEADER)
        return fault(message,
                     "%s: found %zu bytes and a header of %" PRIu64
                     ", expected a .safetensors file with one of at most %d",
                     path, size, length, SAFETENSORS_MAX_HEADER);
    const char *header = (const char *)bytes + 8;
    file->header = parse_header(header, (size_t)length);
    if (!file->header)
        return fault(message, "%s: the header is not an object in JSON", path);
    if (read_entries(file, header + length, size - 8 - (size_t)length, message))
        return true;
    safetensors_close(file);
    return false;
}

bool safetensors_open(const char *path, struct safetensors *file, char message[FAULT_SIZE]) {
    struct stat status;
    errno = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        fault(message, "%s: %s", path,
              fd < 0 || errno ? strerror(errno) : "found no file, expected one");
        if (fd >= 0)
            close(fd);
        return false;
    }
    const size_t size = (size_t)status.st_size;
    void *mapping = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (mapping == MAP_FAILED)
        return fault(message, "%s: %s", path, strerror(errno));
    const bool good = safetensors_parse(path, mapping, size, file, message);
    if (good) {
        file->mapping = mapping;
        file->mapping_size = size;
    } else if (mapping) {
        munmap(mapping, size);
    }
    return good;
}

void safetensors_close(struct safetensors *file) {
    free(file->entries);
    cJSON_Delete(file->header);
    if (file->mapping)
        munmap(file->mapping, file->mapping_size);
    *file = (struct safetensors){0};
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name) {
    const struct safetensors_entry key = {.name = name};
    return file->count ? bsearch(&key, file->entries, (size_t)file->count, sizeof key, by_name)
                       : NULL;
}

bool safetensors_view(const struct safetensors *file, const char *name, int64_t rows,
                      int64_t columns, rapt_tensor *view, char message[FAULT_SIZE]) {
    const struct safetensors_entry *entry = safetensors_find(file, name);
    if (!entry)
        return fault(message, "%s: tensor %s: not there", file->path, name);
    const int type = find_type(entry->dtype), rank = rows ? 2 : 1;
    if (types[type].dtype == RAPT_NONE)
        return fault(message, "%s: tensor %s: found dtype %s, expected F32, F16 or BF16",
                     file->path, name, entry->dtype);
    if (entry->rank != rank || entry->shape[rank - 1] != columns ||
        (rows && entry->shape[0] != rows)) {
        char found[160] = "", expected[48] = "";
        for (int i = 0; i < entry->rank; i++)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%" PRId64,
                     i ? ", " : "", entry->shape[i]);
        if (rows)
            snprintf(expected, sizeof expected, "%" PRId64 ", ", rows);
        return fault(message, "%s: tensor %s: found shape [%s], expected [%s%" PRId64 "]",
                     file->path, name, found, expected, columns);
    }
    if ((uintptr_t)entry->data % types[type].size != 0)
        return fault(message,
                     "%s: tensor %s: its place is no multiple of %zu bytes, as %s needs it",
                     file->path, name, types[type].size, entry->dtype);
    *view = rapt_tensor_bhsd(entry->data, types[type].dtype, 1, 1, rows ? rows : 1, columns);
    return true;
}
