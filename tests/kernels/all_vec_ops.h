/* SPDX-License-Identifier: Apache-2.0 */
/* The vector headers' functions of all variants that are built. */
#ifndef RAPT_TESTS_KERNELS_ALL_VEC_OPS_H
#define RAPT_TESTS_KERNELS_ALL_VEC_OPS_H

#include "simd/built.h"
#include "simd/dispatch.h"
#include "tests/kernels/vec_ops.h"

#define RAPT_VARIANT(name, cpu, vectors, ...)                                                      \
    RAPT_BUILT(name, extern const struct vec_ops vec_ops_##vectors;)
#include "simd/isa.def"
#undef RAPT_VARIANT

/* A vector header that two variants share is there twice. */
static const struct vec_ops *const all_ops[] = {
#define RAPT_VARIANT(name, cpu, vectors, ...) RAPT_BUILT(name, &vec_ops_##vectors, )
#include "simd/isa.def"
#undef RAPT_VARIANT
};

/* Runs a body for each variant that this machine has. */
#define FOR_EACH_VARIANT(ops)                                                                      \
    for (size_t at_ = 0; at_ < sizeof all_ops / sizeof *all_ops; at_++)                            \
        for (const struct vec_ops *ops = all_ops[at_]; ops && rapt_kernels_find(ops->name, NULL);  \
             ops = NULL)

enum { LANES_MAX = 16 };
typedef float lanes[LANES_MAX] __attribute__((aligned(64)));

#endif
