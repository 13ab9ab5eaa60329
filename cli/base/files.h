/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every file that the command reads or writes: no output may be an input or another output. Files
 * are told apart by device and inode, so neither a symbolic nor a hard link hides one. There is one
 * list in a process. All functions that return false or NULL have printed why.
 */
#ifndef RAPT_CLI_BASE_FILES_H
#define RAPT_CLI_BASE_FILES_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

/* Whether a path means standard input or output. */
bool files_is_standard(const char *path);

/*
 * Opens an input, of which it becomes known that it is one: a file, a pipe, or for "-" standard
 * input. Two inputs can't be the same pipe. The option is NULL for a path without one. Close it by
 * files_close().
 */
FILE *files_open(const char *command, const char *option, const char *path);
void files_close(FILE *file);

/* The same for what a model is read from: the files in its folder and those one level below. */
bool files_add_model(const char *command, const char *folder);

/*
 * Adds an output: the file that exists, or else (NULL) a name in a folder. For "-", standard
 * output, all three are NULL.
 */
bool files_add_output(const char *command, const char *option, const char *path,
                      const struct stat *existing, const struct stat *folder, const char *name);

/* All bytes up to the end, with a zero behind them, to be freed; NULL with errno. */
char *files_read(FILE *file, size_t most, size_t *size);

#endif
