/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences through a model that lies in a folder; model/ is what runs it. */
#ifndef RAPT_CLI_EMBED_MODEL_H
#define RAPT_CLI_EMBED_MODEL_H

#include "cli/sentences/samples.h"

/* A model, and how it is run. */
struct model_choice {
    const char *folder; /* NULL: $RAPT_MODEL, or what scripts/get-model has installed */
    const char *isa;
    int threads;
    bool whole; /* a text that is longer than the model takes is an error */
};

/*
 * Runs the model on texts and keeps what `rapt attend` looks at: as samples_parse() does, but with
 * the hidden states. On failure prints why as that command, and leaves nothing to free. Texts are
 * cut at the model's length, which is said on stderr.
 */
bool model_samples(const char *command, const struct model_choice *choice, char *const *texts,
                   int count, struct samples *result);

#endif
