/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of JSON, for what is too large to be built as a tree first. Bytes that are no UTF-8
 * become U+FFFD. */
#ifndef RAPT_CLI_BASE_JSON_STRING_H
#define RAPT_CLI_BASE_JSON_STRING_H

#include <stdio.h>

void json_string(FILE *file, const char *text);

/* Also escapes what HTML or JavaScript would take for its own, for JSON in a <script>. */
void json_string_in_script(FILE *file, const char *text);

#endif
