/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt attend --qkv`: queries and keys of the user's, as text, page and picture. */
#include "tests/support/command.h"

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    fputs(text, file);
    cr_assert(fclose(file) == 0);
}

/* One head of one channel, whose weights are 1/2 and 1/2, 1/4 and 3/4. */
static void write_folder(void) {
    static const float query[] = {0, 1.0986123F}, key[] = {0, 1};
    cr_assert(mkdir("own", 0700) == 0);
    save("own/q.npy", "<f4", "(1, 2, 1)", false, query, sizeof query);
    save("own/k.npy", "<f4", "(1, 2, 1)", false, key, sizeof key);
    write_text("own/tokens.txt", "The\n\xc4\xa0"
                                 "cat\n");
}

/* Removes the folder, too. */
static void leave_own(void) {
    DIR *folder = opendir("own");
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    cr_expect_eq(rmdir("own"), 0);
    leave();
}

static char *read_page(const char *path) {
    static char page[1 << 18];
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    page[fread(page, 1, sizeof page - 1, file)] = 0;
    fclose(file);
    return page;
}

Test(qkv, a_head_as_text, .init = enter, .fini = leave_own) {
    write_folder();
    cr_assert_eq(rapt("attend --qkv own --no-color"), 0, "%s", err_text);
    cr_expect_not_null(strstr(out_text, "own, layer 0 of 0-0, head 0 of 0-0\nThe cat\n"));
    cr_expect_not_null(strstr(out_text, "The **** 0.69 100% The  0.50\n"), "%s", out_text);
    cr_expect_not_null(strstr(out_text, "\xe2\x90\xa3"
                                        "cat --@@ 0.56  81% \xe2\x90\xa3"
                                        "cat 0.75\n"));
    cr_expect_not_null(strstr(out_text, "\"The\" attends to \"\xe2\x90\xa3"
                                        "cat\" with weight 0.50."));
    cr_assert_eq(rapt("attend --qkv own --no-color --causal"), 0, "%s", err_text);
    cr_expect_not_null(strstr(out_text, "The @@   0.00   0% The  1.00\n"), "%s", out_text);
    cr_assert_eq(rapt("attend --qkv own/ --no-color --scale 2"), 0, "%s", err_text);
    cr_expect_not_null(strstr(out_text, "cat 0.90\n"), "%s", out_text); /* 9 to 1 */
    /* Both tokens are one word, once the second has no space before it. */
    write_text("own/tokens.txt", "\xc4\xa0un\nread");
    cr_assert_eq(rapt("attend --qkv own --no-color --merge-words"), 0, "%s", err_text);
    cr_expect_not_null(strstr(out_text, "unread @@ 0.00   0% unread 1.00\n"), "%s", out_text);
}

/* Keys with fewer heads, in half precision and Fortran order, of another text. */
Test(qkv, heads_of_two_texts, .init = enter, .fini = leave_own) {
    float query[2 * 4 * 2 * 2];
    for (int i = 0; i < 32; i++)
        query[i] = i % 2 ? 0 : (float)(i / 4 % 4); /* channel 0 is the head */
    /* Key 1 of head 1 is ln 3 in channel 0, all others are 0: Fortran order has layers first. */
    uint16_t key[2 * 2 * 3 * 2] = {0};
    key[(0 * 3 + 1) * 4 + 1 * 2 + 0] = key[(0 * 3 + 1) * 4 + 1 * 2 + 1] = 0x3c65;
    cr_assert(mkdir("own", 0700) == 0);
    save("own/q.npy", "<f4", "(2, 4, 2, 2)", false, query, sizeof query);
    save("own/k.npy", "<f2", "(2, 2, 3, 2)", true, key, sizeof key);
    write_text("own/tokens.txt", "le\nchat\n");
    write_text("own/key_tokens.txt", "the\nold\ncat\n");
    cr_assert_eq(rapt("attend --qkv own --no-color --scale 1"), 0, "%s", err_text);
    cr_expect_not_null(strstr(out_text, "own, layers 0-1, heads 0-3\nle chat \xe2\x86\x92 the old "
                                        "cat\n"));
    /* Heads 2 and 3 see 1 : 9 : 1 and 1 : 27 : 1. */
    cr_expect_not_null(strstr(out_text, "layer 1  100  100   55   27 "), "%s", out_text);
    cr_assert_eq(rapt("attend --qkv own --no-color --layer 1 --head 2 --scale 1"), 0);
    cr_expect_not_null(strstr(out_text, "chat ..@@.. 0.60  55% old 0.82\n"), "%s", out_text);
    cr_expect_not_null(strstr(out_text, "\"le\" attends to \"old\" with weight 0.82."));
    cr_assert_eq(rapt("attend --qkv own --no-color --layer 1"), 0);
    cr_expect_not_null(strstr(out_text, "\nle chat\nThe keys:\nthe old cat\n"), "%s", out_text);
    cr_assert_eq(rapt("attend --qkv own --html page.html"), 0, "%s", err_text);
    cr_expect_str_eq(out_text, "page.html: 2 layers, 4 heads, 1 sentence\n");
    const char *page = read_page("page.html");
    cr_expect_not_null(strstr(page, "\"own\":false,\"offset\":0,\"counts\":[2,3],"));
    cr_expect_not_null(strstr(page, "\"tokens\":[\"the\",\"old\",\"cat\"]"));
    cr_expect_not_null(strstr(page, "\"views\":[\"raw\"]"));
    cr_assert_eq(rapt("attend --qkv own --layer 1 --head 2 --svg one.svg"), 0, "%s", err_text);
    page = read_page("one.svg");
    cr_expect_not_null(strstr(page, ">chat</text>"), "%s", page);
    cr_expect_not_null(strstr(page, ">old</text>"), "%s", page);
}

Test(qkv, a_page_of_one_view, .init = enter, .fini = leave_own) {
    write_folder();
    cr_assert_eq(rapt("attend --qkv own --causal --html page.html"), 0, "%s", err_text);
    const char *page = read_page("page.html");
    cr_expect_not_null(strstr(page, "\"sight\":{\"causal\":true,\"left\":-1,\"right\":-1}"));
    cr_expect_not_null(strstr(page, "\"words\":[[0,\"The\"],[1,\"cat\"]]"));
    cr_expect_null(strstr(page, "id=\"causal-0-0-0\""));
    write_text("own/tokens.txt", "a\\nb\\t\\\\\\x\n\n");
    cr_assert_eq(rapt("attend --qkv own --html page.html"), 0, "%s", err_text);
    page = read_page("page.html");
    cr_expect_not_null(strstr(page, "\"tokens\":[\"a\xe2\x90\x8a"
                                    "b\xe2\x90\x89\\u005c\\u005cx\",\"\xe2\x88\x85\"]"));
}

Test(qkv, what_is_wrong_with_a_folder, .init = enter, .fini = leave_own) {
    static const float numbers[12] = {0};
    write_folder();
    expect_fault("attend --qkv none",
                 "rapt attend: --qkv: none/q.npy: No such file or directory\n");
    expect_fault("attend --qkv own --explain", "--qkv: found also --explain");
    expect_fault("attend --qkv own --sentence 2", "--sentence");
    expect_fault("attend --scale 2", "rapt attend: --scale: found no --qkv, expected it, too\n");
    expect_fault("attend --qkv own text", "--qkv: found also TEXT");
    expect_fault("attend --qkv own --head 1", "--head: found \"1\", expected 0 to 0 or \"all\"");
    expect_fault("attend --qkv own --html own/q.npy", "own/q.npy");
    write_text("own/tokens.txt", "a\nb\nc\n");
    expect_fault("attend --qkv own", "rapt attend: --qkv: own/tokens.txt: found 3 tokens, "
                                     "expected 2, one for each query\n");
    write_text("own/tokens.txt", "a\nb");
    write_text("own/key_tokens.txt", "a\n");
    expect_fault("attend --qkv own", "own/key_tokens.txt: found 1 tokens, expected 2, one for");
    remove("own/key_tokens.txt");
    save("own/k.npy", "<f4", "(1, 3, 1)", false, numbers, 12);
    expect_fault("attend --qkv own", "own: found 2 queries and 3 keys, expected as many, or "
                                     "key_tokens.txt\n");
    save("own/k.npy", "<f4", "(3, 2, 1)", false, numbers, 24);
    expect_fault("attend --qkv own", "own: found queries (1, 1, 2, 1) and keys (1, 3, 2, 1), "
                                     "expected as many layers and channels, and heads of queries "
                                     "that heads of keys divide\n");
    save("own/k.npy", "<f4", "(2, 1)", false, numbers, 8);
    expect_fault("attend --qkv own", "own/k.npy: shape (2, 1), expected (layers, heads, ");
    save("own/k.npy", "<f4", "(0, 2, 1)", false, numbers, 0);
    expect_fault("attend --qkv own", "own/k.npy: shape (0, 2, 1), expected");
    save("own/k.npy", "<i8", "(1, 2, 1)", false, numbers, 16);
    expect_fault("attend --qkv own", "own/k.npy: ");
    save("own/k.npy", "<f4", "(1, 2, 1)", false, numbers, 7);
    expect_fault("attend --qkv own", "own/k.npy: ");
    save("own/k.npy", "<f4", "(1, 2, 1)", false, (const float[]){NAN, 0}, 8);
    expect_fault("attend --qkv own --html a.html",
                 "rapt attend: layer 0, head 0, query 0: found nan for key 0, expected a weight of "
                 "0 to 1\n");
    remove("own/tokens.txt");
    expect_fault("attend --qkv own", "own/tokens.txt: No such file or directory");
}
