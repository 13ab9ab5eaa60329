/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of vec_neon.h for test_vec.c. */
#include "vec_neon.h"
#include "vec_ops.inc"

VEC_OPS(neon);
