/* SPDX-License-Identifier: Apache-2.0 */
/* One case on trial: how it is run, and who is told if something is wrong. */
#ifndef RAPT_ORACLE_TRIAL_H
#define RAPT_ORACLE_TRIAL_H

#include "oracle/cases.h"
#include "oracle/verify.h"
#include "oracle/outputs.h"

struct trial {
    const char *isa;
    uint64_t seed;
    const struct attention_case *c;
    struct verify_report *report;
    bool own_bits; /* the variant has, and query, key and value are of bf16 */
    struct verify_hashes *hashes;
    bool failed;             /* and has said so */
    struct tensors *tensors; /* of a run of all, which a second one has to write anew; or NULL */
};

/* How a run is made. */
struct mode {
    const char *what;
    int threads;
    bool planned; /* with a plan without pointers, for half of the cases without their numbers, and
                     a guarded workspace */
    int slices;   /* if planned: as so many slices, in any order; 0 for one run */
};

/* The first failure of a case is counted and printed. */
__attribute__((format(printf, 2, 3))) void trial_fail(struct trial *k, const char *format, ...);

/* Adds the bits of a number to the case's hashes. */
void trial_hash(struct trial *k, uint32_t bits);

/* Whose row of the outputs it is. */
struct trial_row {
    int sequence;
    int64_t head, query;
};
struct trial_row trial_row_of(const struct attention_case *c, size_t row);

/* The position of a dense index in an output, as "out[b,h,i,c]". */
const char *trial_place(const struct trial *k, enum tensor_role role, size_t index, char *text,
                        size_t size);

/* Runs args, which are those of the case or part of it. */
bool trial_run(struct trial *k, rapt_attention_args args, const struct mode *mode);

/* Takes the outputs of the runs since the inputs' checksum was `before`. */
bool trial_collect(struct trial *k, struct tensors *t, uint64_t before, const char *what,
                   struct outputs *outputs);

/* Both, for all of the case. */
bool trial_run_all(struct trial *k, struct tensors *t, const struct mode *mode,
                   struct outputs *outputs);

#endif
