/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of a layer's run: of all heads at once, and where weights are wanted, head by head. */
#include <rapt/cache.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/arena.h"
#include "src/layer/mha.h"
#include "src/plan/bind.h"
#include "src/run/cpus.h"
#include "src/run/run.h"

/* What is done with each plan. */
typedef rapt_status plan_step(struct mha_run *run, const rapt_attention_args *args);

/* All heads. */
static rapt_status make_args(const struct mha_run *run, rapt_attention_args *args) {
    const rapt_mha_args *a = &run->layer->args;
    *args = rapt_attention_defaults();
    const int64_t b = run->batch;
    args->query = rapt_tensor_bshd(run->query, RAPT_F32, b, a->q_heads, run->tokens, a->head_dim);
    args->out = rapt_tensor_bshd(run->mixed, RAPT_F32, b, a->q_heads, run->tokens, a->value_dim);
    args->key = rapt_tensor_bshd(run->key, RAPT_F32, b, a->kv_heads, run->new_keys, a->head_dim);
    args->value =
        rapt_tensor_bshd(run->value, RAPT_F32, b, a->kv_heads, run->new_keys, a->value_dim);
    args->kv_len = run->args->kv_len;
    args->kv_start = run->args->kv_start;
    args->q_offset = run->before;
    args->cu_q = args->cu_k = run->args->cu;
    args->sequences = run->args->cu ? run->args->sequences : 0;
    args->mask = run->args->mask;
    args->scale = a->scale;
    args->softcap = a->softcap;
    args->causal = a->causal;
    args->window_left = a->window_left;
    args->window_right = a->window_right;
    args->threads = a->threads;
    if (!run->cache)
        return RAPT_OK;
    TRY(rapt_cache_view(run->cache, run->args->first_sequence, b, args));
    rapt_tensor *stored[] = {&args->key, &args->value, &args->key_scale, &args->value_scale};
    for (int i = 0; i < 4 && !args->block_table; i++)
        if (stored[i]->dtype != RAPT_NONE)
            stored[i]->shape[2] = run->keys; /* not those that may come later */
    return RAPT_OK;
}

/* Leaves a part of a dimension, unless it is one index for all. */
static void narrow(rapt_tensor *t, int dimension, int64_t first, int64_t count) {
    if (t->dtype == RAPT_NONE || t->shape[dimension] == 1)
        return;
    if (t->data && !rapt_is_empty(t))
        t->data = (void *)(uintptr_t)rapt_element(t, first * t->stride[dimension]);
    t->shape[dimension] = count;
}

/* One head and some of its rows, with its weights. */
static rapt_attention_args one_head(const struct mha_run *run, const rapt_attention_args *all,
                                    int64_t head, int64_t first, int64_t rows,
                                    const rapt_tensor *weights) {
    rapt_attention_args args = *all;
    rapt_tensor *of_queries[] = {&args.query, &args.out, &args.mask};
    rapt_tensor *of_keys[] = {&args.key, &args.value, &args.key_scale, &args.value_scale};
    for (int i = 0; i < 3; i++) {
        narrow(of_queries[i], 1, head, 1);
        narrow(of_queries[i], 2, first, rows);
    }
    const int64_t group = run->layer->args.q_heads / run->layer->args.kv_heads;
    for (int i = 0; i < 4; i++)
        narrow(of_keys[i], 1, head / group, 1);
    args.q_offset = first > 0 ? run->first_row : run->before;
    args.weights = *weights;
    return args;
}

/* Adds the weights of a head to the sum of those before. */
static void add_weights(const struct mha_run *run, const rapt_tensor *part, int64_t head) {
    const rapt_tensor *sum = &run->args->weights;
    const struct rapt_kernels *kernels = run->layer->kernels;
    const int64_t heads = run->layer->args.q_heads;
    for (int64_t b = 0; b < run->batch && !rapt_is_empty(sum); b++)
        for (int64_t s = 0; s < run->tokens; s++) {
            float *to = (float *)sum->data + rapt_row_offset(sum, b, 0, s);
            const float *from = (const float *)part->data + rapt_row_offset(part, b, 0, s);
            if (head == 0)
                memset(to, 0, (size_t)run->keys * sizeof *to);
            kernels->accumulate(to, from, 1, run->keys);
            if (head == heads - 1)
                kernels->rescale(to, 1 / (float)heads, run->keys);
        }
}

