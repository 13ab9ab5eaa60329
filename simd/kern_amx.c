/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512, and AMX where queries, keys and values are of bf16. */
#include "vec_avx512.h"

#define RAPT_PANEL_VECTORS 3
#define RAPT_TILE_ROWS(vectors) 8
#define RAPT_TILE_STEPS 4
#define RAPT_FEW_ROWS 8
#define RAPT_FEW_VECTORS 4
#define RAPT_FEW_KEYS 3
#define RAPT_FEW_SUMS 16
#define RAPT_PROBE_CHAINS 12
#define RAPT_PACKED 1
#include "attention.inc"

RAPT_KERNELS(amx);
