/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/tokens.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/utf8.h"

enum writing {
    PLAIN,   /* tokens are the text's bytes */
    PIECES,  /* "##" goes on */
    LETTERS, /* a letter for each byte, by GPT-2's table */
    SPACES,  /* U+2581 for spaces, and some bytes by their numbers */
};

enum {
    SPACE_LETTER = 0x120, /* stands for a space in GPT-2's table */
    END_LETTER = 0x10a,   /* for a line's end */
    SPACE_BLOCK = 0x2581, /* for a space in SentencePiece */
    OPEN_BOX = 0x2423,
    PICTURES = 0x2400, /* of the control characters from 0 on */
    PICTURE_OF_DELETE = 0x2421,
    FIRST_IDEOGRAPH = 0x2e80, /* scripts from here on are written without spaces */
};

/* Bytes on their way to be shown. */
struct bytes {
    const char *at;
    size_t size;
};

static bool is_mark(const char *token) {
    const size_t size = strlen(token);
    const char last = size > 2 ? token[size - 1] : 0;
    return (token[0] == '[' && last == ']') ||
           (token[0] == '<' && last == '>' && strncmp(token, "<0x", 3) != 0);
}

static bool is_piece(const char *token) {
    return strncmp(token, "##", 2) == 0 && token[2];
}

/* The byte of a token like "<0x0A>", or -1. */
static int numbered_byte(const char *token) {
    const bool is = strlen(token) == 6 && strncmp(token, "<0x", 3) == 0 &&
                    isxdigit((unsigned char)token[3]) && isxdigit((unsigned char)token[4]) &&
                    token[5] == '>';
    return is ? (int)strtol(token + 3, NULL, 16) : -1;
}

/* The byte that a letter stands for in GPT-2's table, or -1. What is printable in Latin-1 stands
 * for itself, the others for 0x100 and on in their order. */
static int lettered_byte(uint32_t letter) {
    const bool itself = (letter > ' ' && letter < 0x7f) || (letter > 0xa0 && letter < 0x100);
    if (itself && letter != 0xad)
        return (int)letter;
    if (letter < 0x100 || letter > 0x143)
        return -1;
    const int other = (int)letter - 0x100; /* among 0 to 0x20, 0x7f to 0xa0, 0xad */
    return other <= ' ' ? other : other < 0x43 ? other - 0x21 + 0x7f : 0xad;
}

static uint32_t first_of(const char *token) {
    uint32_t character = 0;
    utf8_read(token, strlen(token), &character);
    return character;
}

/* Whether all of a token is letters of that table, and whether the tell-tale ones are among them.
 */
static bool is_lettered(const char *token, bool *told) {
    const char *end = token + strlen(token);
    uint32_t letter;
    for (size_t size; token < end; token += size) {
        size = utf8_read(token, (size_t)(end - token), &letter);
        if (!size || lettered_byte(letter) < 0)
            return false;
        *told = *told || letter == SPACE_LETTER || letter == END_LETTER;
    }
    return true;
}

static enum writing recognise(const char *const *given, int count) {
    bool pieces = false, spaces = false, lettered = true, told = false;
    for (int i = 0; i < count; i++) {
        pieces = pieces || is_piece(given[i]);
        if (is_mark(given[i]))
            continue;
        spaces = spaces || first_of(given[i]) == SPACE_BLOCK || numbered_byte(given[i]) >= 0;
        lettered = lettered && is_lettered(given[i], &told);
    }
    return lettered && told ? LETTERS : spaces ? SPACES : pieces ? PIECES : PLAIN;
}

/* Writes the bytes that a token stands for. */
static void decode(FILE *out, const char *token, enum writing writing) {
    const char *end = token + strlen(token);
    const int byte = writing == SPACES ? numbered_byte(token) : -1;
    uint32_t letter;
    if (byte >= 0) {
        putc(byte, out);
    } else if (writing < LETTERS || is_mark(token)) {
        fputs(token, out);
    } else {
        for (size_t size; token < end; token += size ? size : 1) {
            size = utf8_read(token, (size_t)(end - token), &letter);
            if (size && writing == LETTERS)
                putc(lettered_byte(letter), out);
            else if (size && letter == SPACE_BLOCK)
                putc(' ', out);
            else
                fwrite(token, 1, size ? size : 1, out);
        }
    }
}

static void put_character(FILE *out, uint32_t character) {
    char text[4];
    fwrite(text, 1, utf8_write(character, text), out);
}

/* Writes bytes as they are shown. */
static void show(FILE *out, struct bytes bytes) {
    const char *end = bytes.at + bytes.size, *first = bytes.at, *last = end;
    bool apart = false; /* within bytes that are no character */
    uint32_t character;
    while (first < end && *first == ' ')
        first++;
    while (last > first && last[-1] == ' ')
        last--;
    if (bytes.size == 0)
        put_character(out, 0x2205); /* the empty set */
    for (const char *at = bytes.at, *next = at; at < end; at = next) {
        const size_t size = utf8_read(at, (size_t)(end - at), &character);
        next = at + (size ? size : 1);
        if (!size)
            fprintf(out, "%s%02X", apart ? " " : "<", (unsigned char)*at);
        else if (apart)
            putc('>', out);
        apart = !size;
        if (size && character == ' ' && (at < first || at >= last))
            put_character(out, OPEN_BOX);
        else if (size && (character < ' ' || character == 0x7f))
            put_character(out, character < ' ' ? PICTURES + character : PICTURE_OF_DELETE);
        else if (size)
            fwrite(at, 1, size, out);
    }
    if (apart)
        putc('>', out);
}

