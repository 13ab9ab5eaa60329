/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of heads: views that fit the terminal, and files whose cells have the colours of
 * the weights. */
#include "tests/support/heads_views.h"

#include "cli/attend/figure.h"
#include "cli/attend/png_file.h"
#include "cli/attend/svg.h"
#include "cli/attend/words.h"

#ifdef HAVE_PNG
#    include <png.h>
#endif

static const struct {
    int tokens, layers, heads;
} sizes[] = {{1, 1, 1}, {2, 1, 1},  {24, 1, 1},  {64, 1, 1}, {130, 1, 1}, {9, 1, 12},
             {9, 5, 1}, {65, 1, 2}, {100, 2, 1}, {5, 3, 24}, {300, 1, 1}, {170, 6, 13}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static char *printed(const struct heads_view *view) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cr_assert(out && print_heads(out, view));
    fclose(out);
    return text;
}

/* The width of a line, in which escape sequences take none; it may hold no other control. */
static int columns_of(const char *line, size_t length) {
    char rest[4096];
    size_t used = 0;
    cr_assert_lt(length, sizeof rest);
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\033') {
            i += 2 + strspn(line + i + 2, "0123456789;");
            cr_assert(i < length && line[i] == 'm');
        } else {
            cr_assert((unsigned char)line[i] >= ' ', "a control character is printed");
            rest[used++] = line[i];
        }
    }
    rest[used] = 0;
    cr_assert_null(strstr(rest, "\xe2\x80\xae"));
    return text_width(rest);
}

Test(figure, fit_every_terminal) {
    static const int widths[] = {40, 60, 80, 120};
    static const enum color_mode modes[] = {COLOR_NONE, COLOR_256, COLOR_TRUE};
    for (int i = 0; i < (SIZES - 1) * 4 * 2 * 3; i++) {
        struct made_view *made = make_view(i / 4 % 2, sizes[i / 24].tokens, sizes[i / 24].layers,
                                           sizes[i / 24].heads, widths[i % 4]);
        made->view.style.colors = modes[i / 8 % 3];
        char *text = printed(&made->view);
        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
            const int columns = columns_of(line, strcspn(line, "\n"));
            cr_assert_leq(columns, widths[i % 4], "%d columns, %d tokens: %.*s", columns,
                          sizes[i / 24].tokens, (int)strcspn(line, "\n"), line);
        }
        free(text);
        free_view(made);
    }
}

Test(figure, say_what_shares_a_cell) {
    struct made_view *made = make_view(false, 64, 1, 1, 80),
                     *long_one = make_view(false, 200, 1, 1, 80),
                     *two = make_view(false, 100, 1, 2, 60);
    char *fits = printed(&made->view), *shares = printed(&long_one->view),
         *grid = printed(&two->view);
    cr_expect_null(strstr(fits, "summed"));
    cr_expect_not_null(strstr(fits, "need a wider terminal"));
    cr_expect_not_null(strstr(shares, "A column is 3 keys, named by the first"));
    cr_expect_not_null(strstr(grid, "A cell is 2 queries by 2 keys"));
    free(fits);
    free(shares);
    free(grid);
    free_view(made);
    free_view(long_one);
    free_view(two);
}

Test(figure, of_words_have_rows_that_sum_to_1) {
    struct made_view *made = make_view(false, 24, 2, 3, 80);
    struct words words;
    cr_assert(words_merge(&words, &made->view));
    cr_expect_eq(made->view.sentence->token_count, 21); /* 3 pieces have joined */
    cr_expect_str_eq(made->view.sentence->tokens[2], "attentions");
    cr_expect_lt(attend_sum_deviation(made->view.weights, 2 * 3 * 21, 21), 1e-6);
    /* The fourth head, "the" to "attention ##s", and back. */
    const float *before = made->weights + 3 * 24 * 24, *after = words.weights + 3 * 21 * 21;
    cr_expect_float_eq(after[21 + 2], before[24 + 2] + before[24 + 3], 1e-7);
    cr_expect_float_eq(after[2 * 21 + 1], (before[2 * 24 + 1] + before[3 * 24 + 1]) / 2, 1e-7);
    words_free(&words);
    free_view(made);
}

static struct color color_of(const struct figure *figure, int panel, int row, int column) {
    const int count = figure->groups.count;
    return color_ramp(
        (double)(figure->weights[(panel * count + row) * count + column] / figure->brightest));
}

/* The weights of a figure are those that are looked at, or their sums over keys and means over
 * queries, computed here in another order. */
static void expect_weights(const struct figure *figure, const struct heads_view *view) {
    const int tokens = view->sentence->token_count, count = figure->groups.count;
    const int size = figure->groups.start[1];
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
    const int count = figure->groups.count;
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
        cr_expect_eq(figure.groups.start[1], sizes[i / 2].tokens == 170 ? 2 : 1); /* 2^21 cells */
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
    const int count = figure->groups.count, side = figure->side * PNG_FILE_SCALE;
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
