/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/json_string.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

/* U+2028 and U+2029 end a line in JavaScript. */
static bool ends_line(const unsigned char *text, size_t size) {
    return size == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9);
}

static void write_string(FILE *file, const char *text, bool in_script) {
    const unsigned char *at = (const unsigned char *)text;
    putc('"', file);
    for (size_t size; *at; at += size ? size : 1) {
        size = measure(at);
        if (size == 0)
            fputs("\\ufffd", file);
        else if (in_script && ends_line(at, size))
            fprintf(file, "\\u20%x", at[2] - 0x80U);
        else if (*at < ' ' || *at == 0x7f || (in_script && strchr("\"\\<>&", *at)))
            fprintf(file, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(file, "\\%c", *at);
        else
            fwrite(at, 1, size, file);
    }
    putc('"', file);
}

void json_string(FILE *file, const char *text) {
    write_string(file, text, false);
}

void json_string_in_script(FILE *file, const char *text) {
    write_string(file, text, true);
}
