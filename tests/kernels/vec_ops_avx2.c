/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of vec_avx2.h for test_vec.c and test_sleef.c. */
#include "simd/vec_avx2.h"
#include "tests/kernels/vec_ops.inc"

VEC_OPS(avx2);
