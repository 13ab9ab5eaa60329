/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the input files of `rapt run` and views them as tensors: no layout costs a copy. */
#include "inputs.h"

#include "args.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fail(const char *option, const char *path, const char *reason) {
    args_fail("run", "--%s: %s: %s", option, path, reason);
    return false;
}

static bool load(const char *option, const char *path, unsigned dtypes, int least_rank,
                 struct npy_array *array) {
    char message[NPY_MESSAGE_SIZE], shape[NPY_SHAPE_SIZE];
    if (!npy_read(path, dtypes, array, message)) {
        /* NumPy has no bf16, so that only the user knows which integers are some. */
        const size_t used = strlen(message);
        if (array->dtype == NPY_U16 && (dtypes & NPY_F16) && !(dtypes & NPY_U16))
            snprintf(message + used, sizeof message - used, "; --bf16 reads uint16 as bf16");
        return fail(option, path, message);
    }
    npy_format_shape(array->rank, array->shape, shape);
    if (array->rank < least_rank)
        npy_fail(message, "shape %s, expected %d to %d dimensions", shape, least_rank,
                 NPY_MAX_RANK);
    else if (npy_count(array->rank, array->shape) == 0)
        npy_fail(message, "shape %s, expected no dimension of 0", shape);
    else
        return true;
    return fail(option, path, message);
}

/*
 * The axis of a file's array that holds a tensor's dimension (batch, head, position, channel), or
 * less than 0 if the array has too few: without a batch, then without heads.
 */
static int axis_of(int dimension, int rank, enum layout layout) {
    static const int swapped[4] = {0, 2, 1, 3};
    if (layout == LAYOUT_BSHD && rank > 2)
        dimension = swapped[dimension];
    return dimension - (4 - rank);
}

static rapt_dtype dtype_of(const struct npy_array *array) {
    switch (array->dtype) {
    case NPY_F32:
        return RAPT_F32;
    case NPY_F16:
        return RAPT_F16;
    case NPY_U16:
        return RAPT_BF16;
    case NPY_BOOL:
        return RAPT_BOOL;
    case NPY_I64:
        break;
    }
    return RAPT_NONE;
}

static rapt_tensor view(const struct npy_array *array, enum layout layout) {
    rapt_tensor t = {.data = array->data, .dtype = dtype_of(array)};
    for (int d = 0; d < 4; d++) {
        const int axis = axis_of(d, array->rank, layout);
        t.shape[d] = axis < 0 ? 1 : array->shape[axis];
        t.stride[d] = axis < 0 ? 0 : array->stride[axis];
    }
    return t;
}

/* Loads an array of one integer per batch. */
static bool load_per_batch(const char *option, const char *path, int64_t batch,
                           struct npy_array *array) {
    char message[NPY_MESSAGE_SIZE], found[NPY_SHAPE_SIZE], expected[NPY_SHAPE_SIZE];
    if (!load(option, path, NPY_I64, 0, array))
        return false;
    if (array->rank == 1 && array->shape[0] == batch)
        return true;
    npy_format_shape(array->rank, array->shape, found);
    npy_format_shape(1, &batch, expected);
    npy_fail(message, "shape %s, expected %s, one per batch", found, expected);
    return fail(option, path, message);
}

/* Loads an array of one float per query head, or per batch and query head, and views it. */
static bool load_per_head(const char *option, const char *path, const rapt_tensor *query,
                          struct npy_array *array, rapt_tensor *tensor) {
    char message[NPY_MESSAGE_SIZE], found[NPY_SHAPE_SIZE];
    char heads[NPY_SHAPE_SIZE], batches_heads[NPY_SHAPE_SIZE];
    if (!load(option, path, NPY_F32, 0, array))
        return false;
    /* The last axis is that of the heads; the one before it, if there is one, the batch's. */
    const int rank = array->rank, batch = rank - 2, head = rank - 1;
    if ((rank == 1 || (rank == 2 && array->shape[batch] == query->shape[0])) &&
        array->shape[head] == query->shape[1]) {
        *tensor = (rapt_tensor){
            .data = array->data,
            .dtype = dtype_of(array),
            .shape = {rank == 2 ? array->shape[batch] : 1, array->shape[head], 1, 1},
            .stride = {rank == 2 ? array->stride[batch] : 0, array->stride[head], 0, 0},
        };
        return true;
    }
    npy_format_shape(rank, array->shape, found);
    npy_format_shape(1, &query->shape[1], heads);
    npy_format_shape(2, query->shape, batches_heads);
    npy_fail(message, "shape %s, expected %s or %s, one per query head", found, heads,
             batches_heads);
    return fail(option, path, message);
}

