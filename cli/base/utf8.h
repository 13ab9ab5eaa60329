/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, read strictly: of the shortest form, and no surrogates. */
#ifndef RAPT_CLI_BASE_UTF8_H
#define RAPT_CLI_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * How many bytes the character takes that the text starts with, of which `left` bytes are there; 0
 * if they begin with no character. *character is the code point.
 */
size_t utf8_read(const char *text, size_t left, uint32_t *character);

/* Writes a code point, and returns how many bytes that takes, at most 4. */
size_t utf8_write(uint32_t character, char *text);

#endif
