/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output files that appear all together, complete, or not at all: each is written to a temporary
 * file beside its target, and all are renamed once the last one is closed.
 */
#ifndef RAPT_CLI_OUTPUTS_H
#define RAPT_CLI_OUTPUTS_H

#include <stdbool.h>
#include <stdio.h>

enum { MAX_OUTPUTS = 11 };

struct output {
    const char *option, *path; /* as the user wrote them, for messages */
    char *target;              /* absolute, without symbolic links */
    char *temporary;           /* NULL when there is none (any more) */
    FILE *file;                /* NULL when closed */
};

struct outputs {
    const char *command; /* for messages */
    struct output list[MAX_OUTPUTS];
    int count;
};

/*
 * Adds an output and creates its temporary file. An output that can't be written, or is the same
 * file as another, is an error. All functions here that return false have printed why. Temporary
 * files are also removed when a signal ends the process.
 */
bool outputs_add(struct outputs *outputs, const char *option, const char *path);

/* Checks that an input is none of the outputs so far. */
bool outputs_check_input(const struct outputs *outputs, const char *option, const char *path);

/* Says that writing failed, with errno's reason. Returns false. */
bool outputs_fail(const struct outputs *outputs, const struct output *output);

/* Closes all files and gives them their names. */
bool outputs_commit(struct outputs *outputs);

/* Removes the temporary files that are left and frees everything. Always call it at last. */
void outputs_close(struct outputs *outputs);

#endif
