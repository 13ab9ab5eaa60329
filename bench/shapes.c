/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: how they are written, and what they cost. */
#include "bench/shapes.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Whether the text starts with the word; it is behind it then. */
static bool skip(const char **text, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

static bool parse_softcap(const char **text, float *value) {
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *value = strtof(*text, &end);
    *text = end;
    return isfinite(*value) && *value > 0;
}

/* Reads one flag; *text is behind it afterwards. */
static bool parse_flag(const char **text, struct bench_case *c) {
    struct bench_shape *s = &c->shape;
    if (!c->memory && (skip(text, "cold") || skip(text, "warm"))) {
        c->memory = true;
        c->warm = (*text)[-1] == 'm';
        return true;
    }
    if (skip(text, "window=")) {
        s->causal = true;
        return parse_dimension(text, &s->window);
    }
    if (skip(text, "softcap="))
        return parse_softcap(text, &s->softcap);
    if (s->kv_type == RAPT_F32 && skip(text, "bf16"))
        s->kv_type = RAPT_BF16;
    else if (s->kv_type == RAPT_F32 && skip(text, "f16"))
        s->kv_type = RAPT_F16;
    else if (s->kv_type == RAPT_F32 && skip(text, "int8"))
        s->kv_type = RAPT_I8;
    else if (skip(text, "causal"))
        s->causal = true;
    else if (skip(text, "sinks"))
        s->sinks = true;
    else if (skip(text, "alibi"))
        s->alibi = true;
    else if (skip(text, "mask=causal"))
        s->mask = BENCH_MASK_CAUSAL;
    else if (skip(text, "mask=documents"))
        s->mask = BENCH_MASK_DOCUMENTS;
    else if (skip(text, "mask"))
        s->mask = BENCH_MASK_ANY;
    else if (skip(text, "bshd"))
        s->bshd = true;
    else if (skip(text, "qkv"))
        s->qkv = true;
    else if (s->observed == BENCH_NOTHING && skip(text, "top"))
        s->observed = BENCH_TOP;
    else if (s->observed == BENCH_NOTHING && skip(text, "received"))
        s->observed = BENCH_RECEIVED;
    else
        return false;
    return true;
}

static bool parse_shape(const char *text, struct bench_case *c, char *expected, size_t size) {
    struct bench_shape *s = &c->shape;
    static const char *const names[] = {"B", "Hq", "Hkv", "Sq", "Skv", "D"};
    static const char form[] = "B,Hq,Hkv,Sq,Skv,D[,flags]";
    int64_t *const dimensions[] = {&s->batch, &s->q_heads, &s->kv_heads,
                                   &s->q_len, &s->kv_len,  &s->head_dim};
    const char *at = text;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const bool separated = i == 0 || *at++ == ',';
        if (!separated || !parse_dimension(&at, dimensions[i])) {
            snprintf(expected, size, "%s with %s a number from 1 to %" PRId32, form, names[i],
                     INT32_MAX);
            return false;
        }
    }
    while (*at)
        if (*at++ != ',' || !parse_flag(&at, c)) {
            snprintf(expected, size,
                     "%s, flags of causal, window=N, softcap=X, sinks, alibi, mask, mask=causal, "
                     "mask=documents, bshd, bf16, f16, int8, qkv, cold, warm, and top or received",
                     form);
            return false;
        }
    if (s->qkv && s->kv_type != RAPT_BF16 && s->kv_type != RAPT_F16) {
        snprintf(expected, size, "%s with bf16 or f16 beside qkv", form);
        return false;
    }
    if (s->q_heads % s->kv_heads) {
        snprintf(expected, size, "%s with Hq a multiple of Hkv", form);
        return false;
    }
    return true;
}

bool bench_case_parse(const char *text, struct bench_case *out, char *expected, size_t size) {
    struct bench_case c = {.shape.kv_type = RAPT_F32};
    struct bench_shape *s = &c.shape;
    if (strlen(text) >= sizeof out->name) {
        snprintf(expected, size, "a shape of at most %zu characters", sizeof out->name - 1);
        return false;
    }
    if (!parse_shape(text, &c, expected, size))
        return false;
    s->q_offset = s->causal || s->mask > BENCH_MASK_ANY ? s->kv_len - s->q_len : 0;
    *out = c;
    snprintf(out->name, sizeof out->name, "%s", text);
    return true;
}

struct bench_shape bench_shape_cut(struct bench_shape shape, int64_t q_len) {
    if (q_len < shape.q_len) {
        const bool middle = shape.causal || shape.mask > BENCH_MASK_ANY;
        shape.q_offset += middle ? (shape.q_len - q_len) / 2 : 0;
        shape.q_len = q_len;
    }
    return shape;
}

