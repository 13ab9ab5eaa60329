/* SPDX-License-Identifier: Apache-2.0 */
/* rapt embed: sentence embeddings, and which sentences are alike. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "args.h"
#include "cmd.h"
#include "model_files.h"
#include "npy.h"
#include "outputs.h"
#include "text.h"
#include "timing.h"

static const char name[] = "embed";

enum { MOST_BYTES = 1 << 30, MOST_LINES = 1 << 24 };

struct request {
    struct model_choice model;
    int64_t threads, batch, top, runs;
    const char *npy, *query;
    bool json, similar;
    struct args_texts texts;
};

/* The lines of a file, and behind them the query if there is one; each with its embedding. */
struct lines {
    char *text;
    const char **line;
    int64_t count, embedded;
    float *embedding; /* [embedded][dim] */
};

static int read_request(struct request *request, int argc, char **argv) {
    const struct args_option options[] = {
        {"model", ARGS_STRING, &request->model.folder, "FOLDER",
         .help = "Model to run (default: what RAPT_MODEL names, or scripts/get-model has put in "
                 "place)."},
        {"npy", ARGS_STRING, &request->npy, "OUT.npy",
         .help = "Writes a float32 array with a row for each line, and prints nothing."},
        {"json", ARGS_ON, &request->json,
         .help = "Prints an object for each line: text, tokens, embedding."},
        {"similar", ARGS_ON, &request->similar,
         .help = "Prints the pairs of lines that are most alike, with the cosine of their angle."},
        {"query", ARGS_STRING, &request->query, "TEXT",
         .help = "With --similar: the lines that are most like this text."},
        {"top", ARGS_INT, &request->top, "N", .least = 1, .most = MOST_LINES,
         .help = "With --similar: so many of them (default 10)."},
        {"batch", ARGS_INT, &request->batch, "N", .least = 1, .most = 4096,
         .help = "Lines that go through the model together (default 32)."},
        {"time", ARGS_INT, &request->runs, "N", .least = 1, .most = 1000000,
         .help = "Embeds all lines N times and prints nothing but the milliseconds of each."},
        {"threads", ARGS_INT, &request->threads, "N", .least = 1, .most = 1024,
         .help = "At most so many threads (default: one for every CPU)."},
        {"isa", ARGS_STRING, &request->model.isa, "NAME",
         .help = "Instruction set, one of those that rapt isa lists (default: the best)."},
    };
    const struct args_command command = {
        .name = name,
        .about = "Prints the embedding of each line of a file, or of standard input for \"-\": a "
                 "vector of length 1 by a sentence encoder, on a line of its own.",
        .metavar = "FILE|-",
        .texts = &request->texts,
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .notes = "A line that is longer than the model takes is cut. The bits of an embedding\n"
                 "depend on its line alone, not on the batch, the threads or the instruction "
                 "set.\nscripts/get-model fetches a model.\n",
        .examples = "rapt embed sentences.txt --npy E.npy\n"
                    "rapt embed sentences.txt --similar --query \"a cat on a mat\"\n"
                    "echo \"Hello, world\" | rapt embed - --json\n",
    };
    const int code = args_parse(&command, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (request->texts.count != 1)
        return args_fail(name, "found %d files, expected one, or \"-\"", request->texts.count);
    if (request->query && !request->similar)
        return args_fail(name, "--query: found without --similar, expected both");
    if (request->npy && (request->json || request->similar))
        return args_fail(name, "--npy: found with --%s, expected one of them",
                         request->json ? "json" : "similar");
    if (request->json && request->similar)
        return args_fail(name, "--json: found with --similar, expected one of them");
    request->model.threads = (int)request->threads;
    return ARGS_GO_ON;
}

static bool read_lines(const char *path, const char *query, struct lines *lines) {
    char message[FAULT_SIZE];
    size_t size;
    path = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    lines->text = read_file(path, MOST_BYTES, &size, message);
    if (!lines->text) {
        args_fail(name, "%s", message);
        return false;
    }
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
    if (lines->count == 0)
        args_fail(name, "%s: found no lines, expected one or more", path);
    return lines->count > 0;
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

/* A string of JSON; bytes that are no UTF-8 come as U+FFFD. */
static void print_string(const char *text) {
    putchar('"');
    for (size_t left = strlen(text), n; left; left -= n, text += n) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t bytes =
            utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)(left < 4 ? left : 4), &c);
        n = bytes > 0 ? (size_t)bytes : 1;
        if (bytes <= 0)
            fputs("\\ufffd", stdout);
        else if (c < ' ' || c == 0x7f)
            printf("\\u%04x", (unsigned)c);
        else
            printf("%s%.*s", c == '"' || c == '\\' ? "\\" : "", (int)n, text);
    }
    putchar('"');
}

