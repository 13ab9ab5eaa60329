/* SPDX-License-Identifier: Apache-2.0 */
/* Sums and means of weights over neighbouring tokens. */
#include "cli/attend/groups.h"

#include <stdlib.h>

struct groups groups_of(int tokens, int size) {
    struct groups groups = {.count = (tokens + size - 1) / size};
    groups.start = malloc(((size_t)groups.count + 1) * sizeof *groups.start);
    for (int i = 0; groups.start && i <= groups.count; i++)
        groups.start[i] = i < groups.count ? i * size : tokens;
    return groups;
}

void groups_free(struct groups *groups) {
    free(groups->start);
    *groups = (struct groups){0};
}

const char **groups_firsts(const struct groups *groups, const char *const *tokens) {
    const char **labels = malloc((size_t)groups->count * sizeof *labels);
    for (int i = 0; labels && i < groups->count; i++)
        labels[i] = tokens[groups->start[i]];
    return labels;
}

static void merge_head(const float *weights, const struct groups *rows,
                       const struct groups *columns, float *out) {
    size_t width = (size_t)columns->start[columns->count];
    for (int i = 0; i < rows->count; i++) {
        int first = rows->start[i], end = rows->start[i + 1];
        for (int j = 0; j < columns->count; j++) {
            double sum = 0;
            for (int row = first; row < end; row++)
                for (int column = columns->start[j]; column < columns->start[j + 1]; column++)
                    sum += (double)weights[(size_t)row * width + (size_t)column];
            *out++ = (float)(sum / (end - first));
        }
    }
}

float *groups_merge(const float *weights, int heads, const struct groups *rows,
                    const struct groups *columns) {
    size_t cells = (size_t)rows->count * (size_t)columns->count;
    bool allocated = rows->start && columns->start;
    float *out = allocated ? malloc((size_t)heads * cells * sizeof *out) : NULL;
    for (int head = 0; out && head < heads; head++) {
        const size_t queries = (size_t)rows->start[rows->count];
        const size_t keys = (size_t)columns->start[columns->count];
        merge_head(weights + (size_t)head * queries * keys, rows, columns,
                   out + (size_t)head * cells);
    }
    return out;
}
