/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fault(char message[FAULT_SIZE], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, FAULT_SIZE, format, args);
    va_end(args);
    return false;
}

char *read_file(const char *path, size_t most, size_t *size, char message[FAULT_SIZE]) {
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t room = 0;
    *size = 0;
    bool good = file != NULL;
    while (good && *size == room && room <= most) {
        room = room ? 2 * room : 1 << 16;
        char *larger = realloc(bytes, room + 1);
        good = larger != NULL;
        bytes = good ? larger : bytes;
        *size += good ? fread(bytes + *size, 1, room - *size, file) : 0;
    }
    if (!good || ferror(file))
        good = fault(message, "%s: %s", path, strerror(errno));
    else if (*size > most)
        good = fault(message, "%s: found more than %zu bytes", path, most);
    if (file)
        fclose(file);
    if (good) {
        bytes[*size] = '\0';
        return bytes;
    }
    free(bytes);
    return NULL;
}
