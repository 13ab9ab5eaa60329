/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a command as a table. Parsing, messages and --help all come from it:
 *
 *     int64_t layer = 0;
 *     bool color = true;
 *     const struct args_option options[] = {
 *         {.name = "layer", .kind = ARGS_INT, .to = &layer, .metavar = "L", .most = 5,
 *          .help = "Layer to show (default 0)"},
 *         {.name = "no-color", .kind = ARGS_OFF, .to = &color, .help = "Plain characters only"},
 *     };
 *     const struct args_command command = {.name = "attend", .about = "...", .options = options,
 *                                          .option_count = 2, .examples = "rapt attend\n"};
 *     const int code = args_parse(&command, argc, argv);
 *     if (code != ARGS_GO_ON)
 *         return code;
 */
#ifndef RAPT_CLI_BASE_ARGS_H
#define RAPT_CLI_BASE_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What `to` points at, and which values are taken. What it holds before parsing is the default. */
enum args_kind {
    ARGS_ON,       /* bool, set to true; takes no value */
    ARGS_OFF,      /* bool, set to false; takes no value */
    ARGS_STRING,   /* const char *, any text that isn't empty; not copied */
    ARGS_INT,      /* int64_t, from least to most */
    ARGS_INTS,     /* struct args_ints, each from least to most */
    ARGS_POSITIVE, /* float, finite and above 0 */
    ARGS_CHOICE,   /* int, the index of the value in `choices` */
};

enum { ARGS_MAX_INTS = 64, ARGS_MAX_OPTIONS = 48 };

/* Integers separated by commas. */
struct args_ints {
    int64_t value[ARGS_MAX_INTS];
    int count;
};

/*
 * An option that would have no effect without another one, or beside it, says so in `needs` or
 * `excludes`, and is refused. TEXT stands for the texts that belong to no option. One of two that
 * exclude each other says it.
 */
struct args_option {
    const char *name; /* without the dashes */
    enum args_kind kind;
    void *to;
    const char *metavar;        /* the value's name in --help and in messages, such as "FILE.npy" */
    const char *help;           /* one sentence; wrapped to the terminal's 80 columns */
    int64_t least, most;        /* of an integer; most 0 means no upper limit */
    int count;                  /* of ARGS_INTS: exactly so many; 0 means one or more */
    const char *const *choices; /* of ARGS_CHOICE: ends with NULL */
    bool required;
    const char *needs;    /* options by their names, "mask" or "html list": one of them, too */
    const char *excludes; /* likewise: none of them beside this one */
    const char *group; /* a heading of --help above this option; NULL: goes on with the last one */
};

/* Words that belong to no option: argv itself, in which they come to stand in front. */
struct args_texts {
    char **list;
    int count;
};

struct args_command {
    const char *name;  /* "run" */
    const char *about; /* what it does; wrapped, '\n' starts a new line */
    const struct args_option *options;
    size_t option_count;      /* at most ARGS_MAX_OPTIONS; --help is added to them */
    const char *metavar;      /* of the texts, such as "[TEXT]..."; NULL if there are none */
    struct args_texts *texts; /* where they go; NULL refuses them */
    const char *notes;        /* after the options, wrapped but for lines that begin with a space */
    const char *examples;     /* printed as it is, each line indented; may be NULL */
    const char *failure;      /* what exit code 1 means; NULL if the command never returns it */
};

/* The exit codes of every command. */
enum args_exit {
    ARGS_GO_ON = -1, /* from args_parse alone: the options are read, carry on */
    ARGS_OK = 0,
    ARGS_FAILED = 1, /* the command ran, and what it looked for isn't so */
    ARGS_ERROR = 2,  /* bad usage, bad input, or the system said no; one line on stderr says why */
};

/*
 * Reads argv[1] and on into the options' destinations: `--name value` or `--name=value`. What comes
 * after `--` is a text in any case. Returns ARGS_GO_ON, or the code to exit with: ARGS_OK after
 * --help, ARGS_ERROR after a bad option.
 */
int args_parse(const struct args_command *command, int argc, char **argv);

/*
 * Prints "rapt COMMAND: message" as one line on stderr and returns ARGS_ERROR. Control characters,
 * which a file's name may hold, are printed as '?'. Without a command (NULL) "rapt: message".
 */
int args_fail(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a value of an option: rapt COMMAND: --NAME: found "FOUND", expected EXPECTED. */
int args_fail_value(const char *command, const char *name, const char *found, const char *expected);

/* Whether all of the text is a decimal integer that fits. */
bool args_parse_int(const char *text, int64_t *value);

/* Says that an option was found without one of the others (by spaces), or with it. */
int args_fail_needs(const char *command, const char *name, const char *others);
int args_fail_excludes(const char *command, const char *name, const char *other);

/* The one of the names that was probably meant, or NULL. */
const char *args_suggest(const char *found, const char *const *names, size_t count);

#endif
