/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run: attention of arrays in files. */
#include "args.h"
#include "cmd.h"
#include "inputs.h"
#include "outputs.h"

#include <errno.h>
#include <stdlib.h>

struct options {
    struct input_options in;
    const char *out, *lse, *weights, *isa;
    float scale, softcap;
    bool causal;
    struct args_ints window;
    int64_t threads;
};

static const char notes[] =
    "Arrays are float32 in .npy files (versions 1.0 to 3.0, C or Fortran order).\n"
    "Shapes, with Hq a multiple of Hkv:\n"
    "  layout bhsd  Q (B, Hq, Sq, D)   K (B, Hkv, Skv, D)   V (B, Hkv, Skv, Dv)\n"
    "  layout bshd  Q (B, Sq, Hq, D)   K (B, Skv, Hkv, D)   V (B, Skv, Hkv, Dv)\n"
    "The batch may be left out, and then the heads. OUT has the dimensions of Q, with\n"
    "Dv channels. LSE is (B, Hq, Sq) and the weights are (B, Hq, Sq, Skv) in either\n"
    "layout, less what Q leaves out.\n"
    "Query i stands at position OFFSET + i, and a key at its index.\n";

static const char examples[] =
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --causal --q-offset end\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --mask M.npy --lse L.npy\n"
    "rapt run --q X.npy --k X.npy --v X.npy --out O.npy --layout bshd --window 128,0\n";

static int read_options(int argc, char **argv, struct options *o) {
    static const char *const layouts[] = {"bhsd", "bshd", NULL};
    const char *const file = "FILE.npy";
    const struct args_option table[] = {
        {"q", ARGS_STRING, &o->in.query, file, "Queries.", .required = true},
        {"k", ARGS_STRING, &o->in.key, file, "Keys.", .required = true},
        {"v", ARGS_STRING, &o->in.value, file, "Values.", .required = true},
        {"out", ARGS_STRING, &o->out, file, "Where the result goes.", .required = true},
        {"layout", ARGS_CHOICE, &o->in.layout, "bhsd|bshd",
         "Order of the dimensions in the files (default bhsd).", .choices = layouts},
        {"scale", ARGS_POSITIVE, &o->scale, "X",
         .help = "Factor of every score (default 1 / sqrt(D))."},
        {"softcap", ARGS_POSITIVE, &o->softcap, "X",
         .help = "Turns a score s into X * tanh(s / X)."},
        {"causal", ARGS_ON, &o->causal,
         .help = "A query attends the keys at or before its own position."},
        {"q-offset", ARGS_STRING, &o->in.q_offset, "N|end|FILE.npy",
         .help = "Position of the first query (default 0): a number, end to align the last query "
                 "with the last key, or int64, one per batch."},
        {"window", ARGS_INTS, &o->window, "LEFT,RIGHT",
         "A query attends LEFT keys before its position to RIGHT keys after it; -1 leaves a side "
         "open.",
         .least = -1, .count = 2},
        {"mask", ARGS_STRING, &o->in.mask, file,
         .help = "Bool (true: attend) or float32 (added to the scores), 1 to 4 dimensions that "
                 "broadcast, aligned on the right, to (B, Hq, Sq, Skv)."},
        {"kv-len", ARGS_STRING, &o->in.kv_len, file,
         .help = "Number of keys that exist: int64, one per batch."},
        {"lse", ARGS_STRING, &o->lse, file,
         .help = "Writes the log of the sum of exp(score) of every query."},
        {"weights", ARGS_STRING, &o->weights, file, .help = "Writes the attention weights."},
        {"isa", ARGS_STRING, &o->isa, "NAME",
         .help = "Instruction set, one of those that rapt isa lists (default: the best)."},
        {"threads", ARGS_INT, &o->threads, "N",
         "At most so many threads (default: one for every CPU).", .least = 1, .most = 1024},
    };
    const struct args_command command = {
        .name = "run",
        .about = "Computes softmax(scale * Q K^T + mask) V, exactly, from .npy files. Either all "
                 "outputs are written completely or none is.",
        .options = table,
        .option_count = sizeof table / sizeof *table,
        .notes = notes,
        .examples = examples,
    };
    return args_parse(&command, argc, argv);
}

/* An array that the library writes, and the file it goes to. */
struct result {
    const char *option, *path;
    rapt_tensor *tensor;
    int rank;
    int64_t shape[4];
    float *data;
};

enum { RESULTS = MAX_OUTPUTS };

/*
 * Says where the results go and sets their views in args, without memory for now. Returns their
 * number.
 */
