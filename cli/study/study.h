/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lessons of rapt study. Each asks a question, measures with the library, and fills tables. The
 * plots, the conclusion and the JSON are made from these.
 */
#ifndef RAPT_CLI_STUDY_STUDY_H
#define RAPT_CLI_STUDY_STUDY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rapt/rapt.h>

#include "cli/base/plot.h"

enum {
    STUDY_MOST_COLUMNS = 10,
    STUDY_MOST_ROWS = 64,
    STUDY_MOST_TABLES = 3,
    STUDY_LABEL_SIZE = 32,
    STUDY_FINDING_SIZE = 768,
    STUDY_WIDTH = 80, /* of what is printed */
};

/* What all lessons are given. */
struct study_options {
    uint64_t seed;
    int threads;     /* at least 1 */
    const char *isa; /* a name, never NULL */
    bool quick;      /* smaller problems */
};

struct study_column {
    const char *key;     /* its name in the JSON */
    const char *heading; /* in the terminal, where '\n' may start a second line */
    int digits;          /* after the point; -n: n significant ones, however large or small */
};

struct study_table {
    const char *name;  /* in the JSON */
    const char *title; /* what was computed, and how */
    const char *label; /* the heading of the rows' labels; NULL if rows have none */
    const struct study_column *columns;
    int column_count, rows;
    char labels[STUDY_MOST_ROWS][STUDY_LABEL_SIZE];
    double cells[STUDY_MOST_COLUMNS][STUDY_MOST_ROWS]; /* columns are dense: a plot takes them */
};

/* Columns of a table as curves. */
struct study_plot {
    const struct study_table *table;
    int x, y[PLOT_MOST_SERIES];
    const char *names[PLOT_MOST_SERIES];
    int count;
    struct plot_axis horizontal, vertical;
};

struct study_result {
    struct study_table tables[STUDY_MOST_TABLES];
    int table_count;
    struct study_plot plot;
    char finding[STUDY_FINDING_SIZE]; /* a sentence, made from the numbers */
};

struct study_lesson {
    const char *name, *question;
    /* Fills a result that is all zero. On a failure rapt_last_error() tells why, unless memory. */
    rapt_status (*run)(const struct study_options *options, struct study_result *result);
};

rapt_status study_softmax(const struct study_options *options, struct study_result *result);
rapt_status study_scale(const struct study_options *options, struct study_result *result);
rapt_status study_heads(const struct study_options *options, struct study_result *result);
rapt_status study_causal(const struct study_options *options, struct study_result *result);
rapt_status study_cost(const struct study_options *options, struct study_result *result);

/* A table without rows, the result's next one; columns must outlive it. */
struct study_table *study_add_table(struct study_result *result, const char *name,
                                    const char *title, const struct study_column *columns,
                                    int count);

/* Adds a row of as many numbers as the table has columns. Returns its index. */
int study_add_row(struct study_table *table, const double *numbers);

/* "rose from 0.1 to 0.9", "fell from ...", or "stayed at ..." if both read the same. */
struct study_text {
    char text[96];
};
struct study_text study_moved(double from, double to, int digits);

/* Fills with numbers of mean 0 and variance 1 that are normal and independent. */
void study_normal(uint64_t *state, float *numbers, size_t count);

/* The mean over rows of their entropy, in nats. */
double study_mean_entropy(const float *weights, size_t rows, int keys);

/* The embedded sentences, for samples_free(), and the longest of them. False if memory ran out. */
struct samples;
struct sample;
bool study_sentence(struct samples *samples, const struct sample **longest);

/* What a lesson found, in a terminal of 80 columns. */
void study_print(FILE *out, const struct study_lesson *lesson, const struct study_result *result,
                 const struct plot_style *style);

/* Adds it to a JSON array. False if there is no memory. */
struct cJSON;
bool study_add_json(struct cJSON *lessons, const struct study_lesson *lesson,
                    const struct study_result *result);

#endif
