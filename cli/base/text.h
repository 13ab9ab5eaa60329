/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any origin, made fit to be shown, and how much room it takes. */
#ifndef RAPT_CLI_BASE_TEXT_H
#define RAPT_CLI_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The code point at *text, which moves on to the next one; 0 at the end. Tabs and line ends become
 * spaces. Control characters, bytes that are no UTF-8 and code points that are no character become
 * U+FFFD. Invisible characters, such as those that turn the direction of writing, are skipped.
 */
int32_t text_next(const char **text);

/* The columns that a terminal gives to a character (0: it joins the one before), or to a text. */
int text_char_width(int32_t character);
int text_width(const char *text);

/* The bytes of the text that take at most so many columns. */
size_t text_fit(const char *text, int width);

/* Prints what text_next gives for that many bytes. */
void text_print(FILE *out, const char *text, size_t bytes);

/*
 * The next line of *text, which is broken at spaces, or within a word that is wider than a line.
 * Returns its length in bytes from *line, or false after the last one.
 */
bool text_line(const char **text, int width, const char **line, size_t *length);

/* Prints all lines of a text that is broken so, each after so many spaces. */
void text_print_wrapped(FILE *out, const char *text, int indent, int width);

/* The words with spaces between them, for the caller to free; NULL if memory ran out. */
char *text_join(const char *const *words, int count);

#endif
