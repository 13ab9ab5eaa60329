/* SPDX-License-Identifier: Apache-2.0 */
/* Text in pixels: glyphs by FreeType, from the fonts that fontconfig knows. */
#ifndef RAPT_CLI_ATTEND_FONT_H
#define RAPT_CLI_ATTEND_FONT_H

#include "cli/attend/canvas.h"

struct bitmap {
    int width, height;
    unsigned char *rgb; /* three bytes a pixel, rows dense from the top */
};

struct glyphs;

enum { GLYPHS_ERROR_SIZE = 160 };

/* Finds the fonts; NULL, and why, if there are none. */
struct glyphs *glyphs_open(char error[GLYPHS_ERROR_SIZE]);
void glyphs_close(struct glyphs *glyphs);

/*
 * Draws a line of text, in pixels: each character in the first font that has it, left to right and
 * unshaped. What lies beyond the bitmap is cut off.
 */
void glyphs_draw(struct glyphs *glyphs, struct bitmap *bitmap, const char *text,
                 const struct canvas_text *style);

#endif
