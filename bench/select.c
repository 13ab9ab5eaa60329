/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rapt/rapt.h>

#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/pin.h"

/* Appends a case unless it is there already. */
static void add_case(struct selection *s, const struct bench_case *c) {
    for (size_t i = 0; i < s->case_count; i++)
        if (strcmp(s->cases[i].name, c->name) == 0)
            return;
    s->cases[s->case_count++] = *c;
}

/* Whether a case is meant by a word: its name, or names start with the word and a dash. */
static bool belongs(const struct bench_case *c, const char *word, size_t length) {
    return strncmp(c->name, word, length) == 0 && c->name[length] == '-';
}

/* Adds the case of that name or, if there is none, the group; false if there is neither. */
static bool add_word(struct selection *s, const char *word, size_t length,
                     const struct bench_case *list, size_t count) {
    const bool all = length == 3 && strncmp(word, "all", length) == 0;
    bool found = false;
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i].name) == length && strncmp(list[i].name, word, length) == 0) {
            add_case(s, &list[i]);
            return true;
        }
    for (size_t i = 0; i < count; i++)
        if (all || (length && belongs(&list[i], word, length))) {
            add_case(s, &list[i]);
            found = true;
        }
    return found;
}

static bool add_words(struct selection *s, const char *words, const struct bench_case *list,
                      size_t count) {
    for (const char *at = words;;) {
        const size_t length = strcspn(at, ",");
        if (!add_word(s, at, length, list, count)) {
            args_fail_value("bench", "case", words,
                            "names of cases or their beginnings, or all; see rapt bench --help");
            return false;
        }
        if (!at[length])
            return true;
        at += length + 1;
    }
}

/* Whether a suite has the case. */
static bool suite_has(enum suite suite, const struct bench_case *c) {
    switch (suite) {
    case SUITE_QUICK:
        return c->use == BENCH_QUICK;
    case SUITE_PREFILL:
        return c->suite == BENCH_PREFILL;
    case SUITE_DECODE:
        return c->suite == BENCH_DECODE;
    case SUITE_ENCODER:
        return c->suite == BENCH_ENCODER;
    case SUITE_GROWTH:
        return c->suite == BENCH_GROWTH;
    case SUITE_FEATURES:
        return c->suite == BENCH_FEATURES;
    case SUITE_ALL:
        return true;
    case SUITE_NONE:
        break;
    }
    return false;
}

static bool select_cases(const struct request *request, struct selection *s) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    s->cases = calloc(count + 1, sizeof *s->cases);
    if (!s->cases) {
        args_fail("bench", "no memory for the list of cases");
        return false;
    }
    if (request->cases && !add_words(s, request->cases, list, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (suite_has((enum suite)request->suite, &list[i]))
            add_case(s, &list[i]);
    if (request->shape) {
        struct bench_case c;
        char expected[160];
        if (!bench_case_parse(request->shape, &c, expected, sizeof expected)) {
            args_fail_value("bench", "shape", request->shape, expected);
            return false;
        }
        add_case(s, &c);
    }
    const bool usual = !request->cases && !request->shape && request->suite == SUITE_NONE;
    for (size_t i = 0; usual && i < count; i++)
        if (list[i].use >= (request->quick ? BENCH_QUICK : BENCH_USUAL))
            add_case(s, &list[i]);
    return true;
}

static bool select_isas(const struct request *request, struct selection *s) {
    const struct rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    s->isas = calloc(count, sizeof *s->isas);
    if (!s->isas) {
        args_fail("bench", "no memory for the list of instruction sets");
        return false;
    }
    const bool one = request->view == VIEW_SCALING || request->view == VIEW_ROOFLINE;
    const char *all = one ? NULL : "all";
    const char *isa = request->isa ? request->isa : all;
    if (!isa || strcmp(isa, "all") != 0) {
        s->isa_count = 1;
        if (rapt_isa_choose(isa, &s->isas[0]) == RAPT_OK)
            return true;
        args_fail("bench", "--%s", rapt_last_error()); /* it starts with "isa: " */
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].available && !list[i].by_name)
            s->isas[s->isa_count++] = &list[i];
    return true;
}

