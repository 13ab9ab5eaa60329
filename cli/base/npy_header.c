/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a .npy file: magic, version, length, and the literal of a Python dict. An example
 * is {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }. It may come from anywhere, so it
 * is read strictly, and nothing in it is believed before it has been compared with the file's size.
 */
#include "cli/base/npy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* What is being read, and where a complaint goes. */
struct reader {
    const char *begin, *at, *end;
    char *message;
};

struct text {
    const char *begin;
    int length;
};

bool npy_fail(char message[NPY_MESSAGE_SIZE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, NPY_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static bool fail_here(struct reader *r, const char *expected) {
    return npy_fail(r->message, "bad .npy header: byte %td of its dict should be %s",
                    r->at - r->begin, expected);
}

static void skip_space(struct reader *r) {
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4))
        r->at++;
}

/* Takes the character, and the space before it, if that is what comes next. */
static bool take(struct reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool take_word(struct reader *r, const char *word) {
    const size_t length = strlen(word);
    skip_space(r);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

/* A string in quotes of either kind, without escapes: no key or dtype needs one. */
static bool read_string(struct reader *r, struct text *text) {
    const char quote = take(r, '\'') ? '\'' : take(r, '"') ? '"' : '\0';
    if (!quote)
        return fail_here(r, "a quoted string");
    text->begin = r->at;
    while (r->at < r->end && *r->at != quote) {
        if (*r->at == '\\' || *r->at < ' ' || *r->at > '~')
            return fail_here(r, "a plain character or a quote");
        r->at++;
    }
    if (r->at == r->end)
        return fail_here(r, "a quote");
    text->length = (int)(r->at++ - text->begin);
    return true;
}

static bool read_integer(struct reader *r, int64_t *value) {
    const char *first = r->at;
    int64_t number = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *r->at - '0', &number))
            return npy_fail(r->message, "a dimension is above %" PRId64, INT64_MAX);
    if (r->at == first || (*first == '0' && r->at - first > 1))
        return fail_here(r, "the end of a number without leading zeros");
    *value = number;
    return true;
}

/* A tuple of integers. As in Python, the comma makes the tuple: (3) is none. */
static bool read_shape(struct reader *r, struct npy_array *array) {
    if (!take(r, '('))
        return fail_here(r, "'('");
    array->rank = 0;
    bool comma = true;
    while (!take(r, ')')) {
        if (!comma)
            return fail_here(r, "',' or ')'");
        if (array->rank == NPY_MAX_RANK)
            return npy_fail(r->message, "more than %d dimensions, expected at most %d",
                            NPY_MAX_RANK, NPY_MAX_RANK);
        if (!read_integer(r, &array->shape[array->rank++]))
            return false;
        comma = take(r, ',');
    }
    if (array->rank == 1 && !comma)
        return fail_here(r, "',' after the only dimension");
    return true;
}

static bool read_bool(struct reader *r, bool *value) {
    *value = take_word(r, "True");
    if (!*value && !take_word(r, "False"))
        return fail_here(r, "True or False");
    return true;
}

static const struct {
    const char *descr, *name;
    enum npy_dtype dtype;
    size_t size;
} known_dtypes[] = {
    {"<f4", "float32", NPY_F32, 4}, {"<f2", "float16", NPY_F16, 2},
    {"<u2", "uint16", NPY_U16, 2},  {"|i1", "int8", NPY_I8, 1},
    {"|u1", "uint8", NPY_U8, 1},    {"|b1", "bool", NPY_BOOL, 1},
    {"<i8", "int64", NPY_I64, 8},   {"<i4", "int32", NPY_I32, 4},
    {"?", "bool", NPY_BOOL, 1},     {"<V2", "bf16", NPY_U16, 2},
    {"|V2", "bf16", NPY_U16, 2},    {"bfloat16", "bf16", NPY_U16, 2},
};
enum { DTYPES = 8, DESCRS = 12 }; /* the first are those that are written, and named in messages */

/* Finds out the dtype, and whether it is one of `dtypes`. */
static bool find_dtype(const struct text *descr, unsigned dtypes, enum npy_dtype *dtype,
                       char *message) {
    for (int i = 0; i < DESCRS; i++) {
        const char *known = known_dtypes[i].descr;
        if (strlen(known) == (size_t)descr->length &&
            memcmp(known, descr->begin, strlen(known)) == 0)
            *dtype = known_dtypes[i].dtype;
    }
    if (*dtype & dtypes)
        return true;
    const int shown = descr->length < 32 ? descr->length : 32;
    const bool big_endian = descr->length > 0 && *descr->begin == '>';
    npy_fail(message, "dtype '%.*s'%s, expected ", shown, descr->begin,
             big_endian ? " (big-endian)" : "");
    const char *separator = "";
    for (int i = 0; i < DTYPES; i++) {
        if (known_dtypes[i].dtype & dtypes) {
            const size_t used = strlen(message);
            snprintf(message + used, NPY_MESSAGE_SIZE - used, "%s'%s' (%s)", separator,
                     known_dtypes[i].descr, known_dtypes[i].name);
            separator = " or ";
        }
    }
    return false;
}

enum { KEY_DESCR, KEY_ORDER, KEY_SHAPE, KEYS };
static const char *const key_names[KEYS] = {"descr", "fortran_order", "shape"};

static int find_key(const struct text *text) {
    for (int i = 0; i < KEYS; i++)
        if (strlen(key_names[i]) == (size_t)text->length &&
            memcmp(key_names[i], text->begin, strlen(key_names[i])) == 0)
            return i;
    return -1;
}

