/* SPDX-License-Identifier: Apache-2.0 */
/* rapt attend: looks into the attention of a real model. */
#include "cli/base/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cli/attend/explain.h"
#include "cli/attend/pictures.h"
#include "cli/attend/print_heads.h"
#include "cli/attend/words.h"
#include "cli/base/args.h"
#include "cli/base/outputs.h"
#include "cli/embed/model.h"
#include "cli/page/attend_page.h"
#include "cli/sentences/qkv.h"

static const char name[] = "attend";

enum { DEFAULT_WIDTH = 80, WIDEST_TERMINAL = 1000, MOST_THREADS = 1024 };

struct request {
    int64_t sentence, width, threads;
    const char *layer, *head, *isa, *model, *qkv;
    float scale;
    bool color, list, merge_words, whole;
    struct attend_page page;
    struct explain_request explain;
    struct pictures pictures;
    struct args_texts texts;
};

/* Prints what was computed, or saves it. */
static int show(struct heads_view *view, const struct request *request) {
    const struct pictures *pictures = &request->pictures;
    struct words words = {0};
    int code = ARGS_OK;
    const bool read = words_read(&words, view, request->merge_words);
    if (read && pictures_wanted(pictures))
        code = pictures_save(name, pictures, view) ? ARGS_OK : ARGS_ERROR;
    else if (!read || !print_heads(stdout, view))
        code = args_fail(name, "%s", rapt_status_text(RAPT_OUT_OF_MEMORY));
    words_free(&words);
    return code;
}

static int compute_and_show(struct heads_view *view, const struct request *request) {
    const rapt_isa *chosen = NULL;
    if (rapt_isa_choose(request->isa, &chosen) != RAPT_OK)
        return args_fail(name, "%s", rapt_last_error());
    view->isa = chosen->name;
    float *weights = NULL;
    rapt_status status = attend_compute(view->samples, view->sentence, &view->range, chosen->name,
                                        (int)request->threads, &weights);
    if (status != RAPT_OK) {
        bool memory = status == RAPT_OUT_OF_MEMORY;
        return args_fail(name, "%s", memory ? rapt_status_text(status) : rapt_last_error());
    }
    view->weights = weights;
    int code = show(view, request);
    free(weights);
    return code;
}

/* A number below `all`, or "all" of them; without a text the usual one, if there are as many, or
 * all for -1. */
static bool read_range(const char *option, const char *text, int usual, int all, int *first,
                       int *count) {
    int64_t number = usual < all ? usual : all - 1;
    *first = 0;
    *count = all;
    if (text ? strcmp(text, "all") == 0 : usual < 0)
        return true;
    if (text && (!args_parse_int(text, &number) || number < 0 || number >= all)) {
        char expected[64];
        snprintf(expected, sizeof expected, "0 to %d or \"all\"", all - 1);
        args_fail_value(name, option, text, expected);
        return false;
    }
    *first = (int)number;
    *count = 1;
    return true;
}

static int terminal_width(FILE *out) {
    struct winsize size;
    bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : DEFAULT_WIDTH;
}

static const char notes[] =
    "[CLS] and [SEP] are the model's marks for a sentence's start and end; ## goes on with "
    "the word before. Colours need a terminal with 256 of them, or one that sets COLORTERM "
    "to truecolor; NO_COLOR turns them off.\n"
    "\n"
    "Without a text, three sentences that the command carries are shown. Texts of your own "
    "need a model: a folder with config.json, vocab.txt and model.safetensors of BERT's "
    "layout. scripts/get-model fetches the one that the three sentences went through. A "
    "text that is longer than the model takes is cut, and standard error says so. A text "
    "that begins with -- comes after a -- alone.\n"
    "\n"
    "--qkv shows the attention of any model whose queries and keys you have saved, for example "
    "with numpy.save. The folder has q.npy and k.npy, float32 or float16 of the shape (layers, "
    "heads, positions, channels) or (heads, positions, channels), after rotary embeddings; keys "
    "may have fewer heads. tokens.txt has a token on each line, where \\n is a line's end, \\t a "
    "tab and \\\\ a backslash. key_tokens.txt has those of the keys, if they are of another text. "
    "Tokens of BPE and SentencePiece are shown as text, a space before a word as \xe2\x90\xa3.\n"
    "\n" OUTPUTS_NOTES;

