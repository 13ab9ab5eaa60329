/* SPDX-License-Identifier: Apache-2.0 */
/* Loops over the variants that this machine can run. */
#ifndef RAPT_TESTS_SUPPORT_VARIANTS_H
#define RAPT_TESTS_SUPPORT_VARIANTS_H

#include "simd/dispatch.h"
#include "simd/kernels.h"

#define FOR_EACH_VARIANT(k)                                                                        \
    int count_;                                                                                    \
    const struct rapt_variant *list_ = rapt_variants(&count_);                                     \
    for (int at_ = 0; at_ < count_; at_++)                                                         \
        for (const struct rapt_kernels *k = list_[at_].available ? list_[at_].kernels : NULL; k;   \
             k = NULL)

#endif
