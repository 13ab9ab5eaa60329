/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that amx has of its own, of kern_amx.c. The rest of its table is that of avx512. */
#ifndef RAPT_SIMD_AMX_H
#define RAPT_SIMD_AMX_H

#include "simd/kernels.h"

/* The sizes that kern_amx.c and kern_avx512.c must share, for amx's table has functions of both. */
enum { RAPT_AMX_PANEL_VECTORS = 3, RAPT_AMX_FEW_ROWS = 8 };
#define RAPT_ASSERT_AMX_SIZES                                                                      \
    _Static_assert(RAPT_PANEL_VECTORS == RAPT_AMX_PANEL_VECTORS &&                                 \
                       RAPT_FEW_ROWS == RAPT_AMX_FEW_ROWS,                                         \
                   "amx.h has these sizes")

void rapt_amx_open(bool few);
void rapt_amx_close(void);
void rapt_amx_pack_lanes(float *pairs, int width, const uint16_t *const *rows, int64_t head_dim,
                         bool clamp);
void rapt_amx_pack_keys(void *group, const uint16_t *const *rows, int count, int64_t head_dim);
void rapt_amx_pack_values(void *group, const uint16_t *const *rows, int count, int64_t value_dim);

/* A block that isn't in amx's layout goes to avx512. */
void rapt_amx_attend(const struct rapt_panel *panel, const struct rapt_block *block, float *scores);
void rapt_amx_attend_few(const struct rapt_few *few, const struct rapt_block *block, float *scores);
void rapt_amx_weights(const struct rapt_panel *panel, const struct rapt_block *block,
                      rapt_weights_kind kind, float *weights);
void rapt_amx_receive(const struct rapt_panel *panel, const struct rapt_block *block,
                      const float *results, float *scores, float *received);

#define RAPT_AMX_OWN                                                                               \
    .attend = rapt_amx_attend, .attend_few = rapt_amx_attend_few, .weights = rapt_amx_weights,     \
    .receive = rapt_amx_receive, .open = rapt_amx_open, .close = rapt_amx_close,                   \
    .pack_lanes = rapt_amx_pack_lanes, .pack_keys = rapt_amx_pack_keys,                            \
    .pack_values = rapt_amx_pack_values

extern const struct rapt_kernels rapt_kernels_avx512;

#endif
