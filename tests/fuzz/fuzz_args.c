/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the arguments of the public calls: shapes, strides, dtypes and options, sensible and
 * hostile. What is refused must say why. What is accepted runs on buffers of exactly the view's
 * size, so that a sanitizer sees every access beyond it.
 */
#include <stdlib.h>
#include <string.h>

#include <rapt/rapt.h>

#include "src/base/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The input, read from front to back; zeros once it is used up. */
struct input {
    const uint8_t *bytes;
    size_t size;
};

static uint8_t next_byte(struct input *in) {
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->bytes++;
}

/* Mostly small numbers, sometimes any 8 bytes or a number at a limit. */
static int64_t next_number(struct input *in) {
    static const int64_t hostile[] = {
        INT64_MIN,        INT64_MAX,        INT32_MAX,        -INT32_MAX,
        (int64_t)1 << 31, (int64_t)1 << 60, (int64_t)1 << 62, -1};
    const uint8_t kind = next_byte(in);
    if (kind < 240)
        return kind % 40 - 4;
    if (kind < 252)
        return hostile[next_byte(in) % 8];
    uint64_t any = 0;
    for (int i = 0; i < 8; i++)
        any = any << 8 | next_byte(in);
    return (int64_t)any;
}

static float next_float(struct input *in) {
    const uint8_t kind = next_byte(in);
    if (kind < 240)
        return (float)kind / 64;
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits = bits << 8 | next_byte(in);
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* A view of that shape; now and then with other strides, another shape or dtype. */
static rapt_tensor next_tensor(struct input *in, rapt_dtype dtype, int64_t b, int64_t h, int64_t s,
                               int64_t c) {
    const uint8_t how = next_byte(in), odd = next_byte(in);
    rapt_tensor t = how & 1 ? rapt_tensor_bshd(NULL, dtype, b, h, s, c)
                            : rapt_tensor_bhsd(NULL, dtype, b, h, s, c);
    const int at = next_byte(in) % 4;
    if ((how & 14) == 14)
        t.stride[at] = next_number(in);
    if ((how & 24) == 24)
        t.stride[(at + 1) % 4] = (int64_t)((uint64_t)t.stride[(at + 1) % 4] * 3);
    if ((how & 24) == 16)
        t.stride[at] = (int64_t)(0 - (uint64_t)t.stride[at]);
    if (odd > 248)
        t.shape[at] = next_number(in);
    else if (odd > 240)
        t.dtype = (rapt_dtype)(next_byte(in) % 8);
    return t;
}

enum { SEQUENCES = 2, COLUMNS = 6, OBSERVED = 3 };

/* What args point to, beside tensors. */
struct lists {
    int64_t q_offset[SEQUENCES], kv_len[SEQUENCES], kv_start[SEQUENCES], mask_start[SEQUENCES];
    int64_t cu_q[SEQUENCES + 1], cu_k[SEQUENCES + 1];
    int32_t table[SEQUENCES * COLUMNS];
    int64_t bounds[OBSERVED + 1], offsets[OBSERVED];
};

/* Sizes of the problem that tensors are made for. */
struct sizes {
    int64_t batch, kv_heads, group, q_len, kv_len, head_dim, value_dim;
};

/* Mostly a number of 0 to most. */
static int64_t next_within(struct input *in, int64_t most) {
    const int64_t number = next_number(in);
    return number >= 0 && number < 36 && most >= 0 && most < INT64_MAX ? number % (most + 1)
                                                                       : number;
}

/* Mostly lengths of 0 to each, cumulated. */
static const int64_t *next_lengths(struct input *in, int64_t *cu, int64_t each) {
    cu[0] = next_byte(in) > 250;
    for (int b = 0; b < SEQUENCES; b++)
        cu[b + 1] = (int64_t)((uint64_t)cu[b] + (uint64_t)next_within(in, each));
    return cu;
}

/* Queries, keys and values end to end or in pages, and the numbers that say where. */
static void next_sequences(struct input *in, const struct sizes *n, rapt_attention_args *args,
                           struct lists *lists) {
    const uint8_t form = next_byte(in);
    if (form & 1) {
        args->sequences = n->batch;
        args->cu_q = next_lengths(in, lists->cu_q, n->q_len);
    }
    if (form & 2)
        args->sequences = n->batch;
    if ((form & 12) == 4) {
        args->cu_k = next_lengths(in, lists->cu_k, n->kv_len);
        args->kv_len = form & 240 ? NULL : lists->kv_len;
    }
    if (form & 8) {
        for (int i = 0; i < SEQUENCES * COLUMNS; i++)
            lists->table[i] = (int32_t)next_within(in, 4);
        args->block_table = form & 4 ? NULL : lists->table;
        args->block_table_stride = next_byte(in) > 250 ? next_number(in) % COLUMNS : COLUMNS;
        args->kv_len = form & 240 ? lists->kv_len : NULL;
    }
}

static void next_tensors(struct input *in, const struct sizes *n, rapt_attention_args *args) {
    static const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16,  RAPT_BF16, RAPT_I8,
                                        RAPT_I8,  RAPT_Q8_0, RAPT_F32,  RAPT_F32};
    const int64_t q_heads = (int64_t)((uint64_t)n->kv_heads * (uint64_t)n->group);
    const int64_t qb = args->cu_q ? 1 : n->batch, kb = args->cu_k ? 1 : n->batch;
    const int64_t qs = (int64_t)((uint64_t)n->q_len * (args->cu_q ? SEQUENCES : 1));
    const int64_t ks = (int64_t)((uint64_t)n->kv_len * (args->cu_k ? SEQUENCES : 1));
    const int64_t columns =
        args->block_table_stride ? (int64_t)((uint64_t)ks * COLUMNS) : n->kv_len;
    const int64_t pages = args->block_table_stride ? 5 : kb;
    const rapt_dtype key = dtypes[next_byte(in) % 8], value = dtypes[next_byte(in) % 8];
    const uint8_t options = next_byte(in), more = next_byte(in);
    args->query = next_tensor(in, dtypes[more % 3], qb, q_heads, qs, n->head_dim);
    args->key = next_tensor(in, key, pages, n->kv_heads, ks, n->head_dim);
    args->value = next_tensor(in, value, pages, n->kv_heads, ks, n->value_dim);
    args->out = next_tensor(in, dtypes[more / 3 % 3], qb, q_heads, qs, n->value_dim);
    if (key == RAPT_I8)
        args->key_scale = next_tensor(in, RAPT_F32, pages, n->kv_heads, ks, 1);
    if (value == RAPT_I8)
        args->value_scale = next_tensor(in, RAPT_F32, pages, n->kv_heads, ks, 1);
    if (options & 1)
        args->mask = next_tensor(in, options & 2 ? RAPT_BOOL : RAPT_F32, qb, q_heads, qs, columns);
    if (options & 4)
        args->lse = next_tensor(in, RAPT_F32, qb, q_heads, qs, 1);
    if (options & 8)
        args->max = next_tensor(in, RAPT_F32, qb, q_heads, qs, 1);
    if (options & 16)
        args->alibi = next_tensor(in, RAPT_F32, n->batch, q_heads, 1, 1);
    if (options & 32)
        args->sink = next_tensor(in, RAPT_F32, 1, q_heads, 1, 1);
    if ((options & 192) == 192) {
        args->weights = next_tensor(in, RAPT_F32, qb, q_heads, qs, columns);
        args->weights_kind = (rapt_weights_kind)(next_byte(in) % 5);
    }
}

