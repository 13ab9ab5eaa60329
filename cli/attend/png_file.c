/* SPDX-License-Identifier: Apache-2.0 */
/* Paints cells and glyphs into memory, and has libpng write it. */
#include "cli/attend/png_file.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "cli/attend/font.h"

const bool png_file_available = true;

static const size_t most_bytes = (size_t)1 << 30;

struct pixels {
    struct canvas canvas; /* the first member, by which a canvas is known as this */
    struct bitmap bitmap;
    struct font *font;
};

static void fill(struct bitmap *bitmap, int x, int y, int side, struct color color) {
    for (int row = y; row < y + side; row++) {
        unsigned char *at = bitmap->rgb + 3 * ((size_t)row * (size_t)bitmap->width + (size_t)x);
        for (int i = 0; i < side; i++) {
            *at++ = color.red;
            *at++ = color.green;
            *at++ = color.blue;
        }
    }
}

static void draw_cells(struct canvas *canvas, const struct canvas_cells *cells) {
    struct bitmap *bitmap = &((struct pixels *)canvas)->bitmap;
    int side = cells->side * PNG_FILE_SCALE;
    for (int row = 0; row < cells->rows; row++) {
        for (int column = 0; column < cells->columns; column++) {
            fill(bitmap, cells->x * PNG_FILE_SCALE + column * side,
                 cells->y * PNG_FILE_SCALE + row * side, side,
                 cells->colors[(size_t)row * (size_t)cells->columns + (size_t)column]);
        }
    }
}

static void draw_text(struct canvas *canvas, const char *text, const struct canvas_text *style) {
    struct pixels *pixels = (struct pixels *)canvas;
    struct canvas_text scaled = *style;
    scaled.x *= PNG_FILE_SCALE;
    scaled.y *= PNG_FILE_SCALE;
    scaled.size *= PNG_FILE_SCALE;
    font_draw(pixels->font, &pixels->bitmap, text, &scaled);
}

static bool save(FILE *out, const struct bitmap *bitmap, char error[PNG_FILE_ERROR_SIZE]) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)bitmap->width,
                       .height = (png_uint_32)bitmap->height,
                       .format = PNG_FORMAT_RGB};
    bool saved = png_image_write_to_stdio(&image, out, 0, bitmap->rgb, 0, NULL);
    if (!saved && !ferror(out))
        snprintf(error, PNG_FILE_ERROR_SIZE, "libpng: %s", image.message);
    return saved;
}

bool png_file_write(FILE *out, const struct figure *figure, char error[PNG_FILE_ERROR_SIZE]) {
    struct pixels pixels = {
        .canvas = {draw_cells, draw_text},
        .bitmap = {.width = figure->width * PNG_FILE_SCALE,
                   .height = figure->height * PNG_FILE_SCALE},
    };
    struct bitmap *bitmap = &pixels.bitmap;
    size_t bytes = 3 * (size_t)bitmap->width * (size_t)bitmap->height;
    if (bytes > most_bytes) {
        snprintf(error, PNG_FILE_ERROR_SIZE, "a picture of %d x %d pixels would be too large",
                 bitmap->width, bitmap->height);
        return false;
    }
    pixels.font = font_open(error);
    if (!pixels.font)
        return false;
    bitmap->rgb = malloc(bytes);
    bool drawn = bitmap->rgb != NULL;
    if (drawn) {
        memset(bitmap->rgb, 0xff, bytes);
        drawn = figure_draw(figure, &pixels.canvas) && save(out, bitmap, error);
    }
    free(bitmap->rgb);
    font_close(pixels.font);
    return drawn;
}
