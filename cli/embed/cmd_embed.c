/* SPDX-License-Identifier: Apache-2.0 */
/* rapt embed: sentence embeddings, and which sentences are alike. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/args.h"
#include "cli/base/clock.h"
#include "cli/base/commands.h"
#include "cli/base/files.h"
#include "cli/base/npy.h"
#include "cli/base/json_string.h"
#include "cli/base/outputs.h"
#include "cli/base/text.h"
#include "cli/embed/model_files.h"

static const char name[] = "embed";

static const char notes[] =
    "A line that is longer than the model takes is cut, and standard error says how many "
    "are. The bits of an embedding depend on its line and prompt alone, not on the batch, "
    "the threads or the instruction set. Its length is 1 if the model's folder says so, or "
    "has no modules.json. scripts/get-model fetches a model.\n"
    "\n" OUTPUTS_NOTES;

enum { MOST_BYTES = 1 << 30, MOST_LINES = 1 << 24 };

struct request {
    struct model_choice model;
    int64_t threads, batch, top, runs;
    const char *npy, *query;
    const char *prompt, *prompt_name, *query_prompt_name;
    bool json, similar, normalise, no_prompt;
    struct args_texts texts;
};

/* The lines of a file, and behind them the query if there is one; each with its embedding. */
struct lines {
    char *text;
    const char **line;
    int64_t count, embedded;
    struct encoder_texts texts, query; /* how the lines are embedded, and the query */
    float *embedding;                  /* [embedded][width] */
};

static int parse_options(struct request *request, int argc, char **argv) {
    const struct args_option options[] = {
        {"model", ARGS_STRING, &request->model.folder, "FOLDER",
         .help = "Model to run (default: what RAPT_MODEL names, or scripts/get-model has put in "
                 "place)."},
        {"npy", ARGS_STRING, &request->npy, "OUT.npy", .excludes = "json similar",
         .help = "Writes a float32 array with a row for each line, and prints nothing."},
        {"json", ARGS_ON, &request->json, .excludes = "similar",
         .help = "Prints an object for each line: text, tokens, embedding."},
        {"similar", ARGS_ON, &request->similar,
         .help = "Prints the pairs of lines that are most alike, with the cosine of their angle."},
        {"query", ARGS_STRING, &request->query, "TEXT", .needs = "similar",
         .help = "With --similar: the lines that are most like this text."},
        {"top", ARGS_INT, &request->top, "N", .least = 1, .most = MOST_LINES, .needs = "similar",
         .help = "With --similar: so many of them (default 10)."},
        {"prompt", ARGS_STRING, &request->prompt, "TEXT", .excludes = "prompt-name no-prompt",
         .help = "Text to put before each line and the query (default: the model's own, if any)."},
        {"prompt-name", ARGS_STRING, &request->prompt_name, "NAME", .excludes = "no-prompt",
         .help = "The same: the text that the model has under this name."},
        {"query-prompt-name", ARGS_STRING, &request->query_prompt_name, "NAME", .needs = "query",
         .help = "With --query: the name of what is put before the query alone."},
        {"no-prompt", ARGS_ON, &request->no_prompt,
         .help = "Puts nothing before the lines and the query."},
        {"normalize", ARGS_ON, &request->normalise,
         .help = "Gives each embedding length 1, whether or not the model does."},
        {"no-truncate", ARGS_ON, &request->model.whole,
         .help = "Makes it an error that a line is longer than the model takes."},
        {"batch", ARGS_INT, &request->batch, "N", .least = 1, .most = 4096,
         .help = "Lines that go through the model together (default 32)."},
        {"time", ARGS_INT, &request->runs, "N", .least = 1, .most = 1000000,
         .excludes = "npy json similar",
         .help = "Embeds all lines N times and prints nothing but the milliseconds of each."},
        {"threads", ARGS_INT, &request->threads, "N", .least = 1, .most = 1024,
         .help = "At most so many threads (default: one for every core that may be used)."},
        {"isa", ARGS_STRING, &request->model.isa, "NAME",
         .help = "Instruction set, one of those that rapt isa lists (default: the best)."},
    };
    const struct args_command command = {
        .name = name,
        .about = "Prints the embedding of each line of a file, or of standard input for \"-\": a "
                 "vector by a sentence encoder, on a line of its own.",
        .metavar = "FILE|-",
        .texts = &request->texts,
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .notes = notes,
        .examples = "rapt embed sentences.txt --npy E.npy\n"
                    "rapt embed sentences.txt --similar --query \"a cat on a mat\"\n"
                    "echo \"Hello, world\" | rapt embed - --json\n",
    };
    return args_parse(&command, argc, argv);
}

