/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's run: its workspace, and its steps. */
#include <inttypes.h>
#include <stdlib.h>

#include "src/cache/cache.h"
#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/arena.h"
#include "src/layer/mha.h"
#include "src/run/cpus.h"
#include "src/run/run.h"
#include "src/base/environment.h"

static struct mha_run new_run(const rapt_mha *layer, const rapt_mha_run_args *args) {
    return (struct mha_run){
        .layer = layer, .args = args, .cache = args->cache ? args->cache : args->context_cache};
}

static void place_numbers(struct mha_run *run, struct rapt_arena *arena) {
    const rapt_mha_run_args *args = run->args;
    if (!run->cache && (args->weights_form != RAPT_MHA_CHOSEN || args->first_row == 0))
        return;
    const int64_t batch = args->input.shape[0];
    run->before = rapt_take(arena, sizeof *run->before, batch, 1, 1);
    run->after = rapt_take(arena, sizeof *run->after, batch, 1, 1);
    run->first_row = rapt_take(arena, sizeof *run->first_row, batch, 1, 1);
}

static rapt_tensor rows_of(const float *data, int64_t batch, int64_t positions, int64_t channels) {
    return rapt_tensor_bhsd(data, RAPT_F32, batch, 1, positions, channels);
}

static struct rapt_projection projection(const struct mha_run *run, int matrix, rapt_tensor in,
                                         rapt_tensor out, float *panels, bool gathers) {
    return (struct rapt_projection){
        in,  run->layer->weight[matrix], run->layer->bias[matrix], out, panels, gathers, false,
        NULL};
}

/* The projections from what is in memory. Self-attention gathers its input once for all three. */
static void make_projections(struct mha_run *run) {
    const rapt_mha_args *a = &run->layer->args;
    const rapt_mha_run_args *args = run->args;
    const bool crosses = args->context.dtype != RAPT_NONE;
    const rapt_tensor context = crosses ? args->context : args->input;
    float *panels = crosses ? run->context_panels : run->input_panels;
    const int64_t b = run->batch, s = run->tokens, n = run->new_keys;
    const int inputs = args->context_cache ? 1 : 3;
    const int threads = rapt_threads(a->threads);
    const rapt_tensor query = rows_of(run->query, b, s, a->q_heads * a->head_dim);
    const rapt_tensor key = rows_of(run->key, b, n, a->kv_heads * a->head_dim);
    const rapt_tensor value = rows_of(run->value, b, n, a->kv_heads * a->value_dim);
    const rapt_tensor mixed = rows_of(run->mixed, b, s, a->q_heads * a->value_dim);
    run->in[0] = projection(run, MHA_QUERY, args->input, query, run->input_panels, true);
    run->in[1] = projection(run, MHA_KEY, context, key, panels, crosses);
    run->in[2] = projection(run, MHA_VALUE, context, value, panels, false);
    run->out = projection(run, MHA_OUT, mixed, args->out, run->mixed_panels, true);
    run->into = rapt_projections_divide(run->layer->kernels, run->in, inputs, threads);
    run->out_of = rapt_projections_divide(run->layer->kernels, &run->out, 1, threads);
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

/* All of the workspace, behind the numbers. */
static rapt_status place_workspace(struct mha_run *run, struct rapt_arena *arena) {
    const rapt_mha_args *a = &run->layer->args;
    const rapt_mha_run_args *args = run->args;
    const int64_t b = run->batch, s = run->tokens, n = run->new_keys;
    const bool turns = a->rope && args->cache && !args->positions;
    const bool averages = args->weights.dtype != RAPT_NONE && args->weights_form == RAPT_MHA_MEAN;
    run->query = rapt_take(arena, sizeof(float), b, s, a->q_heads * a->head_dim);
    run->key = rapt_take(arena, sizeof(float), b, n, a->kv_heads * a->head_dim);
    run->value = rapt_take(arena, sizeof(float), b, n, a->kv_heads * a->value_dim);
    run->mixed = rapt_take(arena, sizeof(float), b, s, a->q_heads * a->value_dim);
    const struct rapt_kernels *kernels = run->layer->kernels;
    const int64_t rows = kernels->panel_rows;
    const int64_t panels = rapt_projection_panels(kernels, &args->input);
    const int64_t context_panels =
        args->context.dtype != RAPT_NONE ? rapt_projection_panels(kernels, &args->context) : 0;
    run->input_panels = rapt_take(arena, sizeof(float), panels, rows, a->model_dim);
    run->context_panels = rapt_take(arena, sizeof(float), context_panels, rows, a->context_dim);
    run->mixed_panels = rapt_take(arena, sizeof(float), panels, rows, a->q_heads * a->value_dim);
    run->head_weights = rapt_take(arena, sizeof(float), averages ? b : 0, s, run->keys);
    run->positions = rapt_take(arena, sizeof *run->positions, turns ? b : 0, s, 1);
    if (!arena->too_large) {
        make_projections(run);
        if (!arena->memory) /* comes first */
            TRY(rapt_mha_attend_size(run));
        const size_t projections = most(run->into.scratch_bytes * (size_t)run->into.threads,
                                        run->out_of.scratch_bytes * (size_t)run->out_of.threads);
        run->scratch = rapt_take(arena, most(projections, run->attention_bytes), 1, 1, 1);
    }
    if (arena->too_large)
        return INVALID("input: %" PRId64 " sequences of %" PRId64
                       " tokens need a workspace larger than the address space, expected fewer",
                       b, s);
    return RAPT_OK;
}

/* What must be known before anything can be measured. */
static rapt_status check_call(const rapt_mha *layer, const rapt_mha_run_args *args) {
    if (!layer)
        return INVALID("layer: found NULL, expected a layer");
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_mha_run_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_mha_run_defaults() sets it",
                       args->size, sizeof *args);
    return rapt_check_dimensions("input", &args->input, 1);
}

