/* SPDX-License-Identifier: Apache-2.0 */
/* Plots and bars in the terminal. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/plot.h"

static const struct plot_style plain = {COLOR_NONE, true, 20};

/* What is drawn into memory, to be freed. */
static char *draw(const struct plot *plot, const struct plot_style *style) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_not_null(out);
    plot_print(out, plot, style);
    fclose(out);
    return text;
}

Test(plot, plain_plot_is_exactly_this) {
    const double x[] = {1, 10, 100}, up[] = {0, 5.5, 11}, down[] = {11, NAN, 2};
    const struct plot plot = {x, 3, {{"up", up}, {"down", down}}, 2, {"x", true}, {"y", false}};
    char *text = draw(&plot, &plain);
    cr_expect_str_eq(text, "      11 |o        *\n"
                           "         |        *\n"
                           "         |       *\n"
                           "         |       *\n"
                           "         |      *\n"
                           "         |     *\n"
                           "       5 |    *\n"
                           "         |   *\n"
                           "         |   *\n"
                           "         |  *      o\n"
                           "         | *\n"
                           "       0 |*\n"
                           "         +----------\n"
                           "          1   10 100\n"
                           "          * up   o down\n"
                           "          across: x (log); up: y\n");
    free(text);
}

Test(plot, odd_points_are_drawn_or_left_out) {
    const double x[] = {1, 2}, zero[] = {0, 0}, nothing[] = {NAN, -INFINITY};
    const struct plot cases[] = {
        {x, 2, {{"zero", zero}}, 1, {"x", false}, {"y", true}},
        {x, 2, {{"nothing", nothing}}, 1, {"x", false}, {"y", false}},
        {x, 1, {{"one", x}}, 1, {"x", true}, {"y", true}},
        {x, 0, {{"none", x}}, 1, {"x", true}, {"y", true}},
    };
    for (int i = 0; i < 4; i++) {
        char *text = draw(&cases[i], &plain);
        int marks = 0;
        for (const char *at = text; *at; at++)
            marks += *at == '*';
        cr_expect_eq(marks, i == 2 ? 2 : 1, "case %d:\n%s", i, text);
        free(text);
    }
}

Test(plot, braille_needs_unicode_and_colours) {
    const double x[] = {0, 1};
    const struct plot plot = {x, 2, {{"line", x}}, 1, {"x", false}, {"y", false}};
    const struct plot_style styles[] = {{COLOR_TRUE, true, 20}, {COLOR_TRUE, false, 20}, plain};
    for (int i = 0; i < 3; i++) {
        char *text = draw(&plot, &styles[i]);
        cr_expect_eq(strstr(text, "\xe2\xa1") || strstr(text, "\xe2\xa2"), i == 0);
        cr_expect_eq(strchr(text, '\033') != NULL, i < 2);
        free(text);
    }
}

Test(plot, bars_are_as_long_as_their_share) {
    static const struct {
        double share;
        const char *plain, *blocks;
    } cases[] = {
        {0, "", ""},
        {0.5, "#####", "\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88"},
        {0.1125, "#", "\xe2\x96\x88\xe2\x96\x8f"},
        {2, "##########", NULL},
        {-1, "", ""},
        {NAN, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int colored = 0; colored < 2; colored++) {
            char *text = NULL;
            size_t size;
            FILE *out = open_memstream(&text, &size);
            const struct plot_style style = {colored ? COLOR_256 : COLOR_NONE, true, 80};
            plot_bar(out, cases[i].share, 10, &style);
            fclose(out);
            if (!colored)
                cr_expect_str_eq(text, cases[i].plain);
            else if (cases[i].blocks)
                cr_expect_not_null(strstr(text, cases[i].blocks), "%s", text);
            free(text);
        }
    }
}
