/* SPDX-License-Identifier: Apache-2.0 */
/* Summaries of heads, from what attention tells of its weights. */
#include <rapt/summary.h>

#include <math.h>
#include <stdlib.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "simd/dispatch.h"
#include "src/base/convert.h"
#include "src/run/cpus.h"
#include "src/run/run.h"

enum { NUMBERS = 6, SELF = 0, PREVIOUS = 1, FIRST = 0, REST = 1, CHUNK = 64 };

static const int64_t diagonal_offsets[2] = {0, -1};
static const int64_t segment_bounds[3] = {0, 1, RAPT_POSITION_MAX};

struct summaries {
    const struct rapt_problem *problem;
    const rapt_attention_args *args; /* with outputs that tell what a summary is of */
    rapt_head_summary *heads;
};

/* The keys that a query attends, and the sum of their distances from it. */
struct choice {
    double keys, distances;
};

/* 1 + 2 + ... + n */
static double sum_to(int64_t n) {
    return n > 0 ? (double)n * ((double)n + 1) / 2 : 0;
}

static struct choice choice_of_range(struct rapt_range keys, int64_t position) {
    const int64_t first = keys.first, last = keys.last - 1; /* both included */
    const double behind = sum_to(position - first) - sum_to(position - last - 1);
    const double ahead = sum_to(last - position) - sum_to(first - position - 1);
    return (struct choice){(double)(last - first + 1), behind + ahead};
}

static void add_key(struct choice *choice, int64_t distance) {
    choice->keys++;
    choice->distances += fabs((double)distance);
}

/* The same where a mask decides: `at` is the element of key `first`. */
static struct choice choice_of_mask(const struct summaries *s, int64_t at, struct rapt_range keys,
                                    int64_t position, struct choice choice) {
    const rapt_tensor *mask = &s->problem->mask;
    for (int64_t j = keys.first; j < keys.last; j += CHUNK) {
        float bias[CHUNK];
        const int64_t count = rapt_min(CHUNK, keys.last - j);
        const int64_t from = at + (j - keys.first) * mask->stride[3];
        rapt_read_row(rapt_kernels_best(), bias, mask, from, 1, count);
        for (int64_t i = 0; i < count; i++)
            if (bias[i] != -INFINITY)
                add_key(&choice, position - j - i);
    }
    return choice;
}

static struct choice choice_of(const struct summaries *s, int64_t b, int64_t h, int64_t query) {
    const struct rapt_problem *p = s->problem;
    const int64_t position = query + (p->q_offset ? p->q_offset[b] : 0);
    struct rapt_range keys = rapt_key_range(p, b, query);
    struct choice choice = {0, 0};
    if (keys.first == keys.last)
        return choice;
    if (p->mask.dtype == RAPT_NONE)
        return choice_of_range(keys, position);
    /* Keys before the mask's first column are attended. */
    const struct rapt_columns c = rapt_mask_columns(p, b, keys);
    const struct rapt_range open = {keys.first, keys.first + c.open};
    if (c.open > 0)
        choice = choice_of_range(open, position);
    keys.first = open.last;
    const int64_t at = rapt_row_offset(&p->mask, b, h, rapt_q_first(p, b) + query);
    return choice_of_mask(s, at + c.column * p->mask.stride[3], keys, position, choice);
}

static const float *row_of(const rapt_tensor *t, int64_t b, int64_t h, int64_t s) {
    return (const float *)t->data + rapt_row_offset(t, b, h, s);
}

/* Adds a query to the sums; `equal` is that of the distances that equal weights would have. */
static void add_query(const struct summaries *s, int64_t b, int64_t h, int64_t query,
                      rapt_head_summary *sum, double *equal) {
    const struct rapt_problem *p = s->problem;
    const rapt_attention_args *a = s->args;
    const int64_t batch = p->cu_q ? 0 : b, at = rapt_q_first(p, b) + query;
    const float *segment = row_of(&a->segments, batch, h, at);
    const float *diagonal = row_of(&a->diagonals, batch, h, at);
    const double mass = (double)segment[FIRST] + (double)segment[REST];
    const struct choice choice = choice_of(s, b, h, query);
    if (choice.keys < 2 || !(mass > 0))
        return;
    const double entropy = (double)*row_of(&a->entropy, batch, h, at) / mass + log(mass);
    sum->queries++;
    sum->entropy += entropy;
    sum->focus += 1 - entropy / log(choice.keys);
    sum->distance += (double)*row_of(&a->distance, batch, h, at) / mass;
    sum->previous += (double)diagonal[PREVIOUS] / mass;
    sum->self += (double)diagonal[SELF] / mass;
    sum->first += (double)segment[FIRST] / mass;
    *equal += choice.distances / choice.keys;
}

