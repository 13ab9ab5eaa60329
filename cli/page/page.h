/* SPDX-License-Identifier: Apache-2.0 */
/* The attention of all layers and heads over one or two sentences as a page that needs nothing but
 * itself. */
#ifndef RAPT_CLI_PAGE_PAGE_H
#define RAPT_CLI_PAGE_PAGE_H

#include <rapt/rapt.h>

#include <stdio.h>

#include "cli/sentences/samples.h"

enum { PAGE_SENTENCES = 2 };

struct page {
    const struct samples *samples;
    const struct sample *sentences[PAGE_SENTENCES];
    int count;
    const char *isa; /* as in rapt_attention_args */
    int threads;
};

/*
 * Computes all heads, each token seeing all and each seeing none after it, and writes the page.
 * Whether the file took all of it, ferror tells.
 */
rapt_status page_write(FILE *file, const struct page *page);

/* The page without its data, made of the files beside this one; its size is in bytes. */
extern const uint32_t page_data[];
extern const size_t page_data_size;

#endif
