/* SPDX-License-Identifier: Apache-2.0 */
/* rapt run: attention of arrays in files. */
#include "args.h"
#include "cmd.h"
#include "inputs.h"
#include "outputs.h"

#include <errno.h>
#include <stdlib.h>

/* How the output is stored, in the order of --out-type. */
enum out_type { LIKE_QUERY = -1, OUT_F32, OUT_F16, OUT_BF16 };

struct options {
    struct input_options in;
    const char *out, *lse, *max, *weights, *isa;
    int out_type; /* enum out_type */
    float scale, softcap;
    bool causal;
    struct args_ints window;
    int64_t threads;
};

static const char notes[] =
    "Arrays are float32 or float16 in .npy files (versions 1.0 to 3.0, C or Fortran\n"
    "order), each of its own type; with --bf16 also bf16, as the uint16 of its bits.\n"
    "All arithmetic is in float32.\n"
    "Shapes, with Hq a multiple of Hkv:\n"
    "  layout bhsd  Q (B, Hq, Sq, D)   K (B, Hkv, Skv, D)   V (B, Hkv, Skv, Dv)\n"
    "  layout bshd  Q (B, Sq, Hq, D)   K (B, Skv, Hkv, D)   V (B, Skv, Hkv, Dv)\n"
    "The batch may be left out, and then the heads. OUT has the dimensions of Q, with\n"
    "Dv channels. LSE and MAX are (B, Hq, Sq) and the weights (B, Hq, Sq, Skv), in\n"
    "either layout, less what Q leaves out, and float32.\n"
    "Slopes and sinks are float32, (Hq) or (B, Hq), with 1 for what Q leaves out.\n"
    "Query i stands at position OFFSET + i, and a key at its index.\n";

static const char offset_help[] =
    "Position of the first query (default 0): a number, end to align the last query with the last "
    "key, or int64, one per batch.";
static const char window_help[] =
    "A query attends LEFT keys before its position to RIGHT keys after it; -1 leaves a side open.";
static const char mask_help[] =
    "Bool (true: attend) or a float type (added to the scores), 1 to 4 dimensions that broadcast, "
    "aligned on the right, to (B, Hq, Sq, Skv).";

static const char examples[] =
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --causal --q-offset end\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --mask M.npy --lse L.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --bf16 --alibi A.npy\n"
    "rapt run --q X.npy --k X.npy --v X.npy --out O.npy --layout bshd --window 128,0\n";

static int read_options(int argc, char **argv, struct options *o) {
    static const char *const layouts[] = {"bhsd", "bshd", NULL};
    static const char *const out_types[] = {"f32", "f16", "bf16", NULL};
    const char *const file = "FILE.npy";
    const struct args_option table[] = {
        {"q", ARGS_STRING, &o->in.query, file, "Queries.", .required = true},
        {"k", ARGS_STRING, &o->in.key, file, "Keys.", .required = true},
        {"v", ARGS_STRING, &o->in.value, file, "Values.", .required = true},
        {"out", ARGS_STRING, &o->out, file, "Where the result goes.", .required = true},
        {"bf16", ARGS_ON, &o->in.bf16,
         .help = "Reads uint16 arrays as bf16 (not a dtype of .npy)."},
        {"out-type", ARGS_CHOICE, &o->out_type, "f32|f16|bf16",
         "How OUT is stored (default: as Q is).", .choices = out_types},
        {"layout", ARGS_CHOICE, &o->in.layout, "bhsd|bshd",
         "Order of the dimensions in the files (default bhsd).", .choices = layouts},
        {"scale", ARGS_POSITIVE, &o->scale, "X",
         .help = "Factor of every score (default 1 / sqrt(D))."},
        {"softcap", ARGS_POSITIVE, &o->softcap, "X",
         .help = "Turns a score s into X * tanh(s / X)."},
        {"causal", ARGS_ON, &o->causal,
         .help = "A query attends the keys at or before its own position."},
        {"q-offset", ARGS_STRING, &o->in.q_offset, "N|end|FILE.npy", .help = offset_help},
        {"window", ARGS_INTS, &o->window, "LEFT,RIGHT", window_help, .least = -1, .count = 2},
        {"mask", ARGS_STRING, &o->in.mask, file, .help = mask_help},
        {"alibi", ARGS_STRING, &o->in.alibi, file,
         .help = "Slopes of heads: SLOPE * (distance of query and key) is taken off a score."},
        {"sinks", ARGS_STRING, &o->in.sinks, file,
         .help = "Logits of heads that join their softmax, as keys without a value would."},
        {"kv-len", ARGS_STRING, &o->in.kv_len, file,
         .help = "Number of keys that exist: int64, one per batch."},
        {"lse", ARGS_STRING, &o->lse, file,
         .help = "Writes the log of the sum of exp(score) of every query."},
        {"max", ARGS_STRING, &o->max, file, .help = "Writes the largest score of every query."},
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
    enum npy_dtype dtype;
    int rank;
    int64_t shape[4];
    void *data;
};

enum { RESULTS = MAX_OUTPUTS };

/* Says where OUT goes and sets its view in args, which gets its memory once all is checked. */
static void list_out(const struct options *o, const struct npy_array *query,
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
    args->out = (o->in.layout == LAYOUT_BSHD ? rapt_tensor_bshd : rapt_tensor_bhsd)(
        NULL, like_query ? args->query.dtype : types[o->out_type].dtype, shape[0], shape[1],
        shape[2], channels);
    *r = (struct result){"out", o->out, &args->out, .rank = query->rank};
    r->dtype = like_query ? query->dtype : types[o->out_type].stored;
    for (int i = 0; i < r->rank; i++)
        r->shape[i] = i == r->rank - 1 ? channels : query->shape[i];
}

/* The same for all results; the others are float32 in the order bhsd. Returns their number. */
static int list_results(const struct options *o, const struct npy_array *query,
                        rapt_attention_args *args, struct result *results) {
    const struct {
        const char *option, *path;
        rapt_tensor *tensor;
        int64_t channels;
        int rank;
    } optional[] = {
        {"lse", o->lse, &args->lse, 1, query->rank - 1},
        {"max", o->max, &args->max, 1, query->rank - 1},
        {"weights", o->weights, &args->weights, args->key.shape[2], query->rank},
    };
    const int64_t *shape = args->query.shape;
    int count = 0;
    list_out(o, query, args, &results[count++]);
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (!optional[i].path)
            continue;
        rapt_tensor *tensor = optional[i].tensor;
        struct result *r = &results[count++];
        *tensor =
            rapt_tensor_bhsd(NULL, RAPT_F32, shape[0], shape[1], shape[2], optional[i].channels);
        *r = (struct result){optional[i].option, optional[i].path, tensor, NPY_F32,
                             .rank = optional[i].rank};
        for (int d = 0; d < r->rank; d++)
            r->shape[d] = tensor->shape[4 - query->rank + d];
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
        {"alibi", o->in.alibi},   {"sinks", o->in.sinks},
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
        const size_t bytes = (size_t)npy_count(r->rank, r->shape) * npy_dtype_size(r->dtype);
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
        const struct result *r = &results[i];
        errno = 0;
        if (!npy_write(output->file, r->dtype, r->rank, r->shape, r->data))
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
        const rapt_attention_data data = rapt_attention_data_of(args);
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
    struct options o = {
        .in = {.layout = LAYOUT_BHSD}, .out_type = LIKE_QUERY, .window = {.value = {-1, -1}}};
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
