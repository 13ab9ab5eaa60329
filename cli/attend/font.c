/* SPDX-License-Identifier: Apache-2.0 */
/* Looks up a font for each character and blends its glyph into the picture. */
#include "cli/attend/font.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include <math.h>
#include <stdlib.h>
#include FT_FREETYPE_H

#include "cli/base/text.h"

/* The fonts of a weight, the best first; each is opened when a character needs it. */
struct fonts {
    FcFontSet *set;
    FT_Face *faces;
};

struct glyphs {
    FT_Library library;
    FcConfig *config;
    struct fonts fonts[2]; /* regular, bold */
};

static bool find_fonts(struct fonts *fonts, FcConfig *config, int weight) {
    FcResult result;
    FcPattern *wanted = FcPatternCreate();
    bool asked = wanted && FcPatternAddString(wanted, FC_FAMILY, (const FcChar8 *)"sans-serif") &&
                 FcPatternAddInteger(wanted, FC_WEIGHT, weight) &&
                 FcPatternAddBool(wanted, FC_OUTLINE, FcTrue) &&
                 FcConfigSubstitute(config, wanted, FcMatchPattern);
    if (asked) {
        FcDefaultSubstitute(wanted);
        fonts->set = FcFontSort(config, wanted, FcTrue, NULL, &result);
    }
    if (wanted) {
        FcPatternDestroy(wanted);
    }
    if (fonts->set && fonts->set->nfont > 0) {
        fonts->faces = calloc((size_t)fonts->set->nfont, sizeof *fonts->faces);
    }
    return fonts->faces != NULL;
}

/* The font's face, opened; NULL if it can't be or has no outlines. */
static FT_Face open_face(const struct glyphs *glyphs, struct fonts *fonts, int font) {
    FcChar8 *file;
    int index = 0;
    const FcPattern *pattern = fonts->set->fonts[font];
    FT_Face *face = &fonts->faces[font];
    if (!*face && FcPatternGetString(pattern, FC_FILE, 0, &file) == FcResultMatch) {
        FcPatternGetInteger(pattern, FC_INDEX, 0, &index);
        if (FT_New_Face(glyphs->library, (const char *)file, index, face) != 0) {
            *face = NULL;
        }
    }
    return *face && FT_IS_SCALABLE(*face) ? *face : NULL;
}

/* Loads a character's glyph, or that of a missing one; false if no font has even this. */
static bool load(const struct glyphs *glyphs, struct fonts *fonts, int32_t character, double size,
                 FT_Int32 flags, FT_GlyphSlot *slot) {
    for (int missing = 0; missing < 2; missing++) {
        for (int font = 0; font < fonts->set->nfont; font++) {
            FcCharSet *has = NULL;
            FcPatternGetCharSet(fonts->set->fonts[font], FC_CHARSET, 0, &has);
            if (!missing && !(has && FcCharSetHasChar(has, (FcChar32)character))) {
                continue;
            }
            FT_Face face = open_face(glyphs, fonts, font);
            FT_UInt glyph = face ? FT_Get_Char_Index(face, (FT_ULong)character) : 0;
            if (face && (glyph || missing) &&
                FT_Set_Char_Size(face, 0, lround(64 * size), 0, 0) == 0 &&
                FT_Load_Glyph(face, glyph, FT_LOAD_TARGET_LIGHT | flags) == 0) {
                *slot = face->glyph;
                return true;
            }
        }
    }
    return false;
}

static double advance(FT_GlyphSlot slot) {
    return (double)slot->linearHoriAdvance / 65536;
}

static double measure(const struct glyphs *glyphs, struct fonts *fonts, const char *text,
                      double size) {
    double width = 0;
    for (int32_t character; (character = text_next(&text));) {
        FT_GlyphSlot slot;
        if (load(glyphs, fonts, character, size, FT_LOAD_DEFAULT, &slot)) {
            width += advance(slot);
        }
    }
    return width;
}

