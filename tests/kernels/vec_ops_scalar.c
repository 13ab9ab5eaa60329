/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of vec_scalar.h for test_vec.c and test_sleef.c. */
#include "simd/vec_scalar.h"
#include "tests/kernels/vec_ops.inc"

VEC_OPS(scalar);
