/* SPDX-License-Identifier: Apache-2.0 */
/* Projections on their own: one, or one of the other's results. */
#include <rapt/linear.h>

#include <inttypes.h>
#include <stdlib.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/isa.h"
#include "src/layer/project.h"
#include "src/run/cpus.h"
#include "src/run/run.h"
#include "src/base/environment.h"

/* A call after its checks: each projection, its division, and the room for its input in lanes. */
struct linear {
    int count;
    struct rapt_projection projection[2];
    struct rapt_projections all[2];
    size_t panel_bytes[2];
    size_t bytes; /* of all the workspace */
};

static rapt_status check_weight(const char *const *names, const rapt_tensor *weight,
                                const rapt_tensor *bias, int64_t channels,
                                const struct rapt_place *out) {
    const int64_t shape[4] = {1, 1, weight->shape[2], channels};
    const int64_t bias_shape[4] = {1, 1, 1, weight->shape[2]};
    struct rapt_place place, bias_place;
    TRY(rapt_check_dimensions(names[0], weight, 1));
    TRY(rapt_check_floats(names[0], weight, shape, false, &place));
    const bool has_bias = bias->dtype != RAPT_NONE || bias->data;
    if (has_bias)
        TRY(rapt_check_floats(names[1], bias, bias_shape, false, &bias_place));
    const bool meets_bias = has_bias && rapt_places_meet(out, &bias_place);
    if (meets_bias || rapt_places_meet(out, &place))
        return INVALID("out: its memory overlaps that of %s, expected memory of its own",
                       names[meets_bias]);
    return RAPT_OK;
}

static rapt_status check_tensors(const rapt_linear_args *args, int count) {
    static const char *const names[] = {"weight", "bias"}, *const outer[] = {"outer", "outer_bias"};
    const rapt_tensor *in = &args->input, *out = &args->out;
    const int64_t input[4] = {in->shape[0], 1, in->shape[2], in->shape[3]};
    const int64_t rows = count == 2 ? args->outer.shape[2] : args->weight.shape[2];
    const int64_t output[4] = {in->shape[0], 1, in->shape[2], rows};
    struct rapt_place from, to;
    TRY(rapt_check_dtype("input", in->dtype, RAPT_ONLY_F32));
    TRY(rapt_check_dtype("out", out->dtype, RAPT_ONLY_F32));
    TRY(rapt_check_dimensions("input", in, 1));
    TRY(rapt_check_floats("input", in, input, false, &from));
    TRY(rapt_check_dimensions("out", out, 1));
    TRY(rapt_check_floats("out", out, output, true, &to));
    TRY(check_weight(names, &args->weight, &args->bias, in->shape[3], &to));
    if (count == 2)
        return check_weight(outer, &args->outer, &args->outer_bias, args->weight.shape[2], &to);
    if (args->outer.data || args->outer_bias.dtype != RAPT_NONE || args->outer_bias.data)
        return INVALID("outer: dtype is none but it or outer_bias has data, expected a dtype");
    return RAPT_OK;
}

static rapt_status check_args(const rapt_linear_args *args) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_linear_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_linear_defaults() sets it",
                       args->size, sizeof *args);
    if (args->activation != RAPT_ACTIVATION_NONE && args->activation != RAPT_ACTIVATION_GELU)
        return INVALID("activation: found %d, expected one of enum rapt_activation",
                       (int)args->activation);
    if (args->threads < 0)
        return INVALID("threads: found %d, expected 0 or more", args->threads);
    return check_tensors(args, args->outer.dtype != RAPT_NONE ? 2 : 1);
}

/* Divides a projection and finds what it needs. */
static rapt_status add_bytes(struct linear *call, int i, const struct rapt_kernels *kernels,
                             int threads) {
    const struct rapt_projection *p = &call->projection[i];
    size_t bytes = (size_t)rapt_projection_panels(kernels, &p->in);
    if (__builtin_mul_overflow(bytes, (size_t)kernels->panel_rows * sizeof(float), &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)p->in.shape[3], &bytes) || bytes > PTRDIFF_MAX / 4)
        return INVALID("input: its tokens need a workspace larger than the address space, "
                       "expected fewer");
    call->panel_bytes[i] = (bytes + RAPT_ALIGN - 1) / RAPT_ALIGN * RAPT_ALIGN;
    call->all[i] = rapt_projections_divide(kernels, p, 1, rapt_threads(threads));
    call->bytes += call->panel_bytes[i] + call->all[i].scratch_bytes * (size_t)call->all[i].threads;
    return RAPT_OK;
}

static rapt_status prepare(const rapt_linear_args *args, struct linear *call) {
    TRY(check_args(args));
    const struct rapt_kernels *kernels;
    TRY(rapt_isa_kernels(args->isa, &kernels));
    const int64_t *in = args->input.shape;
    const rapt_tensor between =
        rapt_tensor_bhsd(NULL, RAPT_F32, in[0], 1, in[2], args->weight.shape[2]);
    call->count = args->outer.dtype != RAPT_NONE ? 2 : 1;
    call->bytes = RAPT_ALIGN - 1;
    call->projection[0] = (struct rapt_projection){args->input,
                                                   args->weight,
                                                   args->bias,
                                                   call->count == 2 ? between : args->out,
                                                   NULL,
                                                   true,
                                                   args->activation == RAPT_ACTIVATION_GELU,
                                                   NULL};
    call->projection[1] = (struct rapt_projection){
        between, args->outer, args->outer_bias, args->out, NULL, false, false, NULL};
    for (int i = 0; i < call->count; i++)
        TRY(add_bytes(call, i, kernels, args->threads));
    return RAPT_OK;
}

/* Gives each projection its room in the workspace, and runs it. */
static void run(struct linear *call, char *at) {
    for (int i = 0; i < call->count; i++) {
        call->projection[i].panels = (float *)(void *)at;
        at += call->panel_bytes[i];
    }
    if (call->count == 2)
        call->projection[0].lanes = call->projection[1].panels;
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int i = 0; i < call->count; i++)
        rapt_projections_run(&call->all[i], at);
    rapt_leave_environment(&callers);
}

rapt_status rapt_linear_workspace_size(const rapt_linear_args *args, size_t *size) {
    if (!size)
        return INVALID("size: found NULL, expected where to put the size");
    *size = 0;
    struct linear call;
    TRY(prepare(args, &call));
    *size = call.bytes;
    return RAPT_OK;
}

rapt_status rapt_linear(const rapt_linear_args *args, void *workspace, size_t workspace_size) {
    struct linear call;
    TRY(prepare(args, &call));
    void *allocated = NULL;
    if (!workspace) {
        workspace = allocated = malloc(call.bytes);
        if (!allocated)
            return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes", call.bytes);
    } else if (workspace_size < call.bytes) {
        return INVALID("workspace_size: found %zu, expected %zu or more", workspace_size,
                       call.bytes);
    }
    run(&call, (char *)workspace + (size_t)(-(uintptr_t)workspace % RAPT_ALIGN));
    free(allocated);
    return RAPT_OK;
}
