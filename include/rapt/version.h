/* SPDX-License-Identifier: Apache-2.0 */
/* The version of rapt. These macros are its only copy: the build reads them from here. */
#ifndef RAPT_VERSION_H
#define RAPT_VERSION_H

#include <rapt/status.h>

#define RAPT_VERSION_MAJOR 0
#define RAPT_VERSION_MINOR 1
#define RAPT_VERSION_PATCH 0

/* One number to compare at compile time: RAPT_VERSION >= RAPT_MAKE_VERSION(0, 2, 0). */
#define RAPT_MAKE_VERSION(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))
#define RAPT_VERSION RAPT_MAKE_VERSION(RAPT_VERSION_MAJOR, RAPT_VERSION_MINOR, RAPT_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that runs, "major.minor.patch". Thread-safe. */
RAPT_API const char *rapt_version(void);

#ifdef __cplusplus
}
#endif

#endif
