/* SPDX-License-Identifier: Apache-2.0 */
/* How the page carries numbers. */
#ifndef RAPT_CLI_PAGE_PACK_H
#define RAPT_CLI_PAGE_PACK_H

#include <stdint.h>
#include <stdio.h>

/*
 * A weight in 16 bits, rounded to four significant digits:
 *
 *     weight = digits * 10^(exponent - 3), with digits from 1000 to 9999
 *     code   = 1 + 9000 * (exponent + 7) + (digits - 1000)
 *
 * Code 0 is a weight below 1e-7, and PACK_ONE is 1. So the page shows the weight rounded once, with
 * no error beyond its last digit.
 */
enum { PACK_ONE = 1 + 7 * 9000 };

uint16_t pack_weight(float weight);

/* Base64 of numbers of 16 bits, the lower byte first. Starts as {.file = file}. */
struct pack_base64 {
    FILE *file;
    unsigned char held[3];
    int count;
};

void pack_number(struct pack_base64 *into, uint16_t number);
void pack_end(struct pack_base64 *into);

#endif
