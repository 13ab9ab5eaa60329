/* SPDX-License-Identifier: Apache-2.0 */
/* The names of a file that is written: a temporary one or none, and then its own. */
#ifndef RAPT_CLI_BASE_PLACE_H
#define RAPT_CLI_BASE_PLACE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* Files that place_all() takes at once. */
enum { PLACE_MOST = 11 };

struct place {
    int folder;         /* that the file will be in, -1 once closed */
    char *name;         /* in that folder, without symbolic links */
    char temporary[64]; /* its name there for now, or empty */
    FILE *file;         /* NULL when closed */
};

/*
 * Opens a file for writing in the place's folder: without a name if the file system can, or else
 * under a temporary one. Every end of the process but SIGKILL removes that one. Returns a
 * descriptor, or -1 with errno.
 */
int place_open(struct place *place, mode_t mode);

/* Removes a temporary name, if there is one. */
void place_remove(struct place *place);

/*
 * Gives complete files their names. If one of them can't have it, those that have are taken back,
 * and files that were there before are as they were. False with errno and the number of that one.
 */
bool place_all(struct place *const *places, int count, int *failed);

#endif
