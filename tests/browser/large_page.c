/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the page of a made-up model: large_page TOKENS LAYERS HEADS >FILE. Its heads look at
 * tokens a few places away, some sharply and some hardly; some tokens are traps for a page. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/page/samples_page.h"

enum { HEAD_DIM = 32, NAME_SIZE = 24 };

static const char *const traps[] = {"</script>", "<!--",         "<script>", "<img src=x>",
                                    "\"\\'",     "\xe2\x80\xa8", "\xff\xfe", "##\xe4\xbd\xa0"};

/* Waves of many lengths, whose products are largest between equal places. */
static float wave(int channel, double place) {
    const double angle = place / pow(1.5, channel / 2);
    return (float)(channel % 2 ? cos(angle) : sin(angle));
}

static void fill(const struct samples *samples, const struct sample *sentence) {
    float *query = (float *)sentence->query, *key = (float *)sentence->key;
    size_t at = 0;
    for (int layer = 0; layer < samples->layers; layer++)
        for (int head = 0; head < samples->heads; head++)
            for (int token = 0; token < sentence->token_count; token++)
                for (int channel = 0; channel < HEAD_DIM; channel++, at++) {
                    query[at] = wave(channel, token) * (float)head;
                    key[at] = wave(channel, token + layer % 5 - 2 + 0.1 * layer);
                }
}

int main(int argc, char **argv) {
    const int tokens = argc == 4 ? atoi(argv[1]) : 0;
    struct samples samples = {.model = "made-up", .head_dim = HEAD_DIM, .count = 1};
    samples.layers = tokens > 0 ? atoi(argv[2]) : 0;
    samples.heads = tokens > 0 ? atoi(argv[3]) : 0;
    if (samples.layers < 1 || samples.heads < 1) {
        fprintf(stderr, "usage: large_page TOKENS LAYERS HEADS\n");
        return 2;
    }
    const size_t numbers =
        (size_t)samples.layers * (size_t)samples.heads * (size_t)tokens * HEAD_DIM;
    const char **names = calloc((size_t)tokens, sizeof *names);
    char(*made)[NAME_SIZE] = calloc((size_t)tokens, sizeof *made);
    float *query = calloc(numbers, sizeof *query), *key = calloc(numbers, sizeof *key);
    if (!names || !made || !query || !key)
        return 1;
    for (int i = 0; i < tokens; i++) {
        const int trap = i % 29 == 3 ? i / 29 : 8;
        snprintf(made[i], NAME_SIZE, i % 7 == 6 ? "##piece%d" : "word%d", i);
        names[i] = trap < 8 ? traps[trap] : made[i];
    }
    names[0] = "[CLS]";
    names[tokens - 1] = "[SEP]";
    struct sample sentence = {
        .text = "Text with </script> and \xe2\x80\xa8 in it.",
        .token_count = tokens,
        .tokens = names,
        .query = query,
        .key = key,
        .value = query,
    };
    samples.sentences = &sentence;
    fill(&samples, &sentence);
    struct samples_page described;
    char error[PAGE_ERROR_SIZE] = "";
    const struct sample *sentences[] = {&sentence};
    rapt_status status = RAPT_OUT_OF_MEMORY;
    if (samples_page_open(&described, &samples, sentences, 1))
        status = page_write(stdout, &described.page, error);
    samples_page_close(&described);
    if (status != RAPT_OK)
        fprintf(stderr, "%s\n", error);
    free(names);
    free(made);
    free(query);
    free(key);
    return status != RAPT_OK || fflush(stdout) != 0;
}