/* The same offset in every batch, or that which aligns the last query with the last key. */
static bool make_offsets(const rapt_attention_args *args, bool align_end, int64_t number,
                         struct npy_array *array) {
    const int64_t batch = args->query.shape[0];
    const int64_t queries = args->query.shape[2], keys = args->key.shape[2];
    int64_t *offsets = malloc((size_t)batch * sizeof *offsets);
    if (!offsets) {
        args_fail("run", "--q-offset: no memory for %lld numbers", (long long)batch);
        return false;
    }
    for (int64_t b = 0; b < batch; b++) {
        const int64_t length = args->kv_len ? args->kv_len[b] : keys;
        const bool valid = length >= 0 && length <= keys; /* if not, the library will say so */
        offsets[b] = !align_end ? number : valid ? length - queries : 0;
    }
    array->data = offsets;
    return true;
}

static bool load_q_offset(const char *text, const rapt_attention_args *args,
                          struct inputs *inputs) {
    int64_t number = 0;
    const bool align_end = strcmp(text, "end") == 0;
    if (align_end || args_parse_int(text, &number))
        return make_offsets(args, align_end, number, &inputs->q_offset);
    if (access(text, F_OK) != 0) {
        args_fail_value("run", "q-offset", text,
                        "N|end|FILE.npy: an integer, end, or a file that exists");
        return false;
    }
    inputs->q_offset_is_file = true;
    return load_per_batch("q-offset", text, args->query.shape[0], &inputs->q_offset);
}

/* Loads what the user asked for in addition. */
static bool load_optional(const struct input_options *options, unsigned floats,
                          struct inputs *inputs, rapt_attention_args *args) {
    if (options->mask) {
        if (!load("mask", options->mask, NPY_BOOL | floats, 1, &inputs->mask))
            return false;
        args->mask = view(&inputs->mask, LAYOUT_BHSD); /* right-aligned, whatever the layout */
    }
    if (options->alibi &&
        !load_per_head("alibi", options->alibi, &args->query, &inputs->alibi, &args->alibi))
        return false;
    if (options->sinks &&
        !load_per_head("sinks", options->sinks, &args->query, &inputs->sinks, &args->sink))
        return false;
    if (options->kv_len) {
        if (!load_per_batch("kv-len", options->kv_len, args->query.shape[0], &inputs->kv_len))
            return false;
        args->kv_len = inputs->kv_len.data;
    }
    if (options->q_offset) {
        if (!load_q_offset(options->q_offset, args, inputs))
            return false;
        args->q_offset = inputs->q_offset.data;
    }
    return true;
}

bool inputs_load(const struct input_options *options, struct inputs *inputs,
                 rapt_attention_args *args) {
    const enum layout layout = (enum layout)options->layout;
    const unsigned floats = NPY_F32 | NPY_F16 | (options->bf16 ? NPY_U16 : 0);
    *inputs = (struct inputs){.q_offset_is_file = false};
    if (!load("q", options->query, floats, 2, &inputs->query) ||
        !load("k", options->key, floats, 2, &inputs->key) ||
        !load("v", options->value, floats, 2, &inputs->value))
        return false;
    args->query = view(&inputs->query, layout);
    args->key = view(&inputs->key, layout);
    args->value = view(&inputs->value, layout);
    return load_optional(options, floats, inputs, args);
}

void inputs_free(struct inputs *inputs) {
    struct npy_array *arrays[] = {&inputs->query,  &inputs->key,     &inputs->value,
                                  &inputs->mask,   &inputs->alibi,   &inputs->sinks,
                                  &inputs->kv_len, &inputs->q_offset};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        free(arrays[i]->data);
        arrays[i]->data = NULL;
    }
}
