/* SPDX-License-Identifier: Apache-2.0 */
/* From the name that a caller gives, or RAPT_ISA, to the kernels of a variant. */
#ifndef RAPT_SRC_BASE_ISA_H
#define RAPT_SRC_BASE_ISA_H

#include <rapt/isa.h>

#include "simd/kernels.h"

/* As rapt_isa_choose(). */
rapt_status rapt_isa_kernels(const char *name, const struct rapt_kernels **kernels);

#endif