static rapt_head_kind kind_of(const rapt_head_summary *head) {
    const double shares[RAPT_HEAD_BROAD] = {
        [RAPT_HEAD_PREVIOUS] = head->previous, [RAPT_HEAD_SELF] = head->self,
        [RAPT_HEAD_FIRST] = head->first,       [RAPT_HEAD_LOCAL] = head->locality,
        [RAPT_HEAD_FOCUSED] = head->focus,
    };
    int kind = 0;
    while (kind < RAPT_HEAD_BROAD && shares[kind] < 0.5)
        kind++;
    return (rapt_head_kind)kind;
}

static void summarize(const void *context, int64_t index, void *scratch) {
    const struct summaries *s = context;
    const int64_t b = index / s->problem->q_heads, h = index % s->problem->q_heads;
    rapt_head_summary *head = &s->heads[index];
    double equal = 0;
    (void)scratch;
    *head = (rapt_head_summary){.kind = RAPT_HEAD_BROAD};
    for (int64_t i = 0; i < rapt_q_len(s->problem, b); i++)
        add_query(s, b, h, i, head, &equal);
    if (head->queries == 0)
        return;
    double *const means[] = {&head->entropy,  &head->focus, &head->distance,
                             &head->previous, &head->self,  &head->first};
    head->locality = 1 - head->distance / equal;
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        *means[i] /= (double)head->queries;
    head->entropy /= log(2);
    head->kind = kind_of(head);
}

/* The caller's problem with these outputs alone, in memory of so many rows. */
static rapt_attention_args observing(const rapt_attention_args *args, float *memory, size_t rows) {
    static const rapt_tensor none;
    const int64_t *q = args->query.shape;
    rapt_attention_args a = *args;
    a.lse = a.max = a.weights = a.top_weight = a.top_key = a.received = none;
    a.entropy = rapt_tensor_bhsd(memory, RAPT_F32, q[0], q[1], q[2], 1);
    a.distance = rapt_tensor_bhsd(memory + rows, RAPT_F32, q[0], q[1], q[2], 1);
    a.segments = rapt_tensor_bhsd(memory + 2 * rows, RAPT_F32, q[0], q[1], q[2], 2);
    a.diagonals = rapt_tensor_bhsd(memory + 4 * rows, RAPT_F32, q[0], q[1], q[2], 2);
    a.segment_bounds = segment_bounds;
    a.diagonal_offsets = diagonal_offsets;
    return a;
}

rapt_status rapt_summarize_heads(const rapt_attention_args *args, rapt_head_summary *heads) {
    struct rapt_problem problem;
    size_t rows, bytes;
    TRY(rapt_check_args(args, &problem));
    if (!heads && problem.batch * problem.q_heads > 0)
        return INVALID("heads: found NULL, expected room for a summary per head");
    const int64_t *q = args->query.shape;
    if (__builtin_mul_overflow(q[0] * q[1], q[2], &rows) ||
        __builtin_mul_overflow(rows, NUMBERS * sizeof(float), &bytes))
        bytes = SIZE_MAX;
    float *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "heads: no memory for %zu bytes", bytes);
    const rapt_attention_args observed = observing(args, memory, rows);
    const struct summaries s = {&problem, &observed, heads};
    const rapt_status status = rapt_attention(&observed);
    if (status == RAPT_OK)
        rapt_parallel_for(rapt_threads(args->threads), problem.batch * problem.q_heads, summarize,
                          &s, NULL, 0);
    free(memory);
    return status;
}

const char *rapt_head_kind_name(rapt_head_kind kind) {
    static const char *const names[] = {"previous", "self", "first", "local", "focused", "broad"};
    return (unsigned)kind <= RAPT_HEAD_BROAD ? names[kind] : "";
}
