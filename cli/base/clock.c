/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/clock.h"

#include <time.h>

double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double clock_elapsed(double start, double end) {
    return end - start > 1e-9 ? end - start : 1e-9;
}

double clock_since(double start) {
    return clock_elapsed(start, clock_now());
}
