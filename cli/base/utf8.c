/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/utf8.h"

#include <stdbool.h>

size_t utf8_read(const char *text, size_t left, uint32_t *character) {
    static const struct {
        unsigned mask, lead, least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t extra = 0; extra < sizeof forms / sizeof *forms && extra < left; extra++) {
        if ((bytes[0] & forms[extra].mask) != forms[extra].lead)
            continue;
        unsigned point = bytes[0] & ~forms[extra].mask;
        for (size_t i = 1; i <= extra; i++) {
            if ((bytes[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (bytes[i] & 0x3f);
        }
        const bool surrogate = point >= 0xd800 && point < 0xe000;
        *character = point;
        return point >= forms[extra].least && point < 0x110000 && !surrogate ? extra + 1 : 0;
    }
    return 0;
}

size_t utf8_write(uint32_t character, char *text) {
    static const unsigned leads[] = {0, 0xc0, 0xe0, 0xf0};
    const size_t more = character < 0x80 ? 0 : character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    text[0] = (char)(leads[more] | character >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        text[i] = (char)(0x80 | (character >> 6 * (more - i) & 0x3f));
    return more + 1;
}
