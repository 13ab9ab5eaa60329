/* SPDX-License-Identifier: Apache-2.0 */
/* Looks up a font for each character and blends its glyph into the picture. */
#include "cli/attend/font.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include <math.h>
#include <stdlib.h>
#include FT_FREETYPE_H

#include "cli/base/text.h"

/* The fonts of one weight, the best first. A font is opened when a character needs it. */
struct faces {
    FcFontSet *set;
    FT_Face *opened;
};

struct font {
    FT_Library library;
    FcConfig *config;
    struct faces faces[2]; /* regular, bold */
};

static bool find_fonts(struct faces *faces, FcConfig *config, int weight) {
    FcResult result;
    FcPattern *wanted = FcPatternCreate();
    bool asked = wanted && FcPatternAddString(wanted, FC_FAMILY, (const FcChar8 *)"sans-serif") &&
                 FcPatternAddInteger(wanted, FC_WEIGHT, weight) &&
                 FcPatternAddBool(wanted, FC_OUTLINE, FcTrue) &&
                 FcConfigSubstitute(config, wanted, FcMatchPattern);
    if (asked) {
        FcDefaultSubstitute(wanted);
        faces->set = FcFontSort(config, wanted, FcTrue, NULL, &result);
    }
    if (wanted)
        FcPatternDestroy(wanted);
    if (faces->set && faces->set->nfont > 0)
        faces->opened = calloc((size_t)faces->set->nfont, sizeof *faces->opened);
    return faces->opened != NULL;
}

/* The font's face, opened; NULL if it can't be or has no outlines. */
static FT_Face open_face(const struct font *font, struct faces *faces, int at) {
    FcChar8 *file;
    int index = 0;
    const FcPattern *pattern = faces->set->fonts[at];
    FT_Face *face = &faces->opened[at];
    if (!*face && FcPatternGetString(pattern, FC_FILE, 0, &file) == FcResultMatch) {
        FcPatternGetInteger(pattern, FC_INDEX, 0, &index);
        if (FT_New_Face(font->library, (const char *)file, index, face) != 0)
            *face = NULL;
    }
    return *face && FT_IS_SCALABLE(*face) ? *face : NULL;
}

/* Loads a character's glyph, or that of a missing one; false if no font has even this. */
static bool load(const struct font *font, struct faces *faces, int32_t character, double size,
                 FT_Int32 flags, FT_GlyphSlot *slot) {
    for (int missing = 0; missing < 2; missing++) {
        for (int at = 0; at < faces->set->nfont; at++) {
            FcCharSet *has = NULL;
            FcPatternGetCharSet(faces->set->fonts[at], FC_CHARSET, 0, &has);
            if (!missing && !(has && FcCharSetHasChar(has, (FcChar32)character)))
                continue;
            FT_Face face = open_face(font, faces, at);
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

static double measure(const struct font *font, struct faces *faces, const char *text, double size) {
    double width = 0;
    for (int32_t character; (character = text_next(&text));) {
        FT_GlyphSlot slot;
        if (load(font, faces, character, size, FT_LOAD_DEFAULT, &slot))
            width += advance(slot);
    }
    return width;
}

static void blend(struct bitmap *bitmap, int x, int y, int coverage, struct color color) {
    if (x < 0 || x >= bitmap->width || y < 0 || y >= bitmap->height)
        return;
    unsigned char *at = bitmap->rgb + 3 * ((size_t)y * (size_t)bitmap->width + (size_t)x);
    const int to[] = {color.red, color.green, color.blue};
    for (int i = 0; i < 3; i++)
        at[i] = (unsigned char)((at[i] * (255 - coverage) + to[i] * coverage + 127) / 255);
}

/* A glyph whose origin lies `along` the baseline, counted from the pixel at x, y. */
static void draw_glyph(struct bitmap *bitmap, FT_GlyphSlot slot, int x, int y, int along,
                       const struct canvas_text *style) {
    const FT_Bitmap *glyph = &slot->bitmap;
    if (glyph->pixel_mode != FT_PIXEL_MODE_GRAY)
        return;
    for (int row = 0; row < (int)glyph->rows; row++) {
        for (int column = 0; column < (int)glyph->width; column++) {
            int right = along + slot->bitmap_left + column, down = row - slot->bitmap_top;
            int coverage = glyph->buffer[row * glyph->pitch + column];
            if (style->upward)
                blend(bitmap, x + down, y - 1 - right, coverage, style->color);
            else
                blend(bitmap, x + right, y + down, coverage, style->color);
        }
    }
}

void font_draw(struct font *font, struct bitmap *bitmap, const char *text,
               const struct canvas_text *style) {
    struct faces *faces = &font->faces[style->bold];
    double along = 0;
    if (style->anchor != CANVAS_START) {
        double width = measure(font, faces, text, style->size);
        along = style->anchor == CANVAS_END ? -width : -width / 2;
    }
    int x = (int)lround(style->x), y = (int)lround(style->y);
    for (int32_t character; (character = text_next(&text));) {
        FT_GlyphSlot slot;
        if (load(font, faces, character, style->size, FT_LOAD_RENDER, &slot)) {
            draw_glyph(bitmap, slot, x, y, (int)lround(along), style);
            along += advance(slot);
        }
    }
}

struct font *font_open(char error[FONT_ERROR_SIZE]) {
    struct font *font = calloc(1, sizeof *font);
    if (!font) {
        snprintf(error, FONT_ERROR_SIZE, "out of memory");
        return NULL;
    }
    if (FT_Init_FreeType(&font->library) != 0) {
        snprintf(error, FONT_ERROR_SIZE, "FreeType does not start");
        font->library = NULL;
        font_close(font);
        return NULL;
    }
    font->config = FcInitLoadConfigAndFonts();
    if (!font->config || !find_fonts(&font->faces[0], font->config, FC_WEIGHT_REGULAR) ||
        !find_fonts(&font->faces[1], font->config, FC_WEIGHT_BOLD)) {
        snprintf(error, FONT_ERROR_SIZE, "found no font, expected one that fontconfig knows");
        font_close(font);
        return NULL;
    }
    return font;
}

void font_close(struct font *font) {
    for (int i = 0; i < 2; i++) {
        struct faces *faces = &font->faces[i];
        for (int at = 0; faces->opened && at < faces->set->nfont; at++)
            if (faces->opened[at])
                FT_Done_Face(faces->opened[at]);
        free(faces->opened);
        if (faces->set)
            FcFontSetDestroy(faces->set);
    }
    if (font->config)
        FcConfigDestroy(font->config);
    FcFini();
    if (font->library)
        FT_Done_FreeType(font->library);
    free(font);
}
