/* SPDX-License-Identifier: Apache-2.0 */
/* The table of cases, and what a shape costs. */
#include "shapes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFILL(length, dim, is_causal, the_use)                                                   \
    .use = the_use, .shape = {.batch = 1,                                                          \
                              .q_heads = 8,                                                        \
                              .kv_heads = 8,                                                       \
                              .q_len = length,                                                     \
                              .kv_len = length,                                                    \
                              .head_dim = dim,                                                     \
                              .causal = is_causal,                                                 \
                              .kv_type = RAPT_F32}

/* What the cases below are: the heads of Llama-3-8B. */
#define HEADS .q_heads = 32, .kv_heads = 8, .head_dim = 128

#define DECODE(count, keys, type)                                                                  \
    .memory = true, .shape = {HEADS, .batch = count, .q_len = 1, .kv_len = keys, .kv_type = type}

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
     RAGGED(PREFILLS, 1024, 1024, BENCH_PACKED, prefill_ragged),
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
    DECODE_TYPES("decode-32k", 1, 32768, .use = BENCH_ASKED),
    DECODE_TYPES("decode-4k-b8", 8, 4096, .use = BENCH_ASKED),
    DECODE_TYPES("decode-32k-b8", 8, 32768, .use = BENCH_ASKED),
};

size_t bench_case_list(const struct bench_case **list) {
    *list = cases;
    return sizeof cases / sizeof *cases;
}

/* Reads one dimension; *text is behind it afterwards. */
static bool parse_dimension(const char **text, int64_t *value) {
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    const long long n = strtoll(*text, &end, 10);
    if (errno || n < 1 || n > INT32_MAX)
        return false;
    *value = n;
    *text = end;
    return true;
}

bool bench_case_parse(const char *text, struct bench_case *out, char *expected, size_t size) {
    static const char *const names[] = {"B", "Hq", "Hkv", "Sq", "Skv", "D"};
    static const char form[] = "B,Hq,Hkv,Sq,Skv,D[,causal]";
    struct bench_shape s = {0};
    int64_t *const dimensions[] = {&s.batch, &s.q_heads, &s.kv_heads,
                                   &s.q_len, &s.kv_len,  &s.head_dim};
    const char *at = text;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const bool separated = i == 0 || *at++ == ',';
        if (!separated || !parse_dimension(&at, dimensions[i])) {
            snprintf(expected, size, "%s with %s a number from 1 to %" PRId32, form, names[i],
                     INT32_MAX);
            return false;
        }
    }
    s.causal = strcmp(at, ",causal") == 0;
    if (!s.causal && *at) {
        snprintf(expected, size, "%s with nothing but ,causal behind D", form);
        return false;
    }
    if (s.q_heads % s.kv_heads) {
        snprintf(expected, size, "%s with Hq a multiple of Hkv", form);
        return false;
    }
    s.q_offset = s.causal ? s.kv_len - s.q_len : 0;
    s.kv_type = RAPT_F32;
    *out = (struct bench_case){.shape = s};
    snprintf(out->name, sizeof out->name, "%s", text);
    return true;
}

struct bench_shape bench_shape_cut(struct bench_shape shape, int64_t q_len) {
    if (q_len < shape.q_len) {
        shape.q_offset += shape.causal ? (shape.q_len - q_len) / 2 : 0;
        shape.q_len = q_len;
    }
    return shape;
}

struct bench_length bench_shape_length(const struct bench_shape *shape, int64_t b) {
    return shape->lengths ? shape->lengths[b] : (struct bench_length){shape->q_len, shape->kv_len};
}

int64_t bench_shape_offset(const struct bench_shape *shape, int64_t b) {
    return shape->lengths ? shape->lengths[b].kv_len - shape->lengths[b].q_len : shape->q_offset;
}

/* The scores of one head of one sequence. */
static double count_scores(const struct bench_shape *shape, int64_t b) {
    const struct bench_length length = bench_shape_length(shape, b);
    if (!shape->causal)
        return (double)length.q_len * (double)length.kv_len;
    /* Query i sees offset + i + 1 keys; the last query's never exceed kv_len. */
    const int64_t offset = bench_shape_offset(shape, b);
    const int64_t last = offset + length.q_len;
    const int64_t first = offset < 0 ? 1 : offset + 1;
    return (double)(last - first + 1) * (double)(first + last) / 2;
}

double bench_shape_flops(const struct bench_shape *shape) {
    double scores = 0;
    for (int64_t b = 0; b < (shape->lengths ? shape->batch : 1); b++)
        scores += count_scores(shape, b);
    if (!shape->lengths)
        scores *= (double)shape->batch;
    return 4.0 * (double)shape->head_dim * (double)shape->q_heads * scores;
}

double bench_shape_bytes(const struct bench_shape *shape) {
    double keys = 0;
    for (int64_t b = 0; b < (shape->lengths ? shape->batch : 1); b++)
        keys += (double)bench_shape_length(shape, b).kv_len;
    if (!shape->lengths)
        keys *= (double)shape->batch;
    const int64_t scale = shape->kv_type == RAPT_I8 ? (int64_t)sizeof(float) : 0;
    const int64_t row = shape->head_dim * rapt_dtype_size(shape->kv_type) + scale;
    return 2.0 * (double)shape->kv_heads * (double)row * keys;
}

const char *bench_type_name(rapt_dtype dtype) {
    return dtype == RAPT_I8 ? "int8" : dtype == RAPT_BF16 ? "bf16" : "f32";
}
