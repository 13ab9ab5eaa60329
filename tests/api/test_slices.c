/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in slices: the same bits, no row left out or computed twice, and what is refused. */
#include <limits.h>
#include <pthread.h>

#include "tests/support/helpers.h"
#include "src/plan/plan.h"

/* Several panels, tasks and blocks of keys on every variant. The first is a single task. The last
 * two have few queries, whose keys are divided if there are several threads. */
static const struct form forms[] = {
    {1, 1, 1, 1, 1, 1, 1, .lse = true},
    {2, 4, 4, 70, 130, 16, 16, .lse = true},
    {1, 6, 2, 167, 200, 33, 20, .causal = true, .lse = true},
    {2, 2, 1, 150, 99, 24, 40, .softcap = 3, .mask = RAPT_BOOL, .weights = true},
    {1, 4, 2, 230, 300, 64, 64, .mask = RAPT_F32, .window_left = 20, .lse = true, .weights = true},
    {2, 4, 2, 130, 210, 33, 20, .causal = true, .observed = true},
    {1, 8, 2, 1, 5000, 80, 64, .lse = true},
    {2, 4, 1, 2, 4000, 64, 64, .mask = RAPT_F32, .lse = true},
};
enum { FORMS = sizeof forms / sizeof *forms, DIVIDED = 6 };

/* A problem, its expected outputs, a plan of it, and a workspace for so many slices. */
struct sliced {
    rapt_attention_args once, args;
    rapt_plan *plan;
    int slices;
    void *workspace;
    size_t size;
};

static struct sliced new_sliced(const struct form *form, int threads, int slices) {
    struct sliced s = {.once = new_problem(form, 1), .args = new_problem(form, 1)};
    s.once.threads = 1;
    expect_ok(rapt_attention(&s.once));
    s.args.threads = threads;
    expect_ok(rapt_plan_create(&s.args, &s.plan));
    s.slices = slices;
    s.size = rapt_plan_slices_workspace_size(s.plan, slices);
    s.workspace = allocate(s.size);
    memset(s.workspace, 0, s.size);
    return s;
}

static void free_sliced(struct sliced *s) {
    rapt_plan_destroy(s->plan);
    free_problem(&s->once);
    free_problem(&s->args);
    free(s->workspace);
}

static void run_slice(struct sliced *s, int slice) {
    expect_ok(rapt_plan_run_slice(s->plan, NULL, slice, s->slices, s->workspace, s->size));
}

Test(slices, any_number_of_slices_gives_the_same_bits) {
    const int numbers[] = {1, 2, 3, 4, 5, 7, 16, 33, 100, 1000};
    for (int i = 0; i < FORMS; i++) {
        for (int threads = 0; threads <= 5; threads += 5) {
            for (int n = 0; n < 10; n++) {
                struct sliced s = new_sliced(&forms[i], threads, numbers[n]);
                /* From both ends to the middle, so that neighbours don't follow each other. The
                 * workspace serves all runs. */
                for (int run = 0; run < 3; run++) {
                    reset_outputs(&s.args);
                    for (int k = 0; k < s.slices; k++)
                        run_slice(&s, k % 2 ? s.slices - 1 - k / 2 : k / 2);
                    cr_expect(same_outputs(&s.once, &s.args), "form %d, %d slices, run %d", i,
                              s.slices, run);
                }
                free_sliced(&s);
            }
        }
    }
}

/* Whether all of out has been written. */
static bool is_complete(const rapt_attention_args *args) {
    const float *out = args->out.data;
    uint32_t canary, bits;
    memset(&canary, CANARY, sizeof canary);
    for (size_t i = 0; i < elements(&args->out); i++) {
        memcpy(&bits, &out[i], sizeof bits);
        if (bits == canary)
            return false;
    }
    return true;
}

/* A slice doesn't wait for others: the first that runs alone finds all the work undone. */
Test(slices, none_waits) {
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], 4, 4);
        run_slice(&s, 2);
        cr_expect(is_complete(&s.args), "form %d", i);
        reset_outputs(&s.args);
        run_slice(&s, 0);
        run_slice(&s, 3);
        run_slice(&s, 1);
        cr_expect(outputs_untouched(&s.args), "form %d: work was done twice", i);
        run_slice(&s, 1);
        cr_expect(same_outputs(&s.once, &s.args), "form %d", i);
        free_sliced(&s);
    }
}

Test(slices, keys_of_few_queries_are_divided) {
    for (int i = DIVIDED; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], 4, 4);
        cr_expect_gt(s.plan->split_count, 0, "form %d", i);
        free_sliced(&s);
    }
}

