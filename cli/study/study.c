/* SPDX-License-Identifier: Apache-2.0 */
/* What the lessons share: tables, random numbers, and what is read off weights. */
#include "cli/study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/random.h"
#include "cli/base/row.h"
#include "cli/sentences/attend.h"

struct study_table *study_add_table(struct study_result *result, const char *name,
                                    const char *title, const struct study_column *columns,
                                    int count) {
    struct study_table *table = &result->tables[result->table_count++];
    table->name = name;
    table->title = title;
    table->columns = columns;
    table->column_count = count;
    return table;
}

int study_add_row(struct study_table *table, const double *numbers) {
    int row = table->rows++;
    for (int column = 0; column < table->column_count; column++)
        table->cells[column][row] = numbers[column];
    return row;
}

struct study_text study_moved(double from, double to, int digits) {
    struct study_text moved;
    char first[32], last[32];
    snprintf(first, sizeof first, "%.*f", digits, from);
    snprintf(last, sizeof last, "%.*f", digits, to);
    if (strcmp(first, last) == 0) {
        snprintf(moved.text, sizeof moved.text, "stayed at %s", first);
    } else {
        snprintf(moved.text, sizeof moved.text, "%s from %s to %s", to > from ? "rose" : "fell",
                 first, last);
    }
    return moved;
}

/* The method of Box and Muller, on numbers in (0, 1) of 53 bits. */
void study_normal(uint64_t *state, float *numbers, size_t count) {
    const double turn = 2 * 3.14159265358979323846;
    for (size_t i = 0; i < count; i += 2) {
        double first = ((double)(random_bits(state) >> 11) + 0.5) * 0x1p-53;
        double second = ((double)(random_bits(state) >> 11) + 0.5) * 0x1p-53;
        double radius = sqrt(-2 * log(first));
        numbers[i] = (float)(radius * cos(turn * second));
        if (i + 1 < count)
            numbers[i + 1] = (float)(radius * sin(turn * second));
    }
}

double study_mean_entropy(const float *weights, size_t rows, int keys) {
    double total = 0;
    for (size_t row = 0; row < rows; row++)
        total += row_summarise(weights + row * (size_t)keys, keys).entropy;
    return total / (double)rows;
}

bool study_sentence(struct samples *samples, const struct sample **longest) {
    char error[SAMPLES_ERROR_SIZE];
    if (!samples_parse(samples, samples_data, samples_data_size, error))
        return false; /* what is embedded is right: memory is what can be wrong */
    *longest = &samples->sentences[0];
    for (int i = 1; i < samples->count; i++)
        if (samples->sentences[i].token_count > (*longest)->token_count)
            *longest = &samples->sentences[i];
    return true;
}
