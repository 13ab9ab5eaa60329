/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of heads: weights added up by place. */
#include "cli/page/kinds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const kinds_names[KINDS] = {"previous",  "next",      "first", "self",  "separator",
                                        "duplicate", "induction", "local", "broad", "mixed"};

static bool is_separator(const char *token) {
    return strcmp(token, "[SEP]") == 0 || strcmp(token, "</s>") == 0;
}

/* A token and where it stands. */
struct place {
    const char *token;
    int64_t at;
};

static int compare(const void *a, const void *b) {
    const struct place *first = a, *second = b;
    const int order = strcmp(first->token, second->token);
    return order ? order : (first->at > second->at) - (first->at < second->at);
}

/* Ties every token to the nearest equal ones. */
static bool tie(struct kinds_text *text, const char *const *tokens) {
    const int64_t keys = text->sight.keys;
    struct place *places = calloc((size_t)keys + 1, sizeof *places);
    for (int64_t i = 0; places && i < keys; i++)
        places[i] = (struct place){tokens[i], i};
    if (places)
        qsort(places, (size_t)keys, sizeof *places, compare);
    for (int64_t i = 0; places && i < keys; i++) {
        const bool same = i > 0 && strcmp(places[i - 1].token, places[i].token) == 0;
        text->earlier[places[i].at] = same ? places[i - 1].at : -1;
        text->later[places[i].at] = -1;
        if (same)
            text->later[places[i - 1].at] = places[i].at;
    }
    free(places);
    return places;
}

bool kinds_open(struct kinds_text *text, const struct sight *sight, const char *const *tokens,
                bool own) {
    const size_t keys = (size_t)sight->keys;
    *text = (struct kinds_text){.sight = *sight, .own = own};
    text->separator = calloc(keys + 1, sizeof *text->separator);
    text->earlier = calloc(3 * keys + 1, sizeof *text->earlier);
    if (!text->separator || !text->earlier)
        return false;
    text->later = text->earlier + keys;
    text->separators = text->later + keys;
    for (int64_t key = 0; key < sight->keys; key++) {
        text->separator[key] = is_separator(tokens[key]);
        if (text->separator[key])
            text->separators[text->marked++] = key;
    }
    return tie(text, tokens);
}

void kinds_close(struct kinds_text *text) {
    free(text->separator);
    free(text->earlier);
    *text = (struct kinds_text){.own = false};
}

/* A row: the weight of a key is weights[key], or weights[0] for every key if `even`. */
struct row {
    const float *weights;
    bool even;
    int64_t position; /* of the query */
    struct sight_range seen;
};

static bool sees(const struct row *row, int64_t key) {
    return key >= row->seen.first && key < row->seen.end;
}

/* 0 for a key out of sight. */
static double weight_of(const struct row *row, int64_t key) {
    return sees(row, key) ? (double)row->weights[row->even ? 0 : key] : 0;
}

static void add(struct kinds_head *head, enum kind kind, double weight) {
    head->sum[kind] += weight;
    head->rows[kind]++;
}

static void add_separators(struct kinds_head *head, const struct kinds_text *text,
                           const struct row *row) {
    double sum = 0;
    for (int64_t i = 0; i < text->marked; i++)
        sum += weight_of(row, text->separators[i]);
    if (!text->own || !text->separator[row->position])
        add(head, KIND_SEPARATOR, sum);
}

/* What other keys of the query's token get, and the keys after those before it. */
static void add_repeats(struct kinds_head *head, const struct kinds_text *text,
                        const struct row *row) {
    double same = 0, after = 0;
    int64_t others = 0, followers = 0;
    for (int64_t key = text->earlier[row->position]; key >= 0; key = text->earlier[key]) {
        same += weight_of(row, key);
        others += sees(row, key);
        if (key + 1 < row->position) {
            after += weight_of(row, key + 1);
            followers += sees(row, key + 1);
        }
    }
    for (int64_t key = text->later[row->position]; key >= 0; key = text->later[key]) {
        same += weight_of(row, key);
        others += sees(row, key);
    }
    if (others)
        add(head, KIND_DUPLICATE, same);
    if (followers)
        add(head, KIND_INDUCTION, after);
}

