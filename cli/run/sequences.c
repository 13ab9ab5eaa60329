/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/sequences.h"

#include "cli/base/args.h"
#include "cli/base/files.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int64_t sequences_count(const rapt_attention_args *args) {
    return args->cu_q ? args->sequences : args->query.shape[0];
}

/* The length of a sequence, -1 if the numbers make no sense: the library will say why. */
static int64_t length_between(const int64_t *cu, int64_t b) {
    return cu[b] >= 0 && cu[b + 1] >= cu[b] ? cu[b + 1] - cu[b] : -1;
}

static int64_t query_count(const rapt_attention_args *args, int64_t b) {
    return args->cu_q ? length_between(args->cu_q, b) : args->query.shape[2];
}

static int64_t key_count(const rapt_attention_args *args, int64_t b) {
    if (args->cu_k)
        return length_between(args->cu_k, b);
    return args->kv_len ? args->kv_len[b] : args->key.shape[2];
}

int64_t sequences_longest(const rapt_attention_args *args) {
    int64_t longest = 0;
    for (int64_t b = 0; b < sequences_count(args); b++) {
        const int64_t keys = key_count(args, b);
        longest = keys > longest ? keys : longest;
    }
    return longest;
}

/* Loads numbers of which there are `count`. */
static bool load_counted(struct input *input, int64_t count, const char *meaning) {
    const struct npy_array *array = &input->array;
    if (!input_load_integers(input))
        return false;
    if (array->rank == 1 && array->shape[0] == count)
        return true;
    return input_fail_shape(input, "(%" PRId64 ",), %s", count, meaning);
}

/* Whether cumulative lengths end where the tokens do; the library sees to the others. */
static bool check_total(const struct input *input, int64_t tokens, const char *of) {
    const struct npy_array *array = &input->array;
    const int64_t last = ((const int64_t *)array->data)[array->shape[0] - 1];
    char reason[NPY_MESSAGE_SIZE];
    if (last == tokens)
        return true;
    npy_fail(reason, "ends with %" PRId64 ", expected %" PRId64 ", the tokens of %s", last, tokens,
             of);
    return input_fail(input, reason);
}

static bool load_cumulative_queries(struct input *input, rapt_attention_args *args) {
    const struct npy_array *array = &input->array;
    if (!input_load_integers(input))
        return false;
    if (array->rank != 1 || array->shape[0] < 1)
        return input_fail_shape(input, "one dimension of 1 or more, a number more than sequences");
    args->cu_q = array->data;
    args->sequences = array->shape[0] - 1;
    return check_total(input, args->query.shape[2], "--q");
}

/* The library's pages are int32, which take the place of the first half of the numbers. */
static bool narrow(const struct input *input) {
    const struct npy_array *array = &input->array;
    const int64_t columns = array->shape[1], *numbers = array->data;
    int32_t *pages = array->data;
    for (int64_t i = 0; i < array->shape[0] * columns; i++) {
        const int64_t number = numbers[i];
        if (number < INT32_MIN || number > INT32_MAX) {
            char reason[NPY_MESSAGE_SIZE];
            npy_fail(reason, "[%" PRId64 ", %" PRId64 "] is %" PRId64 ", expected a page's index",
                     i / columns, i % columns, number);
            return input_fail(input, reason);
        }
        pages[i] = (int32_t)number;
    }
    return true;
}

static bool load_block_table(struct input *input, rapt_attention_args *args) {
    const struct npy_array *array = &input->array;
    const int64_t sequences = sequences_count(args);
    if (!input_load_integers(input))
        return false;
    if (array->rank != 2 || array->shape[0] != sequences)
        return input_fail_shape(input, "(%" PRId64 ", columns), a row per sequence", sequences);
    args->block_table = array->data;
    args->block_table_stride = array->shape[1];
    return narrow(input);
}

bool sequences_load(struct inputs *inputs, rapt_attention_args *args) {
    struct input *cu_q = &inputs->list[INPUT_CU_Q], *cu_k = &inputs->list[INPUT_CU_K];
    struct input *table = &inputs->list[INPUT_BLOCK_TABLE], *kv_len = &inputs->list[INPUT_KV_LEN];
    struct input *kv_start = &inputs->list[INPUT_KV_START];
    if (cu_q->text && !load_cumulative_queries(cu_q, args))
        return false;
    const int64_t sequences = sequences_count(args);
    if (cu_k->text) {
        if (!load_counted(cu_k, sequences + 1, "one more than sequences") ||
            !check_total(cu_k, args->key.shape[2], "--k"))
            return false;
        args->cu_k = cu_k->array.data;
    }
    if (kv_len->text) {
        if (!load_counted(kv_len, sequences, "one per sequence"))
            return false;
        args->kv_len = kv_len->array.data;
    }
    if (kv_start->text) {
        if (!load_counted(kv_start, sequences, "one per sequence"))
            return false;
        args->kv_start = kv_start->array.data;
    }
    return !table->text || load_block_table(table, args);
}

/* The same number for every sequence, or the position that makes its last query the last key's. */
static bool make_positions(struct input *input, const rapt_attention_args *args, bool align_end,
                           int64_t number) {
    /* More than there can be; the library refuses such lengths, and tells them by their name. */
    const int64_t nonsense = (int64_t)1 << 59;
    const int64_t sequences = sequences_count(args);
    if (!input_make_integers(input, sequences))
        return false;
    int64_t *positions = input->array.data;
    for (int64_t b = 0; b < sequences; b++) {
        const int64_t queries = query_count(args, b), keys = key_count(args, b);
        const bool valid = queries >= 0 && queries < nonsense && keys >= 0 && keys < nonsense;
        positions[b] = !align_end ? number : valid ? keys - queries : 0;
    }
    return true;
}

/* A number, "end", or a file. */
static bool load_positions(struct input *input, const rapt_attention_args *args) {
    int64_t number = 0;
    const bool align_end = strcmp(input->text, "end") == 0;
    if (align_end || args_parse_int(input->text, &number))
        return make_positions(input, args, align_end, number);
    if (!files_is_standard(input->text) && access(input->text, F_OK) != 0) {
        args_fail_value("run", input->option, input->text,
                        "N|end|FILE.npy: an integer, end, or a file that exists");
        return false;
    }
    return load_counted(input, sequences_count(args), "one per sequence");
}

bool sequences_load_positions(struct inputs *inputs, rapt_attention_args *args) {
    struct input *offset = &inputs->list[INPUT_Q_OFFSET], *start = &inputs->list[INPUT_MASK_START];
    if ((offset->text && !load_positions(offset, args)) ||
        (start->text && !load_positions(start, args)))
        return false;
    args->q_offset = offset->array.data;
    args->mask_start = start->array.data;
    return true;
}
