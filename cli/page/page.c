/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the page: its own text, one block of weights for every head, and what describes them.
 *
 * Sentence s, layer l and head h have the elements "raw-<s>-<l>-<h>" and "causal-<s>-<l>-<h>". The
 * text of each is a block: base64 of numbers of 16 bits (pack.h). First comes the entropy of every
 * row in thousandths of a nat, then each row's weights of the keys that the query sees.
 */
#include "cli/page/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/color.h"
#include "cli/base/json_string.h"
#include "cli/page/kinds.h"
#include "cli/page/pack.h"
#include "cli/sentences/attend.h"

enum { RAW, CAUSAL, VIEWS };

static const char marker[] = "<!-- data -->";
static const char *const view_names[VIEWS] = {"raw", "causal"};

/* One view of a sentence: what is known of each head. */
struct view {
    struct kinds_text text;
    double even[KIND_PLACES];
    struct kinds_summary *heads; /* [layer][head] */
    float *received;             /* [layer][head][key]: the mean weight from queries that see it */
};

static void put_rows(FILE *file, const struct kinds_text *text, const float *weights) {
    struct pack_base64 base64 = {.file = file}, *into = &base64;
    for (int query = 0; query < text->count; query++) {
        const float *row = weights + (size_t)query * (size_t)text->count;
        pack_number(into, (uint16_t)lround(1000 * attend_summarise(row, text->count).entropy));
    }
    for (int query = 0; query < text->count; query++) {
        const float *row = weights + (size_t)query * (size_t)text->count;
        for (int key = 0; key < (text->causal ? query + 1 : text->count); key++)
            pack_number(into, pack_weight(row[key]));
    }
    pack_end(into);
}

static void find_received(const struct kinds_text *text, const float *weights, float *received) {
    for (int key = 0; key < text->count; key++) {
        const int first = text->causal ? key : 0;
        double sum = 0;
        for (int query = first; query < text->count; query++)
            sum += weights[(size_t)query * (size_t)text->count + (size_t)key];
        received[key] = (float)(sum / (text->count - first));
    }
}

/* Takes one head in, and writes its block. */
static void write_block(FILE *file, struct view *view, const float *weights, const char *name,
                        size_t at) {
    const size_t tokens = (size_t)view->text.count;
    view->heads[at] = kinds_summarise(&view->text, weights, view->even);
    find_received(&view->text, weights, view->received + at * tokens);
    fprintf(file, "<script type=\"text/plain\" id=\"%s\">", name);
    put_rows(file, &view->text, weights);
    fputs("</script>\n", file);
}

static rapt_status write_layer(FILE *file, const struct page *page, int index, int layer,
                               const char *view_name, struct view *view) {
    const struct sample *sentence = page->sentences[index];
    const size_t tokens = (size_t)sentence->token_count;
    const int heads = page->samples->heads;
    const struct attend_range range = {layer, 1, 0, heads, view->text.causal};
    float *weights;
    rapt_status status =
        attend_compute(page->samples, sentence, &range, page->isa, page->threads, &weights);
    for (int head = 0; head < heads && status == RAPT_OK; head++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%d-%d-%d", view_name, index, layer, head);
        write_block(file, view, weights + (size_t)head * tokens * tokens, name,
                    (size_t)(layer * heads + head));
    }
    free(weights);
    return status;
}

static void write_list(FILE *file, const char *name, const double *numbers, int count) {
    fprintf(file, "\"%s\":[", name);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s%.6f", i ? "," : "", numbers[i]);
    putc(']', file);
}

static void write_head(FILE *file, const struct view *view, int at) {
    const struct kinds_summary *head = &view->heads[at];
    const float *received = view->received + (size_t)at * (size_t)view->text.count;
    fprintf(file, "{\"kind\":\"%s\",\"entropy\":%.6f,\"spread\":%.6f,", kinds_names[head->kind],
            head->entropy, head->spread);
    write_list(file, "mass", head->mass, KIND_PLACES);
    fputs(",\"received\":[", file);
    for (int key = 0; key < view->text.count; key++)
        fprintf(file, "%s%.6f", key ? "," : "", (double)received[key]);
    fputs("]}", file);
}