/* What tells of the weights. */
static void next_observed(struct input *in, const struct sizes *n, rapt_attention_args *args,
                          struct lists *lists) {
    const int64_t *q = args->query.shape;
    const uint8_t options = next_byte(in);
    if (options & 1)
        args->entropy = next_tensor(in, RAPT_F32, q[0], q[1], q[2], 1);
    if (options & 2) {
        const int64_t count = next_within(in, 5);
        args->top_weight = next_tensor(in, RAPT_F32, q[0], q[1], q[2], count);
        args->top_key = next_tensor(in, RAPT_I32, q[0], q[1], q[2], count);
    }
    if (options & 4)
        args->distance = next_tensor(in, RAPT_F32, q[0], q[1], q[2], 1);
    if (options & 8) {
        args->segments = next_tensor(in, RAPT_F32, q[0], q[1], q[2], OBSERVED);
        args->segments.shape[3] = OBSERVED; /* as many as there are bounds */
        for (int i = 0; i <= OBSERVED; i++)
            lists->bounds[i] = (int64_t)((uint64_t)(i ? lists->bounds[i - 1] : 0) +
                                         (uint64_t)next_within(in, n->kv_len));
        args->segment_bounds = lists->bounds;
    }
    if (options & 16) {
        args->diagonals = next_tensor(in, RAPT_F32, q[0], q[1], q[2], OBSERVED);
        args->diagonals.shape[3] = OBSERVED;
        for (int i = 0; i < OBSERVED; i++)
            lists->offsets[i] = next_number(in);
        args->diagonal_offsets = lists->offsets;
    }
    const int64_t columns =
        args->block_table_stride ? (int64_t)((uint64_t)args->key.shape[2] * COLUMNS) : n->kv_len;
    if (options & 32)
        args->received = next_tensor(in, RAPT_F32, n->batch, q[1], 1, columns);
}

