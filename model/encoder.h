/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sentence encoder of BERT's family (Devlin et al. 2018; Reimers and Gurevych 2019), on librapt.
 * It reads a folder's config.json, vocabulary and model.safetensors, as Hugging Face has them. It
 * also reads what sentence-transformers adds: see modules.h. A file or a key that would change what
 * comes out is followed, or refused by its name.
 *
 * Sentences of different lengths go through the model end to end, without padding. The bits of one
 * depend neither on the others nor on the threads or the instruction set.
 */
#ifndef RAPT_MODEL_ENCODER_H
#define RAPT_MODEL_ENCODER_H

#include <rapt/rapt.h>

#include "model/file.h"
#include "model/modules.h"
#include "model/safetensors.h"
#include "model/wordpiece.h"

struct encoder_norm {
    float *weight, *bias;
};

struct encoder_layer {
    rapt_mha_args weights;  /* of attention */
    rapt_mha *attention[2]; /* on the library's threads, and on the calling one alone */
    rapt_linear_args feed;  /* the feed-forward part, without its tokens */
    struct encoder_norm attention_norm, norm;
};

struct encoder {
    int64_t layers, heads, head_dim, dim, inner, vocabulary_size, positions, types;
    int64_t most_tokens; /* of a sentence, [CLS] and [SEP] included */
    int64_t width;       /* of an embedding, which need not be dim */
    int64_t widest;      /* of the vectors on the way to it */
    float epsilon;
    int threads;                                 /* as in rapt_attention_args */
    const char *isa;                             /* the same; the caller's */
    char folder[CONFIG_PATH], path[CONFIG_PATH]; /* of the model, and of the weights */
    struct wordpiece vocabulary;
    struct modules modules;
    struct safetensors weights;
    rapt_tensor words, places, kinds; /* tables of embeddings */
    struct encoder_norm embedding_norm;
    struct encoder_layer *layer;
    float *norms; /* the memory of all of them */
};

/*
 * Reads a model; threads and isa are as in rapt_attention_args. On failure there is nothing to
 * close, and the message names the file, and the tensor if it is about one. Nobody may move the
 * struct.
 */
bool encoder_open(const char *folder, int threads, const char *isa, struct encoder *encoder,
                  char message[FAULT_SIZE]);

void encoder_close(struct encoder *encoder);

/*
 * Tokens of a sentence, at most encoder->most_tokens; returns their number. *whole, unless it is
 * NULL, is the number of all that it has.
 */
int64_t encoder_split(const struct encoder *encoder, const char *text, size_t size, int64_t *ids,
                      int64_t *whole);

/* The text that the model has under that name to be put before others, or NULL. */
const char *encoder_prompt(const struct encoder *encoder, const char *name);

/*
 * The states of all tokens after the last layer, hidden[token][dim], of `count` sentences end to
 * end. Sentence i has the tokens cu[i] to cu[i + 1] - 1. If `entering` isn't NULL it gets what
 * enters each layer, [layer][token][dim]. If `alone` no thread but the calling one is used.
 */
bool encoder_run(const struct encoder *encoder, const int64_t *ids, const int64_t *cu,
                 int64_t count, bool alone, float *hidden, float *entering,
                 char message[FAULT_SIZE]);

/* Sentences, and how they are embedded. */
struct encoder_texts {
    const char *const *sentences;
    int64_t count, batch; /* at most `batch` go through the model together; 0: 32 */
    const char *prompt;   /* put before each; NULL: the model's own, if it has one. "": none */
    bool normalise;       /* to length 1, whether or not the model does it */
};

/*
 * Tokens of one of the sentences behind its prompt, at most encoder->most_tokens, and their number;
 * *whole as in encoder_split(). False and a message if memory ran out.
 */
bool encoder_tokens(const struct encoder *encoder, const struct encoder_texts *texts, int64_t index,
                    int64_t *ids, int64_t *count, int64_t *whole, char message[FAULT_SIZE]);

/* What a model's length leaves out of texts. */
struct encoder_cut {
    int64_t texts, tokens; /* how many are cut, and by how many tokens in all */
    int64_t first;         /* the first one's number from 0, or -1 */
    int64_t first_tokens;  /* all that it has */
};

/*
 * Tells what encoder_embed() would cut, without embedding anything. False and a message if memory
 * ran out.
 */
bool encoder_measure(const struct encoder *encoder, const struct encoder_texts *texts,
                     struct encoder_cut *cut, char message[FAULT_SIZE]);

/*
 * Embeddings of sentences, out[sentence][encoder->width], as the model's modules make them. Where
 * there are as many sentences as threads, each thread takes batches of its own, so that none waits
 * for another. Fewer are run one batch after the other. Sentences are cut at the model's length:
 * encoder_measure() tells which.
 */
bool encoder_embed(const struct encoder *encoder, const struct encoder_texts *texts, float *out,
                   char message[FAULT_SIZE]);

#endif
