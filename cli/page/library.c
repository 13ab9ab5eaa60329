/* SPDX-License-Identifier: Apache-2.0 */
/* librapt_page: the page for the Python package, which says the structs of page.h in ctypes. */
#include "cli/page/page.h"

#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT rapt_status rapt_page_write(const struct page *page, char **text, size_t *size, char *error);
EXPORT void rapt_page_free(char *text);

/* The page as a text, to be given back by rapt_page_free(); NULL on failure. The error has room for
 * PAGE_ERROR_SIZE bytes. */
rapt_status rapt_page_write(const struct page *page, char **text, size_t *size, char *error) {
    FILE *file = open_memstream(text, size);
    rapt_status status = RAPT_OUT_OF_MEMORY;
    snprintf(error, PAGE_ERROR_SIZE, "%s", rapt_status_text(status));
    if (!file)
        return status;
    const rapt_status written = page_write(file, page, error);
    const bool whole = !ferror(file) && fclose(file) == 0;
    if (written == RAPT_OK && whole)
        return written;
    status = written == RAPT_OK ? status : written;
    free(*text);
    *text = NULL;
    return status;
}

void rapt_page_free(char *text) {
    free(text);
}
