/* SPDX-License-Identifier: Apache-2.0 */
/* The table of cases. */
#include "bench/shapes.h"

#define SHAPE(count, the_q_heads, the_kv_heads, queries, keys, dim, type)                          \
    .shape = {.batch = count,                                                                      \
              .q_heads = the_q_heads,                                                              \
              .kv_heads = the_kv_heads,                                                            \
              .q_len = queries,                                                                    \
              .kv_len = keys,                                                                      \
              .head_dim = dim,                                                                     \
              .kv_type = type}

#define PREFILL(length, dim, is_causal, the_use)                                                   \
    .use = the_use, SHAPE(1, 8, 8, length, length, dim, RAPT_F32), .shape.causal = is_causal

/* As many queries as keys, all heads with keys of their own, as encoders have them. */
#define ENCODER(id, count, heads, length, dim)                                                     \
    {                                                                                              \
        .name = id, .suite = BENCH_ENCODER,                                                        \
        SHAPE(count, heads, heads, length, length, dim, RAPT_F32)                                  \
    }

/* A prompt of a decoder; flags of the shape may follow. */
#define PROMPT(id, q_heads, kv_heads, length, dim, ...)                                            \
    {                                                                                              \
        .name = id, SHAPE(1, q_heads, kv_heads, length, length, dim, RAPT_F32),                    \
        .shape.causal = true, __VA_ARGS__                                                          \
    }

/* One token more, whose keys come from memory. */
#define TOKEN(id, q_heads, kv_heads, keys, dim, type, ...)                                         \
    {                                                                                              \
        .name = id, .suite = BENCH_DECODE, .memory = true,                                         \
        SHAPE(1, q_heads, kv_heads, 1, keys, dim, type), __VA_ARGS__                               \
    }

/*
 * The same few queries for ever more keys. A run is short, and each head has several panels, so
 * that reading keys from memory does not take most of the time.
 */
#define GROWTH(id, keys, ...)                                                                      \
    {                                                                                              \
        .name = "growth-" id, .suite = BENCH_GROWTH, SHAPE(1, 4, 4, 192, keys, 64, RAPT_F32),      \
        __VA_ARGS__                                                                                \
    }

/* Something in turns with the plain case, which is no longer than that it is never cut. */
#define FEATURE(id, heads, queries, keys, dim, type, ...)                                          \
    {                                                                                              \
        .name = "plain-" id, .suite = BENCH_FEATURES,                                              \
        SHAPE(1, heads, heads, queries, keys, dim, type), __VA_ARGS__                              \
    }
#define D128(id, type, ...)                                                                        \
    FEATURE("d128" id, 4, 2048, 2048, 128, type, .base = "plain-d128", __VA_ARGS__)
#define DIM(dim, plain) FEATURE("d" #dim, 4, 2048, 2048, dim, RAPT_F32, .base = "plain-d" #plain)

/* What the cases below are: the heads of Llama-3-8B. */
#define HEADS .q_heads = 32, .kv_heads = 8, .head_dim = 128

#define DECODE(count, keys, type)                                                                  \
    .suite = BENCH_DECODE, .memory = true,                                                         \
    .shape = {HEADS, .batch = count, .q_len = 1, .kv_len = keys, .kv_type = type}

/* The three types in turns, so that their times can be compared. */
#define DECODE_TYPES(id, count, keys, ...)                                                         \
    {.name = id "-f32", DECODE(count, keys, RAPT_F32), __VA_ARGS__},                               \
        {.name = id "-bf16", DECODE(count, keys, RAPT_BF16), .base = id "-f32", __VA_ARGS__}, {    \
        .name = id "-int8", DECODE(count, keys, RAPT_I8), .base = id "-f32", __VA_ARGS__           \
    }

#define RAGGED(count, longest_q, longest_kv, the_form, list)                                       \
    .shape = {HEADS,          .batch = count,      .q_len = longest_q, .kv_len = longest_kv,       \
              .causal = true, .kv_type = RAPT_F32, .form = the_form,   .lengths = list}

/* Pairs with the same number of scores, within half a percent. */
enum { PREFILLS = 8, MIXED = 11 };
static const struct bench_length prefill_ragged[PREFILLS] = {
    {1024, 1024}, {77, 77}, {512, 512}, {10, 10}, {300, 300}, {33, 33}, {200, 200}, {100, 100}};
static const struct bench_length mixed_ragged[MIXED] = {
    {1, 1024}, {512, 512}, {1, 4096}, {1, 1531}, {200, 200}, {1, 3072},
    {1, 2047}, {1, 4001},  {77, 77},  {1, 1200}, {1, 3029}};
