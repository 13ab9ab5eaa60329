/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output files that appear all together, complete and on the disk, or not at all. Each is written
 * in its target's folder, without a name if the file system can, or else under a temporary one.
 * Once all are complete they get their names (place.h).
 *
 * A file that is replaced leaves its mode and its access list to the new one. As far as the system
 * allows, it leaves its owner and group, too. It leaves no setuid, setgid or sticky bit and no
 * other attributes. A symbolic link to it stays; another hard link keeps the old content.
 */
#ifndef RAPT_CLI_BASE_OUTPUTS_H
#define RAPT_CLI_BASE_OUTPUTS_H

#include "cli/base/place.h"

#include <stdbool.h>
#include <stdio.h>

enum { OUTPUTS_MOST = PLACE_MOST };

/* What the --help of every command with outputs says of them. */
#define OUTPUTS_NOTES                                                                              \
    "An output of - is standard output, where nothing else is printed then; ./- is a file. "       \
    "Files appear all together, complete, or not at all, and none may be an input. A file "        \
    "that is replaced passes on its mode, access list and, where that is allowed, its "            \
    "owner; its other hard links keep the old content.\n"

struct output {
    const char *option, *path; /* as the user wrote them, for messages */
    bool standard;             /* it is standard output: then the place is only an open file */
    struct place place;
};

struct outputs {
    const char *command; /* for messages */
    struct output list[OUTPUTS_MOST];
    int count;
};

/* Bytes that aren't text are kept from a terminal. */
enum output_kind { OUTPUT_TEXT, OUTPUT_BINARY };

/*
 * Adds an output and opens it: a file, or for "-" standard output, on which nothing else is printed
 * from then on. An output that can't be written, or is the same file as an input (files.h) or
 * another output, is an error. All functions here that return false have printed why.
 */
bool outputs_add(struct outputs *outputs, const char *option, const char *path,
                 enum output_kind kind);

/* Writes the i-th output. False with the reason in errno, or with 0 there if it is told already. */
typedef bool output_writer(FILE *file, int i, const void *context);

/* Has all of them written, standard output last, and gives the files their names. */
bool outputs_write(struct outputs *outputs, output_writer *write, const void *context);

/* Whether one of them is standard output. */
bool outputs_have_standard(const struct outputs *outputs);

/* Removes what is left and frees everything. Always call it at last. */
void outputs_close(struct outputs *outputs);

#endif
