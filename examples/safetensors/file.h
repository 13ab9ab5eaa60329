/* SPDX-License-Identifier: Apache-2.0 */
/* What readers of files share: a whole file in memory, and one line that says what is wrong. */
#ifndef SAFETENSORS_FILE_H
#define SAFETENSORS_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { FAULT_SIZE = 512 };

/* Writes a message and returns false. */
__attribute__((format(printf, 2, 3))) bool fault(char message[FAULT_SIZE], const char *format, ...);

/* A file's bytes and a zero behind them, which the caller frees; NULL and a message on failure. */
char *read_file(const char *path, size_t most, size_t *size, char message[FAULT_SIZE]);

#endif
