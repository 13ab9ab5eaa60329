/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary position embedding: one row of sines and cosines per position serves all heads. */
#include "src/cache/rope.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/check/check.h"
#include "src/check/check_tensor.h"
#include "src/base/isa.h"
#include "src/base/convert.h"
#include "src/run/run.h"
#include "src/base/status.h"
#include "src/base/environment.h"

/* Pairs whose sines and cosines are worked out at once: all of most models. */
enum { PAIRS = 256 };

/* With a frequency and a scale of at most 1000 a product stays below 2^49 turns. */
#define POSITION_MAX ((int64_t)1 << 31)
static const double frequency_max = 1000, scale_max = 1000, base_max = 1e30;
static const double two_pi = 0x1.921fb54442d18p2;

static rapt_status check_args(const rapt_rope_args *args) {
    if (!args)
        return INVALID("args: found NULL, expected a pointer to rapt_rope_args");
    if (args->size != sizeof *args)
        return INVALID("args: size is %zu, expected %zu, as rapt_rope_defaults() sets it",
                       args->size, sizeof *args);
    if (args->rotary_dim < 2 || args->rotary_dim > INT32_MAX || args->rotary_dim % 2 != 0)
        return INVALID("rotary_dim: found %" PRId64 ", expected an even number of 2 to %d",
                       args->rotary_dim, INT32_MAX);
    if (args->pairing != RAPT_ROPE_HALVES && args->pairing != RAPT_ROPE_NEIGHBOURS)
        return INVALID("pairing: found %d, expected RAPT_ROPE_HALVES or RAPT_ROPE_NEIGHBOURS",
                       (int)args->pairing);
    if (!(args->position_scale >= 0 && args->position_scale <= scale_max))
        return INVALID("position_scale: found %g, expected 0 to %g", args->position_scale,
                       scale_max);
    if (!args->frequencies && !(args->base >= 1 && args->base <= base_max))
        return INVALID("base: found %g, expected 1 to %g", args->base, base_max);
    for (int64_t i = 0; args->frequencies && i < args->rotary_dim / 2; i++)
        if (!(fabs(args->frequencies[i]) <= frequency_max))
            return INVALID("frequencies[%" PRId64 "]: found %g, expected %g to %g", i,
                           args->frequencies[i], -frequency_max, frequency_max);
    return RAPT_OK;
}

rapt_status rapt_rope_create(const rapt_rope_args *args, rapt_rope **rope) {
    if (!rope)
        return INVALID("rope: found NULL, expected where to put the rope");
    *rope = NULL;
    const struct rapt_kernels *kernels = NULL;
    rapt_status status = check_args(args);
    if (status == RAPT_OK)
        status = rapt_isa_kernels(args->isa, &kernels);
    if (status != RAPT_OK)
        return status;
    const int64_t pairs = args->rotary_dim / 2;
    struct rapt_rope *made = malloc(sizeof *made + (size_t)pairs * sizeof *made->turns);
    if (!made)
        return rapt_fail(RAPT_OUT_OF_MEMORY, "rope: no memory for %" PRId64 " pairs", pairs);
    made->kernels = kernels;
    made->pairing = args->pairing;
    made->pairs = pairs;
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int64_t i = 0; i < pairs; i++) {
        const double frequency =
            args->frequencies ? args->frequencies[i] : pow(args->base, (double)-i / (double)pairs);
        made->turns[i] = frequency * args->position_scale / two_pi;
    }
    rapt_leave_environment(&callers);
    *rope = made;
    return RAPT_OK;
}

void rapt_rope_destroy(rapt_rope *rope) {
    free(rope);
}

rapt_status rapt_rope_check_positions(const int64_t *positions, int64_t n) {
    for (int64_t i = 0; positions && i < n; i++)
        if (positions[i] < -POSITION_MAX || positions[i] > POSITION_MAX)
            return INVALID("positions[%" PRId64 "]: found %" PRId64 ", expected %" PRId64
                           " to %" PRId64,
                           i, positions[i], -POSITION_MAX, POSITION_MAX);
    return RAPT_OK;
}

void rapt_rope_angles(const struct rapt_rope *rope, int64_t position, int64_t first, int64_t n,
                      float *sines, float *cosines) {
    /* Adding and taking away what leaves no bits after the point rounds to the nearest integer. */
    const double whole = 0x1.8p52;
    float angles[PAIRS];
    for (int64_t i = 0; i < n; i += PAIRS) {
        const int64_t count = n - i < PAIRS ? n - i : PAIRS;
        for (int64_t k = 0; k < count; k++) {
            const double turns = (double)position * rope->turns[first + i + k];
            angles[k] = (float)((turns - ((turns + whole) - whole)) * two_pi);
        }
        rope->kernels->sincos(sines + i, cosines + i, angles, count);
    }
}

/* Where a row of a view starts, in elements. */
struct row {
    const rapt_tensor *view;
    int64_t at;
};

