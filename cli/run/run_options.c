/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/run_options.h"

#include "cli/base/outputs.h"

static const char notes[] =
    "Arrays are float32 or float16 in .npy files (versions 1.0 to 3.0, C or Fortran order), each "
    "of its own type; with --bf16 also bf16, as the uint16 of its bits or as NumPy writes the "
    "type of ml_dtypes. An input may be a pipe; one of them may be -, which is standard input.\n"
    "Keys and values may be int8 with a float32 scale per position and head, whose files have "
    "their shape without the last dimension, or with --q8-0 be blocks of 34 bytes, as llama.cpp's "
    "block_q8_0: a float16 scale and 32 int8. The last dimension of these uint8 arrays is D / 32 "
    "* 34. All arithmetic is in float32.\n"
    "Shapes, with Hq a multiple of Hkv:\n"
    "  layout bhsd  Q (B, Hq, Sq, D)   K (B, Hkv, Skv, D)   V (B, Hkv, Skv, Dv)\n"
    "  layout bshd  Q (B, Sq, Hq, D)   K (B, Skv, Hkv, D)   V (B, Skv, Hkv, Dv)\n"
    "The batch may be left out, and then the heads. OUT has the dimensions of Q, with Dv channels. "
    "LSE and MAX are (B, Hq, Sq) and the weights (B, Hq, Sq, Skv), in either layout, less what Q "
    "leaves out, and float32. So are the rest: entropy and distance as LSE, (B, Hq, Sq, K) for the "
    "largest weights, likewise segments and diagonals, and (B, Hq, Skv) for what keys receive.\n"
    "Slopes and sinks are float32, (Hq) or (B, Hq), with 1 for what Q leaves out.\n"
    "Query i stands at position OFFSET + i, and a key at its index.\n"
    "\n"
    "Sequences of different lengths lie end to end, whatever the layout:\n"
    "  --cu-q  Q (tokens, Hq, D)   OUT (tokens, Hq, Dv)   LSE and MAX (Hq, tokens)\n"
    "          weights (Hq, tokens, Skv), and a mask broadcasts to that;\n"
    "          received (B, Hq, Skv)\n"
    "  --cu-k  K (tokens, Hkv, D)  V (tokens, Hkv, Dv)\n"
    "          Skv is the longest sequence's\n"
    "Their files have B + 1 integers, from 0 to the number of tokens: sequence b has the tokens "
    "from the b-th integer on to the one before the next.\n"
    "Pages, which sequences may share:\n"
    "  layout bhsd  K (pages, Hkv, page, D)   V (pages, Hkv, page, Dv)\n"
    "  layout bshd  K (pages, page, Hkv, D)   V (pages, page, Hkv, Dv)\n"
    "A block table has a row of pages per sequence, of which those beyond its length aren't read. "
    "Skv is the longest sequence's.\n"
    "Files of integers are int64 or int32.\n\n" OUTPUTS_NOTES;

static const char examples[] =
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --causal --q-offset end\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --mask M.npy --lse L.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --bf16 --alibi A.npy\n"
    "rapt run --q X.npy --k X.npy --v X.npy --out O.npy --layout bshd \\\n"
    "         --window 128,0\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --cu-q N.npy --cu-k N.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --cu-q N.npy \\\n"
    "         --layout bshd --block-table T.npy --kv-len L.npy --causal \\\n"
    "         --q-offset end\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --k-scale S.npy \\\n"
    "         --v-scale T.npy\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --mask tree.npy \\\n"
    "         --mask-start end\n"
    "make-q | rapt run --q - --k K.npy --v V.npy --out - | use-it\n"
    "rapt run --q Q.npy --k K.npy --v V.npy --out O.npy --entropy E.npy --top 5 \\\n"
    "         --top-keys T.npy --top-weights W.npy\n";

static const char file[] = "FILE.npy";
static const char *const layouts[] = {"bhsd", "bshd", NULL};
static const char *const out_types[] = {"f32", "f16", "bf16", NULL};
static const char *const weights_kinds[] = {"softmax", "scaled", "capped", "masked", NULL};

