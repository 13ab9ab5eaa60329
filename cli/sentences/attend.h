/* SPDX-License-Identifier: Apache-2.0 */
/* The attention of a range of heads over one sentence, and means over their rows. */
#ifndef RAPT_CLI_SENTENCES_ATTEND_H
#define RAPT_CLI_SENTENCES_ATTEND_H

#include <rapt/rapt.h>

#include "cli/sentences/samples.h"

struct attend_range {
    int layer, layers; /* the first, and how many */
    int head, heads;   /* one of them, or all */
    bool causal;       /* a token sees none after it */
};

/*
 * Computes the weights [layer][head][query][key] of all heads in the range, with one call of the
 * library on views of the samples. isa and threads are as in rapt_attention_args. The caller frees
 * *weights, which is NULL on failure: rapt_last_error() tells why.
 */
rapt_status attend_compute(const struct samples *samples, const struct sample *sentence,
                           const struct attend_range *range, const char *isa, int threads,
                           float **weights);

/* The mean entropy of a head's rows, in nats. */
double attend_mean_entropy(const float *weights, int queries, int keys);

/* The largest distance of a row's sum from 1, over that many rows. */
double attend_sum_deviation(const float *weights, size_t rows, int keys);

#endif