static bool read_entry(struct reader *r, bool seen[KEYS], struct text *descr, bool *fortran,
                       struct npy_array *array) {
    struct text name;
    if (!read_string(r, &name))
        return false;
    const int key = find_key(&name);
    if (key < 0 || seen[key])
        return npy_fail(r->message, "bad .npy header: %s key '%.*s'",
                        key < 0 ? "unknown" : "repeated", name.length < 32 ? name.length : 32,
                        name.begin);
    seen[key] = true;
    if (!take(r, ':'))
        return fail_here(r, "':'");
    if (key == KEY_ORDER)
        return read_bool(r, fortran);
    if (key == KEY_SHAPE)
        return read_shape(r, array);
    if (take(r, '['))
        return npy_fail(r->message, "a structured dtype, expected a plain one");
    return read_string(r, descr);
}

static bool read_dict(struct reader *r, struct text *descr, bool *fortran,
                      struct npy_array *array) {
    bool seen[KEYS] = {false}, comma = true;
    if (!take(r, '{'))
        return fail_here(r, "'{'");
    while (!take(r, '}')) {
        if (!comma)
            return fail_here(r, "',' or '}'");
        if (!read_entry(r, seen, descr, fortran, array))
            return false;
        comma = take(r, ',');
    }
    skip_space(r);
    if (r->at < r->end)
        return fail_here(r, "a space: the dict has ended");
    for (int i = 0; i < KEYS; i++)
        if (!seen[i])
            return npy_fail(r->message, "bad .npy header: key '%s' is missing", key_names[i]);
    return true;
}

int64_t npy_count(int rank, const int64_t *shape) {
    int64_t count = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        empty |= shape[i] == 0;
        if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i] ? shape[i] : 1, &count))
            return -1;
    }
    return empty ? 0 : count;
}

/* The line of a dtype in the table, which has one for every dtype. */
static int find_known(enum npy_dtype dtype) {
    int i = 0;
    while (known_dtypes[i].dtype != dtype)
        i++;
    return i;
}

size_t npy_dtype_size(enum npy_dtype dtype) {
    return known_dtypes[find_known(dtype)].size;
}

const char *npy_dtype_descr(enum npy_dtype dtype) {
    return known_dtypes[find_known(dtype)].descr;
}

void npy_format_shape(int rank, const int64_t *shape, char text[NPY_SHAPE_SIZE]) {
    int used = snprintf(text, NPY_SHAPE_SIZE, "(");
    for (int i = 0; i < rank; i++)
        used += snprintf(text + used, (size_t)(NPY_SHAPE_SIZE - used), "%s%" PRId64, i ? ", " : "",
                         shape[i]);
    snprintf(text + used, (size_t)(NPY_SHAPE_SIZE - used), rank == 1 ? ",)" : ")");
}

static void set_strides(struct npy_array *array, bool fortran) {
    int64_t stride = 1;
    for (int i = 0; i < array->rank; i++) {
        const int axis = fortran ? i : array->rank - 1 - i;
        array->stride[axis] = stride;
        stride *= array->shape[axis] ? array->shape[axis] : 1; /* npy_count() found that it fits */
    }
}

/* Finds the dict: 6 bytes of magic, 2 of version, 2 or 4 of length, then so many bytes. */
static bool find_dict(struct reader *r, const unsigned char *bytes, size_t size) {
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return npy_fail(r->message,
                        "not a .npy file: it doesn't begin with \\x93NUMPY and a version");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return npy_fail(r->message, ".npy version %d.%d, expected 1.0, 2.0 or 3.0", bytes[6],
                        bytes[7]);
    const size_t prefix = bytes[6] == 1 ? 10 : 12;
    if (size < prefix)
        return npy_fail(r->message, "ends inside the .npy header");
    uint32_t length = bytes[8] | (uint32_t)bytes[9] << 8;
    if (prefix == 12)
        length |= (uint32_t)bytes[10] << 16 | (uint32_t)bytes[11] << 24;
    if (length > NPY_MAX_HEADER - prefix)
        return npy_fail(r->message, "a .npy header of %" PRIu32 " bytes, expected at most %zu",
                        length, NPY_MAX_HEADER - prefix);
    if (size - prefix < length)
        return npy_fail(r->message, "ends inside the .npy header");
    r->begin = r->at = (const char *)bytes + prefix;
    r->end = r->begin + length;
    return true;
}

bool npy_read_header(const unsigned char *bytes, size_t size, uint64_t file_size, unsigned dtypes,
                     struct npy_array *array, size_t *data_offset, char message[NPY_MESSAGE_SIZE]) {
    struct reader r = {.message = message};
    struct text descr = {.length = 0};
    bool fortran = false;
    *array = (struct npy_array){.rank = 0};
    if (!find_dict(&r, bytes, size) || !read_dict(&r, &descr, &fortran, array) ||
        !find_dtype(&descr, dtypes, &array->dtype, message))
        return false;
    *data_offset = (size_t)(r.end - (const char *)bytes);

    const uint64_t found = file_size - *data_offset;
    const int64_t count = npy_count(array->rank, array->shape);
    int64_t expected;
    char shape[NPY_SHAPE_SIZE];
    npy_format_shape(array->rank, array->shape, shape);
    if (count < 0 ||
        __builtin_mul_overflow(count, (int64_t)npy_dtype_size(array->dtype), &expected))
        return npy_fail(message, "shape %s is too large", shape);
    if (file_size != NPY_SIZE_UNKNOWN && found != (uint64_t)expected)
        return npy_fail(message, "%" PRIu64 " bytes of data, expected %" PRId64 " for shape %s",
                        found, expected, shape);
    set_strides(array, fortran);
    return true;
}
