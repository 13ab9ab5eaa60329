/* SPDX-License-Identifier: Apache-2.0 */
/* Widths are utf8proc's, or one column for all where the build has none. */
#include "cli/base/text.h"

#include <stdlib.h>
#include <string.h>

#include "cli/base/utf8.h"

#ifdef HAVE_UTF8PROC
#    include <utf8proc.h>
#endif

static const int32_t replacement = 0xfffd;

static const char blanks[] = " \t\n\v\f\r";

/* One code point; or -1, and a step of one byte. */
static int32_t decode(const char **text) {
    uint32_t code;
    const size_t size = utf8_read(*text, 4, &code); /* no further than the zero at the end */
    *text += size ? size : 1;
    return size ? (int32_t)code : -1;
}

static bool is_invisible(int32_t code) {
    return code == 0xad || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xe0000 && code <= 0xe0fff);
}

static bool is_shown(int32_t code) {
    if (code < ' ' || (code >= 0x7f && code < 0xa0) || (code & 0xfffe) == 0xfffe ||
        (code >= 0xfdd0 && code <= 0xfdef))
        return false;
#ifdef HAVE_UTF8PROC
    return utf8proc_category(code) != UTF8PROC_CATEGORY_CN;
#else
    return true;
#endif
}

int32_t text_next(const char **text) {
    while (**text) {
        int32_t code = decode(text);
        if (code > 0 && code < 0x80 && strchr(blanks, code))
            return ' ';
        if (!is_invisible(code))
            return is_shown(code) ? code : replacement;
    }
    return 0;
}

int text_char_width(int32_t character) {
#ifdef HAVE_UTF8PROC
    return utf8proc_charwidth(character);
#else
    return character != 0;
#endif
}

int text_width(const char *text) {
    int width = 0;
    for (int32_t character; (character = text_next(&text));)
        width += text_char_width(character);
    return width;
}

static void print_char(FILE *out, int32_t character) {
    char bytes[4];
    fwrite(bytes, 1, utf8_write((uint32_t)character, bytes), out);
}

size_t text_fit(const char *text, int width) {
    const char *at = text;
    for (const char *next = at; *at; at = next) {
        width -= text_char_width(text_next(&next));
        if (width < 0)
            break;
    }
    return (size_t)(at - text);
}

void text_print(FILE *out, const char *text, size_t bytes) {
    const char *end = text + bytes;
    for (int32_t character; text < end && (character = text_next(&text));)
        print_char(out, character);
}

bool text_line(const char **text, int width, const char **line, size_t *length) {
    const char *at = *text;
    while (text_next(&at) == ' ')
        *text = at;
    *line = at = *text;
    const char *words = NULL, *last = at; /* the ends of the words that fit, and of what does */
    int column = 0;
    for (const char *before = at;; before = at) {
        int32_t character = text_next(&at);
        column += text_char_width(character);
        if (!character)
            break;
        if (character == ' ') {
            words = last;
        } else if (column > width && before > *line) {
            *text = words ? words : before;
            *length = (size_t)(*text - *line);
            return true;
        } else {
            last = at;
        }
    }
    *text = at;
    *length = (size_t)(last - *line);
    return last > *line;
}

void text_print_wrapped(FILE *out, const char *text, int indent, int width) {
    const char *line;
    for (size_t length; text_line(&text, width - indent, &line, &length);) {
        fprintf(out, "%*s", indent, "");
        text_print(out, line, length);
        fputc('\n', out);
    }
}

char *text_join(const char *const *words, int count) {
    size_t size = 1;
    for (int i = 0; i < count; i++)
        size += strlen(words[i]) + 1;
    char *joined = malloc(size), *end = joined;
    for (int i = 0; joined && i < count; i++)
        end = stpcpy(stpcpy(end, i ? " " : ""), words[i]);
    return joined;
}
