/* SPDX-License-Identifier: Apache-2.0 */
/* Where the commands that run a model write: never over the text or over the model. */
#include "tests/support/models.h"

static void enter_lines(void) {
    enter_model();
    put_text("lines", "the cat\na mat on the cat\n");
}

TestSuite(model_outputs, .init = enter_lines, .fini = leave_model, .timeout = 600);

static off_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : -1;
}

Test(model_outputs, are_not_the_text) {
    cr_assert(symlink("lines", "soft") == 0 && link("lines", "hard") == 0);
    static const char *const names[] = {"lines", "./lines", "soft", "hard"};
    for (int i = 0; i < 4; i++) {
        char line[128], message[128];
        snprintf(line, sizeof line, "embed lines --model tiny --npy %s", names[i]);
        snprintf(message, sizeof message,
                 "rapt embed: --npy: %s: is also the input, expected another file\n", names[i]);
        expect_fault(line, message);
        snprintf(line, sizeof line, "embed %s --model tiny --npy lines", names[i]);
        expect_fault(line, "rapt embed: --npy: lines: is also the input, expected another file\n");
    }
    cr_expect(size_of("lines") == 25);
}

Test(model_outputs, are_not_the_model) {
    static const char *const files[] = {"config.json", "vocab.txt", "model.safetensors"};
    cr_assert(link("tiny/model.safetensors", "weights") == 0 && symlink("tiny", "folder") == 0);
    for (int i = 0; i < 3; i++) {
        char line[128], path[64];
        snprintf(path, sizeof path, "tiny/%s", files[i]);
        const off_t size = size_of(path);
        const char *const lines[] = {"embed lines --model folder --npy",
                                     "attend cat --model tiny --svg",
                                     "attend cat --model folder --html"};
        for (int k = 0; k < 3; k++) {
            snprintf(line, sizeof line, "%s %s", lines[k], path);
            expect_fault(line, ": is also a file of the model, expected another file\n");
        }
        cr_expect(size_of(path) == size);
    }
    expect_fault("embed lines --model tiny --npy weights", "--npy: weights: is also a file of the");
    setenv("RAPT_MODEL", "tiny", 1);
    expect_fault("embed lines --npy weights", "--npy: weights: is also a file of the model");
    /* Folders below, which modules.json may name. */
    cr_assert(mkdir("tiny/a", 0700) == 0 && mkdir("tiny/a/b", 0700) == 0);
    cr_assert(mkdir("tiny/a/b/c", 0700) == 0);
    put_text("tiny/a/b/c/config.json", "{}");
    expect_fault("embed lines --npy tiny/a/b/c/config.json", "is also a file of the model");
    cr_assert(system("rm -r tiny/a") == 0);
    /* Another file in the folder may be replaced. */
    cr_expect(rapt("embed lines --npy tiny/E.npy") == 0, "%s", err_text);
    cr_expect(rapt("embed lines --npy tiny/E.npy") == 0, "%s", err_text);
    cr_expect(remove("tiny/E.npy") == 0);
}

Test(model_outputs, may_be_standard_output) {
    float found[2 * DIM], piped[2 * DIM];
    cr_assert(rapt("embed lines --model tiny --npy E.npy") == 0, "%s", err_text);
    load("E.npy", "(2, 24)", found, 2 * DIM);
    cr_assert(system("cat lines | \"$RAPT_COMMAND\" embed - --model tiny --npy - >E.npy") == 0);
    load("E.npy", "(2, 24)", piped, 2 * DIM);
    cr_expect(memcmp(found, piped, sizeof found) == 0);
}

Test(model_outputs, have_options_with_an_effect) {
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"embed lines --top 3", "--top: found no --similar, expected it, too\n"},
        {"embed lines --query cat", "--query: found no --similar, expected it, too\n"},
        {"embed lines --time 1 --npy E", "--time: found also --npy, expected one of the two\n"},
        {"embed lines --time 1 --json", "--time: found also --json, expected one of the two\n"},
        {"embed lines --time 1 --similar", "--time: found also --similar, expected one of the"},
        {"embed lines --npy E --similar", "--npy: found also --similar, expected one of the two"},
        {"embed lines --json --similar", "--json: found also --similar, expected one of the two"},
        {"attend cat sat --model tiny", "found \"sat\" after a text, expected no more texts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].line, cases[i].message);
    cr_expect(rapt("attend cat sat --model tiny --sentence 2") == 0, "%s", err_text);
}
