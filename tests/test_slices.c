/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in slices: the same bits, no row left out or computed twice, and what is refused. */
#include <inttypes.h>
#include <pthread.h>

#include "helpers.h"
#include "plan.h"

/* Several panels, tasks and blocks of keys on every variant; the first is a single task. */
static const struct form forms[] = {
    {1, 1, 1, 1, 1, 1, 1, .lse = true},
    {2, 4, 4, 70, 130, 16, 16, .lse = true},
    {1, 6, 2, 167, 200, 33, 20, .causal = true, .lse = true},
    {2, 2, 1, 150, 99, 24, 40, .softcap = 3, .mask = RAPT_BOOL, .weights = true},
    {1, 4, 2, 230, 300, 64, 64, .mask = RAPT_F32, .window_left = 20, .lse = true, .weights = true},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* A problem, its expected outputs, and a plan of it. */
struct sliced {
    rapt_attention_args once, args;
    rapt_plan *plan;
};

static struct sliced new_sliced(const struct form *form, int threads) {
    struct sliced s = {.once = new_problem(form, 1), .args = new_problem(form, 1)};
    expect_ok(rapt_attention(&s.once));
    s.args.threads = threads;
    expect_ok(rapt_plan_create(&s.args, &s.plan));
    return s;
}

static void free_sliced(struct sliced *s) {
    rapt_plan_destroy(s->plan);
    free_problem(&s->once);
    free_problem(&s->args);
}

Test(slices, any_number_of_slices_gives_the_same_bits) {
    const int64_t numbers[] = {1, 2, 3, 4, 5, 7, 16, 33, 100, 1000};
    for (int i = 0; i < FORMS; i++) {
        for (int threads = 0; threads <= 5; threads += 5) {
            struct sliced s = new_sliced(&forms[i], threads);
            for (int n = 0; n < 10; n++) {
                reset_outputs(&s.args);
                /* From both ends to the middle, so that neighbours don't follow each other. */
                for (int64_t k = 0; k < numbers[n]; k++) {
                    const int64_t slice = k % 2 ? numbers[n] - 1 - k / 2 : k / 2;
                    expect_ok(rapt_plan_run_slice(s.plan, NULL, slice, numbers[n], NULL, 0));
                }
                cr_expect(same_outputs(&s.once, &s.args), "form %d, %" PRId64 " slices", i,
                          numbers[n]);
            }
            free_sliced(&s);
        }
    }
}

/* Whether a row of out has been written: all of it or nothing. */
static bool row_is_written(const rapt_attention_args *args, int64_t row) {
    const size_t bytes = (size_t)args->out.shape[3] * sizeof(float);
    const unsigned char *at = (const unsigned char *)args->out.data + (size_t)row * bytes;
    size_t canaries = 0;
    for (size_t i = 0; i < bytes; i++)
        canaries += at[i] == CANARY;
    cr_assert(canaries == bytes || canaries < bytes / 2, "a row is written in part");
    return canaries != bytes;
}

Test(slices, every_row_belongs_to_one_slice) {
    for (int i = 0; i < FORMS; i++) {
        for (int64_t slices = 1; slices <= 64; slices = slices * 2 + 1) {
            struct sliced s = new_sliced(&forms[i], 4);
            const int64_t rows = (int64_t)elements(&s.args.out) / s.args.out.shape[3];
            unsigned char *writers = allocate((size_t)rows);
            memset(writers, 0, (size_t)rows);
            for (int64_t slice = 0; slice < slices; slice++) {
                reset_outputs(&s.args);
                expect_ok(rapt_plan_run_slice(s.plan, NULL, slice, slices, NULL, 0));
                for (int64_t row = 0; row < rows; row++)
                    writers[row] += row_is_written(&s.args, row);
            }
            for (int64_t row = 0; row < rows; row++)
                cr_assert_eq(writers[row], 1, "form %d, row %" PRId64 ": %d of %" PRId64 " slices",
                             i, row, writers[row], slices);
            free(writers);
            free_sliced(&s);
        }
    }
}

/* Rows times keys that a slice computes, for a causal problem with as many keys as queries. */
static int64_t work_of(struct sliced *s, int64_t slice, int64_t slices) {
    const int64_t queries = s->args.out.shape[2];
    const int64_t rows = (int64_t)elements(&s->args.out) / s->args.out.shape[3];
    int64_t work = 0;
    reset_outputs(&s->args);
    expect_ok(rapt_plan_run_slice(s->plan, NULL, slice, slices, NULL, 0));
    for (int64_t row = 0; row < rows; row++)
        work += row_is_written(&s->args, row) ? 1 + row % queries : 0;
    return work;
}

Test(slices, work_is_about_equal) {
    const struct form form = {1, 4, 4, 600, 600, 8, 8, .causal = true};
    for (int slices = 2; slices <= 5; slices++) {
        struct sliced s = new_sliced(&form, slices);
        int64_t least = INT64_MAX, most = 0;
        for (int slice = 0; slice < slices; slice++) {
            const int64_t work = work_of(&s, slice, slices);
            least = work < least ? work : least;
            most = work > most ? work : most;
        }
        /* Tasks are dealt one by one: at most the heaviest may be missing. */
        cr_expect_leq(most - least, s.plan->tasks[0].cost,
                      "%d slices: %" PRId64 " to %" PRId64 " of work", slices, least, most);
        free_sliced(&s);
    }
}

Test(slices, more_slices_than_can_be_counted) {
    struct sliced s = new_sliced(&forms[2], 2);
    const int64_t slices[] = {INT64_MAX, INT64_MAX - 1, (int64_t)1 << 62, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        expect_ok(rapt_plan_run_slice(s.plan, NULL, slices[i] - 1, slices[i], NULL, 0));
        expect_ok(rapt_plan_run_slice(s.plan, NULL, slices[i] / 2, slices[i], NULL, 0));
        expect_ok(rapt_plan_run_slice(s.plan, NULL, 0, slices[i], NULL, 0));
    }
    free_sliced(&s);
}

Test(slices, bad_numbers) {
    const int64_t bad[][2] = {{-1, 2},  {2, 2},         {5, 3},         {0, 0},        {0, -1},
                              {-1, -1}, {INT64_MIN, 4}, {INT64_MAX, 4}, {0, INT64_MIN}};
    struct sliced s = new_sliced(&forms[1], 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char slice[32], slices[32];
        snprintf(slice, sizeof slice, "%" PRId64, bad[i][0]);
        snprintf(slices, sizeof slices, "%" PRId64, bad[i][1]);
        cr_expect_eq(rapt_plan_run_slice(s.plan, NULL, bad[i][0], bad[i][1], NULL, 0),
                     RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        cr_expect(mentions(message, "slice") && mentions(message, slice) &&
                      mentions(message, slices) && mentions(message, "expected"),
                  "slice %s of %s: %s", slice, slices, message);
        cr_expect(outputs_untouched(&s.args));
    }
    cr_expect_eq(rapt_plan_run_slice(NULL, NULL, 0, 1, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "plan") && mentions(rapt_last_error(), "NULL"));
    cr_expect_eq(rapt_plan_slice_workspace_size(NULL), 0u);
    free_sliced(&s);
}

Test(slices, workspace_may_have_any_alignment) {
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], 3);
        const size_t size = rapt_plan_slice_workspace_size(s.plan);
        unsigned char *memory = allocate(size + 128);
        for (size_t shift = 0; shift < 64; shift += shift < 4 ? 1 : 15) {
            memset(memory, CANARY, size + 128);
            reset_outputs(&s.args);
            for (int slice = 2; slice >= 0; slice--)
                expect_ok(rapt_plan_run_slice(s.plan, NULL, slice, 3, memory + shift, size));
            cr_expect(same_outputs(&s.once, &s.args), "form %d, shift %zu", i, shift);
            for (size_t k = 0; k < size + 128; k++)
                if (k < shift || k >= shift + size)
                    cr_assert_eq(memory[k], CANARY, "written outside the workspace");
        }
        free(memory);
        free_sliced(&s);
    }
}