static void blend(struct bitmap *bitmap, int x, int y, int coverage, struct color color) {
    if (x < 0 || x >= bitmap->width || y < 0 || y >= bitmap->height) {
        return;
    }
    unsigned char *at = bitmap->rgb + 3 * ((size_t)y * (size_t)bitmap->width + (size_t)x);
    const int to[] = {color.red, color.green, color.blue};
    for (int i = 0; i < 3; i++) {
        at[i] = (unsigned char)((at[i] * (255 - coverage) + to[i] * coverage + 127) / 255);
    }
}

/* A glyph whose origin lies `along` the baseline, counted from the pixel at x, y. */
static void draw_glyph(struct bitmap *bitmap, FT_GlyphSlot slot, int x, int y, int along,
                       const struct canvas_text *style) {
    const FT_Bitmap *glyph = &slot->bitmap;
    if (glyph->pixel_mode != FT_PIXEL_MODE_GRAY) {
        return;
    }
    for (int row = 0; row < (int)glyph->rows; row++) {
        for (int column = 0; column < (int)glyph->width; column++) {
            int right = along + slot->bitmap_left + column, down = row - slot->bitmap_top;
            int coverage = glyph->buffer[row * glyph->pitch + column];
            if (style->upward) {
                blend(bitmap, x + down, y - 1 - right, coverage, style->color);
            } else {
                blend(bitmap, x + right, y + down, coverage, style->color);
            }
        }
    }
}

void glyphs_draw(struct glyphs *glyphs, struct bitmap *bitmap, const char *text,
                 const struct canvas_text *style) {
    struct fonts *fonts = &glyphs->fonts[style->bold];
    double along = 0;
    if (style->anchor != CANVAS_START) {
        double width = measure(glyphs, fonts, text, style->size);
        along = style->anchor == CANVAS_END ? -width : -width / 2;
    }
    int x = (int)lround(style->x), y = (int)lround(style->y);
    for (int32_t character; (character = text_next(&text));) {
        FT_GlyphSlot slot;
        if (load(glyphs, fonts, character, style->size, FT_LOAD_RENDER, &slot)) {
            draw_glyph(bitmap, slot, x, y, (int)lround(along), style);
            along += advance(slot);
        }
    }
}

struct glyphs *glyphs_open(char error[GLYPHS_ERROR_SIZE]) {
    struct glyphs *glyphs = calloc(1, sizeof *glyphs);
    if (!glyphs) {
        snprintf(error, GLYPHS_ERROR_SIZE, "out of memory");
        return NULL;
    }
    if (FT_Init_FreeType(&glyphs->library) != 0) {
        snprintf(error, GLYPHS_ERROR_SIZE, "FreeType does not start");
        glyphs->library = NULL;
        glyphs_close(glyphs);
        return NULL;
    }
    glyphs->config = FcInitLoadConfigAndFonts();
    if (!glyphs->config || !find_fonts(&glyphs->fonts[0], glyphs->config, FC_WEIGHT_REGULAR) ||
        !find_fonts(&glyphs->fonts[1], glyphs->config, FC_WEIGHT_BOLD)) {
        snprintf(error, GLYPHS_ERROR_SIZE, "found no font, expected one that fontconfig knows");
        glyphs_close(glyphs);
        return NULL;
    }
    return glyphs;
}

void glyphs_close(struct glyphs *glyphs) {
    for (int i = 0; i < 2; i++) {
        struct fonts *fonts = &glyphs->fonts[i];
        for (int font = 0; fonts->faces && font < fonts->set->nfont; font++) {
            if (fonts->faces[font]) {
                FT_Done_Face(fonts->faces[font]);
            }
        }
        free(fonts->faces);
        if (fonts->set) {
            FcFontSetDestroy(fonts->set);
        }
    }
    if (glyphs->config) {
        FcConfigDestroy(glyphs->config);
    }
    FcFini();
    if (glyphs->library) {
        FT_Done_FreeType(glyphs->library);
    }
    free(glyphs);
}
