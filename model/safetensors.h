/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors of a .safetensors file: eight bytes that are the length of a header, the header, and the
 * data. The header is JSON and tells each tensor's type, shape and place. Nothing in a file is
 * believed before it is checked: names come once, tensors fill the data without a hole and don't
 * overlap. A tensor may lie at any byte of the file. It is read into memory that suits its type. So
 * a file that changes or shrinks after it was opened changes nothing.
 */
#ifndef RAPT_MODEL_SAFETENSORS_H
#define RAPT_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include <rapt/tensor.h>

#include "model/file.h"

enum {
    SAFETENSORS_MAX_RANK = 8,
    SAFETENSORS_MAX_HEADER = 100000000, /* bytes, the format's own limit */
};

struct safetensors_entry {
    const char *name, *dtype; /* "F32" */
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    const void *data; /* at a multiple of 64 bytes */
    size_t size;      /* bytes */
    size_t place;     /* in the data of the file */
};

struct safetensors {
    const char *path; /* for messages; the caller's */
    struct safetensors_entry *entries;
    int count;
    struct cJSON *header;
    void *memory; /* of all tensors */
};

/*
 * Reads a file, all of it: as much memory is needed as it is long. On failure there is nothing to
 * close, and the message says why: also if the file was cut meanwhile, or isn't a regular one.
 */
bool safetensors_open(const char *path, struct safetensors *file, char message[FAULT_SIZE]);

/* The same for bytes in memory, of which the result has a copy. */
bool safetensors_parse(const char *path, const void *bytes, size_t size, struct safetensors *file,
                       char message[FAULT_SIZE]);

void safetensors_close(struct safetensors *file);

/* The tensor of a name, or NULL. */
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name);

/*
 * A view for the library of a matrix of so many rows and columns, of F32, F16 or BF16; 0 rows stand
 * for a vector. False and a message if there is no such tensor.
 */
bool safetensors_view(const struct safetensors *file, const char *name, int64_t rows,
                      int64_t columns, rapt_tensor *view, char message[FAULT_SIZE]);

#endif
