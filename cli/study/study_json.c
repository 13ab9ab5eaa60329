/* SPDX-License-Identifier: Apache-2.0 */
/* A lesson's tables as JSON, a row as an object. */
#include "cli/study/study.h"

#include <cjson/cJSON.h>

/* Adds to an array; the item is NULL if there was no memory for it. */
static bool add_item(cJSON *array, cJSON *item) {
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_row(cJSON *rows, const struct study_table *table, int row) {
    cJSON *json = cJSON_CreateObject();
    if (!add_item(rows, json) ||
        (table->label && !cJSON_AddStringToObject(json, table->label, table->labels[row])))
        return false;
    for (int column = 0; column < table->column_count; column++) {
        /* What is no number becomes null. */
        if (!cJSON_AddNumberToObject(json, table->columns[column].key, table->cells[column][row]))
            return false;
    }
    return true;
}

static bool add_table(cJSON *tables, const struct study_table *table) {
    cJSON *json = cJSON_CreateObject();
    if (!add_item(tables, json) || !cJSON_AddStringToObject(json, "name", table->name) ||
        !cJSON_AddStringToObject(json, "title", table->title))
        return false;
    cJSON *rows = cJSON_AddArrayToObject(json, "rows");
    for (int row = 0; rows && row < table->rows; row++)
        if (!add_row(rows, table, row))
            return false;
    return rows != NULL;
}

bool study_add_json(cJSON *lessons, const struct study_lesson *lesson,
                    const struct study_result *result) {
    cJSON *json = cJSON_CreateObject();
    if (!add_item(lessons, json) || !cJSON_AddStringToObject(json, "lesson", lesson->name) ||
        !cJSON_AddStringToObject(json, "question", lesson->question))
        return false;
    cJSON *tables = cJSON_AddArrayToObject(json, "tables");
    for (int i = 0; tables && i < result->table_count; i++)
        if (!add_table(tables, &result->tables[i]))
            return false;
    return tables && cJSON_AddStringToObject(json, "finding", result->finding);
}