static void write_view(FILE *file, const char *name, const struct view *view, int heads) {
    fprintf(file, "\"%s\":{", name);
    write_list(file, "even", view->even, KIND_PLACES);
    fputs(",\"heads\":[", file);
    for (int at = 0; at < heads; at++) {
        fputs(at ? ",\n" : "\n", file);
        write_head(file, view, at);
    }
    fputs("]}", file);
}

static void write_sentence(FILE *file, const struct sample *sentence, const struct view *views,
                           int heads) {
    fputs("{\"text\":", file);
    json_string_in_script(file, sentence->text);
    fputs(",\"tokens\":[", file);
    for (int i = 0; i < sentence->token_count; i++) {
        fputs(i ? "," : "", file);
        json_string_in_script(file, sentence->tokens[i]);
    }
    fputs("],\n", file);
    write_view(file, view_names[RAW], &views[RAW], heads);
    fputs(",\n", file);
    write_view(file, view_names[CAUSAL], &views[CAUSAL], heads);
    fputs("}", file);
}

/* What holds for all sentences: the names, the colours of 256 levels, the rules of the kinds. */
static void write_common(FILE *file, const struct samples *samples) {
    fprintf(file, "\"version\":\"%s\",\"model\":", rapt_version());
    json_string_in_script(file, samples->model);
    fprintf(file, ",\"layers\":%d,\"heads\":%d,\"excess\":%.4g,\"spread\":%.4g,\"near\":%d,",
            samples->layers, samples->heads, KINDS_EXCESS, KINDS_SPREAD, KINDS_NEAR);
    fputs("\"kinds\":[", file);
    for (int kind = 0; kind < KINDS; kind++)
        fprintf(file, "%s\"%s\"", kind ? "," : "", kinds_names[kind]);
    fputs("],\n\"ramp\":\"", file);
    for (int level = 0; level < 256; level++) {
        const struct color color = color_ramp(level / 255.0);
        fprintf(file, "%02x%02x%02x", color.red, color.green, color.blue);
    }
    fputs("\"", file);
}

static bool open_views(const struct page *page, const struct sample *sentence,
                       struct view views[VIEWS]) {
    const size_t heads = (size_t)page->samples->layers * (size_t)page->samples->heads;
    bool allocated = true;
    for (int v = 0; v < VIEWS; v++) {
        views[v].text = (struct kinds_text){sentence->tokens, sentence->token_count, v == CAUSAL};
        views[v].heads = calloc(heads, sizeof *views[v].heads);
        views[v].received =
            calloc(heads * (size_t)sentence->token_count, sizeof *views[v].received);
        allocated = allocated && views[v].heads && views[v].received;
        kinds_even(&views[v].text, views[v].even);
    }
    return allocated;
}

static rapt_status write_all(FILE *file, const struct page *page, struct view (*views)[VIEWS]) {
    const struct samples *samples = page->samples;
    for (int i = 0; i < page->count; i++) {
        if (!open_views(page, page->sentences[i], views[i]))
            return RAPT_OUT_OF_MEMORY;
        for (int at = 0; at < VIEWS * samples->layers; at++) {
            const int v = at % VIEWS;
            rapt_status status =
                write_layer(file, page, i, at / VIEWS, view_names[v], &views[i][v]);
            if (status != RAPT_OK)
                return status;
        }
    }
    fputs("<script type=\"application/json\" id=\"data\">\n{", file);
    write_common(file, samples);
    fputs(",\n\"sentences\":[", file);
    for (int i = 0; i < page->count; i++) {
        fputs(i ? ",\n" : "", file);
        write_sentence(file, page->sentences[i], views[i], samples->layers * samples->heads);
    }
    fputs("]}\n</script>\n", file);
    return RAPT_OK;
}

rapt_status page_write(FILE *file, const struct page *page) {
    const char *text = (const char *)page_data;
    const char *gap = memmem(text, page_data_size, marker, sizeof marker - 1);
    struct view views[PAGE_SENTENCES][VIEWS];
    memset(views, 0, sizeof views);
    fwrite(text, 1, (size_t)(gap - text), file);
    rapt_status status = write_all(file, page, views);
    if (status == RAPT_OK) {
        const char *rest = gap + sizeof marker - 1;
        fwrite(rest, 1, (size_t)(text + page_data_size - rest), file);
    }
    for (int i = 0; i < PAGE_SENTENCES; i++)
        for (int v = 0; v < VIEWS; v++) {
            free(views[i][v].heads);
            free(views[i][v].received);
        }
    return status;
}
