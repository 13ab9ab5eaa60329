/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the arguments of the public calls: shapes, strides, dtypes and options, sensible and
 * hostile. What is refused must say why; what is accepted runs on buffers of exactly the view's
 * size, so that a sanitizer sees every access beyond it.
 */
#include <stdlib.h>
#include <string.h>

#include <rapt/rapt.h>

#include "tensor.h"

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
        t.dtype = (rapt_dtype)(next_byte(in) % 5);
    return t;
}

static rapt_attention_args next_args(struct input *in, int64_t numbers[2][2]) {
    rapt_attention_args args = rapt_attention_defaults();
    int64_t n[7];
    for (int i = 0; i < 7; i++) {
        const uint8_t wish = next_byte(in);
        n[i] = wish < 250 ? wish % (i < 3 ? 3 : 50) + 1 : next_number(in);
    }
    const int64_t q_heads = (int64_t)((uint64_t)n[1] * (uint64_t)n[2]);
    const uint8_t options = next_byte(in);
    args.query = next_tensor(in, RAPT_F32, n[0], q_heads, n[3], n[5]);
    args.key = next_tensor(in, RAPT_F32, n[0], n[1], n[4], n[5]);
    args.value = next_tensor(in, RAPT_F32, n[0], n[1], n[4], n[6]);
    args.out = next_tensor(in, RAPT_F32, n[0], q_heads, n[3], n[6]);
    if (options & 1)
        args.mask = next_tensor(in, options & 2 ? RAPT_BOOL : RAPT_F32, n[0], q_heads, n[3], n[4]);
    if (options & 4)
        args.lse = next_tensor(in, RAPT_F32, n[0], q_heads, n[3], 1);
    if (options & 8)
        args.weights = next_tensor(in, RAPT_F32, n[0], q_heads, n[3], n[4]);
    if (options & 16) {
        args.causal = next_byte(in) & 1;
        args.window_left = next_number(in);
        args.window_right = next_number(in);
        args.scale = next_float(in);
        args.softcap = next_float(in);
        args.threads = (int)next_number(in);
    }
    for (int i = 0; i < 2; i++)
        for (int b = 0; b < 2; b++)
            numbers[i][b] = next_number(in);
    for (int b = 0; b < 2 && n[4] > 0 && n[4] < 1000; b++) /* mostly a length that there is */
        if (numbers[1][b] >= 0 && numbers[1][b] < 35)
            numbers[1][b] %= n[4] + 1;
    if (n[0] >= 1 && n[0] <= 2 && args.query.shape[0] <= 2) {
        args.q_offset = options & 32 ? numbers[0] : NULL;
        args.kv_len = options & 64 ? numbers[1] : NULL;
    }
    static const char *const names[] = {"scalar", "avx2", "avx512", "neon", "", NULL};
    if (options & 128)
        args.isa = names[next_byte(in) % 6];
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

static void run(struct input *in, rapt_attention_args *args, const rapt_plan *plan) {
    rapt_tensor *tensors[] = {&args->query, &args->key, &args->value,  &args->mask,
                              &args->out,   &args->lse, &args->weights};
    void *memory[7] = {NULL};
    int backed = 0;
    for (int i = 0; i < 7; i++, backed++) {
        if (tensors[i]->dtype == RAPT_NONE)
            continue;
        memory[i] = back(in, tensors[i]);
        if (!memory[i])
            break;
    }
    const double scores = (double)args->query.shape[0] * (double)args->query.shape[1] *
                          (double)args->query.shape[2] * (double)args->key.shape[2];
    if (backed == 7 && scores < 1e5) {
        const rapt_attention_data data = rapt_attention_data_of(args);
        const size_t size = rapt_plan_workspace_size(plan);
        void *workspace = size < 1 << 26 ? malloc(size) : NULL;
        if (workspace && rapt_plan_run(plan, &data, workspace, size) != RAPT_OK)
            abort();
        free(workspace);
    }
    for (int i = 0; i < 7; i++)
        free(memory[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct input in = {bytes, size};
    int64_t numbers[2][2];
    rapt_attention_args args = next_args(&in, numbers);
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
