/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How alike sentences are: a complete program for inference without a GPU, on librapt.
 *
 *     encoder MODEL-FOLDER "A sentence" "Another one"...
 */
#include <stdio.h>
#include <stdlib.h>

#include "encoder.h"

static bool compare(const struct encoder *encoder, char **sentences, int count, char *message) {
    const int64_t dim = encoder->dim;
    float *embedding = malloc((size_t)count * (size_t)dim * sizeof *embedding);
    if (!embedding)
        return fault(message, "no memory for %d embeddings", count);
    const bool good =
        encoder_embed(encoder, (const char *const *)sentences, count, count, embedding, message);
    for (int i = 0; good && i < count; i++)
        for (int k = 0; k < count; k++) {
            double cosine = 0;
            for (int64_t c = 0; c < dim; c++)
                cosine += (double)embedding[i * dim + c] * (double)embedding[k * dim + c];
            printf("%6.3f%s", cosine, k < count - 1 ? " " : "\n");
        }
    free(embedding);
    return good;
}

int main(int argc, char **argv) {
    static struct encoder encoder;
    char message[FAULT_SIZE];
    if (argc < 3) {
        fprintf(stderr, "usage: encoder MODEL-FOLDER SENTENCE...\n");
        return EXIT_FAILURE;
    }
    bool good = encoder_open(argv[1], 0, NULL, &encoder, message);
    if (good) {
        good = compare(&encoder, argv + 2, argc - 2, message);
        encoder_close(&encoder);
    }
    if (!good)
        fprintf(stderr, "encoder: %s\n", message);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
