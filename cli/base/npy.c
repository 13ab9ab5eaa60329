/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing .npy files, around the header. */
#include "cli/base/npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error ".npy files are little-endian here, and read into memory as they are"
#endif

/* How many bytes there are to read, if the file is one that knows. */
static uint64_t size_of(FILE *file) {
    struct stat status;
    const off_t at = ftello(file);
    if (at < 0 || fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode))
        return NPY_SIZE_UNKNOWN;
    return status.st_size > at ? (uint64_t)(status.st_size - at) : 0;
}

/*
 * Reads the rest of an array of so many bytes. Where nobody vouches for that number, memory is
 * taken as the bytes come.
 */
static unsigned char *read_data(FILE *file, size_t bytes, const unsigned char *start, size_t have,
                                bool known, char *message) {
    enum { FIRST = 1 << 20 };
    size_t room = known || bytes < FIRST ? bytes : have < FIRST ? FIRST : have;
    unsigned char *data = malloc(room ? room : 1);
    if (data)
        memcpy(data, start, have);
    while (data && have < bytes) {
        if (have == room) {
            room = bytes - room < room ? bytes : 2 * room;
            unsigned char *larger = realloc(data, room);
            if (!larger)
                free(data);
            data = larger;
            continue;
        }
        const size_t got = fread(data + have, 1, room - have, file);
        have += got;
        if (have == room)
            continue;
        if (ferror(file))
            npy_fail(message, "%s", strerror(errno));
        else if (known)
            npy_fail(message, "ended while it was read");
        else
            npy_fail(message, "%zu bytes of data, expected %zu", have, bytes);
        free(data);
        return NULL;
    }
    if (!data)
        npy_fail(message, "no memory for %zu bytes", bytes);
    return data;
}

static bool read_array(FILE *file, unsigned dtypes, unsigned char *header, struct npy_array *array,
                       char *message) {
    const uint64_t size = size_of(file);
    const bool known = size != NPY_SIZE_UNKNOWN;
    /* Not more than the size says, even if the file has grown since. */
    const size_t got =
        fread(header, 1, size < NPY_MAX_HEADER ? (size_t)size : NPY_MAX_HEADER, file);
    size_t offset;
    if (ferror(file))
        return npy_fail(message, "%s", strerror(errno));
    if (!npy_read_header(header, got, size, dtypes, array, &offset, message))
        return false;

    const size_t have = got - offset;
    const size_t bytes =
        (size_t)npy_count(array->rank, array->shape) * npy_dtype_size(array->dtype);
    if (have > bytes)
        return npy_fail(message, "more than the expected %zu bytes of data", bytes);
    unsigned char *data = read_data(file, bytes, header + offset, have, known, message);
    if (!data)
        return false;
    if (!known && (getc(file) != EOF || ferror(file))) {
        free(data);
        return ferror(file) ? npy_fail(message, "%s", strerror(errno))
                            : npy_fail(message, "more than the expected %zu bytes of data", bytes);
    }
    array->data = data;
    return true;
}

bool npy_read(FILE *file, unsigned dtypes, struct npy_array *array,
              char message[NPY_MESSAGE_SIZE]) {
    *array = (struct npy_array){.data = NULL};
    unsigned char *header = malloc(NPY_MAX_HEADER);
    const bool done =
        header ? read_array(file, dtypes, header, array, message) : npy_fail(message, "no memory");
    free(header);
    return done;
}

bool npy_write(FILE *file, enum npy_dtype dtype, int rank, const int64_t *shape, const void *data) {
    enum { PREFIX = 10, ALIGNMENT = 64 };
    char tuple[NPY_SHAPE_SIZE], dict[NPY_SHAPE_SIZE + 64];
    npy_format_shape(rank, shape, tuple);
    const int used =
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                 npy_dtype_descr(dtype), tuple);
    /* Spaces and a newline, so that the data begins at a multiple of 64 bytes. */
    const int length = (PREFIX + used + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - PREFIX;
    const unsigned char prefix[PREFIX] = {0x93,
                                          'N',
                                          'U',
                                          'M',
                                          'P',
                                          'Y',
                                          1,
                                          0,
                                          (unsigned char)(length & 255),
                                          (unsigned char)(length >> 8)};
    const size_t count = (size_t)npy_count(rank, shape);
    return fwrite(prefix, 1, PREFIX, file) == PREFIX &&
           fprintf(file, "%-*s\n", length - 1, dict) == length &&
           fwrite(data, npy_dtype_size(dtype), count, file) == count;
}
