/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/options.h"

#include <string.h>

#include "cli/base/outputs.h"

enum { MAX_THREADS = 4096 };

static const char notes[] =
    "Flags of --shape:\n"
    "  causal             the last query is aligned with the last key\n"
    "  window=N           causal, and a query sees its last N keys alone\n"
    "  softcap=X, sinks, alibi\n"
    "                     as gemma2, gpt-oss and bloom below have them\n"
    "  mask               an additive one, the same for all heads\n"
    "  mask=causal        one that hides later keys\n"
    "  mask=documents     one that hides all keys but those of the same 512\n"
    "  bshd               the heads of a position lie together in memory\n"
    "  bf16, f16, int8    the type of keys and values\n"
    "  qkv                queries are of that type, too (bf16 or f16)\n"
    "  top                also entropy, maximum and the 8 largest weights\n"
    "  received           also the sum of what each key is given\n"
    "  cold, warm         GB/s rather than GFLOP/s: of keys that come from memory in\n"
    "                     each run, or are the same again and again\n"
    "\n"
    "Cases. Without --case, --suite and --shape those with * and **, with --quick those with **:\n"
    "  prefill-2048-d128 **, -d64 **, -d32 **, -d128-causal **, -d64-causal *,\n"
    "  -d32-causal *                   8 heads, 2048 queries and keys\n"
    "  prefill-ragged, prefill-equal   8 sequences end to end, causal; as much work\n"
    "                                  in equal lengths\n"
    "  mixed-ragged, mixed-equal       3 prefills and 8 decodes in one call; likewise\n"
    "  decode-4k-f32, -bf16, -int8 **  1 query, 32 heads on 8 key heads, 4096 keys\n"
    "                                  that come from memory\n"
    "  decode-32k-TYPE                 32768 keys\n"
    "  decode-4k-b8-TYPE, decode-32k-b8-TYPE\n"
    "                                  8 sequences\n"
    "  decode-4k-warm-TYPE             the same keys again and again\n"
    "  decode-4k-paged-bf16            keys in pages of 16\n"
    "  growth-1k, -2k, -4k, ... -64k   192 queries of 4 heads and ever more keys: the\n"
    "                                  time for each score, and the scratch\n"
    "  plain-d128, -causal, -mask, -mask-causal, -mask-documents, -alibi, -softcap,\n"
    "  -bf16, -qkv-bf16, -f16; plain-d160, -d256\n"
    "  plain-d32, -d40; plain-d64, -d72, -d80, -d96, -d112\n"
    "  plain-h32, -bshd; plain-16k, -window\n"
    "                                  (suite features) what each costs beside the\n"
    "                                  first\n"
    "  watch-32k-plain, -top, -received\n"
    "                                  4 heads, causal, with these flags\n"
    "Models, encoders first; a number is that of tokens, b8 a batch of 8:\n"
    "  minilm-32, -128, -256, -b32-128 12 heads of 32\n"
    "  bert-base-128, -384, -512, -b8-128, bert-large-384\n"
    "  vit-b16-197, vit-l14-257, vit-siglip-729\n"
    "  sd15-4096-d40, -1024-d80, -256-d160, -cross-d40, sdxl-4096\n"
    "                                  Stable Diffusion; cross: 77 keys\n"
    "  whisper-1500, whisper-cross     the encoder; a token over its output\n"
    "  gpt2-xl-1024                    25 heads, causal as all that follow\n"
    "  llama3-8b-512, -2048, -8192; -decode-1k, -4k, -8k, -32k in bf16\n"
    "  mistral-8192-window             4096 keys of 8192\n"
    "  gpt-oss-4096, -4096-window      sinks; 128 keys\n"
    "  qwen2.5-0.5b-2048, -decode-8k   7 query heads on a key head\n"
    "  qwen2.5-1.5b-2048, -decode-8k   6 query heads on a key head\n"
    "  gemma2-2b-2048                  head_dim 256, softcap 50\n"
    "  phi3-mini-2048                  head_dim 96\n"
    "  falcon-7b-2048                  71 query heads on one key head\n"
    "  bloom-560m-2048                 ALiBi\n"
    "The start of names up to a dash stands for them all, such as decode-4k or "
    "llama3-8b.\n\n" OUTPUTS_NOTES;

static const char examples[] =
    "rapt bench --quick\n"
    "rapt bench --isa avx2 --threads 1,2,4 --json bench.json\n"
    "rapt bench --case decode-4k,mixed,bert\n"
    "rapt bench scaling --pin auto\n"
    "rapt bench --suite encoder\n"
    "rapt bench scaling --case llama3-8b-2048,decode-4k-bf16 --html bench.html\n"
    "rapt bench isa --quick --compare bench.json\n"
    "rapt bench roofline --case prefill-2048,decode-4k,bert --html bench.html\n"
    "rapt bench --shape 1,32,8,512,4096,128,causal,bf16\n";

