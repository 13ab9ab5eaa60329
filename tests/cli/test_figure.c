/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of heads in SVG and PNG: their cells have the colours of the weights. */
#include "tests/support/heads_views.h"

#include "cli/attend/figure.h"
#include "cli/attend/png_file.h"
#include "cli/attend/svg.h"

#ifdef HAVE_PNG
#    include <png.h>
#endif

static struct color color_of(const struct figure *figure, int panel, int row, int column) {
    const int count = figure->queries.count;
    return color_ramp(
        (double)(figure->weights[(panel * count + row) * count + column] / figure->brightest));
}

/* The weights of a figure are those that are looked at, or their sums over keys and means over
 * queries, computed here in another order. */
static void expect_weights(const struct figure *figure, const struct heads_view *view) {
    const int tokens = view->sentence->token_count, count = figure->queries.count;
    const int size = figure->queries.start[1];
    float most = 0;
    int wrong = 0;
    for (int i = 0; i < figure->panels * count * count; i++) {
        const int panel = i / count / count, row = i / count % count * size,
                  column = i % count * size;
        double sum = 0;
        int rows = 0;
        for (int q = row; q < row + size && q < tokens; q++, rows++)
            for (int k = column; k < column + size && k < tokens; k++)
                sum += (double)view->weights[((size_t)panel * tokens + q) * tokens + k];
        wrong += fabs((double)figure->weights[i] - sum / rows) > 1e-6;
        most = fmaxf(most, figure->weights[i]);
    }
    cr_expect(wrong == 0 && most == figure->brightest, "%d weights", wrong);
}

/* Tags are nested and closed, attributes are quoted, and nothing is in the text that XML forbids.
 */
