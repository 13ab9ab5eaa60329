/* SPDX-License-Identifier: Apache-2.0 */
/* Projections on their own: one, or one of the other's results. */
#include <rapt/linear.h>

#include <stdlib.h>

#include "src/base/arena.h"
#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/isa.h"
#include "src/layer/project.h"
#include "src/run/cpus.h"
#include "src/run/run.h"
#include "src/base/environment.h"

/* A call after its checks: each projection and its division, and their scratch. */
struct linear {
    int count;
    struct rapt_projection projection[2];
    struct rapt_projections all[2];
    void *scratch; /* of both, in turn */
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

/* Lays out each projection's input in lanes, and the scratch. */
static void place_workspace(struct linear *call, struct rapt_arena *arena) {
    size_t most = 0;
    for (int i = 0; i < call->count; i++) {
        struct rapt_projection *p = &call->projection[i];
        const struct rapt_projections *all = &call->all[i];
        const int64_t panels = rapt_projection_panels(all->kernels, &p->in);
        const size_t scratch = all->scratch_bytes * (size_t)all->threads;
        p->panels =
            rapt_take(arena, sizeof(float), panels, all->kernels->panel_rows, p->in.shape[3]);
        most = scratch > most ? scratch : most;
    }
    if (call->count == 2)
        call->projection[0].lanes = call->projection[1].panels;
    call->scratch = rapt_take(arena, most, 1, 1, 1);
}

/* Checks, divides, and finds the bytes of the workspace. */
static rapt_status prepare(const rapt_linear_args *args, struct linear *call, size_t *bytes) {
    TRY(check_args(args));
    const struct rapt_kernels *kernels;
    TRY(rapt_isa_kernels(args->isa, &kernels));
    const int64_t *in = args->input.shape;
    const rapt_tensor between =
        rapt_tensor_bhsd(NULL, RAPT_F32, in[0], 1, in[2], args->weight.shape[2]);
    call->count = args->outer.dtype != RAPT_NONE ? 2 : 1;
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
    const int threads = rapt_threads(args->threads);
    for (int i = 0; i < call->count; i++)
        call->all[i] = rapt_projections_divide(kernels, &call->projection[i], 1, threads);
    struct rapt_arena arena = {0};
    place_workspace(call, &arena);
    if (arena.too_large)
        return INVALID("input: its tokens need a workspace larger than the address space, "
                       "expected fewer");
    *bytes = rapt_arena_bytes(&arena);
    return RAPT_OK;
}

static void run(struct linear *call, void *workspace) {
    struct rapt_arena arena = rapt_arena_in(workspace);
    fenv_t callers;
    place_workspace(call, &arena);
    rapt_enter_environment(&callers);
    for (int i = 0; i < call->count; i++)
        rapt_projections_run(&call->all[i], call->scratch);
    rapt_leave_environment(&callers);
}

rapt_status rapt_linear_workspace_size(const rapt_linear_args *args, size_t *size) {
    if (!size)
        return INVALID("size: found NULL, expected where to put the size");
    *size = 0;
    struct linear call;
    return prepare(args, &call, size);
}

rapt_status rapt_linear(const rapt_linear_args *args, void *workspace, size_t workspace_size) {
    struct linear call;
    void *allocated = NULL;
    size_t bytes = 0;
    TRY(prepare(args, &call, &bytes));
    if (!workspace) {
        workspace = allocated = malloc(bytes);
        if (!allocated)
            return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes", bytes);
    } else if (workspace_size < bytes) {
        return INVALID("workspace_size: found %zu, expected %zu or more", workspace_size, bytes);
    }
    run(&call, workspace);
    free(allocated);
    return RAPT_OK;
}
