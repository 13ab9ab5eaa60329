/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays in .npy files, the format of numpy.save: versions 1.0 to 3.0, little-endian, C and Fortran
 * order. The types are those of enum npy_dtype. The bf16 of ml_dtypes, which NumPy writes as two
 * bytes of no type, is read as uint16. Whatever else a file holds is an error that says what was
 * found.
 */
#ifndef RAPT_CLI_BASE_NPY_H
#define RAPT_CLI_BASE_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum npy_dtype {
    NPY_F32 = 1,
    NPY_BOOL = 2,
    NPY_I64 = 4,
    NPY_F16 = 8,
    NPY_U16 = 16,
    NPY_I8 = 32,
    NPY_U8 = 64,
    NPY_I32 = 128,
};

enum {
    NPY_MAX_RANK = 4,
    NPY_MAX_HEADER = 65536, /* bytes before the data; NumPy writes some hundred */
    NPY_SHAPE_SIZE = 96,    /* of the text of any shape */
    NPY_MESSAGE_SIZE = 384,
};

#define NPY_SIZE_UNKNOWN UINT64_MAX

struct npy_array {
    enum npy_dtype dtype;
    int rank;
    int64_t shape[NPY_MAX_RANK];
    int64_t stride[NPY_MAX_RANK]; /* in elements */
    void *data;
};

/*
 * Reads an array whose dtype is one of `dtypes` (enum npy_dtype, or-ed), up to the end of the file,
 * which may be a pipe. On success the caller owns array->data: free() it. Otherwise data is NULL
 * and the message says what is wrong with the file, without its name. array->dtype is what was
 * found even if `dtypes` lacks it, or 0 if it is none of the enum.
 */
bool npy_read(FILE *file, unsigned dtypes, struct npy_array *array, char message[NPY_MESSAGE_SIZE]);

/*
 * Reads the header from the first `size` bytes of a file of `file_size` bytes, which may be
 * hostile. Fills in all of the array but its data, and finds where the data begins. The data is
 * known to reach exactly to the end of the file, unless file_size is NPY_SIZE_UNKNOWN.
 */
bool npy_read_header(const unsigned char *bytes, size_t size, uint64_t file_size, unsigned dtypes,
                     struct npy_array *array, size_t *data_offset, char message[NPY_MESSAGE_SIZE]);

/* The elements of a shape; -1 if a dimension is negative or the number doesn't fit. */
int64_t npy_count(int rank, const int64_t *shape);

/* Bytes of one element, and its name in a header, such as "<f4". */
size_t npy_dtype_size(enum npy_dtype dtype);
const char *npy_dtype_descr(enum npy_dtype dtype);

/* Writes a shape as Python does, "(2, 3)" or "(2,)". */
void npy_format_shape(int rank, const int64_t *shape, char text[NPY_SHAPE_SIZE]);

/* Writes a message and returns false. */
bool npy_fail(char message[NPY_MESSAGE_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes data in C order as version 1.0. On failure errno says why. */
bool npy_write(FILE *file, enum npy_dtype dtype, int rank, const int64_t *shape, const void *data);

#endif
