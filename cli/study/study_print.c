/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a lesson: question, tables, plot, and what they show. */
#include "cli/study/study.h"

#include <math.h>
#include <string.h>

#include "cli/base/text.h"

enum { GAP = 2, CELL_SIZE = 32 };

/* The text of a cell. */
static int format_cell(char text[CELL_SIZE], double number, int digits) {
    if (isnan(number))
        return snprintf(text, CELL_SIZE, "NaN");
    return digits < 0 ? snprintf(text, CELL_SIZE, "%.*g", -digits, number)
                      : snprintf(text, CELL_SIZE, "%.*f", digits, number);
}

/* The first or second line of a heading; those of one line have it below. */
static int heading_line(const char *heading, int line, const char **start) {
    const char *second = strchr(heading, '\n');
    *start = line == 0 || !second ? heading : second + 1;
    if (!second)
        return line == 0 ? 0 : (int)strlen(heading);
    return line == 0 ? (int)(second - heading) : (int)strlen(*start);
}

static int column_width(const struct study_table *table, int column) {
    char text[CELL_SIZE];
    const char *start;
    int most = 0;
    for (int line = 0; line < 2; line++) {
        int width = heading_line(table->columns[column].heading, line, &start);
        most = width > most ? width : most;
    }
    for (int row = 0; row < table->rows; row++) {
        int width = format_cell(text, table->cells[column][row], table->columns[column].digits);
        most = width > most ? width : most;
    }
    return most;
}

static int label_width(const struct study_table *table) {
    int most = table->label ? (int)strlen(table->label) : 0;
    for (int row = 0; table->label && row < table->rows; row++) {
        int width = (int)strlen(table->labels[row]);
        most = width > most ? width : most;
    }
    return most;
}

static void print_heading(FILE *out, const struct study_table *table, const int *widths,
                          int labels) {
    for (int line = 0; line < 2; line++) {
        int blank = labels; /* not printed before there is something to stand behind it */
        if (line == 1 && table->label)
            blank -= fprintf(out, "%s", table->label);
        for (int column = 0; column < table->column_count; column++) {
            const char *start;
            int size = heading_line(table->columns[column].heading, line, &start);
            blank += widths[column] + (column > 0 || table->label ? GAP : 0);
            if (size > 0) {
                fprintf(out, "%*s%.*s", blank - size, "", size, start);
                blank = 0;
            }
        }
        fputc('\n', out);
    }
}

static void print_table(FILE *out, const struct study_table *table) {
    int widths[STUDY_MOST_COLUMNS], labels = label_width(table);
    for (int column = 0; column < table->column_count; column++)
        widths[column] = column_width(table, column);
    text_print_wrapped(out, table->title, 0, STUDY_WIDTH);
    fputc('\n', out);
    print_heading(out, table, widths, labels);
    for (int row = 0; row < table->rows; row++) {
        fprintf(out, "%-*s", labels, table->labels[row]);
        for (int column = 0; column < table->column_count; column++) {
            char text[CELL_SIZE];
            format_cell(text, table->cells[column][row], table->columns[column].digits);
            int gap = column > 0 || table->label ? GAP : 0;
            fprintf(out, "%*s", gap + widths[column], text);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
}

static void print_plot(FILE *out, const struct study_plot *plot, const struct plot_style *style) {
    struct plot drawn = {.x = plot->table->cells[plot->x],
                         .points = plot->table->rows,
                         .count = plot->count,
                         .horizontal = plot->horizontal,
                         .vertical = plot->vertical};
    for (int i = 0; i < plot->count; i++)
        drawn.series[i] = (struct plot_series){plot->names[i], plot->table->cells[plot->y[i]]};
    plot_print(out, &drawn, style);
    fputc('\n', out);
}

void study_print(FILE *out, const struct study_lesson *lesson, const struct study_result *result,
                 const struct plot_style *style) {
    color_bold(out, style->colors);
    fprintf(out, "%s: %s\n", lesson->name, lesson->question);
    color_reset(out, style->colors);
    fputc('\n', out);
    for (int i = 0; i < result->table_count; i++)
        print_table(out, &result->tables[i]);
    print_plot(out, &result->plot, style);
    text_print_wrapped(out, result->finding, 0, STUDY_WIDTH);
}
