/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt attend`: the embedded samples, what is read off weights, the drawing, the command. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/attend/heatmap.h"
#include "cli/base/row.h"
#include "cli/sentences/attend.h"
#include "cli/sentences/samples.h"

enum { OUTPUT_SIZE = 1 << 17 };

static struct samples embedded(void) {
    struct samples samples;
    char error[SAMPLES_ERROR_SIZE];
    cr_assert(samples_parse(&samples, samples_data, samples_data_size, error), "%s", error);
    return samples;
}

/* Parses a copy of exactly that size, so that a sanitizer sees every read beyond it. */
static bool parses(const void *blob, size_t size, char error[SAMPLES_ERROR_SIZE]) {
    void *copy = malloc(size + !size);
    cr_assert_not_null(copy);
    memcpy(copy, blob, size);
    struct samples samples;
    bool good = samples_parse(&samples, copy, size, error);
    cr_expect_eq(good, error[0] == 0);
    if (good)
        samples_free(&samples);
    cr_expect_null(samples.sentences);
    free(copy);
    return good;
}

Test(attend, embedded_samples_parse) {
    struct samples samples = embedded();
    cr_expect_str_eq(samples.model, "all-MiniLM-L6-v2");
    cr_expect_eq(samples.layers, 6);
    cr_expect_eq(samples.heads, 12);
    cr_expect_eq(samples.head_dim, 32);
    cr_expect_eq(samples.count, 3);
    for (int i = 0; i < samples.count; i++) {
        const struct sample *sentence = &samples.sentences[i];
        cr_expect_gt(strlen(sentence->text), 10);
        cr_expect_str_eq(sentence->tokens[0], "[CLS]");
        cr_expect_str_eq(sentence->tokens[sentence->token_count - 1], "[SEP]");
        int numbers = samples.layers * samples.heads * sentence->token_count * samples.head_dim;
        for (int j = 0; j < numbers; j++) {
            cr_assert(isfinite(sentence->query[j]));
            cr_assert(isfinite(sentence->key[j]));
            cr_assert(isfinite(sentence->value[j]));
        }
    }
    cr_expect_str_eq(samples.sentences[1].tokens[2], "animal");
    cr_expect_str_eq(samples.sentences[2].tokens[8], "##dable");
    samples_free(&samples);
}

Test(attend, truncated_samples_are_refused) {
    char error[SAMPLES_ERROR_SIZE];
    for (size_t size = 0; size < samples_data_size; size += size < 1024 ? 1 : 9973)
        cr_expect_not(parses(samples_data, size, error), "%zu bytes", size);
    cr_expect_not(parses(samples_data, samples_data_size - 1, error));
}

/* Two sentences of one head and two channels. */
static const uint32_t tiny[] = {
    0x54504152, 0x00564b51, 1,      2, 1,    1, 2,                    /* magic, version, counts */
    4,          0x656d616e, 0,                                        /* "name" */
    1,          2,          0x6948, 1, 0x61, 0, 1,        2, 3, 4, 5, /* "Hi": "a" */
    2,          1,          0x3f,   1, 0x62, 3, 0x636363, 0, 1, 2, 3, /* "?": "b", "ccc" */
    4,          5,          6,      7, 8,    9, 10,       11};

Test(attend, any_wrong_word_is_refused_or_harmless) {
    const uint32_t values[] = {0, 1, 2, 3, 0xff, 4096, 4097, 0x7fffffff, 0x80000000, 0xffffffff};
    char error[SAMPLES_ERROR_SIZE];
    cr_assert(parses(tiny, sizeof tiny, error), "%s", error);
    for (size_t size = 0; size < sizeof tiny; size++)
        cr_expect_not(parses(tiny, size, error), "%zu bytes", size);
    for (size_t word = 0; word < sizeof tiny / sizeof *tiny; word++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            uint32_t changed[sizeof tiny / sizeof *tiny];
            memcpy(changed, tiny, sizeof tiny);
            changed[word] = values[i];
            parses(changed, sizeof changed, error);
        }
    }
}

Test(attend, wrong_samples_are_told_apart) {
    static const struct {
        size_t word;
        uint32_t value;
        const char *expected;
    } cases[] = {
        {0, 0, "samples, byte 8: found no magic \"RAPTQKV\" at the start"},
        {2, 2, "samples, byte 12: version: found 2, expected 1"},
        {3, 0, "samples, byte 16: sentences: found 0, expected 1 to 4096"},
        {3, 1, "samples, byte 84: found 76 bytes after the last sentence"},
        {3, 4096, "samples, byte 40: sentences: found 4096, which 120 bytes can't hold"},
        {4, 5000, "samples, byte 20: layers: found 5000, expected 1 to 4096"},
        {8, 0x656d0a6e, "samples, byte 40: model: found a control character, expected text"},
        {9, 1, "samples, byte 40: model: found no zero after 4 bytes of text"},
        {10, 4096, "samples, byte 52: token count: found 4096, which 108 bytes can't hold"},
        {11, 0xffffffff, "samples, byte 48: sentence: found 112 bytes, expected 4294967296"},
    };
    char error[SAMPLES_ERROR_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t changed[sizeof tiny / sizeof *tiny];
        memcpy(changed, tiny, sizeof tiny);
        changed[cases[i].word] = cases[i].value;
        cr_expect_not(parses(changed, sizeof changed, error), "case %zu", i);
        cr_expect_str_eq(error, cases[i].expected);
    }
    struct samples samples;
    const char *odd = (const char *)tiny + 1;
    cr_expect_not(samples_parse(&samples, odd, sizeof tiny - 1, error));
    cr_expect_str_eq(error, "samples, byte 0: not aligned to 4 bytes");
}

Test(attend, weights_are_those_of_a_softmax) {
    struct samples samples = embedded();
    const struct attend_range all = {0, samples.layers, 0, samples.heads, false};
    for (int i = 0; i < samples.count; i++) {
        const struct sample *sentence = &samples.sentences[i];
        int tokens = sentence->token_count;
        size_t rows = (size_t)(samples.layers * samples.heads * tokens);
        float *weights;
        rapt_status status = attend_compute(&samples, sentence, &all, NULL, 0, &weights);
        cr_assert_eq(status, RAPT_OK, "%s", rapt_last_error());
        double deviation = attend_sum_deviation(weights, rows, tokens);
        cr_expect_lt(deviation, 1e-6);
        for (size_t row = 0; row < rows; row++) {
            double entropy = row_summarise(weights + row * (size_t)tokens, tokens).entropy;
            cr_expect(entropy >= 0 && entropy <= log(tokens) + 1e-6);
        }
        free(weights);
    }
    samples_free(&samples);
}

Test(attend, one_head_is_a_view_of_all) {
    struct samples samples = embedded();
    const struct sample *sentence = &samples.sentences[0];
    const struct attend_range all = {0, samples.layers, 0, samples.heads, false};
    size_t size = (size_t)(sentence->token_count * sentence->token_count);
    float *whole, *part;
    cr_assert_eq(attend_compute(&samples, sentence, &all, NULL, 1, &whole), RAPT_OK);
    for (int layer = 0; layer < samples.layers; layer += 5) {
        for (int head = 0; head < samples.heads; head += 11) {
            const struct attend_range one = {layer, 1, head, 1, false};
            cr_assert_eq(attend_compute(&samples, sentence, &one, NULL, 2, &part), RAPT_OK);
            const float *expected = whole + (size_t)(layer * samples.heads + head) * size;
            cr_expect_eq(memcmp(part, expected, size * sizeof *part), 0);
            free(part);
        }
    }
    free(whole);
    samples_free(&samples);
}

Test(attend, unknown_isa_gives_no_weights) {
    struct samples samples = embedded();
    const struct attend_range one = {0, 1, 0, 1, false};
    float number, *weights = &number;
    cr_expect_eq(attend_compute(&samples, &samples.sentences[0], &one, "no-isa", 1, &weights),
                 RAPT_ISA_UNAVAILABLE);
    cr_expect_null(weights);
    samples_free(&samples);
}

Test(attend, entropy_of_known_rows) {
    float uniform[100], single[100] = {0};
    for (int n = 1; n <= 100; n++) {
        for (int i = 0; i < n; i++)
            uniform[i] = 1.0f / (float)n;
        cr_expect_float_eq(row_summarise(uniform, n).entropy, log(n), 1e-6);
        single[n - 1] = 1;
        struct row_summary row = row_summarise(single, n);
        cr_expect_eq(row.entropy, 0);
        cr_expect_eq(row.sum, 1);
        cr_expect_eq(row.strongest, n - 1);
        single[n - 1] = 0;
    }
    const float rows[] = {0.5f, 0.5f, 1, 0.25f};
    cr_expect_eq(row_summarise(rows, 2).strongest, 0);
    cr_expect_float_eq(attend_mean_entropy((const float[]){0.5f, 0.5f, 0, 1}, 2, 2), log(2) / 2,
                       1e-9);
    cr_expect_eq(attend_sum_deviation(rows, 2, 2), 0.25);
}

static void number_note(FILE *out, int row, const void *context) {
    fprintf(out, "%s%d", (const char *)context, row);
}

/* What is drawn into memory, to be freed. */
static char *draw(const struct heatmap *map, const struct heatmap_labels *labels, int width) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_not_null(out);
    const struct heatmap_style style = {COLOR_NONE, width};
    const char *titles[] = {"one", "two", "three"};
    if (labels) {
        heatmap_print(out, map, labels, &style);
    } else {
        const struct heatmap maps[] = {*map, *map, *map};
        heatmap_print_grid(out, maps, titles, 3, &style);
    }
    fclose(out);
    return text;
}

static const float matrix[] = {0, 0.05f, 0.95f, 0.5f, 0.3f, 0.2f};
static const struct heatmap small_map = {matrix, 2, 3, 1};

Test(attend, plain_heatmap_is_exactly_this) {
    /* Labels count in code points, and are cut after twelve. */
    const char *const rows[] = {"ab", "d\xc3\xa9j\xc3\xa0"};
    const char *const columns[] = {"x", "\xc3\xa9yz", "abcdefghijklmnop"};
    const struct heatmap_labels labels = {.rows = rows,
                                          .columns = columns,
                                          .heading = {"first", "second"},
                                          .note = number_note,
                                          .context = "note ",
                                          .note_width = 6};
    char *wide = draw(&small_map, &labels, 80);
    cr_expect_str_eq(wide, "         a  \n         b  \n         c  \n         d  \n         e  \n"
                           "         f  \n         g  \n         h  \n         i  \n"
                           "       \xc3\xa9 j  \n       y k  first\n     x z ~  second\n"
                           "  ab     @@ note 0\n"
                           "d\xc3\xa9j\xc3\xa0 ++--:: note 1\n");
    free(wide);
    char *narrow = draw(&small_map, &labels, 17);
    cr_expect_not_null(strstr(narrow, "\nd\xc3\xa9j\xc3\xa0 +-: note 1\n"));
    free(narrow);
}

Test(attend, plain_grid_is_exactly_this) {
    char *text = draw(&small_map, NULL, 12);
    cr_expect_str_eq(text, "one    two\n  @      @\n+-:    +-:\n\nthree\n  @\n+-:\n");
    free(text);
}

Test(attend, ramp_gets_lighter_and_characters_denser) {
    double before = -1;
    for (int i = 0; i <= 100; i++) {
        struct color color = color_ramp(i / 100.0);
        double light = 0.2126 * pow(color.red, 2.2) + 0.7152 * pow(color.green, 2.2) +
                       0.0722 * pow(color.blue, 2.2);
        cr_expect_gt(light, before, "level %d", i);
        before = light;
    }
    cr_expect_eq(color_character(0), ' ');
    cr_expect_eq(color_character(-1), ' ');
    cr_expect_eq(color_character(NAN), ' ');
    cr_expect_eq(color_character(1), '@');
    cr_expect_eq(color_character(INFINITY), '@');
}

/* Runs `rapt attend` with these arguments in a shell, stderr included; returns the exit code. */
static int run(const char *arguments, char *output) {
    const char *command = getenv("RAPT_COMMAND");
    cr_assert_not_null(command, "RAPT_COMMAND names the command");
    char line[4096];
    snprintf(line, sizeof line, "exec '%s' attend 2>&1 %s", command, arguments);
    FILE *pipe = popen(line, "r");
    cr_assert_not_null(pipe);
    size_t size = fread(output, 1, OUTPUT_SIZE - 1, pipe);
    output[size] = 0;
    int status = pclose(pipe);
    cr_assert(WIFEXITED(status), "%s", line);
    return WEXITSTATUS(status);
}

static void expect_narrow(const char *text, int width) {
    int column = 0;
    for (; *text; text++) {
        column = *text == '\n' ? 0 : column + (((unsigned char)*text & 0xc0) != 0x80);
        cr_assert_leq(column, width, "a line is wider than %d", width);
    }
}

Test(attend, command_shows_every_sentence) {
    static char output[OUTPUT_SIZE];
    const char *const views[] = {"", "--layer=0 --head=11", "--head all", "--layer all",
                                 "--layer all --head all"};
    for (int sentence = 1; sentence <= 3; sentence++) {
        for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
            char arguments[128];
            snprintf(arguments, sizeof arguments, "--sentence %d %s", sentence, views[i]);
            cr_expect_eq(run(arguments, output), 0, "%s", output);
            cr_expect_not_null(strstr(output, "sums to 1, the largest deviation is "));
            cr_expect_null(strchr(output, '\033'));
            expect_narrow(output, 80);
        }
    }
    cr_expect_eq(run("", output), 0);
    cr_expect_not_null(strstr(output, "\"it\" attends to \"animal\" with weight 0.68."));
    cr_expect_eq(run("--list", output), 0);
    cr_expect_not_null(strstr(output, "[CLS] the cat sat on the mat . [SEP]\n"));
}

Test(attend, command_runs_on_every_available_isa) {
    static char output[OUTPUT_SIZE];
    const rapt_isa *list;
    size_t count = rapt_isa_list(&list);
    for (size_t i = 0; i < count; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "--threads 2 --isa %s", list[i].name);
        cr_expect_eq(run(arguments, output), list[i].available ? 0 : 2, "%s", output);
        cr_expect_not_null(strstr(output, list[i].name));
    }
}

Test(attend, command_refuses_wrong_arguments) {
    static char output[OUTPUT_SIZE];
    static const struct {
        const char *arguments, *expected;
    } cases[] = {
        {"--layer 9", "rapt attend: --layer: found \"9\", expected 0 to 5 or \"all\"\n"},
        {"--layer -1", "rapt attend: --layer: found \"-1\", expected 0 to 5 or \"all\"\n"},
        {"--head 12", "rapt attend: --head: found \"12\", expected 0 to 11 or \"all\"\n"},
        {"--head 1x", "rapt attend: --head: found \"1x\", expected 0 to 11 or \"all\"\n"},
        {"--head 99999999999999999999", "expected 0 to 11 or \"all\"\n"},
        {"--sentence 0", "1 to 3"},
        {"--sentence 4", "1 to 3"},
        {"--threads 0", "--threads"},
        {"--width 1", "40 to 1000"},
        {"--isa no-isa", "no-isa"},
        {"--isa ''", "--isa"},
        {"--colour", "--colour"},
        {">/dev/full", "rapt: standard output: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(run(cases[i].arguments, output), 2, "%s", cases[i].arguments);
        cr_expect_not_null(strstr(output, cases[i].expected), "%s: %s", cases[i].arguments, output);
        const char *end = strchr(output, '\n');
        cr_expect(end && !end[1], "%s: not one line: %s", cases[i].arguments, output);
    }
}

/* The child of run_in_terminal: stdout is a terminal, the environment what `settings` says. */
static void become_command(int terminal, const char *const *settings, const char *argument) {
    dup2(terminal, STDOUT_FILENO);
    unsetenv("NO_COLOR");
    unsetenv("COLORTERM");
    for (; settings[0]; settings += 2)
        setenv(settings[0], settings[1], 1);
    const char *command = getenv("RAPT_COMMAND");
    execl(command, command, "attend", argument, (char *)NULL);
    _exit(127);
}

/* Runs the command in a terminal of its own; returns all that it printed. */
static const char *run_in_terminal(const char *const *settings, const char *argument) {
    static char output[OUTPUT_SIZE];
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(keyboard >= 0 && grantpt(keyboard) == 0 && unlockpt(keyboard) == 0);
    int terminal = open(ptsname(keyboard), O_RDWR | O_NOCTTY);
    cr_assert_geq(terminal, 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        become_command(terminal, settings, argument);
    close(terminal);
    size_t size = 0;
    for (ssize_t got; (got = read(keyboard, output + size, OUTPUT_SIZE - 1 - size)) > 0;)
        size += (size_t)got;
    output[size] = 0;
    close(keyboard);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_expect_not_null(strstr(output, "sums to 1"));
    return output;
}

Test(attend, command_colors_what_the_terminal_shows) {
    const char *const full[] = {"TERM", "xterm", "COLORTERM", "truecolor", NULL};
    const char *const indexed[] = {"TERM", "xterm-256color", NULL};
    const char *const dumb[] = {"TERM", "dumb", "COLORTERM", "truecolor", NULL};
    const char *const refused[] = {"TERM", "xterm-256color", "NO_COLOR", "1", NULL};
    const char *const argument[] = {"--layer=2", "--head=all", "--layer=all"};
    for (size_t i = 0; i < sizeof argument / sizeof *argument; i++) {
        cr_expect_not_null(strstr(run_in_terminal(full, argument[i]), "\033[48;2;"));
        cr_expect_not_null(strstr(run_in_terminal(indexed, argument[i]), "\033[48;5;"));
        cr_expect_null(strchr(run_in_terminal(dumb, argument[i]), '\033'));
        cr_expect_null(strchr(run_in_terminal(refused, argument[i]), '\033'));
    }
    cr_expect_null(strchr(run_in_terminal(full, "--no-color"), '\033'));
}