bool bench_mask_shows(const struct bench_shape *shape, int64_t position, int64_t key) {
    return shape->mask == BENCH_MASK_CAUSAL      ? key <= position
           : shape->mask == BENCH_MASK_DOCUMENTS ? key / BENCH_DOCUMENT == position / BENCH_DOCUMENT
                                                 : true;
}

struct bench_length bench_shape_length(const struct bench_shape *shape, int64_t b) {
    return shape->lengths ? shape->lengths[b] : (struct bench_length){shape->q_len, shape->kv_len};
}

int64_t bench_shape_offset(const struct bench_shape *shape, int64_t b) {
    return shape->lengths ? shape->lengths[b].kv_len - shape->lengths[b].q_len : shape->q_offset;
}

/* The sum of the numbers above 0 among `last` and those `count` - 1 before it. */
static double sum_up_to(int64_t last, int64_t count) {
    const int64_t first = last - count < 0 ? 1 : last - count + 1;
    return last < 1 ? 0 : (double)(last - first + 1) * (double)(first + last) / 2;
}

/* The scores of one head of one sequence. */
static double count_scores(const struct bench_shape *shape, int64_t b) {
    const struct bench_length length = bench_shape_length(shape, b);
    double scores = 0;
    if (shape->mask == BENCH_MASK_DOCUMENTS) {
        for (int64_t i = 0; i < length.q_len; i++) {
            const int64_t first = (shape->q_offset + i) / BENCH_DOCUMENT * BENCH_DOCUMENT;
            const int64_t left = length.kv_len - first;
            scores += (double)(left < BENCH_DOCUMENT ? left : BENCH_DOCUMENT);
        }
        return scores;
    }
    if (!shape->causal && shape->mask != BENCH_MASK_CAUSAL)
        return (double)length.q_len * (double)length.kv_len;
    /* Query i sees offset + i + 1 keys, but for those that have left the window; the last query's
     * never exceed kv_len. */
    const int64_t last = bench_shape_offset(shape, b) + length.q_len;
    const double gone = shape->window ? sum_up_to(last - shape->window, length.q_len) : 0;
    return sum_up_to(last, length.q_len) - gone;
}

/* The keys of one sequence that any query attends. */
static double count_keys(const struct bench_shape *shape, int64_t b) {
    const struct bench_length length = bench_shape_length(shape, b);
    const int64_t offset = bench_shape_offset(shape, b);
    if (!shape->causal)
        return (double)length.kv_len;
    const int64_t last = offset + length.q_len;
    const int64_t gone = shape->window ? offset + 1 - shape->window : 0;
    return last > 0 ? (double)(last - (gone > 0 ? gone : 0)) : 0;
}

static double count_queries(const struct bench_shape *shape, int64_t b) {
    return (double)bench_shape_length(shape, b).q_len;
}

/* The sum over the sequences of a batch. */
static double sum_sequences(const struct bench_shape *shape,
                            double (*count)(const struct bench_shape *, int64_t)) {
    double sum = 0;
    if (!shape->lengths)
        return (double)shape->batch * count(shape, 0);
    for (int64_t b = 0; b < shape->batch; b++)
        sum += count(shape, b);
    return sum;
}

double bench_shape_scores(const struct bench_shape *shape) {
    return (double)shape->q_heads * sum_sequences(shape, count_scores);
}

double bench_shape_flops(const struct bench_shape *shape) {
    return 4.0 * (double)shape->head_dim * bench_shape_scores(shape);
}

double bench_shape_bytes(const struct bench_shape *shape) {
    const int64_t scale = shape->kv_type == RAPT_I8 ? (int64_t)sizeof(float) : 0;
    const int64_t row = shape->head_dim * rapt_dtype_size(shape->kv_type) + scale;
    return 2.0 * (double)shape->kv_heads * (double)row * sum_sequences(shape, count_keys);
}

double bench_shape_traffic(const struct bench_shape *shape) {
    const double rows = (double)shape->q_heads * sum_sequences(shape, count_queries);
    return bench_shape_bytes(shape) + 2 * sizeof(float) * (double)shape->head_dim * rows;
}

const char *bench_type_name(rapt_dtype dtype) {
    return dtype == RAPT_I8     ? "int8"
           : dtype == RAPT_BF16 ? "bf16"
           : dtype == RAPT_F16  ? "f16"
                                : "f32";
}