rapt_status rapt_mha_workspace_size(const rapt_mha *layer, const rapt_mha_run_args *args,
                                    size_t *size) {
    if (!size)
        return INVALID("size: found NULL, expected where to put the size");
    *size = 0;
    TRY(check_call(layer, args));
    struct mha_run run = new_run(layer, args);
    struct rapt_arena arena = {0};
    place_numbers(&run, &arena);
    void *numbers = arena.memory = malloc(arena.used + 1);
    if (!numbers)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %" PRId64 " lengths",
                         args->input.shape[0]);
    arena.used = 0;
    place_numbers(&run, &arena);
    fenv_t callers;
    rapt_enter_environment(&callers);
    rapt_status status = rapt_mha_check_run(&run);
    arena.memory = NULL;
    if (status == RAPT_OK)
        status = place_workspace(&run, &arena);
    rapt_leave_environment(&callers);
    free(numbers);
    if (status == RAPT_OK)
        *size = rapt_arena_bytes(&arena);
    return status;
}

/* Queries, and keys that don't go through a cache, by their positions. */
static rapt_status rotate(const struct mha_run *run) {
    const rapt_mha_args *a = &run->layer->args;
    const rapt_mha_run_args *args = run->args;
    if (!a->rope)
        return RAPT_OK;
    const int64_t *positions = args->positions;
    if (args->cache && !positions) {
        for (int64_t i = 0; i < run->batch * run->tokens; i++)
            run->positions[i] = run->before[i / run->tokens] + i % run->tokens;
        positions = run->positions;
    }
    const rapt_tensor query =
        rapt_tensor_bshd(run->query, RAPT_F32, run->batch, a->q_heads, run->tokens, a->head_dim);
    TRY(rapt_rope_apply(a->rope, &query, positions, run->tokens, &query));
    if (run->cache)
        return RAPT_OK;
    const rapt_tensor key =
        rapt_tensor_bshd(run->key, RAPT_F32, run->batch, a->kv_heads, run->new_keys, a->head_dim);
    const bool own = args->context.dtype == RAPT_NONE;
    return rapt_rope_apply(a->rope, &key, own ? positions : NULL, run->new_keys, &key);
}

