/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: attention straight from its definition in include/rapt/attention.h, in double
 * precision, one query at a time. It shares no code with the library.
 *
 * Beside every result stands a bound: how far a correct f32 computation may be off. It follows the
 * roundings of a kernel with an online softmax. The kernel sums scores channel by channel, and
 * outputs key by key in blocks of at least 32. With u = 2^-24, for key j:
 *
 * - score: q times scale log2(e): 5 u of each product; the chain of fused multiply-adds: u times
 *   the sum of the sizes of its partial sums (running error analysis: Higham, Accuracy and
 *   Stability of Numerical Algorithms, §3.3), in all u (5 sum |q k| + sum |partial|) scale.
 *   Softcap: through tanh, then 6 u of the result. ALiBi: 5 u of it and of the score. Bias: 2 u of
 *   bias and score. Sink: 2 u.
 * - exp: 7 u (3.5 ULP), again for each rescaling by a new maximum, and u (max - score) from the
 *   subtraction. All this makes the score an interval [low, high].
 * - a score that is shown: the interval, and 4 u from the conversion to natural units.
 * - weight: exp(low - log sum exp(high)) to exp(high - log sum exp(low)). A sink is one more key,
 *   whose value is 0.
 * - out: sum of (bound of weight) |value - out|, since the weights' errors sum to 0, plus the
 *   roundings of the sums: u (sum |partial| + 16 sum weight |value|), and those of the denominator:
 *   u |out| (sum of partial sums of the weights + 4). f16 and bf16 add half a unit in the last
 *   place, see storage.h.
 *
 * Subnormal intermediate results add multiples of 2^-149. A score's products may have both signs
 * and overflow f32, or scale times a query may. Then its interval is everything, and if it is
 * shown, even a NaN will do. The bounds are worst cases over signs of errors, so a correct kernel
 * stays far below them. Random f32 data of 300 keys give errors of a few percent of the bound,
 * which itself is about 1e-5.
 */
#ifndef RAPT_ORACLE_ORACLE_H
#define RAPT_ORACLE_ORACLE_H

#include <rapt/attention.h>

/* Whether query i of head h and sequence b attends key j: masks alone decide. */
bool oracle_attends(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, int64_t j);

/* The output only, [Dv], as it is stored, to check samples of a large problem. Without memory it
 * returns false, and all is NaN. */
bool oracle_row(const rapt_attention_args *args, int64_t b, int64_t h, int64_t i, double *out,
                double *bound);

/* All queries, as they are stored: dense arrays in the order sequence, head, query, channel (or
 * column), whatever the form of the batch. */
struct oracle_result {
    double *out, *out_bound;
    double *weights, *weights_bound;
    double *lse, *lse_bound;
    double *max, *max_bound;
    double *sink, *sink_bound;
};

/* False if there is no memory; then there's nothing to free. */
bool oracle_attention(const rapt_attention_args *args, struct oracle_result *result);
void oracle_free(struct oracle_result *result);

#endif
