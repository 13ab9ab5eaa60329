/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/input.h"

#include "cli/base/args.h"
#include "cli/base/files.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool input_fail(const struct input *input, const char *reason) {
    args_fail("run", "--%s: %s: %s", input->option, input->text, reason);
    return false;
}

bool input_fail_shape(const struct input *input, const char *format, ...) {
    char shape[NPY_SHAPE_SIZE], expected[INPUT_REASON_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(expected, sizeof expected, format, arguments);
    va_end(arguments);
    npy_format_shape(input->array.rank, input->array.shape, shape);
    args_fail("run", "--%s: %s: shape %s, expected %s", input->option, input->text, shape,
              expected);
    return false;
}

/* Types that .npy doesn't have travel as integers, of which only the user knows what they are. */
static const char *hint(enum npy_dtype found, unsigned dtypes) {
    if (found == NPY_U16 && (dtypes & NPY_F16))
        return "; --bf16 reads it as bf16";
    if (found == NPY_U8 && (dtypes & NPY_I8))
        return "; --q8-0 reads uint8 as q8_0";
    return "";
}

bool input_load(struct input *input, unsigned dtypes, int least_rank, int most_rank) {
    struct npy_array *array = &input->array;
    char message[NPY_MESSAGE_SIZE];
    FILE *file = files_open("run", input->option, input->text);
    const bool done = file && npy_read(file, dtypes, array, message);
    files_close(file);
    if (!file)
        return false;
    if (!done) {
        const size_t used = strlen(message);
        if (!(array->dtype & dtypes))
            snprintf(message + used, sizeof message - used, "%s", hint(array->dtype, dtypes));
        return input_fail(input, message);
    }
    if (array->rank < least_rank || array->rank > most_rank) {
        if (least_rank == most_rank)
            return input_fail_shape(input, "%d dimension%s", least_rank, least_rank > 1 ? "s" : "");
        return input_fail_shape(input, "%d to %d dimensions", least_rank, most_rank);
    }
    return true;
}

/* The element that stands at a place in C order. */
static int64_t element_at(const struct npy_array *array, int64_t place) {
    int64_t at = 0;
    for (int axis = array->rank - 1; axis >= 0; axis--) {
        at += place % array->shape[axis] * array->stride[axis];
        place /= array->shape[axis];
    }
    return array->dtype == NPY_I32 ? ((const int32_t *)array->data)[at]
                                   : ((const int64_t *)array->data)[at];
}

static bool allocate(const struct input *input, int64_t count, int64_t **numbers) {
    *numbers = malloc((size_t)(count ? count : 1) * sizeof **numbers);
    if (!*numbers)
        args_fail("run", "--%s: no memory for %lld numbers", input->option, (long long)count);
    return *numbers;
}

bool input_load_integers(struct input *input) {
    struct npy_array *array = &input->array;
    int64_t *numbers;
    if (!input_load(input, NPY_I64 | NPY_I32, 0, NPY_MAX_RANK))
        return false;
    const int64_t count = npy_count(array->rank, array->shape);
    if (!allocate(input, count, &numbers))
        return false;
    for (int64_t i = 0; i < count; i++)
        numbers[i] = element_at(array, i);
    free(array->data);
    array->data = numbers;
    return true;
}

bool input_make_integers(struct input *input, int64_t count) {
    int64_t *numbers;
    const bool done = allocate(input, count, &numbers);
    input->array.data = numbers;
    return done;
}
