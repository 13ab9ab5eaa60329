/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2: 12 sums, 3 vectors of queries and a broadcast in 16 registers. */
#include "simd/vec_avx2.h"

#define RAPT_PANEL_VECTORS 3
#define RAPT_TILE_ROWS(vectors) ((vectors) == 3 ? 4 : (vectors) == 2 ? 6 : 8)
#define RAPT_TILE_STEPS 4
#define RAPT_FEW_ROWS 4
#define RAPT_FEW_MOST 4
#define RAPT_FEW_VECTORS 2
#define RAPT_FEW_STEPS 4
#define RAPT_FEW_KEYS 2
#define RAPT_FEW_SUMS 8
#define RAPT_FEW_TOGETHER 4
#define RAPT_PROBE_CHAINS 10
#include "simd/attention.inc"

RAPT_KERNELS(avx2, RAPT_BLOCKS);
