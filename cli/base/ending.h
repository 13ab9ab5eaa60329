/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the end of the process must not leave behind: temporary files that have a name. They are
 * removed at every end that can be caught, and signals wait while names are changed.
 */
#ifndef RAPT_CLI_BASE_ENDING_H
#define RAPT_CLI_BASE_ENDING_H

/* Files that can be noted at once. */
enum { ENDING_MOST = 16 };

/*
 * From ending_hold() to ending_release() no signal that can be caught ends the process, which it
 * does afterwards. Not nested.
 */
void ending_hold(void);
void ending_release(void);

/*
 * Has a file removed at the end of the process, and no more. The folder stays open, and the name
 * there, for so long. Both are called between ending_hold() and ending_release().
 */
void ending_note(int folder, const char *name);
void ending_forget(const char *name);

#endif
