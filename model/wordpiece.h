/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BERT's tokens (Devlin et al. 2018). Text is cleaned and split at spaces, punctuation and Chinese
 * characters. Each word is cut into the longest pieces that the vocabulary has (WordPiece). The
 * marks [CLS], [SEP], [UNK], [PAD] and [MASK] stand for themselves where they are written in a
 * text. Bytes that are no UTF-8 are left out, as U+FFFD is.
 */
#ifndef RAPT_MODEL_WORDPIECE_H
#define RAPT_MODEL_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "model/file.h"

enum { WORDPIECE_MAX_WORD = 100 }; /* characters; a longer word is [UNK] */

enum wordpiece_mark { MARK_CLS, MARK_SEP, MARK_UNK, MARK_PAD, MARK_MASK, MARKS };

struct wordpiece {
    bool lowercase, strip_accents, split_chinese; /* set after opening, true by default */
    char *text;                                   /* of the vocabulary, lines ended by zeros */
    const char **tokens;                          /* [count] */
    int64_t count;
    int64_t mark[MARKS];
    int64_t *slots; /* a hash table of numbers of tokens, -1 where there's none */
    size_t slot_count, longest;
};

/* Reads a vocabulary: a token on each line. On failure there is nothing to close. */
bool wordpiece_open(const char *path, struct wordpiece *vocabulary, char message[FAULT_SIZE]);

/* The same for a text in memory. */
bool wordpiece_parse(const char *path, const char *text, size_t size, struct wordpiece *vocabulary,
                     char message[FAULT_SIZE]);

void wordpiece_close(struct wordpiece *vocabulary);

/*
 * Tokens of a text between [CLS] and [SEP], at most `most` (2 or more) of them: what doesn't fit is
 * left out before [SEP]. Returns how many there are; *whole, unless it is NULL, is how many there
 * would be without a limit. Allocates nothing.
 */
int64_t wordpiece_split(const struct wordpiece *vocabulary, const char *text, size_t size,
                        int64_t *ids, int64_t most, int64_t *whole);

#endif
