/* SPDX-License-Identifier: Apache-2.0 */
/* What a call returns, and where to read why it failed. */
#ifndef RAPT_STATUS_H
#define RAPT_STATUS_H

#if defined(__GNUC__)
#    define RAPT_API __attribute__((visibility("default")))
#else
#    define RAPT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rapt_status {
    RAPT_OK = 0,
    /* An argument is null, out of range, or doesn't fit the others. */
    RAPT_INVALID_ARGUMENT = 1,
    /* The arguments make sense, but this version can't compute that. */
    RAPT_UNSUPPORTED = 2,
    /* The instruction set of that name is unknown, or this build or machine lacks it. */
    RAPT_ISA_UNAVAILABLE = 3,
    /* Memory for the plan or the workspace could not be allocated. */
    RAPT_OUT_OF_MEMORY = 4,
    RAPT_INTERRUPTED = 5, /* the caller's own function said so: see rapt_attention_args */
} rapt_status;

/* A short name for a status, never NULL. Thread-safe. */
RAPT_API const char *rapt_status_text(rapt_status status);

/*
 * The message of the last call that failed on this thread: it names the argument, the value found
 * and what was expected. "" before the first failure; a call that succeeds leaves it as it is.
 * Valid until the next call into rapt on the same thread.
 */
RAPT_API const char *rapt_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
