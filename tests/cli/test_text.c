/* SPDX-License-Identifier: Apache-2.0 */
/* Text that is shown: what is let through, its width, its lines. */
#include "tests/support/helpers.h"

#include "cli/base/text.h"

/* What text_next makes of a text, as UTF-32, with or without spaces. */
static int shown(const char *text, bool spaces, int32_t *out) {
    int count = 0;
    for (int32_t character; (character = text_next(&text));)
        if (spaces || character != ' ')
            out[count++] = character;
    return count;
}

Test(text, lets_through_what_can_be_shown) {
    static const struct {
        const char *text;
        int count;
        int32_t expected[6];
    } cases[] = {
        {"", 0, {0}},
        {"a\xc3\xa9", 2, {'a', 0xe9}},
        {"\xe6\x97\xa5\xf0\x9f\x98\x80", 2, {0x65e5, 0x1f600}},
        {"\t\n\r\f\v", 5, {' ', ' ', ' ', ' ', ' '}},
        {"\x1b[m\x7f", 4, {0xfffd, '[', 'm', 0xfffd}},
        {"\xc2\x9b", 1, {0xfffd}},                                 /* a control character */
        {"\xc0\xaf", 2, {0xfffd, 0xfffd}},                         /* '/' in two bytes */
        {"\xe0\x80\xaf", 3, {0xfffd, 0xfffd, 0xfffd}},             /* and in three */
        {"\xf0\x80\x80\xaf", 4, {0xfffd, 0xfffd, 0xfffd, 0xfffd}}, /* and in four */
        {"\xed\xa0\x80", 3, {0xfffd, 0xfffd, 0xfffd}},             /* a surrogate */
        {"\xf4\x90\x80\x80", 4, {0xfffd, 0xfffd, 0xfffd, 0xfffd}}, /* beyond U+10FFFF */
        {"\xef\xbf\xbe\xef\xbf\xbf", 2, {0xfffd, 0xfffd}},         /* U+FFFE, U+FFFF */
        {"\xe6\x97", 2, {0xfffd, 0xfffd}},                         /* ends too early */
        {"\xe6z\xff", 3, {0xfffd, 'z', 0xfffd}},
        {"a\xe2\x80\xae\xe2\x80\x8f\xef\xbb\xbf"
         "b",
         2,
         {'a', 'b'}}, /* turns the direction */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t found[16];
        cr_expect_eq(shown(cases[i].text, true, found), cases[i].count, "case %zu", i);
        for (int j = 0; j < cases[i].count; j++)
            cr_expect_eq(found[j], cases[i].expected[j], "case %zu: %x", i, (unsigned)found[j]);
    }
}

Test(text, prints_what_it_lets_through_as_utf8) {
    char *printed;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    cr_assert_not_null(out);
    text_print(out, "z\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\x1b!", 100);
    text_print(out, "abc", 2);
    fclose(out);
    cr_expect_str_eq(printed, "z\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\xef\xbf\xbd!ab");
    free(printed);
}

Test(text, knows_how_wide_it_is) {
    cr_expect_eq(text_width("abc\x1b"), 4);
    cr_expect_eq(text_fit("abc", 2), 2);
    cr_expect_eq(text_fit("abc", 9), 3);
#ifdef HAVE_UTF8PROC
    cr_expect_eq(text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
    cr_expect_eq(text_width("e\xcc\x81"), 1);
    cr_expect_eq(text_fit("\xe6\x97\xa5\xe6\x9c\xac", 3), 3);
    cr_expect_eq(text_fit("e\xcc\x81z", 1), 3);
#endif
}

static const char *line_of(const char **text, int width) {
    static char copy[4096];
    const char *line;
    size_t length;
    if (!text_line(text, width, &line, &length))
        return NULL;
    memcpy(copy, line, length);
    copy[length] = 0;
    return copy;
}

Test(text, is_broken_at_spaces_or_within_long_words) {
    const char *text = " the quick\nbrown  extraordinary x ";
    cr_expect_str_eq(line_of(&text, 9), "the quick");
    cr_expect_str_eq(line_of(&text, 9), "brown");
    cr_expect_str_eq(line_of(&text, 9), "extraordi");
    cr_expect_str_eq(line_of(&text, 9), "nary x");
    cr_expect_null(line_of(&text, 9));
}

/* Whatever the bytes are, lines are never wider than asked and lose nothing but blanks. */
Test(text, of_random_bytes_is_broken_without_loss) {
    static const char *const pieces[] = {" ",         "a",        "\n",   "\xe6\x97\xa5",
                                         "e\xcc\x81", "\xe2\x80", "\xff", "\xe2\x80\x8d",
                                         "##",        "word"};
    uint64_t state = 1;
    for (int round = 0; round < 3000; round++) {
        char text[256] = "";
        for (unsigned i = next_random(&state) % 40; i > 0; i--)
            strcat(text, pieces[next_random(&state) % 10]);
        int32_t whole[256], part[256];
        int count = shown(text, false, whole), used = 0,
            width = 2 + (int)(next_random(&state) % 20);
        const char *at = text;
        for (const char *line; (line = line_of(&at, width));) {
            cr_assert_leq(text_width(line), width);
            int more = shown(line, false, part);
            cr_assert(used + more <= count);
            cr_assert_eq(memcmp(part, whole + used, (size_t)more * sizeof *part), 0);
            used += more;
        }
        cr_assert_eq(used, count);
    }
}
