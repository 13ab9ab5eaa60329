/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Projections of tokens, out = in * weightᵀ + bias, divided among threads. An element is a chain of
 * fused multiply-adds over the channels, from zero. Then come the bias and, if wanted, GELU. So its
 * bits depend on its token and its row of weights alone.
 */
#ifndef RAPT_SRC_LAYER_PROJECT_H
#define RAPT_SRC_LAYER_PROJECT_H

#include "simd/kernels.h"

struct rapt_projection {
    rapt_tensor in;     /* (B, 1, S, channels), f32 */
    rapt_tensor weight; /* (1, 1, rows, channels) of f32, f16 or bf16 */
    rapt_tensor bias;   /* (1, 1, 1, rows), the same or none */
    rapt_tensor out;    /* (B, 1, S, rows), f32 */
    float *panels;      /* room for rapt_projection_panels() panels of the input, in lanes */
    bool gathers;       /* fills them; the projections of one input share what the first gathers */
    bool gelu;          /* of the results */
    float *lanes; /* NULL, or room for panels of the results, which are left there, not in `out` */
};

/* The panels of an input's tokens; each takes panel_rows * channels floats. */
int64_t rapt_projection_panels(const struct rapt_kernels *kernels, const rapt_tensor *in);

enum { RAPT_PROJECTIONS_MAX = 3 }; /* in one go */

/* Their division into tasks, for so many threads. */
struct rapt_projections {
    const struct rapt_kernels *kernels;
    const struct rapt_projection *projection;
    int count, threads;
    int gather_threads;                             /* as many or fewer: that is soon done */
    int64_t task_rows[RAPT_PROJECTIONS_MAX];        /* of weights, in a task */
    int64_t first_task[RAPT_PROJECTIONS_MAX + 1];   /* of each, and behind the last */
    int64_t first_gather[RAPT_PROJECTIONS_MAX + 1]; /* the same of the panels to gather */
    int64_t channels;                               /* of the widest input */
    bool stages;                                    /* some weights aren't read where they are */
    size_t scratch_bytes;                           /* of a thread */
};

/* Divides `count` checked projections; their tensors' data may be set later, but before the run. */
struct rapt_projections rapt_projections_divide(const struct rapt_kernels *kernels,
                                                const struct rapt_projection *projection, int count,
                                                int threads);

/* Runs them, in threads * scratch_bytes of scratch at a multiple of RAPT_ALIGN. */
void rapt_projections_run(const struct rapt_projections *all, void *scratch);

#endif
