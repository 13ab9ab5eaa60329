/* SPDX-License-Identifier: Apache-2.0 */
/* AArch64: 16 sums, 4 vectors of queries and a broadcast in 32 registers. */
#include "simd/vec_neon.h"

#define RAPT_PANEL_VECTORS 4
#define RAPT_TILE_ROWS(vectors) 4
#define RAPT_TILE_STEPS 2
#define RAPT_FEW_ROWS 2
#define RAPT_FEW_MOST 2
#define RAPT_FEW_VECTORS 4
#define RAPT_FEW_STEPS 1
#define RAPT_FEW_KEYS 3
#define RAPT_FEW_SUMS 4
#define RAPT_FEW_TOGETHER 4
#define RAPT_PROBE_CHAINS 20
#include "simd/attention.inc"

RAPT_KERNELS(neon, RAPT_BLOCKS);
