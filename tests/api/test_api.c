/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: what a plan promises about bits, workspaces, memory, threads, messages. */
#include <pthread.h>

#ifdef _OPENMP
#    include <omp.h>
#endif

#include "tests/support/helpers.h"

/* Large enough for several panels, tasks and blocks of keys on every variant. */
static const struct form forms[] = {
    {1, 1, 1, 1, 1, 1, 1, .lse = true},
    {2, 4, 4, 70, 130, 16, 16, .lse = true},
    {1, 6, 2, 67, 200, 33, 20, .causal = true, .lse = true},
    {2, 2, 1, 150, 99, 24, 40, .softcap = 3, .mask = RAPT_BOOL, .weights = true},
    {1, 4, 2, 130, 300, 64, 64, .mask = RAPT_F32, .window_left = 20, .lse = true, .weights = true},
};
enum { FORMS = sizeof forms / sizeof *forms };

static rapt_plan *new_plan(const rapt_attention_args *args) {
    rapt_plan *plan;
    expect_ok(rapt_plan_create(args, &plan));
    cr_assert_not_null(plan);
    return plan;
}

Test(api, one_shot_and_plan_give_the_same_bits) {
    for (int i = 0; i < FORMS; i++) {
        rapt_attention_args once = new_problem(&forms[i], 1), planned = new_problem(&forms[i], 1);
        expect_ok(rapt_attention(&once));
        rapt_plan *plan = new_plan(&planned);
        for (int run = 0; run < 2; run++) {
            reset_outputs(&planned);
            expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
            cr_expect(same_outputs(&once, &planned), "form %d, run %d", i, run);
        }
        rapt_plan_destroy(plan);
        free_problem(&once);
        free_problem(&planned);
    }
}

Test(api, replaced_pointers_give_the_same_bits) {
    for (int i = 0; i < FORMS; i++) {
        rapt_attention_args once = new_problem(&forms[i], 1), other = new_problem(&forms[i], 1);
        expect_ok(rapt_attention(&once));
        rapt_attention_args shapes = once; /* a plan can do without any pointers */
        rapt_tensor *tensors[] = {&shapes.query, &shapes.key, &shapes.value,  &shapes.mask,
                                  &shapes.out,   &shapes.lse, &shapes.weights};
        for (int t = 0; t < 7; t++)
            tensors[t]->data = NULL;
        rapt_plan *plan = new_plan(&shapes);
        const rapt_attention_data data = rapt_attention_data_of(&other);
        expect_ok(rapt_plan_run(plan, &data, NULL, 0));
        cr_expect(same_outputs(&once, &other), "form %d", i);
        rapt_plan_destroy(plan);
        free_problem(&once);
        free_problem(&other);
    }
}

Test(api, plan_keeps_its_own_copy_of_the_numbers) {
    const struct form form = {2, 2, 2, 40, 60, 8, 8, .causal = true, .lse = true};
    rapt_attention_args once = new_problem(&form, 1), planned = new_problem(&form, 1);
    int64_t offset[] = {7, -3}, length[] = {50, 31};
    char isa[] = "scalar";
    once.q_offset = planned.q_offset = offset;
    once.kv_len = planned.kv_len = length;
    once.isa = planned.isa = isa;
    expect_ok(rapt_attention(&once));
    rapt_plan *plan = new_plan(&planned);
    offset[0] = offset[1] = 1 << 20;
    length[0] = length[1] = -1;
    memset(isa, 'x', sizeof isa - 1);
    expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
    cr_expect(same_outputs(&once, &planned));
    cr_expect_str_eq(rapt_plan_isa(plan), "scalar");
    rapt_plan_destroy(plan);
    free_problem(&once);
    free_problem(&planned);
}

Test(api, inputs_are_never_written) {
    rapt_attention_args args = new_problem(&forms[4], 1), copy = new_problem(&forms[4], 1);
    expect_ok(rapt_attention(&args));
    cr_expect(same_bits(&args.query, &copy.query));
    cr_expect(same_bits(&args.key, &copy.key));
    cr_expect(same_bits(&args.value, &copy.value));
    cr_expect(same_bits(&args.mask, &copy.mask));
    free_problem(&args);
    free_problem(&copy);
}

Test(api, workspace_may_have_any_alignment) {
    for (int i = 0; i < FORMS; i++) {
        rapt_attention_args once = new_problem(&forms[i], 1), args = new_problem(&forms[i], 1);
        expect_ok(rapt_attention(&once));
        rapt_plan *plan = new_plan(&args);
        const size_t size = rapt_plan_workspace_size(plan);
        unsigned char *memory = allocate(size + 128);
        for (size_t shift = 0; shift < 64; shift += shift < 8 ? 1 : 7) {
            memset(memory, CANARY, size + 128);
            reset_outputs(&args);
            expect_ok(rapt_plan_run(plan, NULL, memory + shift, size));
            cr_expect(same_outputs(&once, &args), "form %d, shift %zu", i, shift);
            for (size_t k = 0; k < shift; k++)
                cr_assert_eq(memory[k], CANARY, "written before the workspace");
            for (size_t k = shift + size; k < size + 128; k++)
                cr_assert_eq(memory[k], CANARY, "written behind the workspace");
        }
        free(memory);
        rapt_plan_destroy(plan);
        free_problem(&once);
        free_problem(&args);
    }
}

