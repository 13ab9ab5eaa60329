/* SPDX-License-Identifier: Apache-2.0 */
/* The page of one or two sentences of a model. */
#ifndef RAPT_CLI_PAGE_SAMPLES_PAGE_H
#define RAPT_CLI_PAGE_SAMPLES_PAGE_H

#include "cli/page/page.h"
#include "cli/sentences/samples.h"

struct samples_page {
    struct page page;
    struct page_text texts[PAGE_TEXTS];
    struct page_layer *layers; /* of the first text, and then of the second */
    int64_t *heads;
};

/*
 * Describes the page of `count` sentences, in two views and with a cell for every token. It points
 * into the samples. False if memory ran out; close it in any case.
 */
bool samples_page_open(struct samples_page *made, const struct samples *samples,
                       const struct sample *const *sentences, int count);
void samples_page_close(struct samples_page *made);

#endif
