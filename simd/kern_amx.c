/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMX: blocks of bf16, whose two products are products of tiles. What lies between the products is
 * compiled here once more. All else is shared with avx512, so kern_avx512.c has the table.
 */
#include "simd/amx.h"
#include "simd/vec_avx512.h"

#define RAPT_PANEL_VECTORS 3
#define RAPT_FEW_ROWS 8
RAPT_ASSERT_AMX_SIZES;

#include "simd/shared.inc"
#include "simd/scores.inc"

#include "simd/amx.inc"
#include "simd/amx_scores.inc"
#include "simd/amx_values.inc"

#include "simd/attend.inc"

#include "simd/few_queries_prefetch.inc"
#include "simd/few_queries_softmax.inc"

#include "simd/amx_few_queries.inc"

#include "simd/few_queries.inc"

void rapt_amx_attend(const struct rapt_panel *panel, const struct rapt_block *block,
                     float *scores) {
    if (block->amx)
        attend(panel, block, scores);
    else
        rapt_kernels_avx512.attend(panel, block, scores);
}

void rapt_amx_attend_few(const struct rapt_few *few, const struct rapt_block *block,
                         float *scores) {
    if (block->amx)
        attend_few(few, block, scores);
    else
        rapt_kernels_avx512.attend_few(few, block, scores);
}

void rapt_amx_weights(const struct rapt_panel *panel, const struct rapt_block *block,
                      rapt_weights_kind kind, float *shown) {
    if (block->amx)
        weights(panel, block, kind, shown);
    else
        rapt_kernels_avx512.weights(panel, block, kind, shown);
}

void rapt_amx_receive(const struct rapt_panel *panel, const struct rapt_block *block,
                      const float *results, float *scores, float *received) {
    if (block->amx)
        receive(panel, block, results, scores, received);
    else
        rapt_kernels_avx512.receive(panel, block, results, scores, received);
}
