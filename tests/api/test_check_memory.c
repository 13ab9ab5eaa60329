/* SPDX-License-Identifier: Apache-2.0 */
/* Bad pointers: nowhere, at the ends of memory, outputs over other tensors. */
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

/* Every tensor of quantized_problem(), outputs last. */
#define TENSOR(name)                                                                               \
    { #name, AT(name), offsetof(rapt_attention_data, name) }
static const struct {
    const char *name;
    size_t in_args, in_data;
} tensors[] = {
    TENSOR(query),    TENSOR(key),       TENSOR(value),      TENSOR(key_scale), TENSOR(mask),
    TENSOR(alibi),    TENSOR(sink),      TENSOR(out),        TENSOR(lse),       TENSOR(max),
    TENSOR(weights),  TENSOR(entropy),   TENSOR(top_weight), TENSOR(top_key),   TENSOR(distance),
    TENSOR(segments), TENSOR(diagonals), TENSOR(received),
};
enum { TENSORS = sizeof tensors / sizeof *tensors, OUTPUT = 7 };

static rapt_tensor *tensor(rapt_attention_args *args, int i) {
    return (rapt_tensor *)(void *)((char *)args + tensors[i].in_args);
}

Test(check_memory, pointers_near_the_ends_of_memory) {
    rapt_attention_args good = quantized_problem();
    for (int i = 0; i < TENSORS; i++) {
        rapt_attention_args args = good;
        rapt_tensor *t = tensor(&args, i);
        t->data = (void *)(UINTPTR_MAX - 7);
        expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, tensors[i].name, "address");
        t->data = (void *)(uintptr_t)4;
        for (int k = 0; k < (t->dtype == RAPT_Q8_0 ? 3 : 4); k++)
            t->stride[k] = -t->stride[k];
        expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, tensors[i].name, "address");
    }
    free_problem(&good);
}

/* Each output laid over each other tensor: at its start, at its last byte, ending in its first. */
Test(check_memory, outputs_over_other_tensors) {
    enum { APART = 16384 };
    rapt_attention_args good = quantized_problem(), apart = good;
    char *memory = allocate((TENSORS + 2) * APART);
    memset(memory, 0, (TENSORS + 2) * APART);
    for (int i = 0; i < TENSORS; i++)
        tensor(&apart, i)->data = memory + (i + 1) * APART;
    for (int output = OUTPUT; output < TENSORS; output++) {
        for (int other = 0; other < TENSORS; other++) {
            for (int place = 0; place < 3 && output != other; place++) {
                rapt_attention_args args = apart;
                rapt_tensor *a = tensor(&args, output);
                const rapt_tensor *b = tensor(&args, other);
                const uintptr_t at = (uintptr_t)b->data;
                const uintptr_t end = (at + bytes_of(b) - 1) / sizeof(float) * sizeof(float);
                a->data = (void *)(place == 0   ? at
                                   : place == 1 ? end
                                                : at - bytes_of(a) + sizeof(float));
                expect_refusal(&good, &args, RAPT_INVALID_ARGUMENT, tensors[output].name,
                               "overlaps");
                cr_expect(mentions(rapt_last_error(), tensors[other].name), "%s",
                          rapt_last_error());
            }
        }
    }
    for (int i = 0; i < (TENSORS + 2) * APART; i++)
        cr_assert_eq(memory[i], 0);
    free(memory);
    free_problem(&good);
}

/* Side by side they are fine. */
Test(check_memory, outputs_next_to_other_tensors) {
    rapt_attention_args good = quantized_problem(), args = good;
    size_t used = 0;
    for (int i = 0; i < TENSORS; i++)
        used += (bytes_of(tensor(&good, i)) + 3) / 4 * 4;
    char *memory = allocate(used), *at = memory;
    for (int i = 0; i < TENSORS; i++) {
        const size_t bytes = bytes_of(tensor(&good, i));
        tensor(&args, i)->data = memcpy(at, tensor(&good, i)->data, bytes);
        at += (bytes + 3) / 4 * 4;
    }
    expect_ok(rapt_attention(&good));
    expect_ok(rapt_attention(&args));
    cr_expect(same_outputs(&good, &args));
    free(memory);
    free_problem(&good);
}

Test(check_memory, replaced_pointers_are_checked) {
    rapt_attention_args good = quantized_problem();
    rapt_plan *plan;
    expect_ok(rapt_plan_create(&good, &plan));
    const size_t size = rapt_plan_slices_workspace_size(plan, 1);
    void *workspace = calloc(1, size);
    const rapt_attention_data own = rapt_attention_data_of(&good);
    const void *bad[] = {NULL, (const char *)good.query.data + 1};
    for (int i = 0; i < TENSORS; i++) {
        const rapt_dtype dtype = tensor(&good, i)->dtype;
        const bool bytes = dtype == RAPT_I8 || dtype == RAPT_Q8_0; /* which lie anywhere */
        for (int k = 0; k < (bytes ? 1 : 2); k++) {
            rapt_attention_data data = own;
            memcpy((char *)&data + tensors[i].in_data, &bad[k], sizeof bad[k]);
            cr_expect_eq(rapt_plan_run(plan, &data, NULL, 0), RAPT_INVALID_ARGUMENT);
            cr_expect(mentions(rapt_last_error(), tensors[i].name), "%s", rapt_last_error());
            cr_expect_eq(rapt_plan_run_slice(plan, &data, 0, 1, workspace, size),
                         RAPT_INVALID_ARGUMENT);
            cr_expect(mentions(rapt_last_error(), tensors[i].name), "%s", rapt_last_error());
            cr_expect(outputs_untouched(&good));
        }
    }
    rapt_attention_data data = own;
    data.out = good.sink.data;
    cr_expect_eq(rapt_plan_run(plan, &data, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "overlaps"), "%s", rapt_last_error());
    free(workspace);
    rapt_plan_destroy(plan);
    free_problem(&good);
}
