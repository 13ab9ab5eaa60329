/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sentence encoder of BERT's family (Devlin et al. 2018; Reimers and Gurevych 2019), on librapt:
 * a folder's config.json, vocab.txt and model.safetensors, as Hugging Face has them, and what
 * sentence-transformers adds where it is there: the length in sentence_bert_config.json and the
 * pooling in 1_Pooling/config.json, by default 512 tokens and the mean.
 *
 * Sentences of different lengths go through the model end to end, without padding, and what comes
 * out for one of them has the same bits whatever the others, the threads and the instruction set.
 */
#ifndef ENCODER_ENCODER_H
#define ENCODER_ENCODER_H

#include <rapt/rapt.h>

#include "file.h"
#include "safetensors.h"
#include "wordpiece.h"

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
    float epsilon;
    bool pools_first; /* the state of [CLS], not the mean of all */
    int threads;      /* as in rapt_attention_args */
    const char *isa;  /* the same; the caller's */
    char path[4096];  /* of the weights */
    struct wordpiece vocabulary;
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

/* Tokens of a sentence, at most encoder->most_tokens; returns their number. */
int64_t encoder_split(const struct encoder *encoder, const char *text, size_t size, int64_t *ids);

/*
 * The states of all tokens after the last layer, hidden[token][dim], of `count` sentences end to
 * end: sentence i has the tokens cu[i] to cu[i + 1] - 1. If `entering` isn't NULL it gets what
 * enters each layer, [layer][token][dim].
 */
bool encoder_run(const struct encoder *encoder, const int64_t *ids, const int64_t *cu,
                 int64_t count, float *hidden, float *entering, char message[FAULT_SIZE]);

/*
 * Embeddings of sentences, out[sentence][dim], each of length 1. At most `batch` of them go through
 * the model together. Where there are as many sentences as threads, each thread takes batches of
 * its own, so that none waits for another; fewer are run one batch after the other.
 */
bool encoder_embed(const struct encoder *encoder, const char *const *sentences, int64_t count,
                   int64_t batch, float *out, char message[FAULT_SIZE]);

#endif
