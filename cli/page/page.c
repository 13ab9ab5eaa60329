/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the page: its own text, one block of weights for every head, and what describes them. */
#include "cli/page/page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/color.h"
#include "cli/base/json_string.h"
#include "cli/base/tokens.h"
#include "cli/page/check.h"
#include "cli/page/rows.h"
#include "cli/page/view.h"

enum { MOST_VIEWS = 2, LABEL_SIZE = 24 };

static const char marker[] = "<!-- data -->";
static const char *const view_names[MOST_VIEWS] = {"raw", "causal"};

/* What is made of a page's description. */
struct book {
    const struct page *page;
    int views;
    int64_t heads, group;
    struct view views_of[PAGE_TEXTS][MOST_VIEWS];
};

static void write_list(FILE *file, const char *name, const double *numbers, int count) {
    fprintf(file, "\"%s\":[", name);
    for (int i = 0; i < count; i++) {
        fputs(i ? "," : "", file);
        if (numbers[i] < 0)
            fputs("null", file);
        else
            fprintf(file, "%.6f", numbers[i]);
    }
    putc(']', file);
}

static void write_head(FILE *file, const struct view *view, int64_t at) {
    const struct kinds_summary *head = &view->heads[at];
    const struct view_pair *pair = &view->pairs[at];
    const float *received = view->received + at * view->columns;
    fprintf(file, "{\"kind\":\"%s\",\"entropy\":%.6f,\"spread\":%.6f,", kinds_names[head->kind],
            head->entropy, head->spread);
    write_list(file, "mass", head->mass, KIND_PLACES);
    if (pair->weight >= 0)
        fprintf(file, ",\"pair\":[%" PRId64 ",%" PRId64 ",%.6f]", pair->query, pair->key,
                (double)pair->weight);
    fputs(",\"received\":[", file);
    for (int64_t key = 0; key < view->columns; key++)
        fprintf(file, "%s%.6f", key ? "," : "", (double)received[key]);
    fputs("]}", file);
}

static void write_view(FILE *file, const struct book *book, const struct view *view) {
    const struct sight *sight = &view->text.sight;
    fprintf(file, "\"%s\":{\"sight\":{\"causal\":%s,\"left\":%" PRId64 ",\"right\":%" PRId64 "},\n",
            view->name, sight->causal ? "true" : "false", sight->left, sight->right);
    write_list(file, "even", view->even, KIND_PLACES);
    fputs(",\"heads\":[", file);
    for (int64_t at = 0; at < book->heads; at++) {
        fputs(at ? ",\n" : "\n", file);
        write_head(file, view, at);
    }
    fputs("]}", file);
}

/* The tokens in single cells, and where words begin, if they have several. */
static void write_single(FILE *file, const struct tokens *tokens, int64_t first, int64_t count) {
    fputs("\"tokens\":[", file);
    for (int64_t i = 0; i < count; i++) {
        fputs(i ? "," : "", file);
        json_string_in_script(file, tokens->shown[first + i]);
    }
    fputs("],\"words\":[", file);
    bool some = false;
    for (int word = 0; word < tokens->words; word++) {
        const int64_t start = tokens->start[word] - first;
        if (tokens->start[word + 1] <= first || start >= count)
            continue;
        fprintf(file, "%s[%" PRId64 ",", some ? "," : "", start > 0 ? start : 0);
        json_string_in_script(file, tokens->names[word]);
        putc(']', file);
        some = true;
    }
    putc(']', file);
}

/* How many bytes of a name fit a label. */
static int label_length(const char *name) {
    size_t length = strnlen(name, LABEL_SIZE);
    while (length && (name[length] & 0xc0) == 0x80)
        length--;
    return (int)length;
}

/* Cells of several tokens are called by the first one and its number. */
static void write_groups(FILE *file, const struct tokens *tokens, int64_t first, int64_t count,
                         int64_t group) {
    fputs("\"tokens\":[", file);
    for (int64_t i = 0; i < count; i += group) {
        char label[LABEL_SIZE + 32];
        const char *name = tokens->shown[first + i];
        snprintf(label, sizeof label, "%" PRId64 " %.*s", first + i, label_length(name), name);
        fputs(i ? "," : "", file);
        json_string_in_script(file, label);
    }
    fputs("],\"words\":null", file);
}

static void write_side(FILE *file, const char *name, const struct tokens *tokens,
                       struct sight_range shown, int64_t group) {
    const int64_t count = shown.end - shown.first;
    fprintf(file, "\"%s\":{\"first\":%" PRId64 ",\"count\":%" PRId64 ",", name, shown.first, count);
    if (group == 1)
        write_single(file, tokens, shown.first, count);
    else
        write_groups(file, tokens, shown.first, count, group);
    fputs("},\n", file);
}

