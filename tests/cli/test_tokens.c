/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of several tokenizers, as a reader is shown them. */
#include <criterion/criterion.h>

#include <string.h>

#include "cli/base/tokens.h"
#include "cli/base/utf8.h"

/* Compares with lists that end with NULL. */
static void expect(const char *const *given, const char *const *shown, const char *const *names) {
    int count = 0;
    while (given[count])
        count++;
    struct tokens tokens;
    cr_assert(tokens_read(&tokens, given, count));
    cr_assert_eq(tokens.count, count);
    for (int i = 0; i < count; i++)
        cr_expect_str_eq(tokens.shown[i], shown[i]);
    cr_assert_eq(tokens.start[tokens.words], count);
    for (int i = 0; i < tokens.words; i++) {
        cr_assert_not_null(names[i], "%s", tokens.names[i]);
        cr_expect_str_eq(tokens.names[i], names[i]);
    }
    cr_expect_null(names[tokens.words]);
    tokens_free(&tokens);
}

#define LIST(...)                                                                                  \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

Test(tokens, word_pieces) {
    expect(LIST("[CLS]", "##a", "un", "##read", "##able", "?", "[SEP]"),
           LIST("[CLS]", "##a", "un", "##read", "##able", "?", "[SEP]"),
           LIST("[CLS]", "##a", "unreadable", "?", "[SEP]"));
    expect(LIST("##x", "[CLS]", "un", "##afford", "##able", "##", "[SEP]", "##y"),
           LIST("##x", "[CLS]", "un", "##afford", "##able", "##", "[SEP]", "##y"),
           LIST("##x", "[CLS]", "unaffordable", "##", "[SEP]", "##y"));
    expect(LIST("##", "a", "##b"), LIST("##", "a", "##b"), LIST("##", "ab"));
}

Test(tokens, letters_for_bytes) {
    expect(
        LIST("The",
             "\xc4\xa0"
             "animal",
             "\xc4\xa0un", "read", "able", ".", "\xc4\x8a\xc4\x8a", "\xc4\xa0\xc4\xa0", "##"),
        LIST("The",
             "\xe2\x90\xa3"
             "animal",
             "\xe2\x90\xa3un", "read", "able", ".", "\xe2\x90\x8a\xe2\x90\x8a",
             "\xe2\x90\xa3\xe2\x90\xa3", "##"),
        LIST("The", "animal", "unreadable", ".", "\xe2\x90\x8a\xe2\x90\x8a", "\xe2\x90\xa3", "##"));
    /* U+4F60 is the bytes E4 BD A0, here in two tokens; U+E9 is C3 A9. */
    expect(LIST("\xc4\xa0\xc3\xa4\xc2\xbd", "\xc5\x82", "\xc3\x83\xc2\xa9", "<|endoftext|>"),
           LIST("\xe2\x90\xa3<E4 BD>", "<A0>", "\xc3\xa9", "<|endoftext|>"),
           LIST("\xe4\xbd\xa0", "\xc3\xa9", "<|endoftext|>"));
}

Test(tokens, sentence_pieces) {
    expect(LIST("<s>", "\xe2\x96\x81The", "\xe2\x96\x81un", "read", "<0x0A>", "<0xE4>", "<0xBD>",
                "<0xA0>", "\xe2\x96\x81", "</s>"),
           LIST("<s>", "\xe2\x90\xa3The", "\xe2\x90\xa3un", "read", "\xe2\x90\x8a", "<E4>", "<BD>",
                "<A0>", "\xe2\x90\xa3", "</s>"),
           LIST("<s>", "The", "unread", "\xe2\x90\x8a", "\xe4\xbd\xa0", "\xe2\x90\xa3", "</s>"));
}

Test(tokens, plain_text) {
    expect(LIST("The", " ani", "mal", "\n", "", "a b", "\xff\xfe|\x7f"),
           LIST("The",
                "\xe2\x90\xa3"
                "ani",
                "mal", "\xe2\x90\x8a", "\xe2\x88\x85", "a b", "<FF FE>|\xe2\x90\xa1"),
           LIST("The", "animal", "\xe2\x90\x8a", "\xe2\x88\x85", "a b", "<FF FE>|\xe2\x90\xa1"));
    /* Without spaces at tokens' starts every token is a word. */
    expect(LIST("un", "read"), LIST("un", "read"), LIST("un", "read"));
    /* A letter of GPT-2's table in a text that isn't of it. */
    expect(LIST("\xc4\xa0", "\xe4\xbd\xa0"), LIST("\xc4\xa0", "\xe4\xbd\xa0"),
           LIST("\xc4\xa0", "\xe4\xbd\xa0"));
    struct tokens none;
    cr_assert(tokens_read(&none, NULL, 0));
    cr_expect_eq(none.words, 0);
    tokens_free(&none);
}

/* Scripts without spaces aren't one word, but bytes of a character are. */
Test(tokens, ideographs) {
    expect(LIST(" \xe4\xbd\xa0", "\xe5\xa5\xbd", "\xe5\xa5", "\xbd"),
           LIST("\xe2\x90\xa3\xe4\xbd\xa0", "\xe5\xa5\xbd", "<E5 A5>", "<BD>"),
           LIST("\xe4\xbd\xa0", "\xe5\xa5\xbd", "\xe5\xa5\xbd"));
}

/* All bytes by the letters of GPT-2's table: each character comes back, and none of them twice. */
Test(tokens, every_byte_has_a_letter) {
    char letters[256][8], *given[257];
    int count = 0;
    for (uint32_t letter = '!'; letter < 0x144; letter++) {
        const bool in = letter < 0x7f || (letter > 0xa0 && letter != 0xad);
        if (!in)
            continue;
        letters[count][utf8_write(letter, letters[count])] = 0;
        given[count] = letters[count];
        count++;
    }
    cr_assert_eq(count, 256);
    struct tokens tokens;
    cr_assert(tokens_read(&tokens, (const char *const *)given, count));
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(tokens.shown[i], tokens.shown[j], "%d %d", i, j);
    cr_expect_str_eq(tokens.shown[0], "!");
    cr_expect_str_eq(tokens.shown[94 + 93], "<FF>");         /* U+FF */
    cr_expect_str_eq(tokens.shown[94 + 94], "\xe2\x90\x80"); /* U+100 is the byte 0 */
    cr_expect_str_eq(tokens.shown[255], "<AD>");             /* U+143 */
    tokens_free(&tokens);
}

Test(tokens, utf8_is_read_strictly) {
    static const struct {
        const char *text;
        size_t left, size;
        uint32_t character;
    } cases[] = {
        {"a", 1, 1, 'a'},
        {"\xc3\xa9", 2, 2, 0xe9},
        {"\xc3\xa9", 1, 0, 0},
        {"\xc0\xaf", 2, 0, 0},
        {"\xf0\x9f\x98\x80", 4, 4, 0x1f600},
        {"\xed\xa0\x80", 3, 0, 0},
        {"\xf4\x90\x80\x80", 4, 0, 0},
        {"", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t character;
        cr_expect_eq(utf8_read(cases[i].text, cases[i].left, &character), cases[i].size, "%zu", i);
        if (cases[i].size) {
            char text[4];
            cr_expect_eq(character, cases[i].character);
            cr_expect_eq(utf8_write(character, text), cases[i].size);
            cr_expect_eq(memcmp(text, cases[i].text, cases[i].size), 0);
        }
    }
}
