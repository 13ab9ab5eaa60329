/* SPDX-License-Identifier: Apache-2.0 */
/* One view of a text: the heads of all layers as its queries see the keys, and what is found. */
#ifndef RAPT_CLI_PAGE_VIEW_H
#define RAPT_CLI_PAGE_VIEW_H

#include "cli/page/kinds.h"
#include "cli/page/page.h"

/* The largest weight between two different places. */
struct view_pair {
    int64_t query, key;
    float weight; /* -1 without such places */
};

struct view {
    const char *name;      /* "raw", "causal" */
    int64_t index;         /* of the text */
    int64_t group;         /* tokens that share a cell */
    int64_t rows, columns; /* of cells */
    struct kinds_text text;
    double even[KIND_PLACES];
    struct kinds_summary *heads; /* of all layers, one after the other */
    struct view_pair *pairs;
    float *received; /* [head][column]: the mean weight from queries that see it */
    /* The rest is memory for one head. */
    int64_t *seers;    /* of each key that is shown: how many queries see it */
    double *sums;      /* of what each such key gets */
    double *cells;     /* of a row */
    double *entropies; /* of each row */
    float *weights;
};

/* What a text's queries see in a view; causal is added to what the text says. */
struct sight view_sight(const struct page_text *text, bool causal);

/* Opens a view for so many heads; false if memory ran out. Close it in any case. */
bool view_open(struct view *view, const struct page_text *text, const struct sight *sight,
               int64_t heads);
void view_close(struct view *view);

/*
 * Reads one head, number `at` of all, takes it in, and writes its block: an element with the name
 * "VIEW-TEXT-LAYER-HEAD" and base64 of numbers of 16 bits (pack.h). For each row of cells come the
 * weights of the keys in sight, and at the end all rows' entropies in thousandths of a nat.
 */
rapt_status view_write_head(FILE *file, struct view *view, const struct page *page,
                            const struct page_layer *layer, int64_t head, int64_t at,
                            char error[PAGE_ERROR_SIZE]);

#endif
