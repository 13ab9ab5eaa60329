/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/row.h"

#include <math.h>

struct row_summary row_summarise(const float *weights, int keys) {
    struct row_summary row = {0};
    for (int key = 0; key < keys; key++) {
        double weight = weights[key];
        row.sum += weight;
        if (weight > 0)
            row.entropy -= weight * log(weight);
        if (weights[key] > weights[row.strongest])
            row.strongest = key;
    }
    row.entropy = row.entropy > 0 ? row.entropy : 0; /* a weight may be rounded to just above 1 */
    return row;
}