static void read_row(const struct rapt_rope *rope, float *dst, struct row row, int64_t channel,
                     int64_t n) {
    rapt_read_row(rope->kernels, dst, row.view, row.at + channel * row.view->stride[3], 1, n);
}

static void write_row(const struct rapt_rope *rope, const float *src, struct row row,
                      int64_t channel, int64_t n) {
    rapt_write_row(rope->kernels, src, row.view, row.at + channel * row.view->stride[3], n);
}

/* n <= PAIRS pairs of a row, from `first` on. */
static void rotate_row(const struct rapt_rope *rope, struct row in, struct row out, int64_t first,
                       int64_t n, const float *sines, const float *cosines) {
    float x[2 * PAIRS];
    if (rope->pairing == RAPT_ROPE_NEIGHBOURS) {
        read_row(rope, x, in, 2 * first, 2 * n);
        rope->kernels->rotate(x, 1, sines, cosines, n);
        write_row(rope, x, out, 2 * first, 2 * n);
    } else {
        read_row(rope, x, in, first, n);
        read_row(rope, x + n, in, rope->pairs + first, n);
        rope->kernels->rotate(x, n, sines, cosines, n);
        write_row(rope, x, out, first, n);
        write_row(rope, x + n, out, rope->pairs + first, n);
    }
}

/* The channels that aren't rotated. */
static void copy_rest(const struct rapt_rope *rope, struct row in, struct row out) {
    const int64_t channels = in.view->shape[3];
    float x[2 * PAIRS];
    for (int64_t c = 2 * rope->pairs; c < channels; c += 2 * PAIRS) {
        const int64_t n = channels - c < 2 * PAIRS ? channels - c : 2 * PAIRS;
        read_row(rope, x, in, c, n);
        write_row(rope, x, out, c, n);
    }
}

static void rotate_position(const struct rapt_rope *rope, const rapt_tensor *in,
                            const rapt_tensor *out, int64_t b, int64_t s, int64_t position) {
    float sines[PAIRS], cosines[PAIRS];
    for (int64_t first = 0; first < rope->pairs; first += PAIRS) {
        const int64_t n = rope->pairs - first < PAIRS ? rope->pairs - first : PAIRS;
        rapt_rope_angles(rope, position, first, n, sines, cosines);
        for (int64_t h = 0; h < in->shape[1]; h++)
            rotate_row(rope, (struct row){in, rapt_row_offset(in, b, h, s)},
                       (struct row){out, rapt_row_offset(out, b, h, s)}, first, n, sines, cosines);
    }
    for (int64_t h = 0; h < in->shape[1]; h++)
        copy_rest(rope, (struct row){in, rapt_row_offset(in, b, h, s)},
                  (struct row){out, rapt_row_offset(out, b, h, s)});
}

/* The same elements in the same places. */
static bool same_view(const rapt_tensor *a, const rapt_tensor *b) {
    for (int i = 0; i < 4; i++)
        if (a->shape[i] > 1 && a->stride[i] != b->stride[i])
            return false;
    return a->data == b->data && a->dtype == b->dtype;
}

static rapt_status check_views(const struct rapt_rope *rope, const rapt_tensor *in,
                               const rapt_tensor *out) {
    struct rapt_place from, to;
    rapt_status status = rapt_check_floats("in", in, NULL, false, &from);
    if (status == RAPT_OK)
        status = rapt_check_floats("out", out, in->shape, true, &to);
    if (status != RAPT_OK)
        return status;
    if (in->shape[3] < 2 * rope->pairs)
        return INVALID("in: shape[3] (channels) is %" PRId64 ", expected %" PRId64
                       " or more, the rotary_dim",
                       in->shape[3], 2 * rope->pairs);
    if (!same_view(in, out) && rapt_places_meet(&to, &from))
        return INVALID("out: its memory overlaps that of in, expected the same view or memory of "
                       "its own");
    return RAPT_OK;
}

rapt_status rapt_rope_apply(const rapt_rope *rope, const rapt_tensor *in, const int64_t *positions,
                            int64_t batch_stride, const rapt_tensor *out) {
    if (!rope)
        return INVALID("rope: found NULL, expected a rope");
    if (batch_stride < 0 || batch_stride > INT32_MAX)
        return INVALID("batch_stride: found %" PRId64 ", expected 0 to %d", batch_stride,
                       INT32_MAX);
    rapt_status status = check_views(rope, in, out);
    if (status == RAPT_OK && rapt_is_empty(out))
        return status;
    for (int64_t b = 0; status == RAPT_OK && positions && b < in->shape[0]; b++)
        status = rapt_rope_check_positions(positions + b * batch_stride, in->shape[2]);
    if (status != RAPT_OK)
        return status;
    fenv_t callers;
    rapt_enter_environment(&callers);
    for (int64_t b = 0; b < in->shape[0]; b++)
        for (int64_t s = 0; s < in->shape[2]; s++)
            rotate_position(rope, in, out, b, s, positions ? positions[b * batch_stride + s] : s);
    rapt_leave_environment(&callers);
    return RAPT_OK;
}
