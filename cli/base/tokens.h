/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text's tokens as a reader is shown them, whatever tokenizer made them. Three ways of writing
 * are known by their marks:
 *
 * - word pieces (BERT): "##" goes on with the word before;
 * - bytes as letters (GPT-2): U+0120 is a space, U+010A a line's end, and so on;
 * - SentencePiece: U+2581 is a space, "<0x0A>" a byte.
 *
 * A space at either end is shown as U+2423, a control character by its picture, such as U+240A, and
 * bytes that are no character as "<E4 BD>". Marks such as "[CLS]" and "</s>" are left as they are.
 */
#ifndef RAPT_CLI_BASE_TOKENS_H
#define RAPT_CLI_BASE_TOKENS_H

#include <stdbool.h>

/* Word w has the tokens from start[w] to before start[w + 1]. */
struct tokens {
    int count, words;
    const char **shown; /* of each token */
    const char **names; /* of each word: its tokens joined, without the space before */
    int *start;         /* words + 1 of them */
    char *memory;       /* of the texts */
};

/* Reads what a tokenizer has given; false if memory ran out. */
bool tokens_read(struct tokens *tokens, const char *const *given, int count);

void tokens_free(struct tokens *tokens);

#endif