Test(slices, bad_numbers) {
    const int bad[][2] = {{-1, 2},  {2, 2},       {5, 3},       {0, 0},      {0, -1},
                          {-1, -1}, {INT_MIN, 4}, {INT_MAX, 4}, {0, INT_MIN}};
    struct sliced s = new_sliced(&forms[1], 2, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char slice[32], slices[32];
        snprintf(slice, sizeof slice, "%d", bad[i][0]);
        snprintf(slices, sizeof slices, "%d", bad[i][1]);
        cr_expect_eq(rapt_plan_run_slice(s.plan, NULL, bad[i][0], bad[i][1], s.workspace, s.size),
                     RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        cr_expect(mentions(message, "slice") && mentions(message, slice) &&
                      mentions(message, slices) && mentions(message, "expected"),
                  "slice %s of %s: %s", slice, slices, message);
        cr_expect(outputs_untouched(&s.args));
    }
    cr_expect_eq(rapt_plan_run_slice(NULL, NULL, 0, 1, s.workspace, s.size), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "plan") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_slices_workspace_size(NULL, 3), 0u);
    cr_expect_eq(rapt_plan_slices_workspace_size(s.plan, 0), 0u);
    cr_expect_eq(rapt_plan_slices_workspace_size(s.plan, -7), 0u);
    free_sliced(&s);
}

Test(slices, workspace_may_have_any_alignment) {
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], 3, 3);
        unsigned char *memory = allocate(s.size + 128);
        for (size_t shift = 0; shift < 64; shift += shift < 4 ? 1 : 15) {
            memset(memory, CANARY, s.size + 128);
            memset(memory + shift, 0, s.size);
            reset_outputs(&s.args);
            for (int slice = 2; slice >= 0; slice--)
                expect_ok(rapt_plan_run_slice(s.plan, NULL, slice, 3, memory + shift, s.size));
            cr_expect(same_outputs(&s.once, &s.args), "form %d, shift %zu", i, shift);
            for (size_t k = 0; k < s.size + 128; k++)
                if (k < shift || k >= shift + s.size)
                    cr_assert_eq(memory[k], CANARY, "written outside the workspace");
        }
        free(memory);
        free_sliced(&s);
    }
}

static bool all_zero(const struct sliced *s) {
    const unsigned char *bytes = s->workspace;
    for (size_t k = 0; k < s->size; k++)
        if (bytes[k] != 0)
            return false;
    return true;
}

Test(slices, small_workspace_is_refused) {
    struct sliced s = new_sliced(&forms[4], 2, 2);
    const size_t sizes[] = {0, 1, s.size - 1};
    char expected[32], found[32];
    snprintf(expected, sizeof expected, "%zu", s.size);
    for (int i = 0; i < 3; i++) {
        snprintf(found, sizeof found, "%zu", sizes[i]);
        cr_expect_eq(rapt_plan_run_slice(s.plan, NULL, 1, 2, s.workspace, sizes[i]),
                     RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        cr_expect(mentions(message, "workspace_size") && mentions(message, found) &&
                      mentions(message, expected),
                  "%s", message);
    }
    cr_expect_eq(rapt_plan_run_slice(s.plan, NULL, 1, 2, NULL, s.size), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "workspace") && mentions(rapt_last_error(), "NULL"));
    cr_expect(outputs_untouched(&s.args));
    cr_expect(all_zero(&s));
    free_sliced(&s);
}

/* A slice is the work of one thread, however many the plan is for. */
Test(slices, workspace_is_that_of_the_slices) {
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], 4, 1);
        const size_t one = s.size, two = rapt_plan_slices_workspace_size(s.plan, 2);
        cr_expect_lt(one, (size_t)4 << 20);
        cr_expect_leq(rapt_plan_workspace_size(s.plan),
                      one + (size_t)(rapt_plan_threads(s.plan) - 1) * (two - one));
        for (int slices = 1; slices <= 64; slices *= 2)
            cr_expect_eq(rapt_plan_slices_workspace_size(s.plan, slices),
                         one + (size_t)(slices - 1) * (two - one));
        free_sliced(&s);
    }
}

/* With few queries, less than a tenth of the size of the keys and values. */
Test(slices, parts_are_small) {
    const struct form form = {1, 8, 2, 1, 40000, 128, 128, .lse = true};
    struct sliced few = new_sliced(&form, 8, 1);
    cr_assert_gt(few.plan->part_count, 0);
    const size_t keys = (size_t)40000 * 2 * (128 + 128) * sizeof(float);
    const size_t parts = (size_t)few.plan->part_count * few.plan->part_bytes;
    cr_expect_lt(parts, keys / 10, "parts have %zu bytes, keys and values %zu", parts, keys);
    free_sliced(&few);
}

Test(slices, data_is_checked) {
    struct sliced s = new_sliced(&forms[4], 2, 2);
    rapt_attention_data data = rapt_attention_data_of(&s.args);
    data.key = NULL;
    cr_expect_eq(rapt_plan_run_slice(s.plan, &data, 0, 2, s.workspace, s.size),
                 RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "key") && mentions(rapt_last_error(), "NULL"));
    data.key = s.args.key.data;
    data.lse = s.args.out.data;
    cr_expect_eq(rapt_plan_run_slice(s.plan, &data, 1, 2, s.workspace, s.size),
                 RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "lse") && mentions(rapt_last_error(), "out"));
    cr_expect(outputs_untouched(&s.args));
    cr_expect(all_zero(&s));
    free_sliced(&s);
}

