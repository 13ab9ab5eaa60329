/* SPDX-License-Identifier: Apache-2.0 */
/* What masks spare: what the kernels see of a row of one, and which keys they are given. */
#include <float.h>

#include "tests/support/plans.h"
#include "src/plan/bind.h"
#include "src/run/run.h"
#include "tests/support/variants.h"

static const rapt_dtype dtypes[] = {RAPT_F32, RAPT_F16, RAPT_BF16, RAPT_BOOL};
enum { DTYPES = 4, ELEMENTS = 7 };

/* Numbers of every type that masks know: those that hide, those that change nothing, and others. */
static const uint32_t elements_of[DTYPES][ELEMENTS] = {
    {0xff800000, 0, 0x80000000, 0x3f800000, 0x7fc00000, 0xff7fffff, 0x7f800000},
    {0xfc00, 0, 0x8000, 0x3c00, 0x7e00, 0xfbff, 1},
    {0xff80, 0, 0x8000, 0x3f80, 0x7fc0, 0xff7f, 1},
    {0, 1, 0xff, 0x80, 2, 0x81, 0x7f},
};

static bool hides(int dtype, int element) {
    return (void)dtype, element == 0;
}

static bool shows(int dtype, int element) {
    return dtypes[dtype] == RAPT_BOOL ? element > 0 : element == 1 || element == 2;
}

/* Puts an element of a type at index i of an array. */
static void put(void *row, int dtype, int64_t i, int element) {
    const size_t size = (size_t)rapt_dtype_size(dtypes[dtype]);
    const uint32_t bits = elements_of[dtype][element];
    const uint16_t half = (uint16_t)bits;
    const unsigned char byte = (unsigned char)bits;
    const void *from = size == 4 ? (const void *)&bits : size == 2 ? (const void *)&half : &byte;
    memcpy((char *)row + (size_t)i * size, from, size);
}

/* A row mostly of one kind, from a key on that may lie anywhere in its 32. Its memory is of exactly
 * its size, so that a sanitizer sees reads beyond it. */
static void expect_survey(const struct rapt_kernels *k, int dtype, uint64_t seed) {
    const int64_t at = next_random(&seed) % 70, n = 1 + next_random(&seed) % 300;
    const int most = next_random(&seed) % 3, odd = next_random(&seed) % ELEMENTS;
    const bool mixed = next_random(&seed) % 2;
    uint64_t hidden = ~(uint64_t)0, shown = ~(uint64_t)0;
    uint64_t found[2] = {hidden, shown};
    void *row = malloc((size_t)n * (size_t)rapt_dtype_size(dtypes[dtype]));
    cr_assert_not_null(row);
    for (int64_t i = 0; i < n; i++) {
        const int element = mixed && next_random(&seed) % 40 == 0 ? odd : most;
        const uint64_t bit = (uint64_t)1 << (at + i) / RAPT_MASK_KEYS;
        put(row, dtype, i, element);
        hidden &= hides(dtype, element) ? ~(uint64_t)0 : ~bit;
        shown &= shows(dtype, element) ? ~(uint64_t)0 : ~bit;
    }
    k->survey(row, dtypes[dtype], at, n, &found[0], &found[1]);
    cr_assert(found[0] == hidden && found[1] == shown,
              "%s, type %d, %d keys from %d: found %llx and %llx, expected %llx and %llx", k->name,
              dtype, (int)n, (int)at, (unsigned long long)found[0], (unsigned long long)found[1],
              (unsigned long long)hidden, (unsigned long long)shown);
    free(row);
}

Test(mask, survey_of_a_row) {
    FOR_EACH_VARIANT(k) {
        for (int dtype = 0; dtype < DTYPES; dtype++)
            for (uint64_t seed = 0; seed < 3000; seed++)
                expect_survey(k, dtype, seed * 7919 + 5);
    }
}