static int read_request(struct request *request, int argc, char **argv) {
    const struct args_option options[] = {
        {"sentence", ARGS_INT, &request->sentence, "N", .least = INT64_MIN,
         .help = "Sentence to show, from 1 (default: the first text, or without texts 2); --list "
                 "lists them."},
        {"model", ARGS_STRING, &request->model, "FOLDER",
         .help = "Model to run (default: what RAPT_MODEL names, or scripts/get-model has put in "
                 "place)."},
        {"qkv", ARGS_STRING, &request->qkv, "FOLDER",
         .excludes = "TEXT model sentence beside list explain no-truncate",
         .help = "Queries and keys of your own in place of a model: q.npy, k.npy, tokens.txt."},
        {"scale", ARGS_POSITIVE, &request->scale, "S", .needs = "qkv",
         .help = "With --qkv: the factor of scores (default: 1 / sqrt of the channels)."},
        {"no-truncate", ARGS_ON, &request->whole,
         .help = "Makes it an error that a text is longer than the model takes."},
        {"layer", ARGS_STRING, &request->layer, "L|all",
         .help = "Layer, from 0 (default 3, with --qkv all)."},
        {"head", ARGS_STRING, &request->head, "H|all",
         .help = "Head, from 0 (default 1, with --qkv all)."},
        {"explain", ARGS_ON, &request->explain.wanted, .excludes = "html png svg merge-words",
         .help = "Walks through one row of one head, step by step with its numbers."},
        {"word", ARGS_STRING, &request->explain.word, "N|TOKEN", .needs = "explain",
         .help = "With --explain: the token whose row it is, or its number from 0 (default: the "
                 "one with the strongest tie to another word)."},
        {"causal", ARGS_ON, &request->explain.causal, .needs = "explain qkv",
         .help = "With --explain or --qkv: hides the tokens after a word, as a decoder does."},
        {"html", ARGS_STRING, &request->page.path, "FILE",
         .excludes = "png svg merge-words layer head no-color width",
         .help = "Writes a page of all layers and heads, to explore in a browser, instead of "
                 "printing."},
        {"beside", ARGS_INT, &request->page.beside, "N", .least = 1, .needs = "html",
         .help = "With --html: a second sentence, side by side with the first (default: the second "
                 "text, if there is one and no --sentence)."},
        {"merge-words", ARGS_ON, &request->merge_words,
         .help = "Takes the pieces of a word as one: weights summed over its keys, and their mean "
                 "over its queries."},
        {"png", ARGS_STRING, &request->pictures.png, "FILE", .excludes = "no-color width",
         .help = "Saves the picture as PNG in place of showing it."},
        {"svg", ARGS_STRING, &request->pictures.svg, "FILE", .excludes = "no-color width",
         .help = "Saves it as SVG; with --layer all --head all every head is a panel."},
        {"list", ARGS_ON, &request->list,
         .excludes = "sentence layer head explain html merge-words png svg no-color isa threads",
         .help = "Lists the sentences and their tokens."},
        {"no-color", ARGS_OFF, &request->color, .help = "Draws with characters alone."},
        {"width", ARGS_INT, &request->width, "N", .least = 40, .most = WIDEST_TERMINAL,
         .help = "Characters in a line (default: what the terminal has, or else 80)."},
        {"isa", ARGS_STRING, &request->isa, "NAME",
         .help = "Instruction set, one of those that rapt isa lists (default: the best)."},
        {"threads", ARGS_INT, &request->threads, "N", .least = 1, .most = MOST_THREADS,
         .help = "At most so many threads (default: one for every core that may be used)."},
    };
    const struct args_command command = {
        .name = name,
        .about = "Shows what each word of a sentence attends to, in any head of a real model.",
        .metavar = "[TEXT]...",
        .texts = &request->texts,
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .notes = notes,
        .examples = "rapt attend\n"
                    "rapt attend --layer 0 --head 2\n"
                    "rapt attend --sentence 3 --layer 5 --head all\n"
                    "rapt attend --layer all --head all\n"
                    "rapt attend --explain --word it\n"
                    "rapt attend --layer all --head all --svg model.svg\n"
                    "rapt attend --sentence 2 --beside 3 --html attention.html\n"
                    "rapt attend --qkv folder --causal --html attention.html\n"
                    "rapt attend \"He saw a bat.\" \"She swung a bat.\" --html bats.html\n"
                    "rapt attend \"The trophy didn't fit in the case because it was too big.\"\n",
    };
    return args_parse(&command, argc, argv);
}

