/* SPDX-License-Identifier: Apache-2.0 */
/* rapt study: why attention is as it is, measured. */
#include "cli/base/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "cli/base/args.h"
#include "cli/base/outputs.h"
#include "cli/study/study.h"

static const char name[] = "study";

enum { MOST_THREADS = 4096 };

static const struct study_lesson lessons[] = {
    {"softmax", "How do scores become weights that sum to 1?", study_softmax},
    {"scale", "Why are scores divided by the square root of head_dim?", study_scale},
    {"heads", "What do several heads have that one as wide as all of them has not?", study_heads},
    {"causal", "What does a causal mask do to the entropy of a position?", study_causal},
    {"cost", "What does a longer sequence cost attention, and what a recurrence?", study_cost},
};

enum { LESSONS = sizeof lessons / sizeof *lessons };

struct request {
    struct args_texts lessons;
    const char *json, *isa;
    int64_t seed, threads;
    bool color, quick, list;
};

static int read_request(struct request *request, int argc, char **argv) {
    const struct args_option options[] = {
        {"list", ARGS_ON, &request->list, .excludes = "seed json quick no-color isa threads TEXT",
         .help = "Lists the lessons."},
        {"seed", ARGS_INT, &request->seed, "N",
         .help = "Seed of the random numbers (default 1). All figures but times are the same for "
                 "a seed."},
        {"json", ARGS_STRING, &request->json, "FILE", .help = "Writes all tables there, too."},
        {"quick", ARGS_ON, &request->quick, .help = "Smaller problems."},
        {"no-color", ARGS_OFF, &request->color, .help = "Draws with characters alone."},
        {"isa", ARGS_STRING, &request->isa, "NAME",
         .help = "Instruction set, one of those that rapt isa lists (default: the best)."},
        {"threads", ARGS_INT, &request->threads, "N", .least = 1, .most = MOST_THREADS,
         .help = "At most so many threads (default: one for every core that may be used)."},
    };
    const struct args_command command = {
        .name = name,
        .about = "Measures why attention is as it is: shows tables and a plot for a lesson, or for "
                 "all of them, computed by the library.",
        .metavar = "[LESSON|all]",
        .texts = &request->lessons,
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .notes = "Lessons: softmax, scale, heads, causal, cost.\n\n" OUTPUTS_NOTES,
        .examples = "rapt study scale\n"
                    "rapt study heads --seed 7\n"
                    "rapt study all --json study.json\n",
    };
    return args_parse(&command, argc, argv);
}

static void fail_unknown(const char *found) {
    const char *names[LESSONS];
    for (int i = 0; i < LESSONS; i++)
        names[i] = lessons[i].name;
    const char *meant = args_suggest(found, names, LESSONS);
    if (meant)
        args_fail(name, "unknown lesson \"%s\", did you mean %s?", found, meant);
    else
        args_fail(name, "unknown lesson \"%s\" (rapt study --list lists them)", found);
}

/* Finds the lessons by their names, and returns how many there are; 0 after an error. */
static int choose(const struct args_texts *asked, const struct study_lesson **first) {
    *first = lessons;
    if (asked->count > 1) {
        args_fail(name, "found \"%s\", expected nothing more after the lesson %s", asked->list[1],
                  asked->list[0]);
        return 0;
    }
    if (asked->count == 0 || strcmp(asked->list[0], "all") == 0)
        return LESSONS;
    for (int i = 0; i < LESSONS; i++) {
        if (strcmp(lessons[i].name, asked->list[0]) == 0) {
            *first = &lessons[i];
            return 1;
        }
    }
    fail_unknown(asked->list[0]);
    return 0;
}

static void print_list(void) {
    for (int i = 0; i < LESSONS; i++)
        printf("%-8s %s\n", lessons[i].name, lessons[i].question);
}

static int fail_memory(void) {
    return args_fail(name, "%s", rapt_status_text(RAPT_OUT_OF_MEMORY));
}

