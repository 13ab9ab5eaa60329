/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the library's own, which help whoever calls it. They sleep between calls, take no
 * signals, and there are as many as the largest call so far has asked for, or the system gives.
 */
#ifndef RAPT_SRC_RUN_TEAM_H
#define RAPT_SRC_RUN_TEAM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Calls work(context, 0) on the calling thread, and work(context, n) with n = 1 ... helpers on
 * others as they become free. A call that hasn't begun when the caller's own returns never does, so
 * nobody waits for a thread that isn't running. Returns when all that began have returned.
 * Thread-safe, in a forked process as in its parent.
 */
void rapt_team_run(int helpers, void (*work)(void *context, int thread), void *context);

/* Whether this process was forked from another and has not become a new program since. */
bool rapt_team_is_forked(void);

/* Whether the system gives so many threads more, with so many bytes of stack or, with 0, its
 * default: some are started and end. */
bool rapt_team_can_start(int threads, size_t stack);

#endif
