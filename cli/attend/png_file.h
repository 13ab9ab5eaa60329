/* SPDX-License-Identifier: Apache-2.0 */
/* A canvas of pixels, two to a unit, that is written as PNG. */
#ifndef RAPT_CLI_ATTEND_PNG_FILE_H
#define RAPT_CLI_ATTEND_PNG_FILE_H

#include "cli/attend/figure.h"

enum { PNG_FILE_SCALE = 2, PNG_FILE_ERROR_SIZE = 160 };

/* Whether this build has what it takes. */
extern const bool png_file_available;

/*
 * Writes the figure. On failure `error` says why, or is empty: then errno has the reason, or memory
 * ran out if that is 0.
 */
bool png_file_write(FILE *out, const struct figure *figure, char error[PNG_FILE_ERROR_SIZE]);

#endif
