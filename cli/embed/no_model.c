/* SPDX-License-Identifier: Apache-2.0 */
/* In place of model.c and cmd_embed.c where there is no libutf8proc. */
#include "cli/base/args.h"
#include "cli/base/commands.h"
#include "cli/embed/model.h"

static int refuse(const char *command) {
    return args_fail(command, "this build has no model support, which needs libutf8proc and "
                              "libcjson and the meson option model");
}

bool model_samples(const char *command, const struct model_choice *choice, char *const *texts,
                   int count, struct samples *result) {
    (void)choice, (void)texts, (void)count, (void)result;
    refuse(command);
    return false;
}

int cmd_embed(int argc, char **argv) {
    (void)argc, (void)argv;
    return refuse("embed");
}