static rapt_status each_head(struct mha_run *run, const rapt_attention_args *all, plan_step *step,
                             bool adds) {
    const rapt_tensor weights =
        rapt_tensor_bhsd(run->head_weights, RAPT_F32, run->batch, 1, run->tokens, run->keys);
    for (int64_t h = 0; h < run->layer->args.q_heads; h++) {
        const rapt_attention_args args = one_head(run, all, h, 0, run->tokens, &weights);
        TRY(step(run, &args));
        if (adds)
            add_weights(run, &weights, h);
    }
    return RAPT_OK;
}

/* They are computed again, with the same bits. */
static rapt_status chosen_heads(struct mha_run *run, const rapt_attention_args *all,
                                plan_step *step) {
    const rapt_mha_run_args *a = run->args;
    for (int64_t i = 0; i < a->head_count; i++) {
        rapt_tensor weights = a->weights;
        narrow(&weights, 1, i, 1);
        const rapt_attention_args args =
            one_head(run, all, a->heads[i], a->first_row, run->chosen_rows, &weights);
        TRY(step(run, &args));
    }
    return RAPT_OK;
}

static rapt_status each_plan(struct mha_run *run, plan_step *step, bool runs) {
    const bool weights = run->args->weights.dtype != RAPT_NONE;
    rapt_attention_args args;
    TRY(make_args(run, &args));
    if (weights && run->args->weights_form == RAPT_MHA_MEAN)
        return each_head(run, &args, step, runs);
    if (weights && run->args->weights_form == RAPT_MHA_EACH)
        args.weights = run->args->weights;
    TRY(step(run, &args));
    if (weights && run->args->weights_form == RAPT_MHA_CHOSEN)
        return chosen_heads(run, &args, step);
    return RAPT_OK;
}

/* A plan without tasks, which a workspace has room for. */
static rapt_status make_plan(const struct mha_run *run, const rapt_attention_args *args,
                             struct rapt_plan *plan) {
    *plan = (struct rapt_plan){.kernels = run->layer->kernels};
    TRY(rapt_check_args(args, &plan->problem));
    if (run->cache)
        plan->problem.kv_lens = run->after;
    return rapt_plan_sizes(plan, rapt_threads(args->threads));
}

/* Tasks and splits come first, then what a run of the plan needs. Returns where that is. */
static void *place_tasks(struct rapt_plan *plan, struct rapt_arena *arena) {
    plan->tasks = rapt_take(arena, sizeof *plan->tasks, plan->task_count, 1, 1);
    plan->splits = rapt_take(arena, sizeof *plan->splits, plan->split_count, 1, 1);
    return rapt_take(arena, 1, (int64_t)rapt_run_workspace(plan, plan->threads), 1, 1);
}

static rapt_status size_step(struct mha_run *run, const rapt_attention_args *args) {
    struct rapt_plan *plan = &run->plan;
    struct rapt_arena arena = {0};
    TRY(make_plan(run, args, plan));
    run->plans++;
    place_tasks(plan, &arena);
    if (arena.too_large)
        return INVALID("input: its attention needs a workspace larger than the address space, "
                       "expected fewer tokens");
    if (arena.used > run->attention_bytes)
        run->attention_bytes = arena.used;
    return RAPT_OK;
}

static rapt_status check_step(struct mha_run *run, const rapt_attention_args *args) {
    (void)run;
    struct rapt_problem problem;
    const rapt_attention_data data = rapt_attention_data_of(args);
    TRY(rapt_check_args(args, &problem));
    return rapt_check_data(&problem, problem.block_table_stride, &data);
}

static rapt_status run_step(struct mha_run *run, const rapt_attention_args *args) {
    struct rapt_plan *plan = &run->plan;
    const rapt_attention_data data = rapt_attention_data_of(args);
    if (run->plans > 1)
        TRY(make_plan(run, args, plan));
    struct rapt_arena arena = {.memory = run->scratch};
    void *workspace = place_tasks(plan, &arena);
    rapt_plan_tasks(plan);
    struct rapt_plan bound;
    rapt_bind(plan, &data, &bound);
    rapt_run(&bound, workspace);
    return RAPT_OK;
}

rapt_status rapt_mha_attend_size(struct mha_run *run) {
    run->attention_bytes = 0;
    run->plans = 0;
    return each_plan(run, size_step, false);
}

rapt_status rapt_mha_attend_check(struct mha_run *run) {
    return each_plan(run, check_step, false);
}

rapt_status rapt_mha_attend(struct mha_run *run) {
    return each_plan(run, run_step, true);
}