static rapt_attention_args next_args(struct input *in, struct lists *lists) {
    static const char *const names[] = {
#define RAPT_VARIANT(name, ...) #name,
#include "simd/isa.def"
#undef RAPT_VARIANT
        "", NULL};
    rapt_attention_args args = rapt_attention_defaults();
    int64_t n[7];
    for (int i = 0; i < 7; i++) {
        const uint8_t wish = next_byte(in);
        n[i] = wish >= 250             ? next_number(in)
               : i < 5 && wish >= 242  ? 0
               : i >= 5 && wish >= 200 ? 32
                                       : wish % (i < 3 ? 3 : 50) + 1;
    }
    const uint8_t options = next_byte(in);
    for (int b = 0; b < SEQUENCES; b++) {
        lists->q_offset[b] = next_number(in);
        lists->kv_len[b] = next_within(in, n[4]);
        lists->kv_start[b] = next_number(in);
        lists->mask_start[b] = next_within(in, n[4]);
    }
    const bool listed = n[0] >= 1 && n[0] <= SEQUENCES;
    if (listed) {
        args.q_offset = options & 1 ? lists->q_offset : NULL;
        args.kv_len = options & 2 ? lists->kv_len : NULL;
        args.kv_start = (options & 3) == 3 ? lists->kv_start : NULL;
        args.mask_start = (options & 12) == 12 ? lists->mask_start : NULL;
    }
    const struct sizes sizes = {n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
    if (listed && options & 64)
        next_sequences(in, &sizes, &args, lists);
    next_tensors(in, &sizes, &args);
    /* Then the lists would be too short. */
    if (args.query.shape[0] > SEQUENCES) {
        args.q_offset = args.kv_len = args.mask_start = args.cu_q = args.cu_k = NULL;
        args.block_table = NULL;
        args.block_table_stride = 0;
    }
    if (options & 16) {
        args.causal = next_byte(in) & 1;
        args.window_left = next_number(in);
        args.window_right = next_number(in);
        args.scale = next_float(in);
        args.softcap = next_float(in);
        args.threads = (int)next_number(in);
    }
    if (options & 32)
        next_observed(in, &sizes, &args, lists);
    if (options & 128)
        args.isa = names[next_byte(in) % (sizeof names / sizeof *names)];
    return args;
}

/* Whether even the plan, whose list of tasks grows with the rows, would be large. */
static int is_large(const rapt_attention_args *args) {
    double rows = 1;
    for (int i = 0; i < 3; i++)
        rows *= args->query.shape[i] > 0 ? (double)args->query.shape[i] : 0;
    return rows > 1e5;
}

/* Gives a view its memory, and no byte more. Returns what to free, or NULL if it is too large. */
static void *back(struct input *in, rapt_tensor *t) {
    struct rapt_span span;
    if (!rapt_tensor_span(t, &span) || span.last - span.first > 1 << 20)
        return NULL;
    char *memory = malloc((size_t)(span.last - span.first));
    if (!memory)
        abort();
    memset(memory, 0, (size_t)(span.last - span.first));
    for (int64_t i = 0; i < span.last - span.first && in->size; i++)
        memory[i] = (char)next_byte(in);
    t->data = memory - span.first;
    return memory;
}

/* Numbers of a run: of fewer keys than the plan's, of more, of other pages. */
static void next_numbers(struct input *in, const rapt_attention_args *args, struct lists *lists,
                         rapt_attention_data *data) {
    const uint8_t options = next_byte(in);
    for (int b = 0; b < SEQUENCES; b++) {
        lists->q_offset[b] = next_number(in);
        lists->kv_len[b] = next_within(in, args->key.shape[2]);
        lists->mask_start[b] = next_within(in, args->key.shape[2]);
    }
    for (int i = 0; i < SEQUENCES * COLUMNS; i++)
        lists->table[i] = (int32_t)next_within(in, 4);
    if ((args->sequences ? args->sequences : args->query.shape[0]) > SEQUENCES ||
        args->block_table_stride > COLUMNS)
        return;
    data->kv_len = options & 1 ? lists->kv_len : NULL;
    data->q_offset = options & 2 ? lists->q_offset : NULL;
    data->mask_start = (options & 12) == 12 ? lists->mask_start : NULL;
    data->block_table = options & 16 ? lists->table : NULL;
}

static void run(struct input *in, rapt_attention_args *args, const rapt_plan *plan) {
    rapt_tensor *tensors[] = {
        &args->query,     &args->key,         &args->value,     &args->mask,       &args->out,
        &args->lse,       &args->weights,     &args->max,       &args->alibi,      &args->sink,
        &args->key_scale, &args->value_scale, &args->entropy,   &args->top_weight, &args->top_key,
        &args->distance,  &args->segments,    &args->diagonals, &args->received};
    enum { TENSORS = sizeof tensors / sizeof *tensors };
    void *memory[TENSORS] = {NULL};
    int backed = 0;
    for (int i = 0; i < TENSORS; i++, backed++) {
        if (tensors[i]->dtype == RAPT_NONE)
            continue;
        memory[i] = back(in, tensors[i]);
        if (!memory[i])
            break;
    }
    const double scores = (double)args->query.shape[0] * (double)args->query.shape[1] *
                          (double)args->query.shape[2] * (double)args->key.shape[2];
    if (backed == TENSORS && scores < 1e5) {
        struct lists lists;
        rapt_attention_data data = rapt_attention_data_of(args);
        next_numbers(in, args, &lists, &data);
        const size_t size = rapt_plan_workspace_size(plan);
        void *workspace = size < 1 << 26 ? malloc(size) : NULL;
        if (workspace && rapt_plan_run(plan, &data, workspace, size) != RAPT_OK &&
            !strstr(rapt_last_error(), "expected"))
            abort();
        free(workspace);
    }
    for (int i = 0; i < TENSORS; i++)
        free(memory[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct input in = {bytes, size};
    struct lists lists;
    rapt_attention_args args = next_args(&in, &lists);
    rapt_plan *plan = NULL;
    if (is_large(&args))
        return 0;
    const rapt_status status = rapt_plan_create(&args, &plan);
    if ((status == RAPT_OK) != (plan != NULL))
        abort();
    if (status == RAPT_OK)
        run(&in, &args, plan);
    else if (status != RAPT_OUT_OF_MEMORY && !strstr(rapt_last_error(), "expected"))
        abort();
    rapt_plan_destroy(plan);
    return 0;
}
