/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real model, where scripts/get-model has put it. The queries, keys and values of all heads are
 * those of the embedded samples, which another implementation computed in double precision.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/embed/model_files.h"

enum { SKIPPED = 77 };

static double farthest(const float *a, const float *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static bool same_tokens(const struct sample *a, const struct sample *b) {
    bool same = a->token_count == b->token_count;
    for (int i = 0; same && i < a->token_count; i++)
        same = strcmp(a->tokens[i], b->tokens[i]) == 0;
    return same;
}

static bool compare(const struct samples *found, const struct samples *expected) {
    bool good = found->layers == expected->layers && found->heads == expected->heads;
    for (int i = 0; good && i < expected->count; i++) {
        const struct sample *a = &found->sentences[i], *b = &expected->sentences[i];
        const int64_t n = (int64_t)found->layers * found->heads * a->token_count * found->head_dim;
        good = same_tokens(a, b);
        const double far =
            good ? fmax(fmax(farthest(a->query, b->query, n), farthest(a->key, b->key, n)),
                        farthest(a->value, b->value, n))
                 : INFINITY;
        printf("%s: %g\n", b->text, far);
        good = far < 1e-4;
    }
    return good;
}

int main(void) {
    struct samples found, expected;
    struct model_choice choice = {0};
    char error[SAMPLES_ERROR_SIZE], folder[4096], *texts[3];
    model_find(folder, sizeof folder);
    FILE *there = fopen(strcat(folder, "/config.json"), "r");
    if (!there)
        return SKIPPED;
    fclose(there);
    if (!samples_parse(&expected, samples_data, samples_data_size, error))
        return EXIT_FAILURE;
    for (int i = 0; i < 3; i++)
        texts[i] = (char *)(uintptr_t)expected.sentences[i].text;
    if (strcmp(expected.model, "all-MiniLM-L6-v2") != 0 ||
        !model_samples("test", &choice, texts, 3, &found))
        return EXIT_FAILURE;
    const bool good = compare(&found, &expected);
    samples_free(&found);
    samples_free(&expected);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
