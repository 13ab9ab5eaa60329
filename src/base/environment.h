/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floating-point environment. Callers may have changed rounding, the flushing of subnormals or
 * traps, and their threads may differ in that. A row must have the same bits on each of them.
 */
#ifndef RAPT_SRC_BASE_ENVIRONMENT_H
#define RAPT_SRC_BASE_ENVIRONMENT_H

#include <fenv.h>

/* Keeps the caller's environment and sets the default one; and gives it back. */
static inline void rapt_enter_environment(fenv_t *callers) {
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}
static inline void rapt_leave_environment(const fenv_t *callers) {
    fesetenv(callers);
}

#endif