static int read_request(struct request *request, int argc, char **argv) {
    const int code = parse_options(request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (request->texts.count != 1)
        return args_fail(name, "found %d files, expected one, or \"-\"", request->texts.count);
    request->model.threads = (int)request->threads;
    return ARGS_GO_ON;
}

static char *read_text(const char *path, size_t *size) {
    FILE *file = files_open(name, NULL, path);
    char *text = file ? files_read(file, MOST_BYTES, size) : NULL;
    if (file && !text)
        args_fail(name, "%s: %s", path, strerror(errno));
    files_close(file);
    return text;
}

static bool read_lines(const char *path, const char *query, struct lines *lines) {
    size_t size;
    lines->text = read_text(path, &size);
    if (!lines->text)
        return false;
    int64_t most = 2;
    for (size_t i = 0; i < size; i++)
        most += lines->text[i] == '\n';
    lines->line = malloc((size_t)most * sizeof *lines->line);
    if (!lines->line || most > MOST_LINES) {
        args_fail(name, "%s: found %lld lines, expected at most %d", path, (long long)most - 1,
                  MOST_LINES);
        return false;
    }
    for (char *at = lines->text, *end = at + size, *stop; at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        lines->line[lines->count++] = at;
        if (memchr(at, '\0', (size_t)(stop - at))) {
            args_fail(name, "%s: line %lld: found a zero byte, expected text", path,
                      (long long)lines->count);
            return false;
        }
        *stop = '\0';
    }
    lines->line[lines->count] = query;
    lines->embedded = lines->count + (query != NULL);
    return true;
}

static void print_numbers(const float *embedding, int64_t dim, const char *between,
                          const char *not_finite) {
    for (int64_t c = 0; c < dim; c++) {
        fputs(c ? between : "", stdout);
        if (isfinite(embedding[c]))
            printf("%.9g", (double)embedding[c]);
        else
            fputs(not_finite, stdout);
    }
}

static bool print_json(const struct encoder *e, const struct lines *lines) {
    char message[FAULT_SIZE];
    int64_t *ids = malloc((size_t)e->most_tokens * sizeof *ids), count = 0;
    bool good = ids != NULL;
    for (int64_t i = 0; good && i < lines->count; i++) {
        good = encoder_tokens(e, &lines->texts, i, ids, &count, NULL, message);
        if (!good)
            break;
        fputs("{\"text\":", stdout);
        json_string(stdout, lines->line[i]);
        for (int64_t t = 0; t < count; t++) {
            fputs(t ? "," : ",\"tokens\":[", stdout);
            json_string(stdout, e->vocabulary.tokens[ids[t]]);
        }
        fputs("],\"embedding\":[", stdout);
        print_numbers(lines->embedding + i * e->width, e->width, ",", "null");
        fputs("]}\n", stdout);
    }
    free(ids);
    return good;
}

/* Two lines, or a line and the query. */
struct pair {
    double cosine;
    int64_t a, b;
};

static int by_cosine(const void *first, const void *second) {
    const struct pair *x = first, *y = second;
    if (x->cosine != y->cosine)
        return x->cosine > y->cosine ? -1 : 1;
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

/* Keeps the best `top` of what is offered, in order. */
static void offer(struct pair *best, int64_t *kept, int64_t top, const struct pair *pair) {
    if (*kept == top && by_cosine(&best[top - 1], pair) <= 0)
        return;
    int64_t at = *kept < top ? (*kept)++ : top - 1;
    for (; at > 0 && by_cosine(pair, &best[at - 1]) < 0; at--)
        best[at] = best[at - 1];
    best[at] = *pair;
}

/* Embeddings need not have length 1; one of length 0 is like none. */
static double cosine(const struct lines *lines, int64_t width, int64_t a, int64_t b) {
    const float *x = lines->embedding + a * width, *y = lines->embedding + b * width;
    double product = 0, xs = 0, ys = 0;
    for (int64_t c = 0; c < width; c++) {
        product += (double)x[c] * (double)y[c];
        xs += (double)x[c] * (double)x[c];
        ys += (double)y[c] * (double)y[c];
    }
    return xs > 0 && ys > 0 ? product / sqrt(xs * ys) : 0;
}

static void print_line(const struct lines *lines, int64_t line) {
    printf(" %4lld  ", (long long)line + 1);
    text_print(stdout, lines->line[line], strlen(lines->line[line]));
    putchar('\n');
}

static bool print_similar(const struct encoder *e, const struct lines *lines, bool query,
                          int64_t top) {
    const int64_t n = lines->count, most = query ? n : n * (n - 1) / 2;
    int64_t kept = 0;
    top = top < most ? top : most;
    struct pair *best = malloc((size_t)(top + 1) * sizeof *best);
    for (int64_t a = 0; best && top && a < n; a++)
        for (int64_t b = query ? n : a + 1; b < lines->embedded; b++)
            offer(best, &kept, top, &(struct pair){cosine(lines, e->width, a, b), a, b});
    for (int64_t i = 0; best && i < kept; i++) {
        printf("%7.4f", best[i].cosine);
        print_line(lines, best[i].a);
        if (!query) {
            printf("%7s", "");
            print_line(lines, best[i].b);
        }
    }
    free(best);
    return best != NULL;
}

/* The array that --npy writes. */
struct rows {
    int64_t shape[2];
    const float *data;
};

static bool write_rows(FILE *file, int i, const void *context) {
    const struct rows *rows = context;
    (void)i;
    return npy_write(file, NPY_F32, 2, rows->shape, rows->data);
}

static int show(const struct request *request, const struct encoder *e, const struct lines *lines,
                struct outputs *outputs) {
    bool good = true;
    const struct rows rows = {{lines->count, e->width}, lines->embedding};
    if (request->npy)
        return outputs_write(outputs, write_rows, &rows) ? ARGS_OK : ARGS_ERROR;
    if (request->json)
        good = print_json(e, lines);
    else if (request->similar)
        good = print_similar(e, lines, request->query != NULL, request->top);
    for (int64_t i = 0; !request->json && !request->similar && i < lines->count; i++) {
        print_numbers(lines->embedding + i * e->width, e->width, " ", "nan");
        putchar('\n');
    }
    return good ? ARGS_OK : args_fail(name, "out of memory");
}

/* What the model has under that name. */
static bool find_prompt(const struct encoder *e, const char *option, const char *text,
                        const char **prompt) {
    char expected[256] = "";
    const cJSON *item;
    if (!text || (*prompt = encoder_prompt(e, text)))
        return true;
    cJSON_ArrayForEach(item, e->modules.prompts) {
        const size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", used ? ", " : "one of ",
                 item->string);
    }
    args_fail_value(name, option, text, *expected ? expected : "none: the model has no prompts");
    return false;
}

/* How lines and query are embedded; says what is cut of them. */
static bool prepare(const struct request *request, const struct encoder *e, struct lines *lines) {
    lines->texts = (struct encoder_texts){
        .sentences = lines->line,
        .count = lines->count,
        .batch = request->batch,
        .prompt = request->no_prompt ? "" : request->prompt,
        .normalise = request->normalise,
    };
    if (!find_prompt(e, "prompt-name", request->prompt_name, &lines->texts.prompt))
        return false;
    lines->query = lines->texts;
    lines->query.sentences += lines->count;
    lines->query.count = lines->embedded - lines->count;
    return find_prompt(e, "query-prompt-name", request->query_prompt_name, &lines->query.prompt) &&
           model_report_cut(name, &request->model, "line", e, &lines->texts) &&
           model_report_cut(name, &request->model, "query", e, &lines->query);
}

static int embed(const struct request *request, const struct encoder *e, struct lines *lines,
                 struct outputs *outputs) {
    char message[FAULT_SIZE];
    if (!prepare(request, e, lines))
        return ARGS_ERROR;
    lines->embedding = malloc((size_t)(lines->embedded + 1) * (size_t)e->width * sizeof(float));
    if (!lines->embedding)
        return args_fail(name, "no memory for %lld embeddings", (long long)lines->embedded);
    float *query = lines->embedding + lines->count * e->width;
    for (int64_t run = 0; run < (request->runs ? request->runs : 1); run++) {
        const double start = clock_now();
        if (!encoder_embed(e, &lines->texts, lines->embedding, message) ||
            !encoder_embed(e, &lines->query, query, message))
            return args_fail(name, "%s", message);
        if (request->runs)
            printf("%.4f\n", 1e3 * (clock_since(start)));
    }
    return request->runs ? ARGS_OK : show(request, e, lines, outputs);
}

int cmd_embed(int argc, char **argv) {
    static struct encoder encoder;
    struct request request = {.batch = 32, .top = 10};
    struct lines lines = {0};
    struct outputs outputs = {.command = name};
    int code = read_request(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = ARGS_ERROR;
    /* A file that can't be written costs no time. */
    if (read_lines(request.texts.list[0], request.query, &lines) &&
        model_open(name, &request.model, &encoder)) {
        if (!request.npy || outputs_add(&outputs, "npy", request.npy, OUTPUT_BINARY))
            code = embed(&request, &encoder, &lines, &outputs);
        encoder_close(&encoder);
    }
    outputs_close(&outputs);
    free(lines.embedding);
    free(lines.line);
    free(lines.text);
    return code;
}
