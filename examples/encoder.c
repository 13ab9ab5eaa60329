/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How alike sentences are: a complete program for inference without a GPU, on librapt.
 *
 *     encoder MODEL-FOLDER "A sentence" "Another one"...
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/encoder.h"

/* Says on stderr what the model's length leaves out. */
static bool warn(const struct encoder *encoder, const struct encoder_texts *texts, char *message) {
    struct encoder_cut cut;
    if (!encoder_measure(encoder, texts, &cut, message))
        return false;
    if (cut.texts)
        fprintf(stderr, "encoder: sentence %lld: cut from %lld tokens to %lld\n",
                (long long)cut.first + 1, (long long)cut.first_tokens,
                (long long)encoder->most_tokens);
    return true;
}

static bool compare(const struct encoder *encoder, char **sentences, int count, char *message) {
    const int64_t width = encoder->width;
    const struct encoder_texts texts = {
        .sentences = (const char *const *)sentences,
        .count = count,
        .batch = count,
        .normalise = true,
    };
    float *embedding = malloc((size_t)count * (size_t)width * sizeof *embedding);
    if (!embedding)
        return fault(message, "no memory for %d embeddings", count);
    const bool good =
        warn(encoder, &texts, message) && encoder_embed(encoder, &texts, embedding, message);
    for (int i = 0; good && i < count; i++)
        for (int k = 0; k < count; k++) {
            double cosine = 0;
            for (int64_t c = 0; c < width; c++)
                cosine += (double)embedding[i * width + c] * (double)embedding[k * width + c];
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