/* ---- side by side ---- */

struct runner {
    struct sliced *sliced;
    rapt_attention_data data;
    int slice, runs;
    pthread_barrier_t *between;
    pthread_t thread;
    rapt_status status;
};

static void *run_slices(void *context) {
    struct runner *r = context;
    const struct sliced *s = r->sliced;
    for (int run = 0; run < r->runs && r->status == RAPT_OK; run++) {
        r->status =
            rapt_plan_run_slice(s->plan, &r->data, r->slice, s->slices, s->workspace, s->size);
        pthread_barrier_wait(r->between);
    }
    return NULL;
}

/* The plan's own pointers are not those of the run: all slices bring the same others. One workspace
 * serves them all, and the runs that follow. */
Test(slices, threads_of_the_caller) {
    enum { RUNNERS = 6 };
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], RUNNERS, RUNNERS);
        rapt_attention_args other = new_problem(&forms[i], 1);
        struct runner runners[RUNNERS];
        pthread_barrier_t between;
        pthread_barrier_init(&between, NULL, RUNNERS);
        for (int r = 0; r < RUNNERS; r++) {
            runners[r] = (struct runner){.sliced = &s,
                                         .data = rapt_attention_data_of(&other),
                                         .slice = r,
                                         .runs = 3,
                                         .between = &between};
            cr_assert_eq(pthread_create(&runners[r].thread, NULL, run_slices, &runners[r]), 0);
        }
        for (int r = 0; r < RUNNERS; r++) {
            pthread_join(runners[r].thread, NULL);
            expect_ok(runners[r].status);
        }
        pthread_barrier_destroy(&between);
        cr_expect(same_outputs(&s.once, &other), "form %d", i);
        cr_expect(outputs_untouched(&s.args));
        free_problem(&other);
        free_sliced(&s);
    }
}

/* Runs all slices of a problem in a workspace that others have used, or the plan as a whole. */
static void run_in(struct sliced *s, void *workspace, size_t size) {
    static int runs;
    if (runs++ % 5 == 0) {
        reset_outputs(&s->args);
        expect_ok(rapt_plan_run(s->plan, NULL, workspace, size));
        cr_expect(same_outputs(&s->once, &s->args));
    }
    reset_outputs(&s->args);
    for (int k = 0; k < s->slices; k++)
        expect_ok(rapt_plan_run_slice(s->plan, NULL, k, s->slices, workspace, size));
    cr_expect(same_outputs(&s->once, &s->args));
}

/* Plans of many splits, of few and of none, one after the other. */
Test(slices, one_workspace_serves_any_plans) {
    const struct form more[] = {
        {1, 40, 40, 1, 4096, 16, 16, .lse = true},
        {1, 12, 12, 64, 64, 32, 32, .lse = true},
        {2, 32, 8, 7, 300, 64, 64, .lse = true},
        {1, 34, 34, 1, 3000, 24, 24, .lse = true, .observed = true},
    };
    enum { MORE = sizeof more / sizeof *more, ALL = FORMS + MORE };
    static struct sliced all[2 * ALL];
    size_t size = 0;
    for (int i = 0; i < 2 * ALL; i++) {
        const int threads = i < ALL ? 24 : 3;
        all[i] = new_sliced(i % ALL < FORMS ? &forms[i % ALL] : &more[i % ALL - FORMS], threads,
                            threads);
        size = all[i].size > size ? all[i].size : size;
    }
    char *workspace = allocate(size);
    memset(workspace, 0, size);
    for (int i = 0; i < 2 * ALL; i++)
        for (int k = 0; k < 2 * ALL; k += 1 + (i + k) % 3) {
            run_in(&all[i], workspace, size);
            run_in(&all[k], workspace, size);
        }
    free(workspace);
    for (int i = 0; i < 2 * ALL; i++)
        free_sliced(&all[i]);
}

static void expect_refused(struct sliced *s, int slices, void *workspace) {
    const size_t size = rapt_plan_slices_workspace_size(s->plan, slices);
    reset_outputs(&s->args);
    cr_expect_eq(rapt_plan_run_slice(s->plan, NULL, 0, slices, workspace, size),
                 RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "workspace") && mentions(rapt_last_error(), "zero"), "%s",
              rapt_last_error());
    cr_expect(outputs_untouched(&s->args));
}

Test(slices, a_workspace_in_use_is_refused) {
    struct sliced first = new_sliced(&forms[1], 3, 3), second = new_sliced(&forms[1], 3, 3);
    run_slice(&first, 1);
    expect_refused(&second, 3, first.workspace);
    expect_refused(&first, 2, first.workspace);
    run_slice(&first, 0);
    run_slice(&first, 2);
    run_in(&second, first.workspace, first.size);
    /* One that never was zero. */
    memset(first.workspace, CANARY, first.size);
    expect_refused(&second, 3, first.workspace);
    free_sliced(&first);
    free_sliced(&second);
}
