/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks one variant of the library over all cases:
 * - results within the oracle's bounds; rows of weights sum to 1; the canonical NaN where
 *   it's due
 * - the same bits for one and several threads, one-shot, planned and in slices, in another layout
 *   and form (dense, ragged, paged), stored as f32, sequences in another order and one by one,
 *   queries one by one and in chunks, with and without weights
 * - keys in parts, merged, are the whole
 * - nothing outside the tensors and their pages read or written (forbidden pages, canaries), inputs
 * unchanged
 */
#ifndef RAPT_CHECK_KCHECK_H
#define RAPT_CHECK_KCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kcheck_level { KCHECK_QUICK, KCHECK_FULL };

/* Same cases, same hash. */
struct kcheck_hashes {
    uint64_t all, quick; /* of the quick cases, which each level has */
};

struct kcheck_report {
    size_t cases, failures;
    double error;       /* largest of out, where numbers are normal and scale is the default */
    double bound_share; /* largest error of anything, as a fraction of its bound */
    char worst[224];    /* the case it is from */
    /* Of the bits of all outputs, to compare variants with: of cases whose query, key and value
     * aren't all of bf16, and of those whose are, where some variants have bits of their own. */
    struct kcheck_hashes others, bf16;
};

/* Whether two reports of the same cases have the same bits, as far as they ought to. isa's may be
 * of a variant that has its own. */
bool kcheck_agrees(const char *isa, const struct kcheck_report *report,
                   const struct kcheck_report *with, enum kcheck_level level);

/* Told before each case. A crash later on is that case's. */
typedef void (*kcheck_progress)(void *context, const char *name, size_t done, size_t total);

/*
 * Checks the variant `isa` and prints a line on stderr for each case that fails. Returns the number
 * of failures, or -1 with a line on stderr if it couldn't start. progress may be NULL.
 */
int kcheck_run(const char *isa, uint64_t seed, enum kcheck_level level,
               struct kcheck_report *report, kcheck_progress progress, void *context);

#endif
