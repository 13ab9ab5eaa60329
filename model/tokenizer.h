/* SPDX-License-Identifier: Apache-2.0 */
/* How a model's folder says that text is split: everything that BERT's tokeniser can be told. */
#ifndef RAPT_MODEL_TOKENIZER_H
#define RAPT_MODEL_TOKENIZER_H

#include "model/wordpiece.h"

/*
 * Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json where
 * they are there, and the vocabulary: tokenizer.json's, or else that of vocab.txt. What wordpiece.h
 * can't do is a fault. *most becomes model_max_length if that is less. On failure there is nothing
 * to close.
 */
bool tokenizer_open(const char *folder, struct wordpiece *vocabulary, int64_t *most,
                    char message[FAULT_SIZE]);

#endif
