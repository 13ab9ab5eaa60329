/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and strings for the page. */
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

/* How many bytes the code point takes that the text starts with, or 0 if these are no UTF-8. */
static size_t measure(const unsigned char *text) {
    static const struct {
        unsigned mask, lead, least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t extra = 0; extra < sizeof forms / sizeof *forms; extra++) {
        if ((text[0] & forms[extra].mask) != forms[extra].lead)
            continue;
        unsigned point = text[0] & ~forms[extra].mask;
        for (size_t i = 1; i <= extra; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (text[i] & 0x3f);
        }
        const bool surrogate = point >= 0xd800 && point < 0xe000;
        return point >= forms[extra].least && point < 0x110000 && !surrogate ? extra + 1 : 0;
    }
    return 0;
}

void pack_string(FILE *file, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    putc('"', file);
    while (*at) {
        const size_t size = measure(at);
        if (size == 0)
            fputs("\\ufffd", file);
        else if (size == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9))
            fprintf(file, "\\u20%x", at[2] - 0x80U); /* ends a line in JavaScript */
        else if (*at < ' ' || *at == 0x7f || *at == '"' || *at == '\\' || *at == '<' ||
                 *at == '>' || *at == '&')
            fprintf(file, "\\u%04x", *at);
        else
            fwrite(at, 1, size, file);
        at += size ? size : 1;
    }
    putc('"', file);
}