/* Where the table puts what it reads. */
static struct run_options o = {
    .top = 8,
    .in = {.layout = LAYOUT_NOT_GIVEN},
    .out_type = LIKE_QUERY,
    .weights_kind = -1,
    .window = {.value = {-1, -1}},
};

static const struct args_option table[] = {
    {"q", ARGS_STRING, &o.in.text[INPUT_QUERY], file, "Queries.", .required = true},
    {"k", ARGS_STRING, &o.in.text[INPUT_KEY], file, "Keys.", .required = true},
    {"v", ARGS_STRING, &o.in.text[INPUT_VALUE], file, "Values.", .required = true},
    {"out", ARGS_STRING, &o.out, file, "Where the result goes.", .required = true},
    {"layout", ARGS_CHOICE, &o.in.layout, "bhsd|bshd",
     "Order of the dimensions in the files (default bhsd).", .choices = layouts},
    {"scale", ARGS_POSITIVE, &o.scale, "X", .help = "Factor of every score (default 1 / sqrt(D))."},
    {"softcap", ARGS_POSITIVE, &o.softcap, "X", .help = "Turns a score s into X * tanh(s / X)."},
    {"bf16", ARGS_ON, &o.in.bf16,
     .help = "Reads arrays of uint16, or of ml_dtypes' bfloat16, as bf16 (not a dtype of .npy).",
     .group = "How arrays are stored"},
    {"k-scale", ARGS_STRING, &o.in.text[INPUT_KEY_SCALE], file,
     .help = "What int8 keys are multiplied by."},
    {"v-scale", ARGS_STRING, &o.in.text[INPUT_VALUE_SCALE], file,
     .help = "What int8 values are multiplied by."},
    {"q8-0", ARGS_ON, &o.in.q8_0, .help = "Reads uint8 arrays of keys and values as q8_0."},
    {"out-type", ARGS_CHOICE, &o.out_type, "f32|f16|bf16", "How OUT is stored (default: as Q is).",
     .choices = out_types},
    {"causal", ARGS_ON, &o.causal,
     .help = "A query attends the keys at or before its own position.",
     .group = "What a query attends"},
    {"window", ARGS_INTS, &o.window, "LEFT,RIGHT",
     "A query attends LEFT keys before its position to RIGHT keys after it; -1 leaves a side open.",
     .least = -1, .count = 2},
    {"q-offset", ARGS_STRING, &o.in.text[INPUT_Q_OFFSET], "N|end|FILE.npy",
     .help = "Position of the first query (default 0): a number, end to align the last query with "
             "the last key, or integers, one per sequence.",
     .needs = "causal window alibi distance diagonals"},
    {"mask", ARGS_STRING, &o.in.text[INPUT_MASK], file,
     .help = "Bool (true: attend) or a float type (added to the scores), 1 to 4 dimensions that "
             "broadcast, aligned on the right, to (B, Hq, Sq, Skv)."},
    {"mask-start", ARGS_STRING, &o.in.text[INPUT_MASK_START], "N|end|FILE.npy", .needs = "mask",
     .help = "The key of the mask's first column: a number, end for the number of keys less that "
             "of queries, or integers, one per sequence. Earlier keys are attended, keys after "
             "the last column aren't, and a mask may have any number of columns: that of a tree "
             "of new tokens needs none for the past."},
    {"alibi", ARGS_STRING, &o.in.text[INPUT_ALIBI], file,
     .help = "Slopes of heads: SLOPE * (distance of query and key) is taken off a score."},
    {"sinks", ARGS_STRING, &o.in.text[INPUT_SINKS], file,
     .help = "Logits of heads that join their softmax, as keys without a value would."},
    {"kv-len", ARGS_STRING, &o.in.text[INPUT_KV_LEN], file,
     .help = "Number of keys that exist: integers, one per sequence.",
     .group = "Sequences and pages"},
    {"kv-start", ARGS_STRING, &o.in.text[INPUT_KV_START], file,
     .help = "The first key that exists, as left padding wants: integers, one per sequence. "
             "Positions still count from the first key."},
    {"cu-q", ARGS_STRING, &o.in.text[INPUT_CU_Q], file,
     .help = "Where each sequence's queries begin, end to end in Q; then their total."},
    {"cu-k", ARGS_STRING, &o.in.text[INPUT_CU_K], file,
     .help = "Where each sequence's keys begin, end to end in K and V; then their total.",
     .excludes = "block-table kv-len"},
    {"block-table", ARGS_STRING, &o.in.text[INPUT_BLOCK_TABLE], file,
     .help = "K and V are pages, and these are each sequence's, in order; needs --kv-len.",
     .needs = "kv-len"},
    {"lse", ARGS_STRING, &o.lse, file,
     .help = "Writes the log of the sum of exp(score) of every query.", .group = "More outputs"},
    {"max", ARGS_STRING, &o.max, file, .help = "Writes the largest score of every query."},
    {"weights", ARGS_STRING, &o.weights, file, .help = "Writes the attention weights."},
    {"weights-kind", ARGS_CHOICE, &o.weights_kind, "softmax|scaled|capped|masked",
     "What --weights writes (default softmax); else scores: scaled, then also capped by "
     "--softcap, then also masked.",
     .choices = weights_kinds, .needs = "weights"},
    {"entropy", ARGS_STRING, &o.entropy, file,
     .help = "Writes the entropy of every query's weights, in nats.",
     .group = "What is attended, without the matrix of weights"},
    {"top-weights", ARGS_STRING, &o.top_weights, file,
     .help = "Writes the largest weights of every query; needs --top-keys.", .needs = "top-keys"},
    {"top-keys", ARGS_STRING, &o.top_keys, file,
     .help = "Writes their keys as int32, or -1 where there is no weight above 0; needs "
             "--top-weights.",
     .needs = "top-weights"},
    {"top", ARGS_INT, &o.top, "K", "How many largest weights (default 8).", .least = 1,
     .most = 1024, .needs = "top-keys"},
    {"distance", ARGS_STRING, &o.distance, file,
     .help = "Writes the mean distance of a query's position to those that it attends."},
    {"segments", ARGS_STRING, &o.segments, file,
     .help = "Writes how much every query attends of ranges of keys.", .needs = "segment-bounds"},
    {"segment-bounds", ARGS_INTS, &o.segment_bounds, "N,N,...",
     .help = "Where these ranges begin, and where the last one ends; needs --segments.",
     .needs = "segments"},
    {"diagonals", ARGS_STRING, &o.diagonals, file,
     .help = "Writes every query's weights of keys at some distance.", .needs = "diagonal-offsets"},
    {"diagonal-offsets", ARGS_INTS, &o.diagonal_offsets, "N,N,...",
     .help = "Position of these keys, less the query's: 0,-1 for the token itself and the previous "
             "one; "
             "needs --diagonals.",
     .needs = "diagonals", .least = -1048576, .most = 1048576},
    {"received", ARGS_STRING, &o.received, file,
     .help = "Writes the sum of every key's weights over all queries of a head."},
    {"isa", ARGS_STRING, &o.isa, "NAME",
     .help = "Instruction set, one of those that rapt isa lists (default: the best).",
     .group = "Running"},
    {"threads", ARGS_INT, &o.threads, "N",
     "At most so many threads (default: one for every core that may be used).", .least = 1,
     .most = 1024},
};

/* What the table can't say. */
static int check_values(void) {
    if (o.segment_bounds.count == 1)
        return args_fail("run", "--segment-bounds: found 1 number, expected 2 or more");
    if (o.in.layout != LAYOUT_NOT_GIVEN && o.in.text[INPUT_CU_Q] && o.in.text[INPUT_CU_K])
        return args_fail("run", "--layout: found also --cu-q and --cu-k, whose arrays have one "
                                "layout alone");
    return ARGS_GO_ON;
}

int run_options_read(int argc, char **argv, struct run_options *options) {
    static const struct args_command command = {
        .name = "run",
        .about = "Computes softmax(scale * Q K^T + mask) V, exactly, from .npy files. Either all "
                 "outputs are written completely or none is.",
        .options = table,
        .option_count = sizeof table / sizeof *table,
        .notes = notes,
        .examples = examples,
    };
    const int code = args_parse(&command, argc, argv);
    const int checked = code == ARGS_GO_ON ? check_values() : code;
    *options = o;
    if (o.in.layout == LAYOUT_NOT_GIVEN)
        options->in.layout = LAYOUT_BHSD;
    return checked;
}