/* Runs lessons and prints each; adds them to the array if there is one. */
static int run(const struct study_lesson *first, int count, const struct study_options *options,
               const struct plot_style *style, cJSON *array) {
    struct study_result *result = malloc(sizeof *result);
    int code = result ? ARGS_OK : fail_memory();
    for (int i = 0; i < count && code == ARGS_OK && (array || !ferror(stdout)); i++) {
        *result = (struct study_result){0};
        rapt_status status = first[i].run(options, result);
        if (status == RAPT_OUT_OF_MEMORY) {
            code = fail_memory();
        } else if (status != RAPT_OK) {
            code = args_fail(name, "%s", rapt_last_error());
        } else {
            fputs(i ? "\n\n" : "", stdout);
            study_print(stdout, &first[i], result, style);
            fflush(stdout);
            if (array && !study_add_json(array, &first[i], result))
                code = fail_memory();
        }
    }
    free(result);
    return code;
}

/* An object that says what was run, to which the lessons are added; NULL without memory. */
static cJSON *create_report(const struct study_options *options, cJSON **array) {
    cJSON *report = cJSON_CreateObject();
    char seed[24]; /* as text: a number of JSON needn't hold 64 bits */
    snprintf(seed, sizeof seed, "%" PRIu64, options->seed);
    bool complete = cJSON_AddStringToObject(report, "rapt", rapt_version()) &&
                    cJSON_AddStringToObject(report, "seed", seed) &&
                    cJSON_AddStringToObject(report, "isa", options->isa) &&
                    cJSON_AddBoolToObject(report, "quick", options->quick);
    *array = complete ? cJSON_AddArrayToObject(report, "lessons") : NULL;
    if (*array)
        return report;
    cJSON_Delete(report);
    return NULL;
}

static bool write_report(FILE *file, int i, const void *report) {
    char *text = cJSON_Print(report);
    (void)i;
    errno = ENOMEM;
    const bool written = text && (errno = 0, fprintf(file, "%s\n", text) > 0);
    const int reason = errno;
    cJSON_free(text);
    errno = reason;
    return written;
}

static int run_to_file(const struct study_lesson *first, int count,
                       const struct study_options *options, const struct plot_style *style,
                       const char *path) {
    struct outputs outputs = {.command = name};
    cJSON *array = NULL, *report = create_report(options, &array);
    int code = report ? ARGS_OK : fail_memory();
    if (code == ARGS_OK && !outputs_add(&outputs, "json", path, OUTPUT_TEXT))
        code = ARGS_ERROR;
    if (code == ARGS_OK)
        code = run(first, count, options, style, array);
    if (code == ARGS_OK && !outputs_write(&outputs, write_report, report))
        code = ARGS_ERROR;
    outputs_close(&outputs);
    cJSON_Delete(report);
    return code;
}

int cmd_study(int argc, char **argv) {
    struct request request = {.seed = 1, .threads = rapt_default_threads(), .color = true};
    int code = read_request(&request, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    const struct study_lesson *first;
    int count = choose(&request.lessons, &first);
    if (count == 0)
        return ARGS_ERROR;
    if (request.list) {
        print_list();
        return ARGS_OK;
    }
    const rapt_isa *isa = NULL;
    if (rapt_isa_choose(request.isa, &isa) != RAPT_OK)
        return args_fail(name, "%s", rapt_last_error());
    const struct study_options options = {.seed = (uint64_t)request.seed,
                                          .threads = (int)request.threads,
                                          .isa = isa->name,
                                          .quick = request.quick};
    const struct plot_style style = {.colors = request.color ? color_detect(stdout) : COLOR_NONE,
                                     .unicode = plot_unicode(),
                                     .width = STUDY_WIDTH};
    return request.json ? run_to_file(first, count, &options, &style, request.json)
                        : run(first, count, &options, &style, NULL);
}