static void join(FILE *out, const struct tokens *tokens) {
    for (int i = 0; i < tokens->words; i++)
        fprintf(out, "%s%s", i ? " " : "", tokens->names[i]);
}

/* The text, or the words in its place. */
static bool write_title(FILE *file, const struct page_text *text, const struct tokens *queries,
                        const struct tokens *keys) {
    char *joined = NULL;
    size_t size = 0;
    FILE *out = text->text ? NULL : open_memstream(&joined, &size);
    if (!text->text && !out)
        return false;
    if (out && queries != keys) {
        join(out, queries);
        fputs(" \xe2\x86\x92 ", out); /* U+2192, an arrow */
    }
    if (out)
        join(out, keys);
    const bool good = !out || fclose(out) == 0;
    if (good)
        json_string_in_script(file, text->text ? text->text : joined);
    free(joined);
    return good;
}

static bool write_tokens(FILE *file, const struct book *book, const struct page_text *text,
                         const struct tokens *queries, const struct tokens *keys) {
    const struct sight *sight = &text->sight;
    const int64_t from = queries == keys ? sight->offset : 0;
    const struct sight_range rows = {from, from + sight->queries},
                             columns = {text->first_key, text->first_key + text->shown_keys};
    fputs("{\"text\":", file);
    const bool good = write_title(file, text, queries, keys);
    fprintf(file, ",\"own\":%s,\"offset\":%" PRId64 ",\"counts\":[%" PRId64 ",%" PRId64 "],\n",
            queries == keys ? "true" : "false", sight->offset, sight->queries, sight->keys);
    write_side(file, "queries", queries, rows, book->group);
    write_side(file, "keys", keys, columns, book->group);
    return good;
}

static rapt_status write_text(FILE *file, const struct book *book, int64_t index) {
    const struct page_text *text = &book->page->texts[index];
    struct tokens keys = {.count = 0}, queries = {.count = 0};
    const bool good =
        tokens_read(&keys, text->keys, (int)text->sight.keys) &&
        (!text->queries || tokens_read(&queries, text->queries, (int)text->sight.queries)) &&
        write_tokens(file, book, text, text->queries ? &queries : &keys, &keys);
    tokens_free(&keys);
    tokens_free(&queries);
    if (!good)
        return RAPT_OUT_OF_MEMORY;
    for (int v = 0; v < book->views; v++) {
        fputs(v ? ",\n" : "", file);
        write_view(file, book, &book->views_of[index][v]);
    }
    fputs("}", file);
    return RAPT_OK;
}

/* What holds for all texts: the names, the colours of 256 levels, the rules of the kinds. */
static void write_common(FILE *file, const struct book *book) {
    const struct page *page = book->page;
    fprintf(file, "\"version\":\"%s\",\"model\":", rapt_version());
    json_string_in_script(file, page->model);
    fprintf(file, ",\"layers\":%" PRId64 ",\"heads\":[", page->layer_count);
    for (int64_t i = 0; i < page->layer_count; i++) {
        const struct page_layer *layer = &page->texts[0].layers[i];
        for (int64_t h = 0; h < layer->head_count; h++)
            fprintf(file, "%s[%" PRId64 ",%" PRId64 "]", i || h ? "," : "", layer->number,
                    layer->heads[h]);
    }
    fprintf(file, "],\n\"group\":%" PRId64 ",\"excess\":%.4g,\"spread\":%.4g,", book->group,
            KINDS_EXCESS, KINDS_SPREAD);
    fprintf(file, "\"near\":%d,\"repeats\":%d,\"kinds\":[", KINDS_NEAR, KINDS_REPEATS);
    for (int kind = 0; kind < KINDS; kind++)
        fprintf(file, "%s\"%s\"", kind ? "," : "", kinds_names[kind]);
    fputs("],\"views\":[", file);
    for (int v = 0; v < book->views; v++)
        fprintf(file, "%s\"%s\"", v ? "," : "", view_names[v]);
    fprintf(file, "],\"computed\":%s,\n\"ramp\":\"",
            page->texts[0].layers[0].weights.dtype == RAPT_NONE ? "true" : "false");
    for (int level = 0; level < 256; level++) {
        const struct color color = color_ramp(level / 255.0);
        fprintf(file, "%02x%02x%02x", color.red, color.green, color.blue);
    }
    fputs("\"", file);
}

