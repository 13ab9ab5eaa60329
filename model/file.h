/* SPDX-License-Identifier: Apache-2.0 */
/* What readers of files share: bytes in memory, and one line that says what is wrong. */
#ifndef RAPT_MODEL_FILE_H
#define RAPT_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { FAULT_SIZE = 512 };

/* Writes a message and returns false. */
__attribute__((format(printf, 2, 3))) bool fault(char message[FAULT_SIZE], const char *format, ...);

/*
 * Opens a regular file and tells its size; -1 and a message on failure. Whatever else is there,
 * such as a folder or a pipe, is refused by what it is, and never waited for.
 */
int open_file(const char *path, size_t *size, char message[FAULT_SIZE]);

/* Reads so many bytes from a place in a file; fewer are a failure, as is an error of the device. */
bool read_at(int fd, const char *path, size_t place, size_t size, void *to,
             char message[FAULT_SIZE]);

/* A file's bytes and a zero behind them, which the caller frees; NULL and a message on failure. */
char *read_file(const char *path, size_t most, size_t *size, char message[FAULT_SIZE]);

#endif
