/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/view.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/row.h"
#include "cli/page/pack.h"
#include "cli/page/rows.h"

struct sight view_sight(const struct page_text *text, bool causal) {
    struct sight sight = text->sight;
    sight.causal = sight.causal || causal;
    return sight;
}

static int64_t clamp(int64_t number, int64_t least, int64_t most) {
    return number < least ? least : number > most ? most : number;
}

/* The keys that are shown, by their number among these. */
static struct sight_range shown_of(const struct page_text *text, struct sight_range seen) {
    const int64_t first = clamp(seen.first - text->first_key, 0, text->shown_keys);
    return (struct sight_range){first, clamp(seen.end - text->first_key, first, text->shown_keys)};
}

static void count_seers(struct view *view, const struct page_text *text) {
    for (int64_t query = 0; query < text->sight.queries; query++) {
        const struct sight_range shown = shown_of(text, sight_of(&view->text.sight, query));
        view->seers[shown.first]++;
        view->seers[shown.end]--;
    }
    for (int64_t key = 1; key < text->shown_keys; key++)
        view->seers[key] += view->seers[key - 1];
}

bool view_open(struct view *view, const struct page_text *text, const struct sight *sight,
               int64_t heads) {
    const size_t count = (size_t)heads, keys = (size_t)text->shown_keys;
    view->rows = (sight->queries + view->group - 1) / view->group;
    view->columns = (text->shown_keys + view->group - 1) / view->group;
    view->heads = calloc(count, sizeof *view->heads);
    view->pairs = calloc(count, sizeof *view->pairs);
    view->received = calloc(count * (size_t)view->columns, sizeof *view->received);
    view->seers = calloc(keys + 1, sizeof *view->seers);
    view->sums = calloc(keys, sizeof *view->sums);
    view->cells = calloc((size_t)view->columns, sizeof *view->cells);
    view->entropies = calloc((size_t)view->rows, sizeof *view->entropies);
    view->weights = malloc(rows_room(sight) * sizeof *view->weights);
    const bool own = text->queries == NULL;
    if (!kinds_open(&view->text, sight, text->keys, own) || !view->heads || !view->pairs ||
        !view->received || !view->seers || !view->sums || !view->cells || !view->entropies ||
        !view->weights)
        return false;
    count_seers(view, text);
    kinds_even(&view->text, view->even);
    return true;
}

void view_close(struct view *view) {
    kinds_close(&view->text);
    free(view->heads);
    free(view->pairs);
    free(view->received);
    free(view->seers);
    free(view->sums);
    free(view->cells);
    free(view->entropies);
    free(view->weights);
    memset(view, 0, sizeof *view);
}

/* A head on its way into the view. */
struct passage {
    struct view *view;
    const struct page_text *text;
    struct pack_base64 base64;
    struct kinds_head kinds;
    struct view_pair *pair;
};

static void find_pair(struct passage *passage, int64_t query, const float *row,
                      struct sight_range seen) {
    const struct kinds_text *text = &passage->view->text;
    const int64_t own = text->own ? text->sight.offset + query : -1;
    for (int64_t key = seen.first; key < seen.end; key++)
        if (row[key] > passage->pair->weight && key != own)
            *passage->pair = (struct view_pair){query, key, row[key]};
}

/* Writes the row of cells that ends with that query. */
static void put_cells(struct passage *passage, int64_t query) {
    struct view *view = passage->view;
    const int64_t row = query / view->group, first = row * view->group, count = query + 1 - first;
    const struct sight *sight = &view->text.sight;
    const struct sight_range from = shown_of(passage->text, sight_of(sight, first));
    const struct sight_range to = shown_of(passage->text, sight_of(sight, query));
    if (to.end > from.first)
        for (int64_t cell = from.first / view->group; cell <= (to.end - 1) / view->group; cell++)
            pack_number(&passage->base64, pack_weight((float)(view->cells[cell] / (double)count)));
    memset(view->cells, 0, (size_t)view->columns * sizeof *view->cells);
    view->entropies[row] /= (double)count;
}

static void take_row(struct passage *passage, int64_t query, const float *row) {
    struct view *view = passage->view;
    const struct sight_range seen = sight_of(&view->text.sight, query);
    const struct sight_range shown = shown_of(passage->text, seen);
    const float *from = row + passage->text->first_key;
    const double entropy = row_summarise(row + seen.first, (int)(seen.end - seen.first)).entropy;
    kinds_add(&passage->kinds, &view->text, query, row, entropy);
    find_pair(passage, query, row, seen);
    for (int64_t key = shown.first; key < shown.end; key++) {
        view->sums[key] += (double)from[key];
        view->cells[key / view->group] += (double)from[key];
    }
    view->entropies[query / view->group] += entropy;
    if ((query + 1) % view->group == 0 || query + 1 == view->text.sight.queries)
        put_cells(passage, query);
}

static void put_entropies(struct passage *passage) {
    for (int64_t row = 0; row < passage->view->rows; row++)
        pack_number(&passage->base64, (uint16_t)lround(1000 * passage->view->entropies[row]));
    pack_end(&passage->base64);
}

static void keep(struct passage *passage, int64_t at) {
    struct view *view = passage->view;
    float *received = view->received + at * view->columns;
    view->heads[at] = kinds_summarise(&passage->kinds, view->even);
    for (int64_t key = 0; key < passage->text->shown_keys; key++)
        if (view->seers[key])
            received[key / view->group] += (float)(view->sums[key] / (double)view->seers[key]);
}

rapt_status view_write_head(FILE *file, struct view *view, const struct page *page,
                            const struct page_layer *layer, int64_t head, int64_t at,
                            char error[PAGE_ERROR_SIZE]) {
    const struct page_text *text = &page->texts[view->index];
    const struct sight *sight = &view->text.sight;
    const struct rows rows = {page, text, layer, head, *sight, view->weights};
    struct passage passage = {.view = view, .text = text, .base64 = {.file = file}};
    passage.pair = &view->pairs[at];
    *passage.pair = (struct view_pair){0, 0, -1};
    memset(view->sums, 0, (size_t)text->shown_keys * sizeof *view->sums);
    memset(view->entropies, 0, (size_t)view->rows * sizeof *view->entropies);
    fprintf(file, "<script type=\"text/plain\" id=\"%s-%" PRId64 "-%" PRId64 "-%" PRId64 "\">",
            view->name, view->index, layer->number, head);
    const int64_t step = rows_at_once(sight);
    for (int64_t first = 0; first < sight->queries; first += step) {
        const int64_t left = sight->queries - first, count = left < step ? left : step;
        const rapt_status status = rows_read(&rows, first, count, error);
        if (status != RAPT_OK)
            return status;
        for (int64_t i = 0; i < count; i++)
            take_row(&passage, first + i, view->weights + i * sight->keys);
    }
    put_entropies(&passage);
    keep(&passage, at);
    fputs("</script>\n", file);
    return RAPT_OK;
}
