/* SPDX-License-Identifier: Apache-2.0 */
/* The views that rapt_merge takes, and the arguments that it refuses. */
#include "tests/support/merges.h"

enum { LAYOUTS = 5 };

/* The same numbers in other memory, which is returned as *memory: BSHD, channels 2 apart,
 * reversed, positions densest, a gap between batches. */
static rapt_tensor laid_out(const rapt_tensor *t, int layout, void **memory) {
    const int64_t h = t->shape[1], s = t->shape[2], c = t->shape[3];
    const int64_t strides[LAYOUTS][4] = {{h * s * c, c, h * c, 1},
                                         {h * s * c * 2 + 3, s * c * 2, c * 2, 2},
                                         {-h * s * c, -s * c, -c, -1},
                                         {h * s * c, s * c, 1, s},
                                         {h * s * c + 1, s * c, c, 1}};
    const size_t room = 2 * elements(t) + 64;
    float *data = *memory = allocate(room * sizeof *data);
    memset(data, CANARY, room * sizeof *data);
    rapt_tensor view = *t;
    view.data = layout == 2 ? data + elements(t) - 1 : data;
    memcpy(view.stride, strides[layout], sizeof view.stride);
    return view;
}

static float *at(const rapt_tensor *t, const int64_t *i) {
    return (float *)t->data + i[0] * t->stride[0] + i[1] * t->stride[1] + i[2] * t->stride[2] +
           i[3] * t->stride[3];
}

static void copy_elements(const rapt_tensor *to, const rapt_tensor *from) {
    int64_t i[4];
    for (i[0] = 0; i[0] < to->shape[0]; i[0]++)
        for (i[1] = 0; i[1] < to->shape[1]; i[1]++)
            for (i[2] = 0; i[2] < to->shape[2]; i[2]++)
                for (i[3] = 0; i[3] < to->shape[3]; i[3]++)
                    memcpy(at(to, i), at(from, i), sizeof(float));
}

Test(merge_args, any_strides_give_the_same_bits) {
    for (int layout = 0; layout < LAYOUTS * LAYOUTS; layout++) {
        struct merge m = new_merge(3, 10, 13), other = m;
        void *memory[8];
        for (int p = 0; p < 3; p++) {
            other.outs[p] = laid_out(&m.outs[p], (layout + p) % LAYOUTS, &memory[2 * p]);
            other.lses[p] = laid_out(&m.lses[p], (layout + 2 * p) % LAYOUTS, &memory[2 * p + 1]);
            copy_elements(&other.outs[p], &m.outs[p]);
            copy_elements(&other.lses[p], &m.lses[p]);
        }
        other.out = laid_out(&m.out, layout / LAYOUTS, &memory[6]);
        other.lse = laid_out(&m.lse, layout % LAYOUTS, &memory[7]);
        run(&m);
        run(&other);
        rapt_tensor out = new_out(), lse = new_lse();
        copy_elements(&out, &other.out);
        copy_elements(&lse, &other.lse);
        cr_expect(same_bits(&out, &m.out), "layouts %d", layout);
        cr_expect(same_bits(&lse, &m.lse), "layouts %d", layout);
        /* Nothing between the elements is written. */
        memset(out.data, CANARY, bytes_of(&out));
        memset(lse.data, CANARY, bytes_of(&lse));
        copy_elements(&other.out, &out);
        copy_elements(&other.lse, &lse);
        const size_t out_bytes = (2 * elements(&out) + 64) * sizeof(float);
        const size_t lse_bytes = (2 * elements(&lse) + 64) * sizeof(float);
        for (size_t i = 0; i < out_bytes; i++)
            cr_assert_eq(((unsigned char *)memory[6])[i], CANARY);
        for (size_t i = 0; i < lse_bytes; i++)
            cr_assert_eq(((unsigned char *)memory[7])[i], CANARY);
        for (int i = 0; i < 8; i++)
            free(memory[i]);
        free(out.data);
        free(lse.data);
        free_merge(&m);
    }
}

/* One part twice, and one row for all heads. */
Test(merge_args, inputs_may_share_memory) {
    struct merge m = new_merge(1, 10, 14);
    rapt_tensor outs[] = {m.outs[0], m.outs[0]}, lses[] = {m.lses[0], m.lses[0]};
    for (int shared = 0; shared < 2; shared++) {
        outs[0].stride[1] = outs[1].stride[1] = shared ? 0 : m.outs[0].stride[1];
        expect_ok(rapt_merge(2, outs, lses, &m.out, &m.lse));
        for (size_t i = 0; i < elements(&m.out); i++) {
            const size_t row = QUERIES * CHANNELS, head = i / row;
            const size_t from = shared ? head / HEADS * HEADS * row + i % row : i;
            cr_expect_eq(*number(&m.out, i), *number(&m.outs[0], from));
        }
    }
    free_merge(&m);
}

/* ---- bad arguments ---- */

static void expect_refused(const struct merge *m, const char *argument, const char *found) {
    cr_expect_eq(rapt_merge(m->count, m->outs, m->lses, &m->out, &m->lse), RAPT_INVALID_ARGUMENT,
                 "%s = %s", argument, found);
    const char *message = rapt_last_error();
    cr_expect(mentions(message, argument) && mentions(message, found) &&
                  mentions(message, "expected"),
              "%s = %s: %s", argument, found, message);
}

