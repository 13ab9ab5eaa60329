/* SPDX-License-Identifier: Apache-2.0 */
/* The median of some samples, and how far they lie apart. */
#ifndef RAPT_CLI_BASE_STATISTICS_H
#define RAPT_CLI_BASE_STATISTICS_H

struct statistics {
    int count;
    double median, min, max;
    double spread; /* (max - min) / median, both without the lowest and highest tenth */
};

/* Sorts the samples. All zero if count is 0. */
struct statistics statistics_of(double *samples, int count);

#endif
