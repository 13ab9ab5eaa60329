/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a page's description holds together. */
#ifndef RAPT_CLI_PAGE_CHECK_H
#define RAPT_CLI_PAGE_CHECK_H

#include "cli/page/page.h"

/* Writes a message and returns the status. */
rapt_status page_fail(char error[PAGE_ERROR_SIZE], rapt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

rapt_status page_check(const struct page *page, char error[PAGE_ERROR_SIZE]);

/* Finds how many neighbouring tokens share a cell. */
rapt_status page_choose_group(const struct page *page, int64_t *group, char error[PAGE_ERROR_SIZE]);

#endif
