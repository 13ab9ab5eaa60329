/* SPDX-License-Identifier: Apache-2.0 */
/* Prints heads in the terminal: one large, several small, or a table of all. */
#ifndef RAPT_CLI_ATTEND_PRINT_HEADS_H
#define RAPT_CLI_ATTEND_PRINT_HEADS_H

#include "cli/attend/heads_view.h"

/* False if memory ran out. */
bool print_heads(FILE *out, const struct heads_view *view);

/* The sentences and their tokens, wrapped to a width. */
void print_heads_list(FILE *out, const struct samples *samples, int width);

#endif
