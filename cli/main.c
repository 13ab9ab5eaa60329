/* SPDX-License-Identifier: Apache-2.0 */
/* The command rapt: finds the subcommand, and sees to what all of them share. */
#include "cli/base/args.h"
#include "cli/base/commands.h"

#include <rapt/rapt.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", cmd_run, "Attention of arrays in .npy files"},
    {"attend", cmd_attend, "What a real model attends to, as heatmaps in the terminal"},
    {"embed", cmd_embed, "Sentence embeddings by a model, and which sentences are alike"},
    {"study", cmd_study, "Why attention is as it is: lessons as measurements"},
    {"verify", cmd_verify, "Check every instruction set against a double-precision oracle"},
    {"isa", cmd_isa, "What the CPU has, and which instruction set is chosen"},
    {"bench", cmd_bench, "Speed, beside the FMA peak of this machine"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static volatile sig_atomic_t pipe_closed;

static void note_closed_pipe(int signal_number) {
    (void)signal_number;
    pipe_closed = 1;
}

static void prepare_process(void) {
    /* A file must not get the number of a standard stream that the caller has closed. */
    for (int fd = open("/dev/null", O_RDONLY); fd >= 0; fd = open("/dev/null", O_RDONLY)) {
        if (fd > STDERR_FILENO) {
            close(fd);
            break;
        }
    }
    /* Writing then fails with an error, which is met where it happens. */
    struct sigaction action = {.sa_handler = note_closed_pipe, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);
#endif
}

/* A full disk must not pass for success; a reader that has read enough may. One error is told. */
static int finish(int code) {
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || pipe_closed || code == ARGS_ERROR)
        return code;
    return args_fail(NULL, "standard output: %s", errno ? strerror(errno) : "could not be written");
}

static int print_help(void) {
    printf("rapt %s: exact attention for CPUs\n\nUsage: rapt COMMAND [OPTION]...\n\nCommands:\n",
           rapt_version());
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
    printf("\nOptions:\n  --help     Print this and exit\n  --version  Print the version and exit\n"
           "\nrapt COMMAND --help tells more about a command.\n"
           "\nExit codes:\n  0  success\n  1  a check failed\n"
           "  2  bad usage or bad input; a line on stderr says what\n");
    return ARGS_OK;
}

static int print_version(void) {
    printf("rapt %s\n", rapt_version());
    return ARGS_OK;
}

static int fail_unknown(const char *found) {
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    const char *meant = args_suggest(found, names, COMMANDS);
    if (meant)
        return args_fail(NULL, "unknown command \"%s\", did you mean %s?", found, meant);
    return args_fail(NULL, "unknown command \"%s\" (rapt --help lists the commands)", found);
}

static int run_command(int argc, char **argv) {
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, argv[0]) == 0)
            return commands[i].run(argc, argv);
    return fail_unknown(argv[0]);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2)
        return args_fail(NULL, "found no command, expected one (rapt --help lists them)");
    const char *first = argv[1];
    const bool help = strcmp(first, "help") == 0;
    if (help && argc == 3) {
        char option[] = "--help", *arguments[] = {argv[2], option, NULL};
        return run_command(2, arguments);
    }
    int (*print)(void) = NULL;
    if (help || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        print = print_help;
    else if (strcmp(first, "--version") == 0)
        print = print_version;
    if (print && argc > 2)
        return args_fail(NULL, "found \"%s\", expected nothing more after %s", argv[2 + help],
                         first);
    return print ? print() : run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    prepare_process();
    return finish(dispatch(argc, argv));
}
