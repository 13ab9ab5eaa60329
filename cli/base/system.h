/* SPDX-License-Identifier: Apache-2.0 */
/* What the system tells of the machine. */
#ifndef RAPT_CLI_BASE_SYSTEM_H
#define RAPT_CLI_BASE_SYSTEM_H

#include <stddef.h>

/* The first line of a file that starts with `field`, behind its colon; "" if there is none. */
void system_field(const char *path, const char *field, char *text, size_t size);

/* The name of the processor, or what kind it is where it has none. */
void system_cpu_model(char *text, size_t size);

#endif