/* Whether a curve of many threads should have this one: 2^n or 3 * 2^n, and all up to 8. */
static bool on_curve(int threads) {
    int odd = threads;
    while (odd % 2 == 0)
        odd /= 2;
    return threads <= 8 || odd == 1 || odd == 3;
}

static struct args_ints usual_threads(enum view view) {
    const int cpus = pin_cpus(), cores = pin_cores();
    struct args_ints threads = {.value = {1, cpus}, .count = 2};
    if (view == VIEW_TABLES || view == VIEW_ROOFLINE)
        return threads;
    threads.count = 0;
    for (int t = view == VIEW_ISA ? cpus : 1; t <= cpus; t++)
        if (t == cpus || t == cores || on_curve(t))
            threads.value[threads.count++] = t;
    return threads;
}

static int compare_threads(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void select_threads(const struct request *request, struct selection *s) {
    const struct args_ints wanted =
        request->threads.count ? request->threads : usual_threads(request->view);
    for (int i = 0; i < wanted.count; i++) {
        bool seen = false;
        for (int j = 0; j < s->threads.count; j++)
            seen |= s->threads.value[j] == wanted.value[i];
        if (!seen)
            s->threads.value[s->threads.count++] = wanted.value[i];
    }
    qsort(s->threads.value, (size_t)s->threads.count, sizeof *s->threads.value, compare_threads);
}

/* As many times the batch, under a name of its own. */
static struct bench_case times_batch(struct bench_case c, int64_t times) {
    c.shape.batch *= times;
    strncat(c.name, "-weak", sizeof c.name - strlen(c.name) - 1);
    c.base = NULL;
    return c;
}

/* Leaves out batches that can't be multiplied. False if those are all. */
static bool drop_ragged(struct selection *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->case_count; i++)
        if (!s->cases[i].shape.lengths)
            s->cases[kept++] = s->cases[i];
    s->case_count = kept;
    if (!kept)
        args_fail("bench", "--weak: all cases have sequences of several lengths, expected others");
    return kept > 0;
}

/* Leaves out what the memory is too short for, but not all. */
static void drop_large(struct selection *s) {
    const double available = machine_memory_available();
    const int64_t times = s->weak ? s->threads.value[s->threads.count - 1] : 1;
    size_t kept = 0;
    for (size_t i = 0; i < s->case_count; i++) {
        const struct bench_case largest = times_batch(s->cases[i], times);
        const double size = bench_data_size(&largest, 1, 0);
        if (size < available || (i + 1 == s->case_count && !kept))
            s->cases[kept++] = s->cases[i];
        else
            fprintf(stderr, "rapt bench: %s left out: it needs %.1f GB of memory, %.1f are left\n",
                    s->cases[i].name, 1e-9 * size, 1e-9 * available);
    }
    s->case_count = kept;
}

/* Makes the list one for each number of threads. */
static bool make_weak(struct selection *s) {
    struct bench_case *cases = calloc(s->case_count * (size_t)s->threads.count, sizeof *cases);
    if (!cases) {
        args_fail("bench", "no memory for the list of cases");
        return false;
    }
    for (int t = 0; t < s->threads.count; t++)
        for (size_t i = 0; i < s->case_count; i++)
            cases[(size_t)t * s->case_count + i] = times_batch(s->cases[i], s->threads.value[t]);
    free(s->cases);
    s->cases = cases;
    return true;
}

const struct bench_case *select_cases_of(const struct selection *s, int threads) {
    return s->weak ? s->cases + (size_t)threads * s->case_count : s->cases;
}

size_t select_case_total(const struct selection *s) {
    return s->weak ? s->case_count * (size_t)s->threads.count : s->case_count;
}

bool select_make(const struct request *request, struct selection *s) {
    s->view = request->view;
    s->weak = request->weak;
    s->effort = request->quick ? (struct bench_effort){0.1, 3, 2} : (struct bench_effort){1, 5, 5};
    if (request->seconds > 0)
        s->effort.seconds = (double)request->seconds;
    select_threads(request, s);
    if (!select_cases(request, s) || !select_isas(request, s) || (s->weak && !drop_ragged(s)))
        return false;
    drop_large(s);
    return !s->weak || make_weak(s);
}

void select_free(struct selection *s) {
    free(s->cases);
    free(s->isas);
}
