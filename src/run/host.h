/* SPDX-License-Identifier: Apache-2.0 */
/* What else is in the process. */
#ifndef RAPT_SRC_RUN_HOST_H
#define RAPT_SRC_RUN_HOST_H

#include <stdbool.h>

/*
 * Whether something besides this library was linked to the library that holds `function`, by the
 * name that it was loaded under. The program itself counts only if this library isn't a part of it.
 * True on systems that don't tell. It remembers one answer: ask for one function. Thread-safe.
 */
bool rapt_host_uses(void (*function)(void));

#endif
