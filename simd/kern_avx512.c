/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512: 24 sums, 3 vectors of queries and a broadcast in 32 registers. The table of amx is here,
 * too, since it shares these functions; kern_amx.c has those of its own.
 */
#include "simd/amx.h"
#include "simd/vec_avx512.h"

#define RAPT_PANEL_VECTORS 3
#define RAPT_TILE_ROWS(vectors) 8
#define RAPT_TILE_STEPS 4
#define RAPT_FEW_ROWS 8
#define RAPT_FEW_MOST 16
#define RAPT_FEW_VECTORS 4
#define RAPT_FEW_STEPS 1
#define RAPT_FEW_KEYS 3
#define RAPT_FEW_SUMS 16
#define RAPT_FEW_TOGETHER 16
#define RAPT_PROBE_CHAINS 12
RAPT_ASSERT_AMX_SIZES;
#include "simd/attention.inc"

RAPT_KERNELS(avx512, RAPT_BLOCKS);
#if RAPT_HAVE_amx
RAPT_KERNELS(amx, RAPT_AMX_OWN);
#endif
