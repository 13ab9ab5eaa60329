/* SPDX-License-Identifier: Apache-2.0 */
/* What rapt attend prints of heads: it fits the terminal, and says what shares a cell. */
#include "tests/support/heads_views.h"

#include "cli/attend/print_heads.h"

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

Test(print_heads, fit_every_terminal) {
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

Test(print_heads, say_what_shares_a_cell) {
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
