/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer's entry without libFuzzer, over the files that are named. Given a number, it takes
 * so many pseudo-random inputs, from the seed that follows.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { SIZE_MAX_RANDOM = 512 };

static void run_bytes(const uint8_t *bytes, size_t size) {
    /* A copy of exactly that size, so that a sanitizer sees every read beyond it. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    for (size_t i = 0; i < size; i++)
        copy[i] = bytes[i];
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    run_bytes(bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    char *end = NULL;
    const long long count = argc > 1 ? strtoll(argv[1], &end, 10) : 1000;
    int failed = 0;
    if (end && *end) {
        for (int i = 1; i < argc; i++)
            failed |= run_file(argv[i]);
        return failed;
    }
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (long long i = 0; i < count; i++) {
        uint8_t bytes[SIZE_MAX_RANDOM];
        for (int k = 0; k < SIZE_MAX_RANDOM; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[k] = (uint8_t)(state >> 56);
        }
        run_bytes(bytes, (size_t)(state >> 40) % (SIZE_MAX_RANDOM + 1));
    }
    printf("%lld inputs\n", count);
    return 0;
}
