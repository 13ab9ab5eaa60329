/* SPDX-License-Identifier: Apache-2.0 */
/* Seconds on a clock that nobody sets. */
#ifndef RAPT_CLI_BASE_CLOCK_H
#define RAPT_CLI_BASE_CLOCK_H

/* Seconds since some fixed moment. */
double clock_now(void);

/* Seconds from one moment to another, or from one until now. At least one nanosecond: a coarse
 * clock stands still for what is short, and rates and ratios have to be finite. */
double clock_elapsed(double start, double end);
double clock_since(double start);

#endif