Test(mask, every_element_of_a_row_counts) {
    FOR_EACH_VARIANT(k) {
        for (int dtype = 0; dtype < DTYPES; dtype++) {
            for (int most = 0; most < 2; most++) {
                for (int64_t i = 0; i < RAPT_MASK_KEYS; i++) {
                    char row[4 * RAPT_MASK_KEYS];
                    uint64_t found[2] = {3, 3};
                    for (int64_t j = 0; j < RAPT_MASK_KEYS; j++)
                        put(row, dtype, j, j == i ? 1 - most : most);
                    k->survey(row, dtypes[dtype], 0, RAPT_MASK_KEYS, &found[0], &found[1]);
                    cr_assert(found[0] == 2 && found[1] == 2);
                }
            }
        }
    }
}

/* What a row has lost already isn't read again. */
Test(mask, nothing_is_read_in_vain) {
    FOR_EACH_VARIANT(k) {
        for (int dtype = 0; dtype < DTYPES; dtype++) {
            uint64_t found[2] = {~(uint64_t)7, ~(uint64_t)7};
            k->survey(NULL, dtypes[dtype], 0, 3 * RAPT_MASK_KEYS, &found[0], &found[1]);
            cr_assert(found[0] == ~(uint64_t)7 && found[1] == ~(uint64_t)7);
        }
    }
}

/* ---- the keys that reach the kernels ---- */

static const struct rapt_kernels *counted;
static int64_t scores, biased; /* keys times lanes, and those in blocks with a bias */

static void count_panel(const struct rapt_panel *panel, const struct rapt_block *block,
                        float *scratch) {
    scores += (int64_t)block->keys * panel->width;
    biased += block->bias ? (int64_t)block->keys * panel->width : 0;
    counted->attend(panel, block, scratch);
}

static void count_few(const struct rapt_few *few, const struct rapt_block *block, float *scratch) {
    scores += (int64_t)block->keys * few->rows;
    biased += block->bias ? (int64_t)block->keys * few->rows : 0;
    counted->attend_few(few, block, scratch);
}

enum { HEADS = 4, LENGTH = 2000, DIM = 16, DOCUMENT = 480 };

struct sample {
    struct rapt_problem problem;
    rapt_attention_data data;
    rapt_tensor query, key, value, out, mask;
};

static struct sample new_sample(int64_t q_len) {
    struct sample s = {.problem = new_shape(1, HEADS, 1, q_len, LENGTH, DIM, DIM)};
    s.query = random_tensor(RAPT_F32, 1, HEADS, q_len, DIM, 1);
    s.key = random_tensor(RAPT_F32, 1, HEADS, LENGTH, DIM, 2);
    s.value = random_tensor(RAPT_F32, 1, HEADS, LENGTH, DIM, 3);
    s.out = new_tensor(RAPT_F32, 1, HEADS, q_len, DIM);
    s.data = (rapt_attention_data){
        .query = s.query.data, .key = s.key.data, .value = s.value.data, .out = s.out.data};
    return s;
}

typedef bool attends(int64_t query, int64_t key);

static bool earlier(int64_t query, int64_t key) {
    return key <= query;
}
static bool same_document(int64_t query, int64_t key) {
    return key / DOCUMENT == query / DOCUMENT;
}
static bool last_ones(int64_t query, int64_t key) {
    return (void)query, key >= LENGTH - 40;
}
static bool all(int64_t query, int64_t key) {
    return (void)query, (void)key, true;
}

/* A mask that all heads share, dense or with its columns apart. */
static void set_mask(struct sample *s, int dtype, attends *attend, int64_t step) {
    const int64_t q_len = s->query.shape[2];
    s->mask = new_tensor(dtypes[dtype], 1, 1, q_len, LENGTH * step);
    for (int64_t i = 0; i < q_len; i++)
        for (int64_t j = 0; j < LENGTH; j++)
            put(s->mask.data, dtype, (i * LENGTH + j) * step, attend(i, j));
    s->problem.mask = s->mask;
    s->problem.mask.shape[3] = LENGTH;
    s->problem.mask.stride[0] = s->problem.mask.stride[1] = 0;
    s->problem.mask.stride[3] = step;
    s->data.mask = s->mask.data;
}