static void expect_well_formed(const char *xml) {
    char open[32][32];
    int depth = 0, elements = 0;
    cr_assert(strncmp(xml, "<?xml ", 6) == 0);
    for (const char *at = strstr(xml, "?>") + 2; *at;) {
        if (*at != '<') {
            const char *before = at;
            const int32_t character = text_next(&at);
            const bool entity = strncmp(before, "&lt;", 4) == 0 ||
                                strncmp(before, "&gt;", 4) == 0 || strncmp(before, "&amp;", 5) == 0;
            if ((character != (unsigned char)*before && *before > 0 && *before != '\n') ||
                (*before == '&' && !entity) || *before == '>' || (depth == 0 && *before != '\n'))
                cr_assert_fail("text: %.20s", before);
            continue;
        }
        const bool closes = at[1] == '/';
        char name[32];
        at += 1 + closes;
        const size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        cr_assert(length > 0 && length < sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        at += length;
        if (closes) {
            cr_assert(depth > 0 && strcmp(open[--depth], name) == 0 && *at == '>');
            at++;
            continue;
        }
        while (*at == ' ') {
            at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzB-");
            cr_assert(at[0] == '=' && at[1] == '"');
            at += 2 + strcspn(at + 2, "\"<&");
            cr_assert_eq(*at++, '"');
        }
        if (*at == '/')
            at++;
        else
            strcpy(open[depth++], name);
        cr_assert(*at++ == '>' && depth < 32);
        elements++;
    }
    cr_expect(depth == 0 && elements > 10);
}

/* The number after some letter, which moves on behind it. sscanf would measure all the document. */
static int number_after(const char **at, char letter) {
    char *end;
    cr_assert_eq(**at, letter);
    const long number = strtol(*at + 1, &end, 10);
    cr_assert(end > *at + 1);
    *at = end;
    return (int)number;
}

/* Paints the paths of a panel's group: the first covers all, the others are runs of cells. */
static void paint(const char *group, int *cells, int count) {
    static const char start[] = "<path fill=\"#";
    for (const char *at = strchr(group, '\n') + 1; strncmp(at, start, strlen(start)) == 0; at++) {
        char *rest;
        const int color = (int)strtol(at + strlen(start), &rest, 16);
        cr_assert(strncmp(rest, "\" d=\"", 5) == 0);
        for (at = rest + 5; *at == 'M';) {
            const int column = number_after(&at, 'M'), row = number_after(&at, ' ');
            const int length = number_after(&at, 'h'), height = number_after(&at, 'v');
            cr_assert_eq(number_after(&at, 'h'), -length);
            cr_assert(*at++ == 'z' && column + length <= count && row + height <= count);
            for (int i = 0; i < length * height; i++)
                cells[(row + i / length) * count + column + i % length] = color;
        }
        cr_assert(strncmp(at, "\"/>\n", 4) == 0);
        at += 3;
    }
}

static void expect_svg(const struct figure *figure, const char *svg) {
    const int count = figure->queries.count;
    int *cells = calloc((size_t)count * (size_t)count, sizeof *cells);
    for (int panel = 0; panel < figure->panels; panel++) {
        char start[128];
        snprintf(start, sizeof start, "<g transform=\"translate(%d %d) scale(%d)\"",
                 figure->left + panel % figure->columns * figure->across,
                 figure->top + panel / figure->columns * figure->down, figure->side);
        const char *group = strstr(svg, start);
        cr_assert_not_null(group, "no panel %d", panel);
        int wrong = 0;
        paint(group, cells, count);
        for (int i = 0; i < count * count; i++) {
            const struct color color = color_of(figure, panel, i / count, i % count);
            wrong += cells[i] != (color.red << 16 | color.green << 8 | color.blue);
        }
        cr_assert_eq(wrong, 0, "panel %d: %d of %d cells", panel, wrong, count * count);
    }
    free(cells);
}

Test(figure, svg_is_xml_and_has_the_colors_of_the_weights) {
    for (int i = 0; i < SIZES * 2 - 1; i++) {
        struct made_view *made =
            make_view(i % 2, sizes[i / 2].tokens, sizes[i / 2].layers, sizes[i / 2].heads, 80);
        struct figure figure;
        char *svg;
        size_t size;
        cr_assert(figure_create(&figure, &made->view));
        FILE *out = open_memstream(&svg, &size);
        cr_assert(out && svg_write(out, &figure));
        fclose(out);
        cr_assert_eq(strlen(svg), size);
        expect_weights(&figure, &made->view);
        cr_expect_eq(figure.queries.start[1], sizes[i / 2].tokens == 170 ? 2 : 1); /* 2^21 cells */
        expect_well_formed(svg);
        expect_svg(&figure, svg);
        if (i % 2 && sizes[i / 2].tokens > 10 && figure.label_step == 1)
            cr_expect_not_null(strstr(svg, ">&lt;&amp;&gt;\"'</text>"));
        free(svg);
        figure_destroy(&figure);
        free_view(made);
    }
}

#ifdef HAVE_PNG
static bool has_color(const unsigned char *at, struct color color) {
    return at[0] == color.red && at[1] == color.green && at[2] == color.blue;
}

/* All pixels of every cell. */
static void expect_cells(const struct figure *figure, const unsigned char *rgb) {
    const int count = figure->queries.count, side = figure->side * PNG_FILE_SCALE;
    for (int i = 0; i < figure->panels * count * count; i++) {
        const int panel = i / count / count, row = i / count % count, column = i % count;
        const struct color color = color_of(figure, panel, row, column);
        const int y = figure->top + panel / figure->columns * figure->down + row * figure->side;
        const int x =
            figure->left + panel % figure->columns * figure->across + column * figure->side;
        const int first = PNG_FILE_SCALE * (y * PNG_FILE_SCALE * figure->width + x);
        int wrong = 0;
        for (int j = 0; j < side * side; j++)
            wrong += !has_color(
                rgb + 3 * (first + j / side * PNG_FILE_SCALE * figure->width + j % side), color);
        if (wrong)
            cr_assert_fail("panel %d, row %d, column %d: %d pixels", panel, row, column, wrong);
    }
}

/* Whether something is written in an area of the units, which is neither cells nor blank. */
static bool has_ink(const struct figure *figure, const unsigned char *rgb, int x, int y, int w,
                    int h) {
    const int width = figure->width * PNG_FILE_SCALE;
    int dark = 0;
    for (int row = y * PNG_FILE_SCALE; row < (y + h) * PNG_FILE_SCALE; row++)
        for (int column = x * PNG_FILE_SCALE; column < (x + w) * PNG_FILE_SCALE; column++)
            dark += rgb[3 * ((size_t)row * (size_t)width + (size_t)column)] < 128;
    return dark > 10;
}

Test(figure, png_has_the_colors_of_the_weights) {
    for (int i = 0; i < SIZES * 2 - 1; i++) {
        struct made_view *made =
            make_view(i % 2, sizes[i / 2].tokens, sizes[i / 2].layers, sizes[i / 2].heads, 80);
        struct figure figure;
        char *file, error[PNG_FILE_ERROR_SIZE] = "";
        size_t size;
        cr_assert(figure_create(&figure, &made->view));
        FILE *out = open_memstream(&file, &size);
        cr_assert(out && png_file_write(out, &figure, error), "%s", error);
        fclose(out);
        png_image image = {.version = PNG_IMAGE_VERSION};
        cr_assert(png_image_begin_read_from_memory(&image, file, size));
        cr_expect_eq((int)image.width, figure.width * PNG_FILE_SCALE);
        cr_expect_eq((int)image.height, figure.height * PNG_FILE_SCALE);
        image.format = PNG_FORMAT_RGB;
        unsigned char *rgb = malloc(PNG_IMAGE_SIZE(image));
        cr_assert(png_image_finish_read(&image, NULL, rgb, 0, NULL));
        expect_cells(&figure, rgb);
        cr_expect(has_color(rgb, (struct color){255, 255, 255}));
        cr_expect(has_ink(&figure, rgb, FIGURE_MARGIN, FIGURE_MARGIN, 100, FIGURE_TITLE_LINE));
        cr_expect(has_ink(&figure, rgb, FIGURE_MARGIN, figure.caption_top, 100, FIGURE_TEXT_LINE));
        cr_expect(!figure.label_step ||
                  has_ink(&figure, rgb, figure.left - 40, figure.top, 38, 8 + figure.side));
        free(rgb);
        free(file);
        figure_destroy(&figure);
        free_view(made);
    }
}
#endif