/* All sequences get their new tokens, or none does. */
static rapt_status append(const struct mha_run *run, rapt_cache *cache, int64_t first_sequence,
                          const int64_t *positions) {
    const rapt_mha_args *a = &run->layer->args;
    const rapt_tensor keys =
        rapt_tensor_bshd(run->key, RAPT_F32, 1, a->kv_heads, run->tokens, a->head_dim);
    const rapt_tensor values =
        rapt_tensor_bshd(run->value, RAPT_F32, 1, a->kv_heads, run->tokens, a->value_dim);
    rapt_status status = RAPT_OK;
    int64_t b = 0;
    for (; cache && status == RAPT_OK && b < run->batch; b++) {
        rapt_tensor key = keys, value = values;
        key.data = run->key + b * run->tokens * a->kv_heads * a->head_dim;
        value.data = run->value + b * run->tokens * a->kv_heads * a->value_dim;
        status = rapt_cache_append(cache, first_sequence + b, &key, &value,
                                   positions ? positions + b * run->tokens : NULL);
    }
    if (status != RAPT_OK)
        for (int64_t k = 0; k < b - 1; k++)
            rapt_cache_truncate(cache, first_sequence + k,
                                rapt_cache_length(cache, first_sequence + k) - run->tokens);
    return status;
}

/* The steps, in a workspace that is large enough. */
static rapt_status run_steps(struct mha_run *run) {
    TRY(rapt_mha_check_data(run));
    TRY(rapt_mha_attend_check(run));
    rapt_projections_run(&run->into, run->scratch);
    TRY(rotate(run));
    TRY(append(run, run->args->cache, run->args->first_sequence, run->args->positions));
    TRY(rapt_mha_attend(run));
    rapt_projections_run(&run->out_of, run->scratch);
    return RAPT_OK;
}

static rapt_status run_in(const rapt_mha *layer, const rapt_mha_run_args *args, void *workspace,
                          size_t size) {
    struct mha_run run = new_run(layer, args);
    struct rapt_arena arena = rapt_arena_in(workspace), numbers = {0};
    place_numbers(&run, &numbers);
    if (size < rapt_arena_bytes(&numbers))
        return INVALID("workspace_size: found %zu, expected what rapt_mha_workspace_size() says",
                       size);
    place_numbers(&run, &arena);
    TRY(rapt_mha_check_run(&run));
    const struct rapt_arena start = arena;
    arena.memory = NULL;
    TRY(place_workspace(&run, &arena));
    if (size < rapt_arena_bytes(&arena))
        return INVALID("workspace_size: found %zu, expected %zu or more", size,
                       rapt_arena_bytes(&arena));
    arena = start;
    TRY(place_workspace(&run, &arena));
    return run_steps(&run);
}

rapt_status rapt_mha_run(const rapt_mha *layer, const rapt_mha_run_args *args, void *workspace,
                         size_t workspace_size) {
    void *allocated = NULL;
    if (workspace) {
        TRY(check_call(layer, args));
    } else {
        TRY(rapt_mha_workspace_size(layer, args, &workspace_size));
        workspace = allocated = malloc(workspace_size);
        if (!allocated)
            return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes",
                             workspace_size);
    }
    fenv_t callers;
    rapt_enter_environment(&callers);
    const rapt_status status = run_in(layer, args, workspace, workspace_size);
    rapt_leave_environment(&callers);
    free(allocated);
    return status;
}

/* ---- keys and values of a context ---- */

