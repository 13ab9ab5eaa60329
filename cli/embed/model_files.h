/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that run models share, where the build has them. */
#ifndef RAPT_CLI_EMBED_MODEL_FILES_H
#define RAPT_CLI_EMBED_MODEL_FILES_H

#include "cli/embed/model.h"
#include "model/encoder.h"

/* Where the model is, if nobody has named it. */
void model_find(char *folder, size_t size);

/* Opens the model. On failure prints why as that command; there is nothing to close then. */
bool model_open(const char *command, const struct model_choice *choice, struct encoder *encoder);

/*
 * Says on stderr what the model's length cuts of texts, each of which is called `what`. False if
 * something is cut and the choice is to have all whole: then it is said as that command's error.
 */
bool model_report_cut(const char *command, const struct model_choice *choice, const char *what,
                      const struct encoder *encoder, const struct encoder_texts *texts);

#endif
