/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for the page. */
#include "cli/page/pack.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum { DECADES = 7, PER_DECADE = 9000, LEAST_DIGITS = 1000, MOST_DIGITS = 9999 };

uint16_t pack_weight(float weight) {
    double scale = 1e4; /* makes four digits of 0.1 to 1 */
    for (int decade = DECADES - 1; decade >= 0; decade--, scale *= 10)
        if (weight * scale >= LEAST_DIGITS) {
            const int digits = (int)rint(fmin(weight * scale, MOST_DIGITS + 1));
            return (uint16_t)(1 + decade * PER_DECADE + digits - LEAST_DIGITS);
        }
    return 0;
}

static void put_group(struct pack_base64 *into) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned bits =
        (unsigned)into->held[0] << 16 | (unsigned)into->held[1] << 8 | into->held[2];
    for (int i = 0; i < 4; i++)
        putc(i <= into->count ? digits[bits >> (18 - 6 * i) & 63] : '=', into->file);
    into->count = 0;
}

static void put_byte(struct pack_base64 *into, unsigned byte) {
    into->held[into->count++] = (unsigned char)byte;
    if (into->count == 3)
        put_group(into);
}

void pack_number(struct pack_base64 *into, uint16_t number) {
    put_byte(into, number & 0xffU);
    put_byte(into, number >> 8U);
}

void pack_end(struct pack_base64 *into) {
    if (into->count == 0)
        return;
    for (int i = into->count; i < 3; i++)
        into->held[i] = 0;
    put_group(into);
}