static rapt_status place_append(struct mha_run *run, const rapt_tensor *context,
                                struct rapt_arena *arena) {
    const rapt_mha_args *a = &run->layer->args;
    const struct rapt_kernels *kernels = run->layer->kernels;
    const int64_t b = run->batch, n = run->new_keys;
    const int64_t key_width = a->kv_heads * a->head_dim, value_width = a->kv_heads * a->value_dim;
    run->key = rapt_take(arena, sizeof(float), b, n, key_width);
    run->value = rapt_take(arena, sizeof(float), b, n, value_width);
    run->context_panels = rapt_take(arena, sizeof(float), rapt_projection_panels(kernels, context),
                                    kernels->panel_rows, a->context_dim);
    if (!arena->too_large) {
        run->in[0] = projection(run, MHA_KEY, *context, rows_of(run->key, b, n, key_width),
                                run->context_panels, true);
        run->in[1] = projection(run, MHA_VALUE, *context, rows_of(run->value, b, n, value_width),
                                run->context_panels, false);
        run->into = rapt_projections_divide(kernels, run->in, 2, rapt_threads(a->threads));
        run->scratch = rapt_take(arena, run->into.scratch_bytes, run->into.threads, 1, 1);
    }
    if (arena->too_large)
        return INVALID("context: %" PRId64 " sequences of %" PRId64
                       " tokens need a workspace larger than the address space, expected fewer",
                       b, n);
    return RAPT_OK;
}

/* Checks what has no memory, and lays it out to learn its size. */
static rapt_status measure_append(struct mha_run *run, const rapt_tensor *context, size_t *size) {
    struct rapt_arena arena = {0};
    if (!run->layer)
        return INVALID("layer: found NULL, expected a layer");
    if (!context)
        return INVALID("context: found NULL, expected a pointer to a tensor");
    TRY(rapt_mha_check_context(run, context));
    TRY(place_append(run, context, &arena));
    *size = rapt_arena_bytes(&arena);
    return RAPT_OK;
}

rapt_status rapt_mha_append_workspace_size(const rapt_mha *layer, const rapt_tensor *context,
                                           size_t *size) {
    struct mha_run run = {.layer = layer};
    if (!size)
        return INVALID("size: found NULL, expected where to put the size");
    *size = 0;
    fenv_t callers;
    rapt_enter_environment(&callers);
    const rapt_status status = measure_append(&run, context, size);
    rapt_leave_environment(&callers);
    return status;
}

static rapt_status append_context(const rapt_mha *layer, const rapt_tensor *context,
                                  rapt_cache *cache, int64_t first_sequence, void *workspace,
                                  size_t workspace_size) {
    struct mha_run run = {.layer = layer};
    struct rapt_place unused;
    size_t needed = 0;
    TRY(measure_append(&run, context, &needed));
    if (!cache)
        return INVALID("cache: found NULL, expected a cache");
    TRY(rapt_mha_check_cache(&run, "cache", cache, first_sequence));
    TRY(rapt_check_floats("context", context, NULL, false, &unused));
    if (workspace && workspace_size < needed)
        return INVALID("workspace_size: found %zu, expected %zu or more", workspace_size, needed);
    void *allocated = workspace ? NULL : malloc(needed);
    workspace = workspace ? workspace : allocated;
    if (!workspace)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "workspace: no memory for %zu bytes", needed);
    struct rapt_arena arena = rapt_arena_in(workspace);
    rapt_status status = place_append(&run, context, &arena);
    if (status == RAPT_OK) {
        rapt_projections_run(&run.into, run.scratch);
        status = append(&run, cache, first_sequence, NULL);
    }
    free(allocated);
    return status;
}

rapt_status rapt_mha_append(const rapt_mha *layer, const rapt_tensor *context, rapt_cache *cache,
                            int64_t first_sequence, void *workspace, size_t workspace_size) {
    fenv_t callers;
    rapt_enter_environment(&callers);
    const rapt_status status =
        append_context(layer, context, cache, first_sequence, workspace, workspace_size);
    rapt_leave_environment(&callers);
    return status;
}