static int attend(const struct samples *samples, const struct request *request) {
    if (request->sentence < 1 || request->sentence > samples->count) {
        char found[24], expected[32];
        snprintf(found, sizeof found, "%lld", (long long)request->sentence);
        snprintf(expected, sizeof expected, "N, an integer of 1 to %d", samples->count);
        return args_fail_value(name, "sentence", found, expected);
    }
    struct heads_view view = {
        .samples = samples,
        .sentence = &samples->sentences[request->sentence - 1],
        .style = {.colors = request->color ? color_detect(stdout) : COLOR_NONE,
                  .width = request->width ? (int)request->width : terminal_width(stdout)},
    };
    struct attend_range *range = &view.range;
    /* Layer 3, head 1 ties a pronoun to its noun. */
    const int layer = request->qkv ? -1 : 3, head = request->qkv ? -1 : 1;
    if (!read_range("layer", request->layer, layer, samples->layers, &range->layer,
                    &range->layers) ||
        !read_range("head", request->head, head, samples->heads, &range->head, &range->heads))
        return ARGS_ERROR;
    range->causal = request->qkv && request->explain.causal;
    if (request->list) {
        print_heads_list(stdout, samples, view.style.width);
        return ARGS_OK;
    }
    if (!pictures_check(name, &request->pictures))
        return ARGS_ERROR;
    if (request->explain.wanted)
        return explain(stdout, &view, &request->explain, request->isa, (int)request->threads);
    if (request->page.path) {
        return attend_page(&request->page, samples, view.sentence, request->isa,
                           (int)request->threads);
    }
    return compute_and_show(&view, request);
}

/* Chooses the sentences that nobody has chosen. A text that isn't shown may have been meant to be.
 */
static int choose_sentences(struct request *request) {
    const int texts = request->texts.count;
    const bool chosen = request->sentence != INT64_MIN, page = request->page.path;
    if (!chosen && !request->list && !request->page.beside && texts > 1 + page) {
        return args_fail(name,
                         "found \"%s\" after %s, expected no more texts%s, or --sentence to choose "
                         "one",
                         request->texts.list[1 + page], page ? "two texts" : "a text",
                         page ? "" : " without --html or --list");
    }
    if (!chosen) {
        request->sentence = texts || request->qkv ? 1 : 2;
        if (texts > 1 && page && !request->page.beside)
            request->page.beside = 2;
    }
    return ARGS_GO_ON;
}

/* The texts of the command line, or those of the samples that it carries, through a model. */
static bool run_model(const struct request *request, struct samples *samples) {
    const struct model_choice choice = {request->model, request->isa, (int)request->threads,
                                        request->whole};
    const int count = request->texts.count ? request->texts.count : samples->count;
    char **texts = malloc((size_t)count * sizeof *texts);
    for (int i = 0; texts && i < count; i++) {
        texts[i] = request->texts.count ? request->texts.list[i]
                                        : (char *)(uintptr_t)samples->sentences[i].text;
    }
    struct samples result;
    bool good = texts && model_samples(name, &choice, texts, count, &result);
    if (good) {
        samples_free(samples);
        *samples = result;
    }
    free(texts);
    return good;
}

/* What is to be shown, in place of the samples that the command carries. */
static bool read_samples(struct request *request, struct samples *samples) {
    if (!request->qkv)
        return !(request->texts.count || request->model) || run_model(request, samples);
    struct samples result;
    if (!qkv_read(name, request->qkv, &result))
        return false;
    samples_free(samples);
    *samples = result;
    samples->scale = request->scale;
    request->page.given = true;
    request->page.causal = request->explain.causal;
    return true;
}

int cmd_attend(int argc, char **argv) {
    struct request request = {.sentence = INT64_MIN, .color = true};
    struct samples samples;
    char error[SAMPLES_ERROR_SIZE];
    int code = read_request(&request, argc, argv);
    if (code == ARGS_GO_ON)
        code = choose_sentences(&request);
    if (code != ARGS_GO_ON)
        return code;
    if (!samples_parse(&samples, samples_data, samples_data_size, error))
        return args_fail(name, "%s", error);
    code = read_samples(&request, &samples) ? attend(&samples, &request) : ARGS_ERROR;
    if (code == ARGS_OK && argc == 1)
        puts("\nMore: --head all, --layer all --head all, --sentence 3, --list, --help");
    samples_free(&samples);
    return code;
}
