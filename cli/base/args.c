/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: parsing, and the messages of what can be wrong with one. */
#include "cli/base/args.h"

#include "cli/base/help.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int args_fail(const char *command, const char *format, ...) {
    char line[8192];
    int used = snprintf(line, sizeof line, command ? "rapt %s: " : "rapt: ", command);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    fprintf(stderr, "%s\n", line);
    return ARGS_ERROR;
}

int args_fail_value(const char *command, const char *name, const char *found,
                    const char *expected) {
    return args_fail(command, "--%s: found \"%s\", expected %s", name, found, expected);
}

static const char *dashes(const char *name) {
    return strncmp(name, "TEXT", 4) == 0 ? "" : "--";
}

int args_fail_needs(const char *command, const char *name, const char *others) {
    char list[256] = "";
    const bool several = strchr(others, ' ') != NULL;
    while (*others) {
        const int length = (int)strcspn(others, " ");
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s%.*s", used ? ", " : "", dashes(others),
                 length, others);
        others += length;
        others += strspn(others, " ");
    }
    return args_fail(command, "--%s: found no%s %s, expected %s, too", name, several ? "ne of" : "",
                     list, several ? "one of them" : "it");
}

int args_fail_excludes(const char *command, const char *name, const char *other) {
    return args_fail(command, "--%s: found also %s%.*s, expected one of the two", name,
                     dashes(other), (int)strcspn(other, " "), other);
}

/* The number of edits (change, insert, delete, swap of neighbours) from one word to the other. */
static int edit_distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    const int rows = (int)strnlen(a, LONGEST + 1), columns = (int)strnlen(b, LONGEST + 1);
    if (rows > LONGEST || columns > LONGEST)
        return LONGEST;
    int d[LONGEST + 1][LONGEST + 1];
    for (int i = 0; i <= rows; i++) {
        for (int j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < least)
                least = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < least)
                least = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < least)
                least = d[i - 2][j - 2] + 1;
            d[i][j] = least;
        }
    }
    return d[rows][columns];
}

const char *args_suggest(const char *found, const char *const *names, size_t count) {
    const char *best = NULL;
    int best_distance = 0;
    const size_t length = strlen(found);
    for (size_t i = 0; i < count; i++) {
        const size_t name_length = strlen(names[i]);
        const size_t common = length < name_length ? length : name_length;
        const int distance = edit_distance(found, names[i]);
        const bool same_start = common > 0 && strncmp(found, names[i], common) == 0;
        const bool near = distance <= (int)(length + 3) / 4 && distance < (int)name_length;
        if ((same_start || near) && (!best || distance < best_distance)) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

bool args_parse_int(const char *text, int64_t *value) {
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits))
        return false;
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *value = number;
    return true;
}

static bool parse_in_range(const struct args_option *option, const char *text, int64_t *value) {
    int64_t number;
    if (!args_parse_int(text, &number) || number < option->least ||
        (option->most && number > option->most))
        return false;
    *value = number;
    return true;
}

static bool parse_ints(const struct args_option *option, const char *text) {
    struct args_ints ints = {.count = 0};
    for (;;) {
        const size_t length = strcspn(text, ",");
        char number[24]; /* an integer of 64 bits takes 20 characters */
        if (length >= sizeof number || ints.count == ARGS_MAX_INTS)
            return false;
        memcpy(number, text, length);
        number[length] = '\0';
        if (!parse_in_range(option, number, &ints.value[ints.count++]))
            return false;
        if (!text[length])
            break;
        text += length + 1;
    }
    if (option->count && ints.count != option->count)
        return false;
    *(struct args_ints *)option->to = ints;
    return true;
}

static bool parse_positive(const char *text, float *value) {
    char *end;
    if (isspace((unsigned char)*text))
        return false;
    const float number = strtof(text, &end);
    if (end == text || *end || !isfinite(number) || !(number > 0))
        return false;
    *value = number;
    return true;
}

static bool parse_choice(const char *const *choices, const char *text, int *value) {
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool takes_value(const struct args_option *option) {
    return option->kind != ARGS_ON && option->kind != ARGS_OFF;
}

static bool parse_value(const struct args_option *option, const char *text) {
    switch (option->kind) {
    case ARGS_ON:
    case ARGS_OFF:
        *(bool *)option->to = option->kind == ARGS_ON;
        return true;
    case ARGS_STRING:
        *(const char **)option->to = text;
        return *text != '\0';
    case ARGS_INT:
        return parse_in_range(option, text, option->to);
    case ARGS_INTS:
        return parse_ints(option, text);
    case ARGS_POSITIVE:
        return parse_positive(text, option->to);
    case ARGS_CHOICE:
        return parse_choice(option->choices, text, option->to);
    }
    return false;
}

/* Adds to a text that has room; what doesn't fit is cut. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...) {
    const size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void append_range(char *text, size_t size, const struct args_option *option) {
    if (option->most)
        append(text, size, " of %" PRId64 " to %" PRId64, option->least, option->most);
    else if (option->least > INT64_MIN)
        append(text, size, " of at least %" PRId64, option->least);
}

/* What an option expects, in words: "LEFT,RIGHT, two integers of at least -1". */
static void describe(const struct args_option *option, char *text, size_t size) {
    text[0] = '\0';
    if (option->kind != ARGS_CHOICE)
        append(text, size, "%s", option->metavar);
    switch (option->kind) {
    case ARGS_ON:
    case ARGS_OFF:
    case ARGS_STRING:
        break;
    case ARGS_INT:
        append(text, size, ", an integer");
        append_range(text, size, option);
        break;
    case ARGS_INTS:
        if (option->count == 2)
            append(text, size, ", two integers");
        else if (option->count)
            append(text, size, ", %d integers", option->count);
        else
            append(text, size, ", integers separated by commas,");
        append_range(text, size, option);
        break;
    case ARGS_POSITIVE:
        append(text, size, ", a finite number above 0");
        break;
    case ARGS_CHOICE:
        for (int i = 0; option->choices[i]; i++)
            append(text, size, "%s%s", i ? " or " : "", option->choices[i]);
        break;
    }
}

/* Says that an argument names no option, and which one may have been meant. */
static int fail_unknown(const struct args_command *command, const char *found) {
    if (strncmp(found, "--", 2) != 0)
        return args_fail(command->name,
                         "found \"%s\", expected an option (rapt %s --help lists them)", found,
                         command->name);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(found + 2, "="), found + 2);
    const char *names[ARGS_MAX_OPTIONS + 1] = {"help"};
    for (size_t i = 0; i < command->option_count; i++)
        names[i + 1] = command->options[i].name;
    const char *meant = args_suggest(name, names, command->option_count + 1);
    if (meant)
        return args_fail(command->name, "unknown option --%s, did you mean --%s?", name, meant);
    return args_fail(command->name, "unknown option --%s (rapt %s --help lists the options)", name,
                     command->name);
}