Test(api, small_workspace_is_refused) {
    rapt_attention_args args = new_problem(&forms[4], 1);
    rapt_plan *plan = new_plan(&args);
    const size_t size = rapt_plan_workspace_size(plan), sizes[] = {0, 1, 64, size / 2, size - 1};
    unsigned char *memory = allocate(size);
    char expected[32], found[32];
    snprintf(expected, sizeof expected, "%zu", size);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(memory, CANARY, size);
        cr_expect_eq(rapt_plan_run(plan, NULL, memory, sizes[i]), RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        snprintf(found, sizeof found, "%zu", sizes[i]);
        cr_expect(mentions(message, "workspace_size") && mentions(message, found) &&
                      mentions(message, expected) && mentions(message, "expected"),
                  "%s", message);
        cr_expect(outputs_untouched(&args));
        for (size_t k = 0; k < size; k++)
            cr_assert_eq(memory[k], CANARY);
    }
    free(memory);
    rapt_plan_destroy(plan);
    free_problem(&args);
}

/* The workspace for one problem of dense or channel-strided tensors, per thread. */
static size_t workspace_per_thread(const char *isa, int64_t q_len, int64_t kv_len, int64_t dim,
                                   bool strided, int threads) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 8, q_len, dim);
    args.key = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 2, kv_len, dim);
    args.value = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 2, kv_len, dim);
    args.out = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 8, q_len, dim);
    args.mask = rapt_tensor_bhsd(NULL, RAPT_F32, 1, 1, q_len, kv_len);
    args.weights = rapt_tensor_bhsd(NULL, RAPT_F32, 2, 8, q_len, kv_len);
    if (strided)
        for (int i = 0; i < 4; i++)
            args.key.stride[i] *= 3;
    args.threads = threads;
    args.isa = isa;
    rapt_plan *plan = new_plan(&args);
    const int used = rapt_plan_threads(plan); /* 1 in a build without OpenMP */
    cr_assert(used == threads || used == 1);
    const size_t size = rapt_plan_workspace_size(plan) / (size_t)used;
    rapt_plan_destroy(plan);
    return size;
}

Test(api, workspace_does_not_grow_with_the_length) {
    static const int64_t dims[] = {1, 32, 64, 80, 128, 256};
    static const int64_t lengths[] = {1024, 16384, 131072};
    const rapt_isa *isas;
    const size_t count = rapt_isa_list(&isas);
    for (size_t isa = 0; isa < count; isa++) {
        for (int i = 0; isas[isa].available && i < 6 * 2 * 2; i++) {
            const int64_t dim = dims[i / 4];
            const bool strided = i & 1;
            const int threads = i & 2 ? 3 : 1;
            size_t size[3][3];
            for (int q = 0; q < 3; q++)
                for (int k = 0; k < 3; k++) {
                    size[q][k] = workspace_per_thread(isas[isa].name, lengths[q], lengths[k], dim,
                                                      strided, threads);
                    cr_expect_lt(size[q][k], (size_t)4 << 20, "%s: %zu bytes, dim %d, strided %d",
                                 isas[isa].name, size[q][k], (int)dim, strided);
                }
            /* Not even the tiny part that grows with short sequences is left at 16 Ki. */
            for (int k = 0; k < 9; k++)
                if (k / 3 > 0 && k % 3 > 0)
                    cr_expect_eq(size[k / 3][k % 3], size[1][1], "%s, dim %d", isas[isa].name,
                                 (int)dim);
        }
    }
}

struct runner {
    const rapt_plan *plan;
    rapt_attention_args args;
    pthread_t thread;
    rapt_status status;
};

static void *run_several_times(void *context) {
    struct runner *runner = context;
    const size_t size = rapt_plan_workspace_size(runner->plan);
    void *memory = malloc(size);
    const rapt_attention_data data = rapt_attention_data_of(&runner->args);
    for (int i = 0; i < 5 && runner->status == RAPT_OK; i++)
        runner->status = rapt_plan_run(runner->plan, &data, memory, size);
    free(memory);
    return NULL;
}

Test(api, threads_share_a_plan) {
    enum { RUNNERS = 4 };
    for (int i = 1; i < FORMS; i++) {
        rapt_attention_args once = new_problem(&forms[i], 1);
        once.threads = 2;
        expect_ok(rapt_attention(&once));
        rapt_plan *plan = new_plan(&once);
        struct runner runners[RUNNERS];
        for (int r = 0; r < RUNNERS; r++) {
            runners[r] = (struct runner){.plan = plan, .args = new_problem(&forms[i], 1)};
            cr_assert_eq(pthread_create(&runners[r].thread, NULL, run_several_times, &runners[r]),
                         0);
        }
        for (int r = 0; r < RUNNERS; r++) {
            pthread_join(runners[r].thread, NULL);
            expect_ok(runners[r].status);
            cr_expect(same_outputs(&once, &runners[r].args), "form %d, runner %d", i, r);
            free_problem(&runners[r].args);
        }
        rapt_plan_destroy(plan);
        free_problem(&once);
    }
}