static const struct bench_length mixed_equal[MIXED] = {{1, 2500},  {320, 320}, {1, 2500}, {1, 2500},
                                                       {320, 320}, {1, 2500},  {1, 2500}, {1, 2500},
                                                       {320, 320}, {1, 2500},  {1, 2500}};

static const struct bench_case cases[] = {
    {.name = "prefill-2048-d128", PREFILL(2048, 128, false, BENCH_QUICK)},
    {.name = "prefill-2048-d128-causal", PREFILL(2048, 128, true, BENCH_QUICK)},
    {.name = "prefill-2048-d64", PREFILL(2048, 64, false, BENCH_QUICK)},
    {.name = "prefill-2048-d64-causal", PREFILL(2048, 64, true, BENCH_USUAL)},
    {.name = "prefill-2048-d32", PREFILL(2048, 32, false, BENCH_QUICK)},
    {.name = "prefill-2048-d32-causal", PREFILL(2048, 32, true, BENCH_USUAL)},
    {.name = "prefill-equal",
     .shape = {HEADS, .batch = PREFILLS, .q_len = 427, .kv_len = 427, .causal = true,
               .kv_type = RAPT_F32}},
    {.name = "prefill-ragged",
     RAGGED(PREFILLS, 1024, 1024, BENCH_RAGGED, prefill_ragged),
     .base = "prefill-equal"},
    {.name = "mixed-equal", RAGGED(MIXED, 320, 2500, BENCH_CACHE, mixed_equal)},
    {.name = "mixed-ragged",
     RAGGED(MIXED, 512, 4096, BENCH_CACHE, mixed_ragged),
     .base = "mixed-equal"},
    DECODE_TYPES("decode-4k", 1, 4096, .use = BENCH_QUICK),
    {.name = "decode-4k-paged-bf16",
     DECODE(1, 4096, RAPT_BF16),
     .shape.form = BENCH_PAGED,
     .base = "decode-4k-f32"},
    DECODE_TYPES("decode-4k-warm", 1, 4096, .warm = true),
    DECODE_TYPES("decode-32k", 1, 32768, .use = BENCH_NAMED),
    DECODE_TYPES("decode-4k-b8", 8, 4096, .use = BENCH_NAMED),
    DECODE_TYPES("decode-32k-b8", 8, 32768, .use = BENCH_NAMED),
    GROWTH("1k", 1024, .base = NULL),
    GROWTH("2k", 2048, .base = "growth-1k"),
    GROWTH("4k", 4096, .base = "growth-1k"),
    GROWTH("8k", 8192, .base = "growth-1k"),
    GROWTH("16k", 16384, .base = "growth-1k"),
    GROWTH("32k", 32768, .base = "growth-1k"),
    GROWTH("64k", 65536, .base = "growth-1k"),

    /* What a feature, a type, a layout or a head size costs. */
    FEATURE("d128", 4, 2048, 2048, 128, RAPT_F32, .base = NULL),
    D128("-causal", RAPT_F32, .shape.causal = true),
    D128("-mask", RAPT_F32, .shape.mask = BENCH_MASK_ANY),
    D128("-mask-causal", RAPT_F32, .shape.mask = BENCH_MASK_CAUSAL),
    D128("-mask-documents", RAPT_F32, .shape.mask = BENCH_MASK_DOCUMENTS),
    D128("-alibi", RAPT_F32, .shape.alibi = true),
    D128("-softcap", RAPT_F32, .shape.softcap = 50),
    D128("-bf16", RAPT_BF16, .use = BENCH_NAMED),
    D128("-qkv-bf16", RAPT_BF16, .use = BENCH_NAMED, .shape.qkv = true),
    D128("-f16", RAPT_F16, .use = BENCH_NAMED),
    DIM(160, 128),
    DIM(256, 128),
    FEATURE("d32", 4, 2048, 2048, 32, RAPT_F32, .base = NULL),
    DIM(40, 32),
    FEATURE("d64", 4, 2048, 2048, 64, RAPT_F32, .base = NULL),
    DIM(72, 64),
    DIM(80, 64),
    DIM(96, 64),
    DIM(112, 64),
    FEATURE("h32", 32, 256, 2048, 128, RAPT_F32, .base = NULL),
    FEATURE("h32-bshd", 32, 256, 2048, 128, RAPT_F32, .base = "plain-h32", .shape.bshd = true),
    FEATURE("16k", 2, 512, 16384, 128, RAPT_F32, .base = NULL),
    FEATURE("16k-window", 2, 512, 16384, 128, RAPT_F32, .base = "plain-16k", .shape.causal = true,
            .shape.q_offset = 16384 - 512, .shape.window = 4096),

    PROMPT("watch-32k-plain", 4, 4, 32768, 64, .use = BENCH_NAMED),
    PROMPT("watch-32k-top", 4, 4, 32768, 64, .use = BENCH_NAMED, .shape.observed = BENCH_TOP,
           .base = "watch-32k-plain"),
    PROMPT("watch-32k-received", 4, 4, 32768, 64, .use = BENCH_NAMED,
           .shape.observed = BENCH_RECEIVED, .base = "watch-32k-plain"),

    /* Models that people know. */
    ENCODER("minilm-32", 1, 12, 32, 32),
    ENCODER("minilm-128", 1, 12, 128, 32),
    ENCODER("minilm-256", 1, 12, 256, 32),
    ENCODER("minilm-b32-128", 32, 12, 128, 32),
    ENCODER("bert-base-128", 1, 12, 128, 64),
    ENCODER("bert-base-384", 1, 12, 384, 64),
    ENCODER("bert-base-512", 1, 12, 512, 64),
    ENCODER("bert-base-b8-128", 8, 12, 128, 64),
    ENCODER("bert-large-384", 1, 16, 384, 64),
    ENCODER("vit-b16-197", 1, 12, 197, 64),
    ENCODER("vit-l14-257", 1, 16, 257, 64),
    ENCODER("vit-siglip-729", 1, 16, 729, 72),
    ENCODER("sd15-4096-d40", 2, 8, 4096, 40),
    ENCODER("sd15-1024-d80", 2, 8, 1024, 80),
    ENCODER("sd15-256-d160", 2, 8, 256, 160),
    {.name = "sd15-cross-d40", .suite = BENCH_ENCODER, SHAPE(2, 8, 8, 4096, 77, 40, RAPT_F32)},
    ENCODER("sdxl-4096", 2, 10, 4096, 64),
    ENCODER("whisper-1500", 1, 20, 1500, 64),
    TOKEN("whisper-cross", 20, 20, 1500, 64, RAPT_F32),
    TOKEN("whisper-cross-top", 20, 20, 1500, 64, RAPT_F32, .shape.observed = BENCH_TOP,
          .base = "whisper-cross"),
    PROMPT("gpt2-xl-1024", 25, 25, 1024, 64),
    PROMPT("llama3-8b-512", 32, 8, 512, 128),
    PROMPT("llama3-8b-2048", 32, 8, 2048, 128),
    PROMPT("llama3-8b-8192", 32, 8, 8192, 128),
    TOKEN("llama3-8b-decode-1k", 32, 8, 1024, 128, RAPT_BF16),
    TOKEN("llama3-8b-decode-4k", 32, 8, 4096, 128, RAPT_BF16),
    TOKEN("llama3-8b-decode-8k", 32, 8, 8192, 128, RAPT_BF16),
    TOKEN("llama3-8b-decode-32k", 32, 8, 32768, 128, RAPT_BF16),
    PROMPT("mistral-8192-window", 32, 8, 8192, 128, .shape.window = 4096),
    PROMPT("gpt-oss-4096", 64, 8, 4096, 64, .shape.sinks = true),
    PROMPT("gpt-oss-4096-window", 64, 8, 4096, 64, .shape.sinks = true, .shape.window = 128),
    PROMPT("qwen2.5-0.5b-2048", 14, 2, 2048, 64),
    PROMPT("qwen2.5-1.5b-2048", 12, 2, 2048, 128),
    TOKEN("qwen2.5-0.5b-decode-8k", 14, 2, 8192, 64, RAPT_BF16),
    TOKEN("qwen2.5-1.5b-decode-8k", 12, 2, 8192, 128, RAPT_BF16),
    PROMPT("gemma2-2b-2048", 8, 4, 2048, 256, .shape.softcap = 50),
    PROMPT("phi3-mini-2048", 32, 32, 2048, 96),
    PROMPT("falcon-7b-2048", 71, 1, 2048, 64),
    TOKEN("falcon-7b-decode-2k", 71, 1, 2048, 64, RAPT_BF16),
    PROMPT("bloom-560m-2048", 16, 16, 2048, 64, .shape.alibi = true),
};

size_t bench_case_list(const struct bench_case **list) {
    *list = cases;
    return sizeof cases / sizeof *cases;
}