/* Whether no head gives weight to a later key, as far as there is time to look. */
static bool is_causal(const struct book *book, const struct page_text *text, float *weights) {
    const struct sight *sight = &text->sight;
    const int64_t step = rows_at_once(sight);
    for (int64_t at = 0; at < book->page->layer_count; at++)
        for (int64_t h = 0; h < text->layers[at].head_count; h++)
            for (int64_t first = 0; first < sight->queries; first += step) {
                const struct page_layer *layer = &text->layers[at];
                const struct rows rows = {book->page,      text,   layer,
                                          layer->heads[h], *sight, weights};
                const int64_t left = sight->queries - first, count = left < step ? left : step;
                rows_copy(&rows, first, count);
                if (rows_interrupted(book->page))
                    return false;
                for (int64_t i = 0; i < count; i++)
                    for (int64_t key = sight->offset + first + i + 1; key < sight->keys; key++)
                        if (!(weights[i * sight->keys + key] == 0))
                            return false;
            }
    return true;
}

static rapt_status find_sight(const struct book *book, const struct page_text *text, int view,
                              struct sight *sight) {
    const bool given = text->layers[0].weights.dtype != RAPT_NONE;
    *sight = view_sight(text, view > 0);
    if (book->page->views == PAGE_FOUND && given && !text->queries) {
        float *weights = malloc(rows_room(sight) * sizeof *weights);
        if (!weights)
            return RAPT_OUT_OF_MEMORY;
        sight->causal = is_causal(book, text, weights);
        free(weights);
    }
    return RAPT_OK;
}

static rapt_status write_blocks(FILE *file, struct book *book, int64_t index, int v,
                                char error[PAGE_ERROR_SIZE]) {
    const struct page_text *text = &book->page->texts[index];
    struct view *view = &book->views_of[index][v];
    struct sight sight;
    rapt_status status = find_sight(book, text, v, &sight);
    *view = (struct view){.name = view_names[v], .index = index, .group = book->group};
    if (status == RAPT_OK && !view_open(view, text, &sight, book->heads))
        status = RAPT_OUT_OF_MEMORY;
    for (int64_t i = 0, at = 0; status == RAPT_OK && i < book->page->layer_count; i++) {
        const struct page_layer *layer = &text->layers[i];
        for (int64_t h = 0; status == RAPT_OK && h < layer->head_count; h++)
            status = view_write_head(file, view, book->page, layer, layer->heads[h], at++, error);
    }
    return status;
}

static rapt_status write_all(FILE *file, struct book *book, char error[PAGE_ERROR_SIZE]) {
    const struct page *page = book->page;
    rapt_status status = RAPT_OK;
    for (int64_t i = 0; i < page->text_count; i++)
        for (int v = 0; v < book->views && status == RAPT_OK; v++)
            status = write_blocks(file, book, i, v, error);
    if (status != RAPT_OK)
        return status;
    fputs("<script type=\"application/json\" id=\"data\">\n{", file);
    write_common(file, book);
    fputs(",\n\"sentences\":[", file);
    for (int64_t i = 0; i < page->text_count && status == RAPT_OK; i++) {
        fputs(i ? ",\n" : "", file);
        status = write_text(file, book, i);
    }
    fputs("]}\n</script>\n", file);
    return status;
}

static void free_views(struct book *book) {
    for (int64_t i = 0; i < PAGE_TEXTS; i++)
        for (int v = 0; v < MOST_VIEWS; v++)
            view_close(&book->views_of[i][v]);
}

rapt_status page_write(FILE *file, const struct page *page, char error[PAGE_ERROR_SIZE]) {
    struct book book = {.page = page, .views = page->views == PAGE_BOTH ? 2 : 1};
    const char *text = (const char *)page_data;
    const char *gap = memmem(text, page_data_size, marker, sizeof marker - 1);
    rapt_status status = page_check(page, error);
    if (status == RAPT_OK)
        status = page_choose_group(page, &book.group, error);
    if (status != RAPT_OK)
        return status;
    for (int64_t i = 0; i < page->layer_count; i++)
        book.heads += page->texts[0].layers[i].head_count;
    fwrite(text, 1, (size_t)(gap - text), file);
    error[0] = 0;
    status = write_all(file, &book, error);
    if (status == RAPT_OK) {
        const char *rest = gap + sizeof marker - 1;
        fwrite(rest, 1, (size_t)(text + page_data_size - rest), file);
    } else if (!error[0]) {
        page_fail(error, status, "%s", rapt_status_text(status));
    }
    free_views(&book);
    return status;
}
