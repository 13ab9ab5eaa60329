/* SPDX-License-Identifier: Apache-2.0 */
/* A number from 0 to 1 as a colour, or as a character where colours are not wanted. */
#ifndef RAPT_CLI_BASE_COLOR_H
#define RAPT_CLI_BASE_COLOR_H

#include <stdbool.h>
#include <stdio.h>

enum color_mode {
    COLOR_NONE,
    COLOR_256,
    COLOR_TRUE, /* 24 bits */
};

/*
 * The colours that `out` can show. Only a terminal that is not dumb, without NO_COLOR in the
 * environment, has any: 24 bits if COLORTERM says so, else 256 colours.
 */
enum color_mode color_detect(FILE *out);

struct color {
    unsigned char red, green, blue;
};

/*
 * Dark purple over teal to yellow, for 0 to 1; beyond that and for NaN the ends. Lightness grows
 * evenly, so the order survives greyscale and every kind of colour blindness.
 */
struct color color_ramp(double level);

/* A character for a level, darker to denser; ' ' for 0. */
char color_character(double level);

/* Escape sequences; nothing in COLOR_NONE. */
void color_background(FILE *out, enum color_mode mode, double level);
void color_foreground(FILE *out, enum color_mode mode, double level);
void color_text_on(FILE *out, enum color_mode mode, double level); /* background and legible text */
void color_bold(FILE *out, enum color_mode mode);
void color_reset(FILE *out, enum color_mode mode);

#endif