Test(slices, small_workspace_is_refused) {
    struct sliced s = new_sliced(&forms[4], 2);
    const size_t size = rapt_plan_slice_workspace_size(s.plan), sizes[] = {0, 1, size - 1};
    unsigned char *memory = allocate(size);
    char expected[32], found[32];
    snprintf(expected, sizeof expected, "%zu", size);
    memset(memory, CANARY, size);
    for (int i = 0; i < 3; i++) {
        snprintf(found, sizeof found, "%zu", sizes[i]);
        cr_expect_eq(rapt_plan_run_slice(s.plan, NULL, 1, 2, memory, sizes[i]),
                     RAPT_INVALID_ARGUMENT);
        const char *message = rapt_last_error();
        cr_expect(mentions(message, "workspace_size") && mentions(message, found) &&
                      mentions(message, expected),
                  "%s", message);
        cr_expect(outputs_untouched(&s.args));
    }
    for (size_t k = 0; k < size; k++)
        cr_assert_eq(memory[k], CANARY);
    free(memory);
    free_sliced(&s);
}

/* A slice is the work of one thread, however many the plan is for. */
Test(slices, workspace_is_that_of_one_thread) {
    for (int i = 0; i < FORMS; i++) {
        struct sliced one = new_sliced(&forms[i], 1);
        cr_expect_leq(rapt_plan_slice_workspace_size(one.plan), rapt_plan_workspace_size(one.plan));
        cr_expect_lt(rapt_plan_slice_workspace_size(one.plan), (size_t)4 << 20);
        for (int threads = 2; threads <= 64; threads *= 2) {
            struct sliced many = new_sliced(&forms[i], threads);
            cr_expect_leq(rapt_plan_slice_workspace_size(many.plan),
                          rapt_plan_slice_workspace_size(one.plan));
            free_sliced(&many);
        }
        free_sliced(&one);
    }
}