#ifdef _OPENMP

Test(api, parallel_region_of_the_caller) {
    rapt_attention_args once = new_problem(&forms[4], 1), inside[3];
    once.threads = 3;
    expect_ok(rapt_attention(&once));
    rapt_status status[3] = {RAPT_OUT_OF_MEMORY, RAPT_OUT_OF_MEMORY, RAPT_OUT_OF_MEMORY};
    for (int i = 0; i < 3; i++) {
        inside[i] = new_problem(&forms[4], 1);
        inside[i].threads = 3;
    }
#    pragma omp parallel for num_threads(3)
    for (int i = 0; i < 3; i++)
        status[i] = rapt_attention(&inside[i]);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(status[i], RAPT_OK);
        cr_expect(same_outputs(&once, &inside[i]));
        free_problem(&inside[i]);
    }
    free_problem(&once);
}

Test(api, settings_of_openmp) {
    rapt_attention_args once = new_problem(&forms[4], 1), args = new_problem(&forms[4], 1);
    expect_ok(rapt_attention(&once));
    for (int threads = 1; threads <= 5; threads++) {
        omp_set_num_threads(threads);
        omp_set_dynamic(threads & 1);
        omp_set_max_active_levels(threads);
        omp_set_schedule(omp_sched_guided, threads);
        for (int asked = 0; asked <= 2; asked++) {
            args.threads = asked;
            rapt_plan *plan = new_plan(&args);
            cr_expect_leq(rapt_plan_threads(plan), asked ? asked : threads);
            reset_outputs(&args);
            expect_ok(rapt_plan_run(plan, NULL, NULL, 0));
            cr_expect(same_outputs(&once, &args), "%d threads", threads);
            rapt_plan_destroy(plan);
        }
        omp_sched_t schedule;
        int chunk;
        omp_get_schedule(&schedule, &chunk);
        cr_expect_eq(omp_get_max_threads(), threads);
        cr_expect_eq(omp_get_dynamic(), threads & 1);
        cr_expect_eq(omp_get_max_active_levels(), threads);
        cr_expect_eq(schedule, omp_sched_guided);
        cr_expect_eq(chunk, threads);
    }
    free_problem(&once);
    free_problem(&args);
}

#endif

Test(api, null_plans) {
    rapt_attention_args args = new_problem(&forms[0], 1);
    cr_expect_eq(rapt_plan_create(&args, NULL), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "plan") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_run(NULL, NULL, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "plan") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_workspace_size(NULL), 0u);
    cr_expect_eq(rapt_plan_threads(NULL), 0);
    cr_expect_str_eq(rapt_plan_isa(NULL), "");
    rapt_plan_destroy(NULL);
    free_problem(&args);
}

static void *message_of_this_thread(void *message) {
    strcpy(message, rapt_last_error());
    return NULL;
}

Test(api, last_error_is_of_the_last_failure_on_this_thread) {
    rapt_attention_args args = new_problem(&forms[0], 1);
    cr_expect_str_eq(rapt_last_error(), "");
    expect_ok(rapt_attention(&args));
    cr_expect_str_eq(rapt_last_error(), "");
    args.threads = -5;
    cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
    char kept[512], elsewhere[512] = "unset";
    strcpy(kept, rapt_last_error());
    cr_expect(mentions(kept, "threads") && mentions(kept, "-5"), "%s", kept);
    args.threads = 0;
    expect_ok(rapt_attention(&args));
    cr_expect_str_eq(rapt_last_error(), kept);
    args.scale = -1;
    cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "scale"), "%s", rapt_last_error());
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, message_of_this_thread, elsewhere), 0);
    pthread_join(thread, NULL);
    cr_expect_str_eq(elsewhere, "");
    free_problem(&args);
}

Test(api, statuses_have_texts) {
    const char *texts[5];
    for (int i = 0; i < 5; i++) {
        texts[i] = rapt_status_text((rapt_status)i);
        cr_assert_not_null(texts[i]);
        for (int k = 0; k < i; k++)
            cr_expect_str_neq(texts[i], texts[k]);
    }
    cr_expect_not_null(rapt_status_text((rapt_status)99));
    cr_expect_not_null(rapt_status_text((rapt_status)-1));
}

Test(api, version_is_that_of_the_header) {
    int major, minor, patch, length = 0;
    cr_assert_eq(sscanf(rapt_version(), "%d.%d.%d%n", &major, &minor, &patch, &length), 3);
    cr_expect_eq((size_t)length, strlen(rapt_version()));
    cr_expect_eq(RAPT_MAKE_VERSION(major, minor, patch), RAPT_VERSION);
}
