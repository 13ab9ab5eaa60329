/* SPDX-License-Identifier: Apache-2.0 */
/* One lane: runs where nothing else does, and checks the vector headers. */
#include "simd/vec_scalar.h"

#define RAPT_PANEL_VECTORS 4
#define RAPT_TILE_ROWS(vectors) 4
#define RAPT_TILE_STEPS 1
#define RAPT_FEW_ROWS 1
#define RAPT_FEW_MOST 1
#define RAPT_FEW_VECTORS 4
#define RAPT_FEW_STEPS 1
#define RAPT_FEW_KEYS 4
#define RAPT_FEW_SUMS 4
#define RAPT_FEW_TOGETHER 4
#define RAPT_PROBE_CHAINS 8
#include "simd/attention.inc"

RAPT_KERNELS(scalar, RAPT_BLOCKS);
