/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention as a page that needs nothing but itself: of a model's layers and heads, over one text
 * or two. The page takes a description of where the weights come from. Of these it holds a few rows
 * at a time, so that long texts work.
 */
#ifndef RAPT_CLI_PAGE_PAGE_H
#define RAPT_CLI_PAGE_PAGE_H

#include <rapt/rapt.h>

#include <stddef.h>
#include <stdio.h>

#include "cli/page/sight.h"

enum {
    PAGE_TEXTS = 2,
    PAGE_ERROR_SIZE = 512,
    PAGE_MOST_SIDE = 2048,       /* queries or keys on a page that chooses its own group */
    PAGE_MOST_BYTES = 32 << 20,  /* of its weights */
    PAGE_MOST_EVER = 1000000000, /* of the weights of any page */
};

/* A layer's weights, or the queries and keys that they come from: one of both is RAPT_NONE. */
struct page_layer {
    int64_t number;       /* as it is called */
    const int64_t *heads; /* those of its heads that are shown */
    int64_t head_count;
    rapt_tensor weights;    /* (1, H, Sq, Skv), f32, f16 or bf16 */
    rapt_tensor query, key; /* (1, H, Sq, D), (1, Hkv, Skv, D), of any type that rapt reads */
};

struct page_text {
    const char *text;           /* NULL: the tokens' words */
    const char *const *keys;    /* the tokens, as the tokenizer wrote them */
    const char *const *queries; /* of another text; NULL: the keys' own, from sight.offset on */
    struct sight sight;
    int64_t first_key, shown_keys;   /* which columns are shown; sums are over all */
    const struct page_layer *layers; /* as many in both texts, with as many heads */
    float scale, softcap;            /* as in rapt_attention_args */
};

enum page_views {
    PAGE_AS_GIVEN, /* what sight says */
    PAGE_FOUND,    /* causal if no query gives weight to a later key */
    PAGE_BOTH,     /* as given, and causal beside it, which only queries and keys allow */
};

struct page {
    size_t size, text_size, layer_size; /* of these structs, which are checked */
    const char *model;
    const struct page_text *texts;
    int64_t text_count, layer_count;
    int64_t views; /* enum page_views */
    int64_t group; /* tokens that share a cell; 0: as few as keep the page small */
    int64_t threads;
    const char *isa; /* as in rapt_attention_args, and these: */
    bool (*interrupted)(void *context);
    void *interrupted_context;
};

/*
 * Computes all heads and writes the page. On failure the error says why; RAPT_INVALID_ARGUMENT is
 * for weights that are none, too. Whether the file took all of it, ferror tells.
 */
rapt_status page_write(FILE *file, const struct page *page, char error[PAGE_ERROR_SIZE]);

/* The page without its data, made of the files beside this one; its size is in bytes. */
extern const uint32_t page_data[];
extern const size_t page_data_size;

#endif
