/* SPDX-License-Identifier: Apache-2.0 */
/* The --help of a command, made from its option table. */
#ifndef RAPT_CLI_BASE_HELP_H
#define RAPT_CLI_BASE_HELP_H

#include "cli/base/args.h"

void help_print(const struct args_command *command);

#endif
