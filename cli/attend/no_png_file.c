/* SPDX-License-Identifier: Apache-2.0 */
/* What a build without libpng, FreeType or fontconfig has in place of png_file.c. */
#include "cli/attend/png_file.h"

const bool png_file_available = false;

bool png_file_write(FILE *out, const struct figure *figure, char error[PNG_FILE_ERROR_SIZE]) {
    (void)out;
    (void)figure;
    snprintf(error, PNG_FILE_ERROR_SIZE, "this build has no PNG");
    return false;
}
