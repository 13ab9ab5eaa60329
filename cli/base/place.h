/* SPDX-License-Identifier: Apache-2.0 */
/* The names of outputs: those of the time when they are written, and then their own. */
#ifndef RAPT_CLI_BASE_PLACE_H
#define RAPT_CLI_BASE_PLACE_H

#include "cli/base/outputs.h"

#include <sys/types.h>

/*
 * Opens a file for writing in the output's folder, without a name if the file system can, and
 * otherwise under a temporary one that no end of the process leaves behind but SIGKILL. Returns a
 * descriptor, or -1 with errno.
 */
int place_open(struct output *output, mode_t mode);

/* Removes a temporary name, if there is one. */
void place_remove(struct output *output);

/*
 * Gives complete files their names. If one of them can't have it, those that have are taken back,
 * and files that were there before are as they were. False if it has printed why.
 */
bool place_all(struct outputs *outputs);

#endif
