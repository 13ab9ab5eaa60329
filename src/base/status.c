/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"

#include <stdarg.h>
#include <stdio.h>

#include <rapt/version.h>

static _Thread_local char last_error[512];

rapt_status rapt_fail(rapt_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof last_error, format, args);
    va_end(args);
    return status;
}

const char *rapt_last_error(void) {
    return last_error;
}

const char *rapt_status_text(rapt_status status) {
    switch (status) {
    case RAPT_OK:
        return "ok";
    case RAPT_INVALID_ARGUMENT:
        return "invalid argument";
    case RAPT_UNSUPPORTED:
        return "unsupported";
    case RAPT_ISA_UNAVAILABLE:
        return "instruction set unavailable";
    case RAPT_OUT_OF_MEMORY:
        return "out of memory";
    case RAPT_INTERRUPTED:
        return "interrupted";
    }
    return "unknown status";
}

#define TEXT_OF(number) #number
#define DOTTED(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

const char *rapt_version(void) {
    return DOTTED(RAPT_VERSION_MAJOR, RAPT_VERSION_MINOR, RAPT_VERSION_PATCH);
}