Test(slices, data_is_checked) {
    struct sliced s = new_sliced(&forms[4], 2);
    rapt_attention_data data = {
        .query = s.args.query.data,
        .key = s.args.key.data,
        .value = s.args.value.data,
        .mask = s.args.mask.data,
        .out = s.args.out.data,
        .lse = s.args.lse.data,
        .weights = s.args.weights.data,
    };
    data.key = NULL;
    cr_expect_eq(rapt_plan_run_slice(s.plan, &data, 0, 2, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "key") && mentions(rapt_last_error(), "NULL"));
    data.key = s.args.key.data;
    data.lse = s.args.out.data;
    cr_expect_eq(rapt_plan_run_slice(s.plan, &data, 1, 2, NULL, 0), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "lse") && mentions(rapt_last_error(), "out"));
    cr_expect(outputs_untouched(&s.args));
    free_sliced(&s);
}

/* ---- side by side ---- */

struct runner {
    const rapt_plan *plan;
    rapt_attention_data data;
    int64_t slice, slices;
    pthread_t thread;
    rapt_status status;
};

static void *run_slice(void *context) {
    struct runner *r = context;
    const size_t size = rapt_plan_slice_workspace_size(r->plan);
    void *memory = malloc(size);
    r->status = rapt_plan_run_slice(r->plan, &r->data, r->slice, r->slices, memory, size);
    free(memory);
    return NULL;
}

/* The plan's own pointers are not those of the run: all slices bring the same others. */
Test(slices, threads_of_the_caller) {
    enum { RUNNERS = 6 };
    for (int i = 0; i < FORMS; i++) {
        struct sliced s = new_sliced(&forms[i], RUNNERS);
        rapt_attention_args other = new_problem(&forms[i], 1);
        struct runner runners[RUNNERS];
        for (int r = 0; r < RUNNERS; r++) {
            runners[r] = (struct runner){
                .plan = s.plan,
                .data = {.query = other.query.data,
                         .key = other.key.data,
                         .value = other.value.data,
                         .mask = other.mask.data,
                         .out = other.out.data,
                         .lse = other.lse.data,
                         .weights = other.weights.data},
                .slice = r,
                .slices = RUNNERS,
            };
            cr_assert_eq(pthread_create(&runners[r].thread, NULL, run_slice, &runners[r]), 0);
        }
        for (int r = 0; r < RUNNERS; r++) {
            pthread_join(runners[r].thread, NULL);
            expect_ok(runners[r].status);
        }
        cr_expect(same_outputs(&s.once, &other), "form %d", i);
        cr_expect(outputs_untouched(&s.args));
        free_problem(&other);
        free_sliced(&s);
    }
}
