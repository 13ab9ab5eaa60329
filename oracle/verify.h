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
#ifndef RAPT_ORACLE_VERIFY_H
#define RAPT_ORACLE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verify_level { VERIFY_QUICK, VERIFY_FULL };

/* Same cases, same hash. */
struct verify_hashes {
    uint64_t all, quick; /* of the quick cases, which each level has */
};

struct verify_report {
    size_t cases, failures;
    double error;       /* largest of out, where numbers are normal and scale is the default */
    double bound_share; /* largest error of anything, as a fraction of its bound */
    char worst[224];    /* the case it is from */
    /* Of the bits of all outputs, to compare variants with. `bf16` is of the cases whose query, key
     * and value are all of bf16, where some variants have bits of their own. */
    struct verify_hashes others, bf16;
};

/* Whether two reports of the same cases have the same bits, as far as they ought to. isa's may be
 * of a variant that has its own. */
bool verify_agrees(const char *isa, const struct verify_report *report,
                   const struct verify_report *with, enum verify_level level);

/* Told before each case. A crash later on is that case's. */
typedef void (*verify_progress)(void *context, const char *name, size_t done, size_t total);

/*
 * Checks the variant `isa` and prints a line on stderr for each case that fails. Returns the number
 * of failures, or -1 with a line on stderr if it couldn't start. progress may be NULL.
 */
int verify_run(const char *isa, uint64_t seed, enum verify_level level,
               struct verify_report *report, verify_progress progress, void *context);

#endif