/* The index of the option that the argument names, or -1. */
static int find_option(const struct args_command *command, const char *argument) {
    if (strncmp(argument, "--", 2) != 0)
        return -1;
    const size_t length = strcspn(argument + 2, "=");
    for (size_t i = 0; i < command->option_count; i++) {
        const char *name = command->options[i].name;
        if (strlen(name) == length && strncmp(name, argument + 2, length) == 0)
            return (int)i;
    }
    return -1;
}

/* Reads argv[*at], and its value from there or from the next argument, which then is *at. */
static int read_option(const struct args_command *command, const struct args_option *option,
                       char **argv, int *at) {
    char expected[256];
    describe(option, expected, sizeof expected);
    const char *equals = strchr(argv[*at], '='), *value = equals ? equals + 1 : NULL;
    if (!takes_value(option)) {
        if (value)
            return args_fail_value(command->name, option->name, value, "no value");
    } else if (!value) {
        /* What looks like an option is one; --name=--value is the way to say otherwise. */
        if (!argv[*at + 1] || strncmp(argv[*at + 1], "--", 2) == 0)
            return args_fail(command->name, "--%s: found no value, expected %s", option->name,
                             expected);
        value = argv[++*at];
    }
    if (!parse_value(option, value))
        return args_fail_value(command->name, option->name, value, expected);
    return ARGS_GO_ON;
}

/* Takes the first word of a list: its length, 0 at the end. */
static size_t next_word(const char **list) {
    *list += strspn(*list, " ");
    return strcspn(*list, " ");
}

static bool is_given(const struct args_command *command, const bool *seen, const char *name,
                     size_t length) {
    if (length == 4 && strncmp(name, "TEXT", length) == 0)
        return command->texts && command->texts->count > 0;
    for (size_t i = 0; i < command->option_count; i++)
        if (strlen(command->options[i].name) == length &&
            strncmp(command->options[i].name, name, length) == 0)
            return seen[i];
    return false;
}

/* The first of the options in a list that is given, or NULL. */
static const char *find_given(const struct args_command *command, const bool *seen,
                              const char *list) {
    for (size_t length; (length = next_word(&list)) > 0; list += length)
        if (is_given(command, seen, list, length))
            return list;
    return NULL;
}

/* An option without effect would be a wish that nobody hears. */
static int check_relations(const struct args_command *command, const bool *seen) {
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        if (!seen[i])
            continue;
        if (option->needs && !find_given(command, seen, option->needs))
            return args_fail_needs(command->name, option->name, option->needs);
        const char *other = option->excludes ? find_given(command, seen, option->excludes) : NULL;
        if (other)
            return args_fail_excludes(command->name, option->name, other);
    }
    return ARGS_GO_ON;
}

int args_parse(const struct args_command *command, int argc, char **argv) {
    bool seen[ARGS_MAX_OPTIONS] = {false}, ended = false;
    struct args_texts *texts = command->texts;
    if (texts)
        *texts = (struct args_texts){argv + 1, 0};
    for (int at = 1; at < argc; at++) {
        const bool names = strncmp(argv[at], "--", 2) == 0 || strcmp(argv[at], "-h") == 0;
        if (texts && (ended || !names)) {
            texts->list[texts->count++] = argv[at];
            continue;
        }
        if (texts && strcmp(argv[at], "--") == 0) {
            ended = true;
            continue;
        }
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            help_print(command);
            return ARGS_OK;
        }
        const int i = find_option(command, argv[at]);
        if (i < 0)
            return fail_unknown(command, argv[at]);
        const struct args_option *option = &command->options[i];
        if (seen[i])
            return args_fail(command->name, "--%s: found twice, expected once", option->name);
        seen[i] = true;
        const int code = read_option(command, option, argv, &at);
        if (code != ARGS_GO_ON)
            return code;
    }
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].required && !seen[i])
            return args_fail(command->name, "--%s is missing, expected --%s %s",
                             command->options[i].name, command->options[i].name,
                             command->options[i].metavar);
    return check_relations(command, seen);
}
