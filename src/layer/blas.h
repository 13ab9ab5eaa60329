/* SPDX-License-Identifier: Apache-2.0 */
/* Projections by a BLAS library, which a build can ask for. */
#ifndef RAPT_SRC_LAYER_BLAS_H
#define RAPT_SRC_LAYER_BLAS_H

#include "src/layer/project.h"

/*
 * Runs projections if all of them are f32, dense in their last dimension and read what they don't
 * write. Returns false, with nothing written, if not or if the build has no BLAS. The library uses
 * threads and an order of summation of its own: the bits are its bits.
 */
bool rapt_blas_run(const struct rapt_projections *all, float *scratch);

#endif