/* What the options are read into. */
static struct request given;

static const char *const suites[] = {"quick",  "prefill",  "decode", "encoder",
                                     "growth", "features", "all",    NULL};

static const struct args_option options[] = {
    {.name = "threads",
     .kind = ARGS_INTS,
     .to = &given.threads,
     .metavar = "N,...",
     .least = 1,
     .most = MAX_THREADS,
     .help = "Thread counts (default 1 and the number of usable CPUs; isa: that number; "
             "scaling: from 1 to it)"},
    {.name = "isa",
     .kind = ARGS_STRING,
     .to = &given.isa,
     .metavar = "all|NAME",
     .help = "Instruction sets (default all that the machine has but amx; scaling and roofline: "
             "the best)"},
    {.name = "case",
     .kind = ARGS_STRING,
     .to = &given.cases,
     .metavar = "NAME,...",
     .help = "Cases, or the start of their names (default those with * below)"},
    {.name = "suite",
     .kind = ARGS_CHOICE,
     .to = &given.suite,
     .metavar = "NAME",
     .choices = suites,
     .help = "Cases of a kind: quick, prefill, decode, encoder, growth, features or all"},
    {.name = "shape",
     .kind = ARGS_STRING,
     .to = &given.shape,
     .metavar = "SHAPE",
     .help = "A case of your own: B,Hq,Hkv,Sq,Skv,D[,flags] for batches, query and key "
             "heads, queries, keys and channels; flags are below"},
    {.name = "pin",
     .kind = ARGS_STRING,
     .to = &given.pin,
     .metavar = "auto|CPU,...",
     .help = "Bind the benchmark's threads to CPUs, the first to the first and so on; auto: one "
             "of each core, then the cores' other SMT siblings"},
    {.name = "weak",
     .kind = ARGS_ON,
     .to = &given.weak,
     .help = "With scaling: as many times the batch as there are threads (weak scaling), "
             "rather than the same work for all of them (strong scaling); without ragged cases"},
    {.name = "quick",
     .kind = ARGS_ON,
     .to = &given.quick,
     .help = "Fewer cases and repetitions: seconds instead of minutes"},
    {.name = "time",
     .kind = ARGS_POSITIVE,
     .to = &given.seconds,
     .metavar = "SECONDS",
     .help = "How long to repeat each measurement (default 1, quick 0.1)"},
    {.name = "json",
     .kind = ARGS_STRING,
     .to = &given.json,
     .metavar = "FILE",
     .help = "Write the results there too, as JSON"},
    {.name = "csv",
     .kind = ARGS_STRING,
     .to = &given.csv,
     .metavar = "FILE",
     .help = "Write them there as comma-separated values, a line for each run"},
    {.name = "html",
     .kind = ARGS_STRING,
     .to = &given.html,
     .metavar = "FILE",
     .help = "Write a page with charts, which needs no network"},
    {.name = "compare",
     .kind = ARGS_STRING,
     .to = &given.compare,
     .metavar = "OLD.json",
     .help = "Say what got slower or faster since that report of --json, beyond the spreads "
             "of both runs"},
};

static const struct args_command command = {
    .name = "bench",
    .about = "Times attention for each instruction set and thread count, next to what this "
             "machine reaches at the same time: the peak of fused multiply-adds or, for few "
             "queries, the bandwidth of reading their keys and values. Every result is checked "
             "before it is timed. A variant too slow for a case, such as scalar, is timed on "
             "fewer of its queries.\n"
             "rapt bench isa: instruction sets side by side, each beside its own peak.\n"
             "rapt bench scaling: from one thread to all, with the peak and the bandwidth of "
             "each count.\n"
             "rapt bench roofline: how far each case is from what the machine can do at its "
             "arithmetic intensity, and whether compute or memory is what bounds it.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .notes = notes,
    .examples = examples,
    .failure = "a result was wrong, or something got slower than --compare says it was",
};

int options_read(struct request *request, int argc, char **argv) {
    static const char *const views[] = {"isa", "scaling", "roofline"};
    given = (struct request){.suite = SUITE_NONE};
    for (int i = 0; argc > 1 && i < (int)(sizeof views / sizeof *views); i++)
        if (strcmp(argv[1], views[i]) == 0)
            given.view = (enum view)(VIEW_ISA + i);
    const int words = given.view != VIEW_TABLES;
    const int code = args_parse(&command, argc - words, argv + words);
    *request = given;
    if (code == ARGS_GO_ON && given.weak && given.view != VIEW_SCALING)
        return args_fail("bench", "--weak is for rapt bench scaling alone");
    return code;
}
