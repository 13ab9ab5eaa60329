/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/statistics.h"

#include <stdlib.h>

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct statistics statistics_of(double *samples, int count) {
    struct statistics s = {.count = count};
    if (count < 1)
        return s;
    qsort(samples, (size_t)count, sizeof *samples, compare_doubles);
    s.min = samples[0];
    s.max = samples[count - 1];
    s.median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
    const int tenth = count / 10;
    if (s.median > 0)
        s.spread = (samples[count - 1 - tenth] - samples[tenth]) / s.median;
    return s;
}
