/* SPDX-License-Identifier: Apache-2.0 */
/* The variants of this build, and which of them this machine can run. */
#ifndef RAPT_SIMD_DISPATCH_H
#define RAPT_SIMD_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "simd/kernels.h"

struct rapt_variant {
    const struct rapt_kernels *kernels;
    uint32_t needs; /* features of cpu.h */
    bool by_name;   /* taken only where it is asked for */
    char needs_text[96];
    bool available;
};

/* All variants, in the order of isa.def; *count tells how many. The CPU is asked once,
 * thread-safely. */
const struct rapt_variant *rapt_variants(int *count);

/* The kernels of the best available variant, or of the available variant of that name. NULL with
 * why in *refusal, if that is wanted, where the system doesn't let the process use them. */
const struct rapt_kernels *rapt_kernels_best(void);
const struct rapt_kernels *rapt_kernels_find(const char *name, const char **refusal);

/* The names of the features that the CPU has. */
const char *rapt_dispatch_features(void);

#endif
