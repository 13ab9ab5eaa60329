/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the --help of a command from its option table. */
#include "cli/base/help.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 26 };

/* Prints a text that starts at column `indent` and ends with a newline, broken between words. */
static void print_wrapped(const char *text, int indent) {
    int column = indent;
    while (*text) {
        const int length = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + length > WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        if (*text == '\n') {
            printf("\n%*s", indent, "");
            column = indent;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

static void print_option(const char *name, const char *metavar, const char *help) {
    const int used = printf("  --%s%s%s", name, metavar ? " " : "", metavar ? metavar : "");
    if (used + 2 > HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - used, "");
    print_wrapped(help, HELP_COLUMN);
}

static void print_examples(const char *examples) {
    printf("\nExamples:\n");
    while (*examples) {
        const int length = (int)strcspn(examples, "\n");
        printf("  %.*s\n", length, examples);
        examples += length;
        examples += *examples == '\n';
    }
}

void help_print(const struct args_command *command) {
    printf("Usage: rapt %s", command->name);
    bool all_required = true;
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        if (option->required)
            printf(" --%s %s", option->name, option->metavar);
        else
            all_required = false;
    }
    printf("%s%s%s\n\n", command->metavar ? " " : "", command->metavar ? command->metavar : "",
           all_required ? "" : " [OPTION]...");
    print_wrapped(command->about, 0);

    printf("\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        if (option->group)
            printf("\n%s:\n", option->group);
        print_option(option->name, option->metavar, option->help);
    }
    print_option("help", NULL, "Print this and exit.");
    if (command->notes)
        printf("\n%s", command->notes);
    if (command->examples)
        print_examples(command->examples);
    printf("\nExit codes:\n  0  success\n");
    if (command->failure)
        printf("  1  %s\n", command->failure);
    printf("  2  bad usage or bad input; a line on stderr says what\n");
}
