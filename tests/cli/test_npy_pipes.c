/* SPDX-License-Identifier: Apache-2.0 */
/* The .npy reader on pipes, whose length nobody knows before. */
#include "tests/support/allocations.h"
#include "cli/base/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANY = NPY_F32 | NPY_U8, MOST = 256 };

TestSuite(npy_pipes, .timeout = 600);

/* The start of a file, up to its data. Returns its size. */
static size_t make(unsigned char bytes[MOST], const char *dict) {
    static const unsigned char prefix[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
    memcpy(bytes, prefix, sizeof prefix);
    snprintf((char *)bytes + sizeof prefix, MOST - sizeof prefix, "%-117s\n", dict);
    return 128;
}

/* A process that writes the file's start and so many bytes more into a pipe. */
static FILE *open_pipe(const unsigned char *bytes, size_t size, size_t more) {
    int ends[2];
    cr_assert(pipe(ends) == 0);
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        FILE *file = fdopen(ends[1], "wb");
        close(ends[0]);
        fwrite(bytes, 1, size, file);
        for (size_t i = 0; i < more; i++)
            putc((int)(i % 251), file);
        fclose(file);
        _exit(0);
    }
    close(ends[1]);
    return fdopen(ends[0], "rb");
}

Test(npy_pipes, reads_pipes_of_any_length) {
    static const size_t lengths[] = {0, 1, 65535, 65536, 1 << 20, (1 << 20) + 1, 3000001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int step = -1; step <= 1; step++) {
            char dict[96], message[NPY_MESSAGE_SIZE];
            unsigned char bytes[MOST];
            struct npy_array array;
            if (lengths[i] == 0 && step < 0)
                continue;
            snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu,)}",
                     lengths[i]);
            FILE *file = open_pipe(bytes, make(bytes, dict), lengths[i] + (size_t)step);
            const bool done = npy_read(file, ANY, &array, message);
            cr_expect(done == (step == 0), "%zu, %d: %s", lengths[i], step, message);
            for (size_t k = 0; done && k < lengths[i]; k++)
                cr_assert(((unsigned char *)array.data)[k] == k % 251);
            if (!done)
                cr_expect(strstr(message, " bytes of data") && !array.data, "%s", message);
            free(array.data);
            fclose(file);
            wait(NULL);
        }
    }
}

Test(npy_pipes, tells_where_memory_ends) {
    static const char large[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (3000000,)}";
    int refused = 0;
    for (bool done = false; !done; refused += !done) {
        char message[NPY_MESSAGE_SIZE];
        unsigned char bytes[MOST];
        struct npy_array array;
        FILE *file = open_pipe(bytes, make(bytes, large), 3000000);
        allocations_left = refused;
        done = npy_read(file, ANY, &array, message);
        allocations_left = -1;
        cr_expect(done || (strstr(message, "no memory") && !array.data), "%s", message);
        free(array.data);
        fclose(file);
        wait(NULL);
    }
    cr_expect(refused == 4, "%d allocations", refused); /* header, 1, 2 and 3 MB */
}