/* The last character; 0 if the bytes end within one. */
static uint32_t last_of(struct bytes bytes) {
    uint32_t character = 0;
    for (size_t size = 1; size <= 4 && size <= bytes.size; size++)
        if (utf8_read(bytes.at + bytes.size - size, size, &character) == size)
            return character;
    return 0;
}

static bool is_letter(uint32_t character) {
    return character < 0x80 ? isalnum((int)character)
                            : character >= 0xc0 && character < FIRST_IDEOGRAPH;
}

/* Whether bytes go on with the word of those before them, where spaces part words. */
static bool continues(struct bytes before, struct bytes bytes) {
    uint32_t first;
    if (before.size == 0 || bytes.size == 0)
        return false;
    const bool within = last_of(before) == 0 && (unsigned char)before.at[before.size - 1] >= 0x80;
    if (!utf8_read(bytes.at, bytes.size, &first))
        return within;
    return is_letter(first) && is_letter(last_of(before));
}

/* The bytes of all tokens, one after the other; token i has those before ends[i]. */
struct decoded {
    enum writing writing;
    const char *const *given;
    char *text;
    size_t *ends;
    bool spaced; /* spaces part words */
};

static struct bytes bytes_of(const struct decoded *decoded, int first, int end) {
    const size_t start = first ? decoded->ends[first - 1] : 0;
    return (struct bytes){decoded->text + start, decoded->ends[end - 1] - start};
}

static bool decode_all(struct decoded *decoded, int count) {
    size_t size = 0;
    FILE *out = open_memstream(&decoded->text, &size);
    decoded->ends = malloc((size_t)(count + 1) * sizeof *decoded->ends);
    for (int i = 0; out && decoded->ends && i < count; i++) {
        decode(out, decoded->given[i], decoded->writing);
        decoded->ends[i] = (size_t)ftello(out);
    }
    if (!out || fclose(out) != 0 || !decoded->ends)
        return false;
    decoded->spaced = decoded->writing >= LETTERS;
    for (int i = 0; decoded->writing == PLAIN && i < count; i++)
        decoded->spaced = decoded->spaced || decoded->given[i][0] == ' ';
    return true;
}

static bool joins(const struct decoded *decoded, int i) {
    const char *const *given = decoded->given;
    if (i == 0 || is_mark(given[i]) || is_mark(given[i - 1]))
        return false;
    if (decoded->writing == PIECES)
        return is_piece(given[i]);
    return decoded->spaced && continues(bytes_of(decoded, i - 1, i), bytes_of(decoded, i, i + 1));
}

/* Writes a word, which is not shown with the marks of its pieces. */
static void show_word(FILE *out, const struct decoded *decoded, int first, int end) {
    struct bytes bytes = bytes_of(decoded, first, end);
    if (decoded->writing == PIECES) {
        for (int i = first; i < end; i++)
            fputs(decoded->given[i] + (i > first ? 2 : 0), out);
        return;
    }
    if (decoded->spaced && bytes.size > 1 && *bytes.at == ' ') {
        bytes.at++;
        bytes.size--;
    }
    show(out, bytes);
}

/* Writes all texts, each with a zero behind it, and keeps how far they reach. */
static bool show_all(struct tokens *tokens, const struct decoded *decoded, size_t *ends) {
    size_t size = 0;
    FILE *out = open_memstream(&tokens->memory, &size);
    if (!out)
        return false;
    for (int i = 0; i < tokens->count; i++) {
        show(out, bytes_of(decoded, i, i + 1));
        putc(0, out);
        ends[i] = (size_t)ftello(out);
    }
    for (int i = 0; i < tokens->words; i++) {
        show_word(out, decoded, tokens->start[i], tokens->start[i + 1]);
        putc(0, out);
        ends[tokens->count + i] = (size_t)ftello(out);
    }
    return fclose(out) == 0;
}

static bool fill(struct tokens *tokens, const struct decoded *decoded) {
    const size_t room = 2 * (size_t)tokens->count + 1;
    size_t *ends = malloc(room * sizeof *ends);
    tokens->shown = calloc(room, sizeof *tokens->shown);
    tokens->start = calloc(room, sizeof *tokens->start);
    bool good = ends && tokens->shown && tokens->start;
    for (int i = 0; good && i < tokens->count; i++)
        if (!joins(decoded, i))
            tokens->start[tokens->words++] = i;
    if (good)
        tokens->start[tokens->words] = tokens->count;
    good = good && show_all(tokens, decoded, ends);
    for (int i = 0; good && i < tokens->count + tokens->words; i++)
        tokens->shown[i] = tokens->memory + (i ? ends[i - 1] : 0);
    tokens->names = tokens->shown + tokens->count;
    free(ends);
    return good;
}

bool tokens_read(struct tokens *tokens, const char *const *given, int count) {
    struct decoded decoded = {.writing = recognise(given, count), .given = given};
    *tokens = (struct tokens){.count = count};
    const bool good = decode_all(&decoded, count) && fill(tokens, &decoded);
    free(decoded.text);
    free(decoded.ends);
    if (!good)
        tokens_free(tokens);
    return good;
}

void tokens_free(struct tokens *tokens) {
    free(tokens->shown);
    free(tokens->start);
    free(tokens->memory);
    *tokens = (struct tokens){0};
}