static int list_results(const struct options *o, const struct npy_array *query,
                        rapt_attention_args *args, struct result *results) {
    const int64_t batch = args->query.shape[0], heads = args->query.shape[1];
    const int64_t queries = args->query.shape[2], keys = args->key.shape[2];
    const int64_t channels = args->value.shape[3];
    const int left_out = 4 - query->rank;
    int count = 0;

    struct result *r = &results[count++];
    *r = (struct result){"out", o->out, &args->out, query->rank, {0}, NULL};
    for (int i = 0; i < query->rank; i++)
        r->shape[i] = i == query->rank - 1 ? channels : query->shape[i];
    args->out = (o->in.layout == LAYOUT_BSHD ? rapt_tensor_bshd : rapt_tensor_bhsd)(
        NULL, RAPT_F32, batch, heads, queries, channels);

    const int64_t full[4] = {batch, heads, queries, keys};
    if (o->lse) {
        r = &results[count++];
        *r = (struct result){"lse", o->lse, &args->lse, query->rank - 1, {0}, NULL};
        for (int i = 0; i < r->rank; i++)
            r->shape[i] = full[left_out + i];
        args->lse = rapt_tensor_bhsd(NULL, RAPT_F32, batch, heads, queries, 1);
    }
    if (o->weights) {
        r = &results[count++];
        *r = (struct result){"weights", o->weights, &args->weights, query->rank, {0}, NULL};
        for (int i = 0; i < r->rank; i++)
            r->shape[i] = full[left_out + i];
        args->weights = rapt_tensor_bhsd(NULL, RAPT_F32, batch, heads, queries, keys);
    }
    return count;
}

static bool fail_library(void) {
    args_fail("run", "%s", rapt_last_error());
    return false;
}

/* Creates the output files' temporaries, so that a file that can't be written costs no time. */
static bool open_outputs(const struct options *o, const struct inputs *inputs,
                         const struct result *results, int count, struct outputs *outputs) {
    for (int i = 0; i < count; i++)
        if (!outputs_add(outputs, results[i].option, results[i].path))
            return false;
    const struct {
        const char *option, *path;
    } files[] = {
        {"q", o->in.query},       {"k", o->in.key},
        {"v", o->in.value},       {"mask", o->in.mask},
        {"kv-len", o->in.kv_len}, {"q-offset", inputs->q_offset_is_file ? o->in.q_offset : NULL},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i].path && !outputs_check_input(outputs, files[i].option, files[i].path))
            return false;
    return true;
}

static bool allocate(struct result *results, int count) {
    for (int i = 0; i < count; i++) {
        struct result *r = &results[i];
        /* The plan has checked that these bytes fit the address space. */
        const size_t bytes = (size_t)npy_count(r->rank, r->shape) * sizeof *r->data;
        r->data = malloc(bytes);
        if (!r->data) {
            args_fail("run", "--%s: no memory for %zu bytes", r->option, bytes);
            return false;
        }
        r->tensor->data = r->data;
    }
    return true;
}

static bool write_results(const struct result *results, int count, struct outputs *outputs) {
    for (int i = 0; i < count; i++) {
        const struct output *output = &outputs->list[i];
        errno = 0;
        if (!npy_write(output->file, results[i].rank, results[i].shape, results[i].data))
            return outputs_fail(outputs, output);
    }
    return outputs_commit(outputs);
}

/* Checks everything with a plan before a file is created, memory taken or anything computed. */
static bool compute(const struct options *o, const struct inputs *inputs,
                    rapt_attention_args *args) {
    struct result results[RESULTS];
    struct outputs outputs = {.command = "run"};
    rapt_plan *plan;
    const int count = list_results(o, &inputs->query, args, results);
    if (rapt_plan_create(args, &plan) != RAPT_OK)
        return fail_library();

    bool done = open_outputs(o, inputs, results, count, &outputs) && allocate(results, count);
    if (done) {
        const rapt_attention_data data = {args->query.data,  args->key.data, args->value.data,
                                          args->mask.data,   args->out.data, args->lse.data,
                                          args->weights.data};
        done = rapt_plan_run(plan, &data, NULL, 0) == RAPT_OK || fail_library();
    }
    done = done && write_results(results, count, &outputs);
    outputs_close(&outputs);
    rapt_plan_destroy(plan);
    for (int i = 0; i < count; i++)
        free(results[i].data);
    return done;
}

int cmd_run(int argc, char **argv) {
    struct options o = {.in = {.layout = LAYOUT_BHSD}, .window = {.value = {-1, -1}}};
    const int code = read_options(argc, argv, &o);
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
    struct inputs inputs;
    const bool done = inputs_load(&o.in, &inputs, &args) && compute(&o, &inputs, &args);
    inputs_free(&inputs);
    return done ? ARGS_OK : ARGS_ERROR;
}
