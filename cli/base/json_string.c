/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/json_string.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "cli/base/utf8.h"

/* U+2028 and U+2029 end a line in JavaScript. */
static bool ends_line(uint32_t character) {
    return character == 0x2028 || character == 0x2029;
}

static bool is_markup(uint32_t character) {
    return character < 0x80 && strchr("\"\\<>&", (int)character);
}

static void write_string(FILE *file, const char *text, bool in_script) {
    const char *end = text + strlen(text);
    uint32_t character;
    putc('"', file);
    for (size_t size; text < end; text += size ? size : 1) {
        size = utf8_read(text, (size_t)(end - text), &character);
        if (size == 0)
            fputs("\\ufffd", file);
        else if (character < ' ' || character == 0x7f ||
                 (in_script && (ends_line(character) || is_markup(character))))
            fprintf(file, "\\u%04x", (unsigned)character);
        else if (character == '"' || character == '\\')
            fprintf(file, "\\%c", (int)character);
        else
            fwrite(text, 1, size, file);
    }
    putc('"', file);
}

void json_string(FILE *file, const char *text) {
    write_string(file, text, false);
}

void json_string_in_script(FILE *file, const char *text) {
    write_string(file, text, true);
}