static void add_row(struct kinds_head *head, const struct kinds_text *text, const struct row *row) {
    const int64_t at = row->position;
    if (row->seen.end - row->seen.first < 2)
        return;
    add_separators(head, text, row);
    if (!text->own || at > 0)
        add(head, KIND_FIRST, weight_of(row, 0));
    if (!text->own)
        return;
    if (at > 0)
        add(head, KIND_PREVIOUS, weight_of(row, at - 1));
    if (at + 1 < text->sight.keys)
        add(head, KIND_NEXT, weight_of(row, at + 1));
    add(head, KIND_SELF, weight_of(row, at));
    double near = 0;
    for (int64_t key = at - KINDS_NEAR; key <= at + KINDS_NEAR; key++)
        near += weight_of(row, key);
    add(head, KIND_LOCAL, near);
    add_repeats(head, text, row);
}

/* Whether a query gives any key weight: those of padding don't. */
static bool gives(const float *weights, struct sight_range seen) {
    for (int64_t key = seen.first; key < seen.end; key++)
        if (weights[key] > 0)
            return true;
    return false;
}

void kinds_add(struct kinds_head *head, const struct kinds_text *text, int64_t query,
               const float *weights, double entropy) {
    const struct row row = {weights, false, text->sight.offset + query,
                            sight_of(&text->sight, query)};
    const int64_t seen = row.seen.end - row.seen.first;
    if (!gives(weights, row.seen))
        return;
    head->entropy += entropy;
    head->queries++;
    if (seen > 1) {
        head->spread += fmin(entropy / log((double)seen), 1);
        head->seeing++;
    }
    add_row(head, text, &row);
}

static void take_means(const struct kinds_head *head, double mass[KIND_PLACES]) {
    for (int kind = 0; kind < KIND_PLACES; kind++) {
        const bool repeats = kind == KIND_DUPLICATE || kind == KIND_INDUCTION;
        const int64_t rows = head->rows[kind];
        mass[kind] = rows >= (repeats ? KINDS_REPEATS : 1) ? head->sum[kind] / (double)rows : -1;
    }
}

void kinds_even(const struct kinds_text *text, double even[KIND_PLACES]) {
    struct kinds_head head = {{0}, {0}, 0, 0, 0, 0};
    for (int64_t query = 0; query < text->sight.queries; query++) {
        const struct sight_range seen = sight_of(&text->sight, query);
        const float weight = 1 / (float)(seen.end - seen.first);
        const struct row row = {&weight, true, text->sight.offset + query, seen};
        add_row(&head, text, &row);
    }
    take_means(&head, even);
}

static double find_excess(const struct kinds_summary *s, const double *even, int kind) {
    const bool there = s->mass[kind] >= 0 && even[kind] < 1;
    return there ? (s->mass[kind] - even[kind]) / (1 - even[kind]) : -INFINITY;
}

static enum kind choose(const struct kinds_summary *s, const double *even) {
    int best = KIND_PREVIOUS;
    for (int kind = KIND_NEXT; kind < KIND_LOCAL; kind++)
        if (find_excess(s, even, kind) > find_excess(s, even, best))
            best = kind;
    if (find_excess(s, even, best) >= KINDS_EXCESS)
        return (enum kind)best;
    if (find_excess(s, even, KIND_LOCAL) >= KINDS_EXCESS)
        return KIND_LOCAL;
    return s->spread >= KINDS_SPREAD ? KIND_BROAD : KIND_MIXED;
}

struct kinds_summary kinds_summarise(const struct kinds_head *head,
                                     const double even[KIND_PLACES]) {
    struct kinds_summary summary = {
        .entropy = head->queries ? head->entropy / (double)head->queries : 0,
        .spread = head->seeing ? head->spread / (double)head->seeing : 0,
    };
    take_means(head, summary.mass);
    summary.kind = choose(&summary, even);
    return summary;
}
