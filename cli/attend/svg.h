/* SPDX-License-Identifier: Apache-2.0 */
/* A canvas that writes SVG: the same bytes for the same figure everywhere. */
#ifndef RAPT_CLI_ATTEND_SVG_H
#define RAPT_CLI_ATTEND_SVG_H

#include "cli/attend/figure.h"

/* Writes the figure as a whole document; false if memory ran out. The caller looks at ferror. */
bool svg_write(FILE *out, const struct figure *figure);

#endif
