/* SPDX-License-Identifier: Apache-2.0 */
/* The table of cases, and what a shape costs. */
#include "shapes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFILL(length, dim)                                                                       \
    {"prefill-" #length "-d" #dim, {1, 8, 8, length, length, dim, false, 0}}, {                    \
        "prefill-" #length "-d" #dim "-causal", {                                                  \
            1, 8, 8, length, length, dim, true, 0                                                  \
        }                                                                                          \
    }

static const struct bench_case cases[] = {
    PREFILL(2048, 128),
    PREFILL(2048, 64),
    PREFILL(2048, 32),
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
    out->shape = s;
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

double bench_shape_flops(const struct bench_shape *shape) {
    double scores = (double)shape->q_len * (double)shape->kv_len;
    if (shape->causal) {
        /* Query i sees q_offset + i + 1 keys; the last query's never exceed kv_len. */
        const int64_t last = shape->q_offset + shape->q_len;
        const int64_t first = shape->q_offset < 0 ? 1 : shape->q_offset + 1;
        scores = (double)(last - first + 1) * (double)(first + last) / 2;
    }
    return 4.0 * (double)shape->head_dim * (double)shape->batch * (double)shape->q_heads * scores;
}
