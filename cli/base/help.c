/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the --help of a command from its option table. */
#include "cli/base/help.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 26, USAGE_INDENT = 12 };

/* Prints `size` bytes of a text from column `indent` on, broken between words, and a newline. */
static void print_wrapped(const char *text, int size, int indent) {
    const char *const end = text + size;
    int column = indent;
    while (text < end) {
        int length = (int)strcspn(text, " \n");
        length = length < end - text ? length : (int)(end - text);
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
        if (text < end && *text == '\n') {
            printf("\n%*s", indent, "");
            column = indent;
        }
        text++;
    }
    putchar('\n');
}

static void print_option(const char *name, const char *metavar, const char *help) {
    const int used = printf("  --%s%s%s", name, metavar ? " " : "", metavar ? metavar : "");
    if (used + 2 > HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - used, "");
    print_wrapped(help, (int)strlen(help), HELP_COLUMN);
}

/* Wraps each paragraph. A line that begins with a space belongs to a table and stays. */
static void print_notes(const char *notes) {
    while (*notes) {
        const int length = (int)strcspn(notes, "\n");
        if (*notes == ' ' || length == 0)
            printf("%.*s\n", length, notes);
        else
            print_wrapped(notes, length, 0);
        notes += length;
        notes += *notes == '\n';
    }
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

/* Prints one of the words of the usage, on the next line if this one is full. */
static int print_word(int column, const char *word) {
    const int length = (int)strlen(word);
    if (column + 1 + length > WIDTH)
        column = printf("\n%*s", USAGE_INDENT - 1, "") - 1;
    printf(" %s", word);
    return column + 1 + length;
}

static void print_usage(const struct args_command *command) {
    int column = printf("Usage: rapt %s", command->name);
    bool all_required = true;
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        char word[64];
        snprintf(word, sizeof word, "--%s %s", option->name,
                 option->metavar ? option->metavar : "");
        if (option->required)
            column = print_word(column, word);
        else
            all_required = false;
    }
    if (command->metavar)
        column = print_word(column, command->metavar);
    if (!all_required)
        print_word(column, "[OPTION]...");
    printf("\n\n");
}

void help_print(const struct args_command *command) {
    print_usage(command);
    print_wrapped(command->about, (int)strlen(command->about), 0);

    printf("\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        if (option->group)
            printf("\n%s:\n", option->group);
        print_option(option->name, option->metavar, option->help);
    }
    print_option("help", NULL, "Print this and exit.");
    if (command->notes) {
        putchar('\n');
        print_notes(command->notes);
    }
    if (command->examples)
        print_examples(command->examples);
    printf("\nExit codes:\n  0  success\n");
    if (command->failure)
        printf("  1  %s\n", command->failure);
    printf("  2  bad usage or bad input; a line on stderr says what\n");
}
