/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/system.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

void system_field(const char *path, const char *field, char *text, size_t size) {
    char line[512];
    FILE *file = fopen(path, "r");
    text[0] = '\0';
    while (file && !text[0] && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, field, strlen(field)) == 0) {
            colon += 1 + strspn(colon + 1, " \t");
            snprintf(text, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        }
    }
    if (file)
        fclose(file);
}

void system_cpu_model(char *text, size_t size) {
    struct utsname system;
    system_field("/proc/cpuinfo", "model name", text, size);
    if (!text[0] && uname(&system) == 0) /* Arm has no such line */
        snprintf(text, size, "%s", system.machine);
}
