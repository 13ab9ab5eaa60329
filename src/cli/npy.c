/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing .npy files, around the header. */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error ".npy files are little-endian here, and read into memory as they are"
#endif

/* Opens a regular file. O_NONBLOCK, so that a FIFO without a writer doesn't hang. */
static FILE *open_regular(const char *path, uint64_t *size, char *message) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    FILE *file = NULL;
    if (fd < 0)
        npy_fail(message, "%s", strerror(errno));
    else if (fstat(fd, &status) != 0)
        npy_fail(message, "%s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        npy_fail(message, "is %s, expected a .npy file",
                 S_ISDIR(status.st_mode) ? "a directory" : "no regular file");
    else if (!(file = fdopen(fd, "rb")))
        npy_fail(message, "%s", strerror(errno));
    else
        *size = (uint64_t)status.st_size;
    if (!file && fd >= 0)
        close(fd);
    return file;
}

static bool read_array(FILE *file, uint64_t file_size, unsigned dtypes, unsigned char *header,
                       struct npy_array *array, char *message) {
    /* Not more than the size says, even if the file has grown since. */
    const size_t most = file_size < NPY_MAX_HEADER ? (size_t)file_size : NPY_MAX_HEADER;
    const size_t got = fread(header, 1, most, file);
    size_t offset;
    if (ferror(file))
        return npy_fail(message, "%s", strerror(errno));
    if (!npy_read_header(header, got, file_size, dtypes, array, &offset, message))
        return false;

    const size_t bytes = (size_t)(file_size - offset), have = got - offset;
    unsigned char *data = malloc(bytes ? bytes : 1);
    if (!data)
        return npy_fail(message, "no memory for %zu bytes", bytes);
    memcpy(data, header + offset, have);
    if (fread(data + have, 1, bytes - have, file) != bytes - have) {
        npy_fail(message, "%s", ferror(file) ? strerror(errno) : "ended while it was read");
        free(data);
        return false;
    }
    array->data = data;
    return true;
}

bool npy_read(const char *path, unsigned dtypes, struct npy_array *array,
              char message[NPY_MESSAGE_SIZE]) {
    uint64_t file_size;
    *array = (struct npy_array){.data = NULL};
    FILE *file = open_regular(path, &file_size, message);
    if (!file)
        return false;
    unsigned char *header = malloc(NPY_MAX_HEADER);
    const bool done = header ? read_array(file, file_size, dtypes, header, array, message)
                             : npy_fail(message, "no memory");
    free(header);
    fclose(file);
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
