/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of vec_scalar.h for test_vec.c. */
#include "vec_scalar.h"
#include "vec_ops.inc"

VEC_OPS(scalar);
