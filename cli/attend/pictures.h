/* SPDX-License-Identifier: Apache-2.0 */
/* Saves what rapt attend shows as files. */
#ifndef RAPT_CLI_ATTEND_PICTURES_H
#define RAPT_CLI_ATTEND_PICTURES_H

#include "cli/attend/heads_view.h"

/* Where pictures go: paths, "-" for stdout, or NULL for none. */
struct pictures {
    const char *png, *svg;
};

bool pictures_wanted(const struct pictures *pictures);

/* Whether they can be made as asked; if not, has printed why. */
bool pictures_check(const char *command, const struct pictures *pictures);

/* Writes all of them, complete, or else none; false if it has printed why. */
bool pictures_save(const char *command, const struct pictures *pictures,
                   const struct heads_view *view);

#endif
