/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ALIGN = 64, /* of a tensor in memory, whatever its place in the file */
    LARGE_PAGE = 2 << 20
};

/* An open file, or bytes in memory if there are any. */
struct source {
    const char *path, *bytes;
    int fd;
    size_t size;
};

static const struct {
    const char *name;
    size_t size;
    rapt_dtype dtype;
} types[] = {
    {"F32", 4, RAPT_F32},          {"F16", 2, RAPT_F16},      {"BF16", 2, RAPT_BF16},
    {"F64", 8, RAPT_NONE},         {"I64", 8, RAPT_NONE},     {"I32", 4, RAPT_NONE},
    {"I16", 2, RAPT_NONE},         {"I8", 1, RAPT_NONE},      {"U64", 8, RAPT_NONE},
    {"U32", 4, RAPT_NONE},         {"U16", 2, RAPT_NONE},     {"U8", 1, RAPT_NONE},
    {"F8_E4M3", 1, RAPT_NONE},     {"F8_E5M2", 1, RAPT_NONE}, {"BOOL", 1, RAPT_NONE},
    {"F8_E8M0", 1, RAPT_NONE},     {"C64", 8, RAPT_NONE},     {"F8_E4M3FNUZ", 1, RAPT_NONE},
    {"F8_E5M2FNUZ", 1, RAPT_NONE},
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
static bool read_entry(const struct safetensors *file, const cJSON *item, size_t data_size,
                       struct safetensors_entry *entry, char *message) {
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
    entry->place = (size_t)first;
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
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}
static int by_name(const void *a, const void *b) {
    const struct safetensors_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors fill the data one after the other, and no name comes twice. Sorts them by name. */
static bool check_entries(struct safetensors *file, size_t size, char *message) {
    const size_t each = sizeof *file->entries, count = (size_t)file->count;
    size_t end = 0;
    qsort(file->entries, count, each, by_place);
    for (size_t i = 0; i < count; end += file->entries[i++].size)
        if (file->entries[i].place != end)
            return fault(message, "%s: tensor %s: begins at byte %zu of the data, expected %zu",
                         file->path, file->entries[i].name, file->entries[i].place, end);
    if (end != size)
        return fault(message, "%s: the tensors end at byte %zu of the data, expected %zu",
                     file->path, end, size);
    qsort(file->entries, count, each, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(file->entries[i - 1].name, file->entries[i].name) == 0)
            return fault(message, "%s: tensor %s: found twice, expected once", file->path,
                         file->entries[i].name);
    return true;
}

static bool take(const struct source *source, size_t place, size_t size, void *to, char *message) {
    if (!source->bytes)
        return read_at(source->fd, source->path, place, size, to, message);
    memcpy(to, source->bytes + place, size);
    return true;
}

/* The header as JSON with nothing but white space after it. */
static cJSON *read_header(const struct source *source, size_t size, char *message) {
    char *text = malloc(size + 1);
    if (!text) {
        fault(message, "%s: no memory for a header of %zu bytes", source->path, size);
        return NULL;
    }
    if (!take(source, 8, size, text, message)) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    const char *end = NULL;
    cJSON *header = cJSON_ParseWithOpts(text, &end, false);
    const bool whole =
        header && end + strspn(end, " \t\r\n") == text + size && cJSON_IsObject(header);
    free(text);
    if (!whole) {
        fault(message, "%s: the header is not an object in JSON", source->path);
        cJSON_Delete(header);
        return NULL;
    }
    return header;
}

static bool read_entries(struct safetensors *file, size_t size, char *message) {
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
        if (!read_entry(file, item, size, entry, message))
            return false;
    }
    return check_entries(file, size, message);
}

static size_t room_for(const struct safetensors_entry *entry) {
    return (entry->size + ALIGN - 1) / ALIGN * ALIGN;
}

/* Large pages, where the system has them: it takes half the time to fill them. */
static void *get_memory(size_t size) {
    const size_t align = size < LARGE_PAGE ? ALIGN : LARGE_PAGE;
    const size_t room = (size + align - 1) / align * align;
    void *memory = aligned_alloc(align, room);
#ifdef MADV_HUGEPAGE
    if (memory && align == LARGE_PAGE)
        madvise(memory, room, MADV_HUGEPAGE);
#endif
    return memory;
}

/* Each tensor comes to a place that suits any type, which the one in the file may not. */
static bool read_data(struct safetensors *file, const struct source *source, size_t begin,
                      char *message) {
    size_t room = ALIGN;
    for (int i = 0; i < file->count; i++)
        room += room_for(&file->entries[i]);
    char *to = file->memory = get_memory(room);
    if (!to)
        return fault(message, "%s: no memory for %zu bytes of tensors", file->path, room);
    for (int i = 0; i < file->count; i++) {
        struct safetensors_entry *entry = &file->entries[i];
        if (!take(source, begin + entry->place, entry->size, to, message))
            return false;
        entry->data = to;
        to += room_for(entry);
    }
    return true;
}

static bool read_source(const struct source *source, struct safetensors *file, char *message) {
    unsigned char bytes[8] = {0};
    uint64_t length = 0;
    *file = (struct safetensors){.path = source->path};
    if (source->size >= 8 && !take(source, 0, 8, bytes, message))
        return false;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (source->size < 8 || length > source->size - 8 || length > SAFETENSORS_MAX_HEADER)
        return fault(message,
                     "%s: found %zu bytes and a header of %" PRIu64
                     ", expected a .safetensors file with one of at most %d",
                     source->path, source->size, length, SAFETENSORS_MAX_HEADER);
    const size_t begin = 8 + (size_t)length;
    file->header = read_header(source, (size_t)length, message);
    if (file->header && read_entries(file, source->size - begin, message) &&
        read_data(file, source, begin, message))
        return true;
    safetensors_close(file);
    return false;
}

bool safetensors_parse(const char *path, const void *bytes, size_t size, struct safetensors *file,
                       char message[FAULT_SIZE]) {
    const struct source source = {path, bytes, -1, size};
    return read_source(&source, file, message);
}

bool safetensors_open(const char *path, struct safetensors *file, char message[FAULT_SIZE]) {
    struct source source = {.path = path};
    source.fd = open_file(path, &source.size, message);
    if (source.fd < 0)
        return false;
    const bool good = read_source(&source, file, message);
    close(source.fd);
    return good;
}

void safetensors_close(struct safetensors *file) {
    free(file->entries);
    free(file->memory);
    cJSON_Delete(file->header);
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
    *view = rapt_tensor_bhsd(entry->data, types[type].dtype, 1, 1, rows ? rows : 1, columns);
    return true;
}