static bool print_json(const struct encoder *e, const struct lines *lines) {
    int64_t *ids = malloc((size_t)e->most_tokens * sizeof *ids);
    for (int64_t i = 0; ids && i < lines->count; i++) {
        fputs("{\"text\":", stdout);
        print_string(lines->line[i]);
        const int64_t count = encoder_split(e, lines->line[i], strlen(lines->line[i]), ids);
        for (int64_t t = 0; t < count; t++) {
            fputs(t ? "," : ",\"tokens\":[", stdout);
            print_string(e->vocabulary.tokens[ids[t]]);
        }
        fputs("],\"embedding\":[", stdout);
        print_numbers(lines->embedding + i * e->dim, e->dim, ",", "null");
        fputs("]}\n", stdout);
    }
    free(ids);
    return ids != NULL;
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

static double cosine(const struct lines *lines, int64_t dim, int64_t a, int64_t b) {
    double sum = 0;
    for (int64_t c = 0; c < dim; c++)
        sum += (double)lines->embedding[a * dim + c] * (double)lines->embedding[b * dim + c];
    return sum;
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
            offer(best, &kept, top, &(struct pair){cosine(lines, e->dim, a, b), a, b});
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

static bool write_npy(const char *path, const struct lines *lines, int64_t dim) {
    struct outputs outputs = {.command = name};
    const int64_t shape[2] = {lines->count, dim};
    bool good = outputs_add(&outputs, "npy", path);
    errno = 0;
    if (good && !npy_write(outputs.list[0].file, NPY_F32, 2, shape, lines->embedding))
        good = outputs_fail(&outputs, &outputs.list[0]);
    good = good && outputs_commit(&outputs);
    outputs_close(&outputs);
    return good;
}

static int show(const struct request *request, const struct encoder *e, const struct lines *lines) {
    bool good = true;
    if (request->npy)
        return write_npy(request->npy, lines, e->dim) ? ARGS_OK : ARGS_ERROR;
    if (request->json)
        good = print_json(e, lines);
    else if (request->similar)
        good = print_similar(e, lines, request->query != NULL, request->top);
    for (int64_t i = 0; !request->json && !request->similar && i < lines->count; i++) {
        print_numbers(lines->embedding + i * e->dim, e->dim, " ", "nan");
        putchar('\n');
    }
    return good ? ARGS_OK : args_fail(name, "out of memory");
}

static int embed(const struct request *request, const struct encoder *e, struct lines *lines) {
    char message[FAULT_SIZE];
    lines->embedding = malloc((size_t)lines->embedded * (size_t)e->dim * sizeof(float));
    if (!lines->embedding)
        return args_fail(name, "no memory for %lld embeddings", (long long)lines->embedded);
    for (int64_t run = 0; run < (request->runs ? request->runs : 1); run++) {
        const double start = bench_now();
        if (!encoder_embed(e, lines->line, lines->embedded, request->batch, lines->embedding,
                           message))
            return args_fail(name, "%s", message);
        if (request->runs)
            printf("%.4f\n", 1e3 * (bench_since(start)));
    }
    return request->runs ? ARGS_OK : show(request, e, lines);
}

int cmd_embed(int argc, char **argv) {
    static struct encoder encoder;
    struct request request = {.batch = 32, .top = 10};
    struct lines lines = {0};
    int code = read_request(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = ARGS_ERROR;
    if (read_lines(request.texts.list[0], request.query, &lines) &&
        model_open(name, &request.model, &encoder)) {
        code = embed(&request, &encoder, &lines);
        encoder_close(&encoder);
    }
    free(lines.embedding);
    free(lines.line);
    free(lines.text);
    return code;
}
