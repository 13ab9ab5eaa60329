/* SPDX-License-Identifier: Apache-2.0 */
/* Queries and keys of a model that the user has run elsewhere. */
#ifndef RAPT_CLI_SENTENCES_QKV_H
#define RAPT_CLI_SENTENCES_QKV_H

#include "cli/sentences/samples.h"

/*
 * Reads a folder as one sentence without values:
 *
 * - q.npy, k.npy: (layers, heads, positions, channels), or (heads, positions, channels) of a single
 *   layer, float32 or float16; keys may have fewer heads;
 * - tokens.txt: a token on each line, those of the keys' text if there are as many; in a line
 *   "\n" is a line's end, "\t" a tab and "\\" a backslash;
 * - key_tokens.txt, if the keys are of another text than the queries.
 *
 * On failure prints why as that command, and leaves nothing to free.
 */
bool qkv_read(const char *command, const char *folder, struct samples *result);

#endif
