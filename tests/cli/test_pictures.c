/* SPDX-License-Identifier: Apache-2.0 */
/* rapt attend --png and --svg: files that are there complete or not at all. */
#include "tests/support/command.h"

#include <sys/resource.h>

TestSuite(pictures, .init = enter, .fini = leave, .timeout = 600);

/* A build may be without PNG. */
static bool have_png(void) {
    if (rapt("attend --png probe.png") == 0) {
        cr_assert(remove("probe.png") == 0);
        return true;
    }
    cr_expect(strstr(err_text, "--png: this build has no PNG"), "%s", err_text);
    return false;
}

static void expect_picture(const char *path, const char *start, const char *end) {
    char content[TEXT_SIZE * 16];
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s: %s", path, strerror(errno));
    const size_t size = fread(content, 1, sizeof content, file), length = strlen(end);
    fclose(file);
    cr_expect(size > 1000 && memcmp(content, start, strlen(start)) == 0, "%s", path);
    cr_expect(memcmp(content + size - length, end, length) == 0, "%s is cut", path);
    cr_expect(remove(path) == 0);
}

#define EXPECT_SVG(path) expect_picture(path, "<?xml ", "</svg>\n")
#define EXPECT_PNG(path) expect_picture(path, "\x89PNG\r\n\x1a\n", "IEND\xae\x42\x60\x82")

Test(pictures, are_written_for_every_range) {
    static const char *const ranges[] = {"", "--head all", "--layer all", "--layer all --head all",
                                         "--sentence 3 --merge-words"};
    const bool png = have_png();
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char line[128];
        const int files = count_files();
        snprintf(line, sizeof line, "attend --svg a.svg %s %s", png ? "--png a.png" : "",
                 ranges[i]);
        cr_expect(rapt(line) == 0 && !*err_text && strstr(out_text, "a.svg: "), "%s: %s", line,
                  err_text);
        EXPECT_SVG("a.svg");
        if (png)
            EXPECT_PNG("a.png");
        cr_expect(count_files() == files);
    }
}

Test(pictures, have_the_tokens_and_whole_words) {
    cr_assert(rapt("attend --sentence 3 --svg -") == 0);
    cr_expect(strstr(out_text, ">##dable</text>") && !strstr(out_text, "unreadable</text>"));
    cr_expect(strstr(out_text, ">weight</text>") && strstr(out_text, ">query</text>"));
    cr_expect(strstr(out_text, ">all-MiniLM-L6-v2, layer 3 of 0-5, head 1 of 0-11</text>"));
    cr_assert(rapt("attend --sentence 3 --svg - --merge-words") == 0);
    cr_expect(strstr(out_text, ">unreadable</text>") && !strstr(out_text, "##"));
}

/* The same bytes, whatever computed them. */
Test(pictures, are_the_same_on_every_instruction_set) {
    static char first[TEXT_SIZE];
    cr_assert(rapt("attend --svg - --isa scalar") == 0);
    strcpy(first, out_text);
    cr_assert(rapt("attend --svg - --threads 2") == 0);
    cr_expect_str_eq(first, out_text);
}

Test(pictures, that_cant_be_written_are_told_and_not_there) {
    const bool png = have_png();
    expect_fault("attend --svg none/a.svg", "rapt attend: --svg: none/a.svg: No such file");
    expect_fault("attend --svg .", "--svg: .: is a directory, expected a file to write");
    expect_fault("attend --svg /dev/full", "--svg: /dev/full: is no regular file");
    expect_fault("attend --svg", "--svg");
    expect_fault("attend --svg a.svg --html a.html", "--html: found also --svg, expected one");
    expect_fault("attend --merge-words --html a.html", "--html: found also --merge-words");
    if (png) {
        expect_fault("attend --png none/a.png", "--png: none/a.png: No such file");
        expect_fault("attend --png a --svg a", "--svg: a: is also --png, expected another file");
        expect_fault("attend --png - --svg -", "--svg: -: is also --png, expected another file");
        expect_fault("attend --png a.png --svg none/a.svg", "--svg: none/a.svg: No such file");
    }
    const struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY}, limit = {4096, RLIM_INFINITY};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect_fault("attend --svg a.svg", "--svg: a.svg: File too large");
    if (png)
        expect_fault("attend --png a.png", "--png: a.png: File too large");
    cr_assert(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

Test(pictures, meet_a_full_disk_and_a_closed_pipe) {
    char name[] = "rapt", attend[] = "attend", png[] = "--png", svg[] = "--svg", to[] = "-";
    char *words[] = {name, attend, svg, to, NULL};
    for (int i = 0; i < 1 + have_png(); i++) {
        words[2] = i ? png : svg;
        const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        cr_assert(full >= 0);
        cr_expect(spawn_rapt(words, full) == 2);
        cr_expect(strstr(err_text, "standard output: No space left on device\n"), "%s", err_text);
        cr_expect(strchr(err_text, '\n') == err_text + strlen(err_text) - 1, "%s", err_text);
        close(full);

        int ends[2];
        cr_assert(pipe(ends) == 0);
        close(ends[0]);
        cr_expect(spawn_rapt(words, ends[1]) == 0);
        cr_expect_str_empty(err_text);
        close(ends[1]);
    }
}
