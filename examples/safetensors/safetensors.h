/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors of a .safetensors file: eight bytes that are the length of a header, the header in JSON,
 * which tells each tensor's type, shape and place, and the data, which stays where it is. Nothing
 * in a file is believed before it is checked: names come once, tensors fill the data without a hole
 * and don't overlap.
 */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include <rapt/tensor.h>

#include "file.h"

enum {
    SAFETENSORS_MAX_RANK = 8,
    SAFETENSORS_MAX_HEADER = 16 << 20, /* bytes; models of 100 layers have some 100 KiB */
};

struct safetensors_entry {
    const char *name, *dtype; /* "F32" */
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    const void *data;
    size_t size; /* bytes */
};

struct safetensors {
    const char *path; /* for messages; the caller's */
    struct safetensors_entry *entries;
    int count;
    struct cJSON *header;
    void *mapping; /* NULL if the caller has the bytes */
    size_t mapping_size;
};

/* Maps a file. On failure there is nothing to close. A file must not shrink while it is open. */
bool safetensors_open(const char *path, struct safetensors *file, char message[FAULT_SIZE]);

/* The same for bytes in memory, which must outlive the result. */
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
