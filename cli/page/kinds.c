/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of heads: weights added up by place. */
#include "cli/page/kinds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sentences/attend.h"

const char *const kinds_names[KINDS] = {"previous",  "next",  "first", "self",
                                        "separator", "local", "broad", "mixed"};

/* The sums over rows, and how many rows they are of. */
struct masses {
    double sum[KIND_PLACES];
    int rows[KIND_PLACES];
};

static bool is_separator(const char *token) {
    return strcmp(token, "[SEP]") == 0 || strcmp(token, "</s>") == 0;
}

static int keys_seen(const struct kinds_text *text, int query) {
    return text->causal ? query + 1 : text->count;
}

static void add(struct masses *masses, enum kind kind, double weight) {
    masses->sum[kind] += weight;
    masses->rows[kind]++;
}

/* Adds one row: the weight of a key is weights[key], or weights[0] for every key if `even`. */
static void add_row(struct masses *masses, const struct kinds_text *text, int query,
                    const float *weights, bool even) {
    const int seen = keys_seen(text, query);
    if (seen < 2)
        return;
    double near = 0, separators = 0;
    for (int key = 0; key < seen; key++) {
        const double weight = weights[even ? 0 : key];
        near += abs(key - query) <= KINDS_NEAR ? weight : 0;
        separators += is_separator(text->tokens[key]) ? weight : 0;
    }
    if (query > 0) {
        add(masses, KIND_PREVIOUS, weights[even ? 0 : query - 1]);
        add(masses, KIND_FIRST, weights[0]);
    }
    if (query + 1 < text->count)
        add(masses, KIND_NEXT, query + 1 < seen ? weights[even ? 0 : query + 1] : 0);
    add(masses, KIND_SELF, weights[even ? 0 : query]);
    if (!is_separator(text->tokens[query]))
        add(masses, KIND_SEPARATOR, separators);
    add(masses, KIND_LOCAL, near);
}

static void take_means(const struct masses *masses, double mass[KIND_PLACES]) {
    for (int kind = 0; kind < KIND_PLACES; kind++)
        mass[kind] = masses->rows[kind] ? masses->sum[kind] / masses->rows[kind] : 0;
}

void kinds_even(const struct kinds_text *text, double even[KIND_PLACES]) {
    struct masses masses = {{0}, {0}};
    for (int query = 0; query < text->count; query++) {
        const float weight = 1 / (float)keys_seen(text, query);
        add_row(&masses, text, query, &weight, true);
    }
    take_means(&masses, even);
}

static double find_excess(const struct kinds_summary *s, const double *even, int kind) {
    return even[kind] < 1 ? (s->mass[kind] - even[kind]) / (1 - even[kind]) : 0;
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

struct kinds_summary kinds_summarise(const struct kinds_text *text, const float *weights,
                                     const double even[KIND_PLACES]) {
    struct kinds_summary summary = {0};
    struct masses masses = {{0}, {0}};
    int rows = 0;
    for (int query = 0; query < text->count; query++) {
        const float *row = weights + (size_t)query * (size_t)text->count;
        const double entropy = attend_summarise(row, text->count).entropy;
        const int seen = keys_seen(text, query);
        summary.entropy += entropy / text->count;
        if (seen > 1) {
            summary.spread += fmin(entropy / log(seen), 1);
            rows++;
        }
        add_row(&masses, text, query, row, false);
    }
    summary.spread = rows ? summary.spread / rows : 0;
    take_means(&masses, summary.mass);
    summary.kind = choose(&summary, even);
    return summary;
}