Test(merge_args, counts_and_null_pointers) {
    struct merge m = new_merge(2, 1, 15);
    const int counts[] = {0, -1, INT32_MIN};
    for (int i = 0; i < 3; i++) {
        char found[16];
        snprintf(found, sizeof found, "%d", counts[i]);
        m.count = counts[i];
        expect_refused(&m, "count", found);
    }
    m.count = 2;
    const char *const names[] = {"outs", "lses", "out", "lse"};
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(rapt_merge(2, i == 0 ? NULL : m.outs, i == 1 ? NULL : m.lses,
                                i == 2 ? NULL : &m.out, i == 3 ? NULL : &m.lse),
                     RAPT_INVALID_ARGUMENT);
        cr_expect(mentions(rapt_last_error(), names[i]) && mentions(rapt_last_error(), "NULL"),
                  "%s", rapt_last_error());
    }
    cr_expect(untouched(&m.out) && untouched(&m.lse));
    free_merge(&m);
}

/* The n-th tensor of a merge of two parts, and its name as an argument. */
static rapt_tensor *nth_tensor(struct merge *m, int n, const char **name) {
    rapt_tensor *const tensors[] = {&m->out,     &m->lse,     &m->outs[0],
                                    &m->outs[1], &m->lses[0], &m->lses[1]};
    const char *const names[] = {"out", "lse", "outs", "outs", "lses", "lses"};
    *name = names[n];
    return tensors[n];
}

/* found: what the message must tell, beside the argument; NULL if another may be to blame. */
static void expect_bad_tensor(struct merge *good, int n, const rapt_tensor *bad,
                              const char *found) {
    const char *name;
    struct merge m = *good;
    *nth_tensor(&m, n, &name) = *bad;
    if (found)
        expect_refused(&m, name, found);
    else
        cr_expect_eq(rapt_merge(2, m.outs, m.lses, &m.out, &m.lse), RAPT_INVALID_ARGUMENT);
    cr_expect(untouched(&good->out) && untouched(&good->lse), "%s", name);
}

Test(merge_args, shapes_that_differ) {
    struct merge m = new_merge(2, 1, 16);
    const int64_t wrong[] = {0, -3, 4, INT64_MAX};
    for (int n = 0; n < 6; n++) {
        for (int i = 0; i < 4 * 4; i++) {
            const char *name;
            char found[32];
            rapt_tensor bad = *nth_tensor(&m, n, &name);
            bad.shape[i / 4] = wrong[i % 4];
            snprintf(found, sizeof found, "%lld", (long long)wrong[i % 4]);
            const bool possible = wrong[i % 4] == 4 || (wrong[i % 4] == 0 && i / 4 < 3);
            const bool only_differs = n == 0 && possible;
            expect_bad_tensor(&m, n, &bad, only_differs ? NULL : found);
        }
    }
    free_merge(&m);
}

Test(merge_args, dtypes) {
    struct merge m = new_merge(2, 1, 17);
    const rapt_dtype wrong[] = {RAPT_NONE, RAPT_BOOL, RAPT_F16, RAPT_BF16, (rapt_dtype)99};
    const char *const names[] = {"none", "bool", "f16", "bf16", "99"};
    for (int n = 0; n < 6; n++) {
        for (int i = 0; i < 5; i++) {
            const char *name;
            rapt_tensor bad = *nth_tensor(&m, n, &name);
            bad.dtype = wrong[i];
            if (n != 1 || i != 0) /* lse may be absent */
                expect_bad_tensor(&m, n, &bad, names[i]);
        }
    }
    free_merge(&m);
}

Test(merge_args, pointers_and_strides) {
    struct merge m = new_merge(2, 1, 18);
    for (int n = 0; n < 6; n++) {
        const char *name;
        const rapt_tensor good = *nth_tensor(&m, n, &name);
        rapt_tensor bad = good;
        bad.data = NULL;
        expect_bad_tensor(&m, n, &bad, "NULL");
        bad.data = (char *)good.data + 2;
        expect_bad_tensor(&m, n, &bad, "4");
        bad = good;
        bad.stride[0] = INT64_MAX / 2;
        expect_bad_tensor(&m, n, &bad, "strides");
        bad.stride[0] = 0; /* fine for an input */
        if (n < 2)
            expect_bad_tensor(&m, n, &bad, "strides");
    }
    free_merge(&m);
}

Test(merge_args, outputs_over_other_tensors) {
    struct merge m = new_merge(2, 1, 19);
    for (int n = 0; n < 6; n++) {
        for (int other = 0; other < 2; other++) {
            const char *name, *other_name;
            rapt_tensor bad = *nth_tensor(&m, n, &name);
            const rapt_tensor *over = nth_tensor(&m, other, &other_name);
            if (n == other)
                continue;
            bad.data = (char *)over->data + 4; /* in part */
            struct merge overlapping = m;
            *nth_tensor(&overlapping, n, &name) = bad;
            cr_expect_eq(rapt_merge(2, overlapping.outs, overlapping.lses, &overlapping.out,
                                    &overlapping.lse),
                         RAPT_INVALID_ARGUMENT);
            const char *message = rapt_last_error();
            cr_expect(mentions(message, name) && mentions(message, other_name), "%s over %s: %s",
                      name, other_name, message);
            cr_expect(untouched(&m.out) && untouched(&m.lse));
        }
    }
    free_merge(&m);
}
