/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read off one query's weights. */
#ifndef RAPT_CLI_BASE_ROW_H
#define RAPT_CLI_BASE_ROW_H

/* One query's weights, summed in double precision. */
struct row_summary {
    double sum;
    double entropy; /* -sum of w ln w, in nats: 0 for one key alone, ln(keys) for all alike */
    int strongest;  /* the key with the largest weight, the first of equals */
};

struct row_summary row_summarise(const float *weights, int keys);

#endif
