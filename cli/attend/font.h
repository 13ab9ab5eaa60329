/* SPDX-License-Identifier: Apache-2.0 */
/* Text in pixels: glyphs by FreeType, from the fonts that fontconfig knows. */
#ifndef RAPT_CLI_ATTEND_FONT_H
#define RAPT_CLI_ATTEND_FONT_H

#include "cli/attend/canvas.h"

struct bitmap {
    int width, height;
    unsigned char *rgb; /* three bytes a pixel, rows dense from the top */
};

struct font;

enum { FONT_ERROR_SIZE = 160 };

/* Finds the fonts; NULL, and why, if there are none. */
struct font *font_open(char error[FONT_ERROR_SIZE]);
void font_close(struct font *font);

/*
 * Draws a line of text at a place and size in pixels. Each character is taken from the first font
 * that has it, left to right and unshaped. The bitmap's edges cut the text off.
 */
void font_draw(struct font *font, struct bitmap *bitmap, const char *text,
               const struct canvas_text *style);

#endif
