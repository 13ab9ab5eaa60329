/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of a case in other ways, which must give the same bits. */
#ifndef RAPT_ORACLE_VARIATIONS_H
#define RAPT_ORACLE_VARIATIONS_H

#include "oracle/outputs.h"
#include "oracle/trial.h"

/* Checks some of them, dealt out by the case's seed. planned: whether the first run was. */
void variations_check(struct trial *k, struct tensors *t, const struct outputs *first,
                      bool planned);

#endif
