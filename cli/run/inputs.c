/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/inputs.h"

#include "cli/base/args.h"
#include "cli/run/sequences.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const option_names[INPUTS] = {
    [INPUT_QUERY] = "q",
    [INPUT_KEY] = "k",
    [INPUT_VALUE] = "v",
    [INPUT_KEY_SCALE] = "k-scale",
    [INPUT_VALUE_SCALE] = "v-scale",
    [INPUT_MASK] = "mask",
    [INPUT_MASK_START] = "mask-start",
    [INPUT_ALIBI] = "alibi",
    [INPUT_SINKS] = "sinks",
    [INPUT_CU_Q] = "cu-q",
    [INPUT_CU_K] = "cu-k",
    [INPUT_BLOCK_TABLE] = "block-table",
    [INPUT_KV_LEN] = "kv-len",
    [INPUT_KV_START] = "kv-start",
    [INPUT_Q_OFFSET] = "q-offset",
};

/*
 * The axis of a file's array that holds a tensor's dimension (batch, head, position, channel). Less
 * than 0 if the array has too few axes: it then lacks the batch first, and then the heads.
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
    case NPY_I8:
        return RAPT_I8;
    case NPY_U8:
        return RAPT_Q8_0;
    case NPY_I64:
    case NPY_I32:
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

/* A view of bytes becomes one of the blocks' elements: the channels of a row lie in blocks. */
static bool view_blocks(const struct input *input, rapt_tensor *t) {
    const int64_t bytes = rapt_dtype_size(t->dtype), elements = rapt_dtype_block(t->dtype);
    if (t->shape[3] % bytes != 0)
        return input_fail_shape(input, "a last dimension of dim / %" PRId64 " * %" PRId64 " bytes",
                                elements, bytes);
    if (t->stride[3] != 1)
        return input_fail(input, "Fortran order, expected C order for q8_0");
    t->shape[3] = t->shape[3] / bytes * elements;
    for (int d = 0; d < 3; d++)
        t->stride[d] = t->stride[d] / bytes * elements;
    return true;
}

/* How the arrays of queries, or those of keys and values, lie in their files. */
struct form {
    enum layout layout;
    int least_rank, most_rank;
};

static bool load_tensor(struct input *input, unsigned dtypes, const struct form *form,
                        rapt_tensor *t) {
    if (!input_load(input, dtypes, form->least_rank, form->most_rank))
        return false;
    *t = view(&input->array, form->layout);
    return t->dtype != RAPT_Q8_0 || view_blocks(input, t);
}

/* Loads the scales of int8 keys or values: their shape without the last axis. */
static bool load_scale(struct input *input, const struct input *of, const struct form *form,
                       rapt_tensor *t) {
    const bool is_int8 = of->array.dtype == NPY_I8;
    if (is_int8 != !!input->text) {
        if (is_int8)
            args_fail("run", "--%s: %s: found int8 but no --%s, expected it, too", of->option,
                      of->text, input->option);
        else
            args_fail("run", "--%s: found \"%s\", expected --%s to be int8", input->option,
                      input->text, of->option);
        return false;
    }
    if (!is_int8)
        return true;
    struct npy_array *scales = &input->array;
    const int rank = of->array.rank - 1;
    if (!input_load(input, NPY_F32, 0, NPY_MAX_RANK))
        return false;
    bool same = scales->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = scales->shape[i] == of->array.shape[i];
    if (!same) {
        char expected[NPY_SHAPE_SIZE];
        npy_format_shape(rank, of->array.shape, expected);
        return input_fail_shape(input, "%s, one per position and head of --%s", expected,
                                of->option);
    }
    /* With one channel for the axis that is missing, they are viewed as what they scale. */
    struct npy_array with_channel = *scales;
    with_channel.shape[rank] = 1;
    with_channel.stride[rank] = 0;
    with_channel.rank = rank + 1;
    *t = view(&with_channel, form->layout);
    return true;
}

static bool load_tensors(const struct input_options *options, unsigned floats,
                         struct inputs *inputs, rapt_attention_args *args) {
    static const struct form ragged = {LAYOUT_BSHD, 3, 3};
    const enum layout layout = (enum layout)options->layout;
    const struct form padded = {layout, 2, 4}, paged = {layout, 4, 4};
    const struct form *q = options->text[INPUT_CU_Q] ? &ragged : &padded;
    const struct form *kv = options->text[INPUT_CU_K]          ? &ragged
                            : options->text[INPUT_BLOCK_TABLE] ? &paged
                                                               : &padded;
    const unsigned stored = floats | NPY_I8 | (options->q8_0 ? NPY_U8 : 0);
    struct input *in = inputs->list;
    return load_tensor(&in[INPUT_QUERY], floats, q, &args->query) &&
           load_tensor(&in[INPUT_KEY], stored, kv, &args->key) &&
           load_tensor(&in[INPUT_VALUE], stored, kv, &args->value) &&
           load_scale(&in[INPUT_KEY_SCALE], &in[INPUT_KEY], kv, &args->key_scale) &&
           load_scale(&in[INPUT_VALUE_SCALE], &in[INPUT_VALUE], kv, &args->value_scale);
}

/* Loads an array of one float per query head, or per sequence and query head, and views it. */
static bool load_per_head(struct input *input, const rapt_attention_args *args,
                          rapt_tensor *tensor) {
    const struct npy_array *array = &input->array;
    const int64_t sequences = sequences_count(args), heads = args->query.shape[1];
    if (!input->text)
        return true;
    if (!input_load(input, NPY_F32, 0, NPY_MAX_RANK))
        return false;
    /* The last axis is that of the heads; the one before it, if there is one, the batch's. */
    const int rank = array->rank, batch = rank - 2, head = rank - 1;
    if ((rank != 1 && (rank != 2 || array->shape[batch] != sequences)) ||
        array->shape[head] != heads)
        return input_fail_shape(input,
                                "(%" PRId64 ",) or (%" PRId64 ", %" PRId64 "), one per query head",
                                heads, sequences, heads);
    *tensor = (rapt_tensor){
        .data = array->data,
        .dtype = dtype_of(array),
        .shape = {rank == 2 ? sequences : 1, heads, 1, 1},
        .stride = {rank == 2 ? array->stride[batch] : 0, array->stride[head], 0, 0},
    };
    return true;
}

static bool load_mask(struct input *input, unsigned floats, rapt_attention_args *args) {
    if (!input->text)
        return true;
    if (!input_load(input, NPY_BOOL | floats, 1, NPY_MAX_RANK))
        return false;
    args->mask = view(&input->array, LAYOUT_BHSD); /* right-aligned, whatever the layout */
    return true;
}

bool inputs_load(const struct input_options *options, struct inputs *inputs,
                 rapt_attention_args *args) {
    const unsigned floats = NPY_F32 | NPY_F16 | (options->bf16 ? NPY_U16 : 0);
    struct input *in = inputs->list;
    for (int i = 0; i < INPUTS; i++)
        in[i] = (struct input){.option = option_names[i], .text = options->text[i]};
    return load_tensors(options, floats, inputs, args) && sequences_load(inputs, args) &&
           load_mask(&in[INPUT_MASK], floats, args) &&
           load_per_head(&in[INPUT_ALIBI], args, &args->alibi) &&
           load_per_head(&in[INPUT_SINKS], args, &args->sink) &&
           sequences_load_positions(inputs, args);
}

void inputs_free(struct inputs *inputs) {
    for (int i = 0; i < INPUTS; i++) {
        free(inputs->list[i].array.data);
        inputs->list[i].array.data = NULL;
    }
}
