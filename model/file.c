/* SPDX-License-Identifier: Apache-2.0 */
#include "model/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool fault(char message[FAULT_SIZE], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, FAULT_SIZE, format, args);
    va_end(args);
    return false;
}

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

int open_file(const char *path, size_t *size, char message[FAULT_SIZE]) {
    struct stat status;
    /* A pipe would be waited for until somebody writes. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        *size = (size_t)status.st_size;
        return fd;
    }
    if (fd < 0)
        fault(message, "%s: %s", path, strerror(errno));
    else
        fault(message, "%s: found %s, expected a file", path, kind_of(status.st_mode));
    if (fd >= 0)
        close(fd);
    return -1;
}

bool read_at(int fd, const char *path, size_t place, size_t size, void *to,
             char message[FAULT_SIZE]) {
    const size_t most = 1 << 30; /* systems limit a single read */
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const ssize_t n =
            pread(fd, (char *)to + done, left < most ? left : most, (off_t)(place + done));
        if (n == 0)
            return fault(message,
                         "%s: found its end at byte %zu, expected %zu bytes or more: it "
                         "was cut while it was read",
                         path, place + done, place + size);
        if (n < 0 && errno != EINTR)
            return fault(message, "%s: %s", path, strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Reads to the end. */
static char *read_all(int fd, const char *path, size_t most, size_t *size, char *message) {
    char *bytes = NULL;
    size_t room = 0;
    ssize_t n = 1;
    for (*size = 0; n > 0 && *size <= most;) {
        if (*size == room) {
            room = room ? 2 * room : 1 << 16;
            char *larger = realloc(bytes, room + 1);
            if (!larger) {
                free(bytes);
                fault(message, "%s: no memory for %zu bytes", path, room);
                return NULL;
            }
            bytes = larger;
        }
        while ((n = read(fd, bytes + *size, room - *size)) < 0 && errno == EINTR) {
        }
        *size += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        fault(message, "%s: %s", path, strerror(errno));
    else if (*size > most)
        fault(message, "%s: found more than %zu bytes", path, most);
    if (n < 0 || *size > most) {
        free(bytes);
        return NULL;
    }
    bytes[*size] = '\0';
    return bytes;
}

char *read_file(const char *path, size_t most, size_t *size, char message[FAULT_SIZE]) {
    const int fd = open_file(path, size, message);
    char *bytes = fd >= 0 ? read_all(fd, path, most, size, message) : NULL;
    if (fd >= 0)
        close(fd);
    return bytes;
}
