/* SPDX-License-Identifier: Apache-2.0 */
/* rapt attend --html: the page as a file. */
#ifndef RAPT_CLI_ATTEND_PAGE_H
#define RAPT_CLI_ATTEND_PAGE_H

#include "page.h"

/* Writes the page and says so, or says why it couldn't; returns the exit code. */
int attend_page(const char *path, const struct page *page);

#endif
