/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run: attention of arrays in files. */
#include "cli/base/args.h"
#include "cli/base/commands.h"
#include "cli/base/outputs.h"
#include "cli/run/inputs.h"
#include "cli/run/run_options.h"
#include "cli/run/sequences.h"

#include <stdlib.h>

/* An array that the library writes, and the file it goes to. */
struct result {
    const char *option, *path;
    rapt_tensor *tensor;
    enum npy_dtype dtype;
    int rank;
    int64_t shape[4];
    void *data;
};

enum { RESULTS = OUTPUTS_MOST };

/* Says where OUT goes and sets its view in args, which gets its memory once all is checked. */
static void list_out(const struct run_options *o, const struct npy_array *query,
                     rapt_attention_args *args, struct result *r) {
    static const struct {
        rapt_dtype dtype;
        enum npy_dtype stored;
    } types[] = {
        [OUT_F32] = {RAPT_F32, NPY_F32},
        [OUT_F16] = {RAPT_F16, NPY_F16},
        [OUT_BF16] = {RAPT_BF16, NPY_U16},
    };
    const bool like_query = o->out_type == LIKE_QUERY;
    const int64_t *shape = args->query.shape, channels = args->value.shape[3];
    const bool heads_last = o->in.layout == LAYOUT_BSHD || args->cu_q;
    args->out = (heads_last ? rapt_tensor_bshd : rapt_tensor_bhsd)(
        NULL, like_query ? args->query.dtype : types[o->out_type].dtype, shape[0], shape[1],
        shape[2], channels);
    *r = (struct result){"out", o->out, &args->out, .rank = query->rank};
    r->dtype = like_query ? query->dtype : types[o->out_type].stored;
    for (int i = 0; i < r->rank; i++)
        r->shape[i] = i == r->rank - 1 ? channels : query->shape[i];
}

/* What keys receive: a row per sequence and head. */
static void list_received(const struct run_options *o, const struct npy_array *query,
                          int64_t columns, rapt_attention_args *args, struct result *r) {
    const int rank = args->cu_q ? 3 : query->rank - 1;
    const int64_t shape[3] = {sequences_count(args), args->query.shape[1], columns};
    args->received = rapt_tensor_bhsd(NULL, RAPT_F32, shape[0], shape[1], 1, columns);
    *r = (struct result){"received", o->received, &args->received, NPY_F32, .rank = rank};
    for (int i = 0; i < rank; i++)
        r->shape[i] = shape[3 - rank + i];
}

/* The same for all results; the others are float32 in the order bhsd. Returns their number. */
static int list_results(const struct run_options *o, const struct npy_array *query,
                        rapt_attention_args *args, struct result *results) {
    const bool padded = !args->cu_k && !args->block_table;
    const int64_t columns = padded ? args->key.shape[2] : sequences_longest(args);
    const int64_t bounds = o->segment_bounds.count - 1;
    const struct {
        const char *option, *path;
        rapt_tensor *tensor;
        int64_t channels;
        int rank;
    } optional[] = {
        {"lse", o->lse, &args->lse, 1, query->rank - 1},
        {"max", o->max, &args->max, 1, query->rank - 1},
        {"weights", o->weights, &args->weights, columns, query->rank},
        {"entropy", o->entropy, &args->entropy, 1, query->rank - 1},
        {"top-weights", o->top_weights, &args->top_weight, o->top, query->rank},
        {"top-keys", o->top_keys, &args->top_key, o->top, query->rank},
        {"distance", o->distance, &args->distance, 1, query->rank - 1},
        {"segments", o->segments, &args->segments, bounds, query->rank},
        {"diagonals", o->diagonals, &args->diagonals, o->diagonal_offsets.count, query->rank},
    };
    const int64_t *shape = args->query.shape;
    int count = 0;
    list_out(o, query, args, &results[count++]);
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (!optional[i].path)
            continue;
        rapt_tensor *tensor = optional[i].tensor;
        const bool keys = tensor == &args->top_key;
        struct result *r = &results[count++];
        *tensor = rapt_tensor_bhsd(NULL, keys ? RAPT_I32 : RAPT_F32, shape[0], shape[1], shape[2],
                                   optional[i].channels);
        *r = (struct result){optional[i].option, optional[i].path, tensor, keys ? NPY_I32 : NPY_F32,
                             .rank = optional[i].rank};
        for (int d = 0; d < r->rank; d++)
            r->shape[d] = tensor->shape[4 - query->rank + d];
    }
    if (o->received)
        list_received(o, query, columns, args, &results[count++]);
    return count;
}

static bool fail_library(void) {
    args_fail("run", "%s", rapt_last_error());
    return false;
}

/* Opens the output files before anything is computed: one that can't be written costs no time. */
static bool open_outputs(const struct result *results, int count, struct outputs *outputs) {
    for (int i = 0; i < count; i++)
        if (!outputs_add(outputs, results[i].option, results[i].path, OUTPUT_BINARY))
            return false;
    return true;
}

static bool allocate(struct result *results, int count) {
    for (int i = 0; i < count; i++) {
        struct result *r = &results[i];
        /* The plan has checked that these bytes fit the address space. */
        const size_t bytes = (size_t)npy_count(r->rank, r->shape) * npy_dtype_size(r->dtype);
        r->data = malloc(bytes ? bytes : 1);
        if (!r->data) {
            args_fail("run", "--%s: no memory for %zu bytes", r->option, bytes);
            return false;
        }
        r->tensor->data = r->data;
    }
    return true;
}

static bool write_result(FILE *file, int i, const void *context) {
    const struct result *r = (const struct result *)context + i;
    return npy_write(file, r->dtype, r->rank, r->shape, r->data);
}

/* Checks everything with a plan before a file is created, memory taken or anything computed. */
static bool compute(const struct run_options *o, const struct inputs *inputs,
                    rapt_attention_args *args) {
    struct result results[RESULTS];
    struct outputs outputs = {.command = "run"};
    rapt_plan *plan;
    const int count = list_results(o, &inputs->list[INPUT_QUERY].array, args, results);
    if (rapt_plan_create(args, &plan) != RAPT_OK)
        return fail_library();

    bool done = open_outputs(results, count, &outputs) && allocate(results, count);
    if (done) {
        const rapt_attention_data data = rapt_attention_data_of(args);
        done = rapt_plan_run(plan, &data, NULL, 0) == RAPT_OK || fail_library();
    }
    done = done && outputs_write(&outputs, write_result, results);
    outputs_close(&outputs);
    rapt_plan_destroy(plan);
    for (int i = 0; i < count; i++)
        free(results[i].data);
    return done;
}

int cmd_run(int argc, char **argv) {
    struct run_options o;
    const int code = run_options_read(argc, argv, &o);
    if (code != ARGS_GO_ON)
        return code;
    rapt_attention_args args = rapt_attention_defaults();
    args.scale = o.scale;
    args.softcap = o.softcap;
    args.causal = o.causal;
    args.window_left = o.window.value[0];
    args.window_right = o.window.value[1];
    args.threads = (int)o.threads;
    args.isa = o.isa;
    args.segment_bounds = o.segments ? o.segment_bounds.value : NULL;
    args.diagonal_offsets = o.diagonals ? o.diagonal_offsets.value : NULL;
    if (o.weights_kind >= 0)
        args.weights_kind = (rapt_weights_kind)o.weights_kind;
    struct inputs inputs;
    const bool done = inputs_load(&o.in, &inputs, &args) && compute(&o, &inputs, &args);
    inputs_free(&inputs);
    return done ? ARGS_OK : ARGS_ERROR;
}
