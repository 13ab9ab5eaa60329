/* SPDX-License-Identifier: Apache-2.0 */
/* The commands. Each gets its own name as argv[0] and returns the exit code, see args.h. */
#ifndef RAPT_CLI_BASE_COMMANDS_H
#define RAPT_CLI_BASE_COMMANDS_H

int cmd_run(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_attend(int argc, char **argv);
int cmd_study(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_isa(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
