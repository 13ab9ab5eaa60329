/* SPDX-License-Identifier: Apache-2.0 */
/* How a call fails: one message per thread, read through rapt_last_error(). */
#ifndef RAPT_SRC_BASE_STATUS_H
#define RAPT_SRC_BASE_STATUS_H

#include <rapt/status.h>

/* Keeps the message "argument: what was found, what was expected" and returns status. */
rapt_status rapt_fail(rapt_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