static void free_sample(struct sample *s) {
    const rapt_tensor *tensors[] = {&s->query, &s->key, &s->value, &s->out, &s->mask};
    for (int i = 0; i < 5; i++)
        free(tensors[i]->data);
}

/* Runs it twice in a workspace, whose second run finds it as the first one found it. */
static void run(const struct sample *s, const struct rapt_kernels *k) {
    struct rapt_kernels counting = *k;
    counting.attend = count_panel;
    counting.attend_few = count_few;
    counted = k;
    struct rapt_plan plan = divided_plan(&s->problem, &counting, 1);
    const size_t bytes = rapt_run_workspace(&plan, 1);
    void *workspace = allocate(bytes);
    memset(workspace, 0, bytes);
    struct rapt_plan bound;
    rapt_bind(&plan, &s->data, &bound);
    for (int i = 0; i < 2; i++) {
        scores = biased = 0;
        rapt_run_slice(&bound, 0, 1, workspace);
    }
    free(workspace);
    free(plan.tasks);
    free(plan.splits);
}

/* Beyond the keys that a panel attends, up to a piece at each end of a block. */
static void expect_no_more(const struct rapt_kernels *k, const struct sample *s, attends *attend,
                           int64_t rows) {
    const int64_t q_len = s->query.shape[2];
    int64_t most = 0;
    for (int64_t first = 0; first < q_len; first += rows) {
        const int64_t last = first + rows < q_len ? first + rows : q_len;
        int64_t pieces = 0;
        for (int64_t j = 0; j < LENGTH; j += RAPT_MASK_KEYS) {
            bool any = false;
            for (int64_t i = first; i < last; i++)
                for (int64_t n = j; n < j + RAPT_MASK_KEYS && n < LENGTH; n++)
                    any = any || attend(i, n);
            pieces += any;
        }
        most += pieces * RAPT_MASK_KEYS * (last - first + k->lanes - 1) / k->lanes * k->lanes;
    }
    cr_assert_leq(scores, HEADS * most, "%s: %lld scores, expected at most %lld", k->name,
                  (long long)scores, (long long)(HEADS * most));
}

Test(mask, keys_that_nobody_attends_are_left_out) {
    static attends *const patterns[] = {earlier, same_document, last_ones};
    FOR_EACH_VARIANT(k) {
        for (int i = 0; i < 3 * DTYPES; i++) {
            for (int64_t step = 1; step <= 2; step++) {
                struct sample s = new_sample(8 * k->panel_rows);
                set_mask(&s, i / 3, patterns[i % 3], step);
                run(&s, k);
                expect_no_more(k, &s, patterns[i % 3], k->panel_rows);
                /* Only where a panel meets both is a bias needed: a block or two of it. */
                cr_assert_leq(biased, HEADS * 8 * k->panel_rows * (i % 3 == 0 ? 192 : 0) +
                                          (i % 3 == 1 ? scores / 2 : 0) +
                                          (i % 3 == 2 ? scores : 0));
                free_sample(&s);
            }
        }
    }
}

Test(mask, and_so_for_few_queries) {
    FOR_EACH_VARIANT(k) {
        for (int dtype = 0; dtype < DTYPES; dtype++) {
            struct sample s = new_sample(1);
            set_mask(&s, dtype, last_ones, 1);
            run(&s, k);
            cr_assert_eq(scores,
                         HEADS * (LENGTH - (LENGTH - 40) / RAPT_MASK_KEYS * RAPT_MASK_KEYS));
            free(s.mask.data);
            set_mask(&s, dtype, all, 1);
            run(&s, k);
            cr_assert(scores == HEADS * LENGTH && biased == 0);
            free_sample(&s);
        }
    }
}
