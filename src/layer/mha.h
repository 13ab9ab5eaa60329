/* SPDX-License-Identifier: Apache-2.0 */
/* A layer after its checks, and a run of it. */
#ifndef RAPT_SRC_LAYER_MHA_H
#define RAPT_SRC_LAYER_MHA_H

#include <rapt/mha.h>

#include "src/plan/plan.h"
#include "src/layer/project.h"
#include "src/base/tensor.h"

enum { MHA_QUERY, MHA_KEY, MHA_VALUE, MHA_OUT, MHA_MATRICES };

struct rapt_mha {
    rapt_mha_args args; /* its sizes are set, and its isa is NULL */
    const struct rapt_kernels *kernels;
    rapt_tensor weight[MHA_MATRICES], bias[MHA_MATRICES];
    struct rapt_place weight_place[MHA_MATRICES], bias_place[MHA_MATRICES];
};

/* For messages. */
extern const char *const rapt_mha_weight_names[MHA_MATRICES];
extern const char *const rapt_mha_bias_names[MHA_MATRICES];

/* A run: its sizes, and what lies where in its workspace. */
struct mha_run {
    const struct rapt_mha *layer;
    const rapt_mha_run_args *args;
    const rapt_cache *cache; /* whose keys are attended, or NULL */
    int64_t batch, tokens;
    int64_t new_keys;    /* that the run projects, of a sequence */
    int64_t keys;        /* that are attended: with a cache, those of the longest sequence */
    int64_t chosen_rows; /* of the weights */

    /* [batch]: tokens before the run, tokens after it, the position of the first chosen row. NULL
     * where they all would be 0 or nothing needs them. */
    int64_t *before, *after, *first_row;

    /* Tokens by heads, side by side; NULL until the workspace is there. */
    float *query, *key, *value, *mixed;
    float *head_weights; /* (batch, 1, tokens, keys), for an average */
    int64_t *positions;  /* [batch][tokens], where queries turn by a cache's lengths */
    float *input_panels, *context_panels, *mixed_panels; /* tokens in lanes, for projections */
    struct rapt_projection in[3], out;    /* query, key, value; or what of them is projected */
    struct rapt_projections into, out_of; /* the heads */
    void *scratch;                        /* for projections and for attention, in turn */
    size_t attention_bytes;
    int64_t plans;         /* of all heads at once, or also of single ones */
    struct rapt_plan plan; /* the last of them, without tasks */
};

/* Checks all but data, and finds the sizes. */
rapt_status rapt_mha_check_run(struct mha_run *run);

/* Checks a context that is to be appended, but its data, and finds the sizes. */
rapt_status rapt_mha_check_context(struct mha_run *run, const rapt_tensor *context);

/* Whether a cache has so many sequences, in the layer's form. */
rapt_status rapt_mha_check_cache(const struct mha_run *run, const char *name,
                                 const rapt_cache *cache, int64_t first_sequence);

/* Checks the data of all tensors but the mask. */
rapt_status rapt_mha_check_data(const struct mha_run *run);

/*
 * Attention of a run, in one go or head by head. The first finds what its plans need of scratch,
 * and puts it to attention_bytes. The second checks the data, once the workspace is in place. The
 * third does the work, which can't fail.
 */
rapt_status rapt_mha_attend_size(struct mha_run *run);
rapt_status rapt_mha_attend_check(struct mha_run *run);
rapt_status rapt_mha_attend(struct mha_run *run);

#endif
